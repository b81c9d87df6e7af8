const response = await fetch(`${process.env.PAGEROLES_URL}/api/v1/pages`, {
  method: "POST",
  headers: { Authentication: process.env.PAGEROLES_KEY, "Content-Type": "application/json" },
  body: JSON.stringify({
    source: "google.com",
    touch_scope: "converting",
  }),
});
const answer = await response.json();
if (!response.ok) throw new Error(answer.error);
console.log(answer.message ?? answer.summary_totals.total_sessions);
for (const page of answer.conversion_performance ?? []) {
  console.log(page.url, page.conversion.sessions);
}
