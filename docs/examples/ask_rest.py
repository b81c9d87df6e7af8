import os

import requests

answer = requests.post(
    os.environ["PAGEROLES_URL"] + "/api/v1/pages",
    headers={"Authentication": os.environ["PAGEROLES_KEY"]},
    json={"source": "google.com", "touch_scope": "converting"},
    timeout=30,
)
answer.raise_for_status()
found = answer.json()
print(found.get("message") or found["summary_totals"]["total_sessions"])
for page in found.get("conversion_performance", []):
    print(page["url"], page["conversion"]["sessions"])
