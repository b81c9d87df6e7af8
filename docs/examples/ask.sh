curl --silent --show-error --fail-with-body "$PAGEROLES_URL/api/v1/pages" \
  --header "Authentication: $PAGEROLES_KEY" \
  --header "Content-Type: application/json" \
  --data '{"source": "google.com", "touch_scope": "converting"}'
