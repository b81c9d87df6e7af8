import assert from "node:assert/strict";
import test from "node:test";

import { before, beforeFrame, datesOf, PERIODS, shownDates, shownDay, shownFrame, shownTime } from "../../service/pageroles/web/periods.js";

function ready(instant) {
  return Object.fromEntries(PERIODS.map(({ name }) =>
    [name, Object.values(datesOf({ period: name, start_date: "", end_date: "" }, Date.parse(instant)))]));
}

test("named periods are whole days of UTC", () => {
  assert.deepEqual(ready("2025-03-30T23:30:00Z"), {
    today: ["2025-03-30", "2025-03-30"],
    yesterday: ["2025-03-29", "2025-03-29"],
    "last-7-days": ["2025-03-23", "2025-03-29"],
    "last-30-days": ["2025-02-28", "2025-03-29"],
    "this-month": ["2025-03-01", "2025-03-30"],
    "last-month": ["2025-02-01", "2025-02-28"],
  });
  assert.deepEqual(ready("2025-01-01T00:00:00Z")["last-month"], ["2024-12-01", "2024-12-31"]);
  assert.deepEqual(ready("2024-03-31T12:00:00Z")["last-month"], ["2024-02-01", "2024-02-29"]);
});

test("dates of one's own stay, named or not", () => {
  const own = { start_date: "2025-07-01", end_date: "2025-07-02" };
  assert.deepEqual(datesOf({ period: "", ...own }, 0), own);
  assert.deepEqual(datesOf({ period: "no-such", ...own }, 0), own);
});

test("the period before is as long and ends where this one begins", () => {
  const days = (start_date, end_date) => Object.values(before({ start_date, end_date }) ?? {});
  assert.deepEqual(days("2025-07-01", "2025-07-31"), ["2025-05-31", "2025-06-30"]);
  assert.deepEqual(days("2025-03-01", "2025-03-01"), ["2025-02-28", "2025-02-28"]);
  // Only an answer tells which window the server uses.
  assert.deepEqual(days("2025-06-01", "2025-07-31"), []);
  assert.deepEqual(days("2025-07-02", "2025-07-01"), []);
  assert.deepEqual(days("", ""), []);
  assert.deepEqual(days("2025-07-01T10:00:00Z", "2025-07-31"), []);
});

test("the window before another one neither overlaps it nor leaves a gap", () => {
  assert.deepEqual(beforeFrame({ start: "2025-07-01T09:30:00Z", end: "2025-07-01T10:29:59Z" }),
    { start_date: "2025-07-01T08:30:00.000Z", end_date: "2025-07-01T09:29:59.999Z" });
  assert.deepEqual(beforeFrame({ start: "2025-07-01T00:00:00Z", end: "2025-07-01T00:00:00.250Z" }),
    { start_date: "2025-06-30T23:59:59.749Z", end_date: "2025-06-30T23:59:59.999Z" });
});

test("windows read as people write them", () => {
  const frame = (start, end) => shownFrame({ start, end });
  assert.equal(frame("2025-07-01T00:00:00Z", "2025-07-31T23:59:59Z"), "1 – 31 Jul 2025");
  assert.equal(frame("2025-06-28T00:00:00Z", "2025-07-04T23:59:59Z"), "28 Jun – 4 Jul 2025");
  assert.equal(frame("2024-12-30T00:00:00Z", "2025-01-02T23:59:59Z"), "30 Dec 2024 – 2 Jan 2025");
  assert.equal(frame("2025-07-01T00:00:00Z", "2025-07-01T23:59:59Z"), "1 Jul 2025");
  assert.equal(frame("2025-07-01T09:30:00Z", "2025-07-01T10:29:59Z"), "1 Jul 2025, 09:30 – 10:29");
  assert.equal(frame("2025-07-01T09:30:00Z", "2025-07-02T10:29:59Z"), "1 Jul 2025, 09:30 – 2 Jul 2025, 10:29");
  assert.equal(shownDates({ start_date: "2025-07-01", end_date: "2025-07-31" }), "1 – 31 Jul 2025");
  assert.equal(shownDates({ start_date: "", end_date: "" }), "30 days to now");
  assert.equal(shownDay("2025-07-01", { weekday: true }), "Tue 1 Jul");
  assert.equal(shownTime("2025-07-01T09:30:15.250Z"), "1 Jul 2025, 09:30");
});
