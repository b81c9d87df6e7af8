curl --silent --show-error --fail-with-body --request POST --header "Authorization: Bearer $PAGEROLES_KEY" \
  "$PAGEROLES_URL/api/v1/pages?source=google.com&touch_scope=converting"
