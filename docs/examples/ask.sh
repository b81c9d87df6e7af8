curl --silent --show-error --fail-with-body "$PAGEROLES_URL/api/v1/pages" \
  --header "Authentication: $PAGEROLES_KEY" \
  --header "Content-Type: application/json" \
  --data '{"start_date": "2025-07-01", "end_date": "2025-07-31", "source": "google.com", "touch_scope": "converting"}'
