import createClient from "openapi-fetch";

import type { paths } from "./schema.js";

const client = createClient<paths>({
  baseUrl: process.env.PAGEROLES_URL,
  headers: { Authorization: `Bearer ${process.env.PAGEROLES_KEY}` },
});
const { data, error } = await client.POST("/api/v1/pages", {
  body: { source: "google.com", touch_scope: "converting" },
});
if (error) throw new Error(`${error.code}: ${error.error}`);
if ("message" in data) {
  console.log(data.message);
} else {
  console.log(data.summary_totals.total_sessions);
  for (const page of data.conversion_performance) {
    console.log(page.url, page.conversion.sessions);
  }
}
