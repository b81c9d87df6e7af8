import assert from "node:assert/strict";
import test from "node:test";

import { bounds, change, isFew, landingRate, percent, usersRate } from "../../service/pageroles/web/rates.js";
import { emptyQuestion } from "../../service/pageroles/web/state.js";

const TOTALS = { total_users: 200, total_conversion_users: 50 };
const question = (changes = {}) => ({ ...emptyQuestion(), ...changes });
const page = (landings, converted) => ({
  landing: { sessions: landings }, landing_assisted_conversion: { sessions: converted },
});

test("the users' rate stands only where the question does not decide it", () => {
  assert.equal(usersRate(TOTALS, question()), 0.25);
  assert.equal(usersRate(TOTALS, question({ touch_scope: "first", meta_id: "f" })), 0.25);
  assert.equal(usersRate(TOTALS, question({ meta_id: "f" })), null);
  assert.equal(usersRate(TOTALS, question({ touch_scope: "converting" })), null);
  assert.equal(usersRate(TOTALS, question({ touch_scope: "assist" })), null);
  assert.equal(usersRate({ total_users: 0, total_conversion_users: 0 }, question()), null);
});

test("a landing rate divides by the landings of the page", () => {
  assert.equal(landingRate(page(100, 7), question()), 0.07);
  assert.equal(landingRate(page(0, 0), question()), null);
  assert.equal(landingRate(page(100, 0), question({ touch_scope: "assist" })), null);
  assert.equal(isFew(page(99, 7)), true);
  assert.equal(isFew(page(100, 7)), false);
});

test("the bounds of a rate are those of Wilson", () => {
  const [least, most] = bounds(7, 100);
  assert.equal(least.toFixed(4), "0.0343");
  assert.equal(most.toFixed(4), "0.1375");
  assert.deepEqual(bounds(0, 10).map((one) => one.toFixed(3)), ["0.000", "0.278"]);
  assert.deepEqual(bounds(10, 10).map((one) => one.toFixed(3)), ["0.722", "1.000"]);
});

test("changes are said in percent, unless that would mislead", () => {
  assert.deepEqual(change(104, 100), { sign: 1, text: "+4.0 %" });
  assert.deepEqual(change(50, 100), { sign: -1, text: "−50 %" });
  assert.deepEqual(change(0, 100), { sign: -1, text: "−100 %" });
  assert.deepEqual(change(7, 7), { sign: 0, text: "0 %" });
  assert.deepEqual(change(0, 0), { sign: 0, text: "0 %" });
  assert.deepEqual(change(5, 0), { sign: 1, text: "new" });
  assert.deepEqual(change(1200, 100), { sign: 1, text: "× 12" });
});

test("percent has the digits that it needs", () => {
  assert.deepEqual([null, 0, 0.0004, 0.0567, 0.12, 1].map(percent), ["–", "0 %", "< 0.1 %", "5.7 %", "12 %", "100 %"]);
});
