import assert from "node:assert/strict";
import test from "node:test";

import { fromInput, otherKind, presets, shown, toInput } from "../../service/pageroles/web/dates.js";

function ready(instant) {
  return Object.fromEntries(presets(Date.parse(instant)).map(({ label, start, end }) => [label, [start, end]]));
}

test("ready-made dates are days of UTC", () => {
  assert.deepEqual(ready("2025-03-30T23:30:00Z"), {
    Yesterday: ["2025-03-29", "2025-03-29"],
    "7 days": ["2025-03-24", "2025-03-30"],
    "30 days": ["2025-03-01", "2025-03-30"],
    "This month": ["2025-03-01", "2025-03-30"],
    "Last month": ["2025-02-01", "2025-02-28"],
  });
});

test("a month of another year, and a leap day", () => {
  assert.deepEqual(ready("2025-01-01T00:00:00Z")["Last month"], ["2024-12-01", "2024-12-31"]);
  assert.deepEqual(ready("2025-01-01T00:00:00Z").Yesterday, ["2024-12-31", "2024-12-31"]);
  assert.deepEqual(ready("2024-03-31T12:00:00Z")["Last month"], ["2024-02-01", "2024-02-29"]);
});

test("an input holds a day or a moment", () => {
  assert.deepEqual(toInput("2025-07-01"), { type: "date", value: "2025-07-01" });
  const moments = {
    "2025-07-01T09:30:00Z": "2025-07-01T09:30:00.000",
    "2025-07-01 09:30": "2025-07-01T09:30:00.000",
    "2025-07-31T10:00:00+02:00": "2025-07-31T08:00:00.000",
    "2025-07-31T23:59:59.999-0130": "2025-08-01T01:29:59.999",
    "2025-07-31t10:00:00+02": "2025-07-31T08:00:00.000",
  };
  for (const [text, value] of Object.entries(moments)) {
    assert.deepEqual(toInput(text), { type: "datetime-local", value }, text);
  }
});

test("no input holds what is not a date", () => {
  for (const text of ["", "soon", "2025-02-30", "2025-13-01", "2025-7-1", "2025-07-01T25:00:00Z", "2025-07-01T"]) {
    assert.equal(toInput(text), null, text);
  }
});

test("the API gets what an input holds", () => {
  assert.equal(fromInput({ type: "date", value: "2025-07-01" }), "2025-07-01");
  assert.equal(fromInput({ type: "datetime-local", value: "" }), "");
  assert.equal(fromInput({ type: "datetime-local", value: "2025-07-01T09:30" }), "2025-07-01T09:30:00Z");
  assert.equal(fromInput({ type: "datetime-local", value: "2025-07-01T09:30:00.250" }), "2025-07-01T09:30:00.250Z");
});

test("a date survives the way through an input", () => {
  for (const text of ["2025-07-01", "2025-07-01T09:30:00Z", "2025-07-01T09:30:00.250Z"]) {
    assert.equal(fromInput(toInput(text)), text);
  }
});

test("with times a day becomes its first or last moment; without, a moment becomes its day", () => {
  const day = { type: "date", value: "2025-07-01" };
  assert.equal(otherKind(day, false), "2025-07-01T00:00:00");
  assert.equal(otherKind(day, true), "2025-07-01T23:59:59.999");
  assert.equal(otherKind({ type: "datetime-local", value: "2025-07-01T09:30" }, true), "2025-07-01");
  assert.equal(otherKind({ type: "date", value: "" }, true), "");
});

test("people read a moment without its signs", () => {
  assert.equal(shown("2025-07-01T00:00:00Z"), "2025-07-01 00:00:00");
});
