import assert from "node:assert/strict";
import test from "node:test";

import { fromInput, otherKind, toInput } from "../../service/pageroles/web/dates.js";

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
