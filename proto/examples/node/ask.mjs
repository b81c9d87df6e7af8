// Asks over gRPC which pages had a part in the conversions of visits from Google.
import { credentials, loadPackageDefinition, Metadata } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const contract = loadSync("pageroles/v1/pages.proto", {
  includeDirs: [process.env.PAGEROLES_PROTO ?? "proto"],
  defaults: true,
  keepCase: true,
  longs: Number,
  enums: String,
});
const { PageRolesService } = loadPackageDefinition(contract).pageroles.v1;

const stub = new PageRolesService(process.env.PAGEROLES_TARGET, credentials.createInsecure());
const metadata = new Metadata();
metadata.set("authentication", process.env.PAGEROLES_KEY);
const question = {
  start_date: "2025-07-01",
  end_date: "2025-07-31",
  source: "google.com",
  touch_scope: "TOUCH_SCOPE_CONVERTING",
};

stub.Pages(question, metadata, { deadline: Date.now() + 30_000 }, (error, answer) => {
  stub.close();
  if (error) throw error;
  console.log(answer.message || answer.summary_totals.total_sessions);
  for (const page of answer.conversion_performance) {
    console.log(page.url, page.conversion.sessions);
  }
});
