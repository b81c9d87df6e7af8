import assert from "node:assert/strict";
import test from "node:test";

import {
  emptyQuestion, emptyState, FILTERS, filtersSet, holdsKey, isNarrowed, readLink, sameQuestion, toBody, withoutFilters,
  writeLink,
} from "../../service/pageroles/web/state.js";

const KEY = `pr_0123456789ab_${"k".repeat(43)}`;
const state = (question = {}, rest = {}) => ({ ...emptyState(), ...rest, question: { ...emptyQuestion(), ...question } });

test("a link brings back what was asked and looked at", () => {
  for (const one of [
    state(),
    state({ source: "a b?&#%ü", meta_type: "html_form", touch_scope: "converting" }, { compare: false }),
    state({ period: "", start_date: "2025-07-01", end_date: "2025-07-31T10:00:00+02:00" }),
    state({ period: "", start_date: "", end_date: "" }),
    state({ period: "last-month", domain: "münchen.de" }, { page: "https://a.example/p?x=1#y" }),
    state({}, { list: "land", search: "docs", sort: { column: "landing_rate", descending: false } }),
  ]) assert.deepEqual(readLink(`#${writeLink(one)}`), { state: one, unread: [] });
});

test("a named period stays a name", () => {
  assert.equal(writeLink(state()), "period=last-30-days");
});

test("a link ignores what it does not know, and says which date is none", () => {
  const { state: read, unread } = readLink(
    "#start_date=soon&list=toString&touch_scope=x&sort=url.length:up&key=z&__proto__=1&period=no-such&compare=maybe");
  assert.deepEqual(read, emptyState());
  assert.deepEqual(unread, ["start_date"]);
  assert.deepEqual(readLink("#%E0%A4%A").state, emptyState());
  assert.deepEqual(readLink("#list=land&sort=conversion:desc").state.sort, null);
});

test("no link holds a key", () => {
  const leaking = state({ source: KEY, medium: "an-own-key-1" }, { search: `x${KEY}`, page: KEY });
  assert.equal(writeLink(leaking, "an-own-key-1"), "period=last-30-days");
  assert.equal(holdsKey("short", "short"), false);
});

test("a body has what is set, and the dates given", () => {
  const question = { ...emptyQuestion(), domain: "d.example", source: "x" };
  assert.deepEqual(toBody(question, { start_date: "2025-07-01", end_date: "" }),
    { source: "x", start_date: "2025-07-01", touch_scope: "any" });
});

test("filters are told, counted and taken away", () => {
  const question = { ...emptyQuestion(), period: "today", source: "x", touch_scope: "first" };
  assert.deepEqual(filtersSet(question), ["source"]);
  assert.equal(isNarrowed(question), true);
  assert.equal(isNarrowed(withoutFilters(question)), false);
  assert.equal(withoutFilters(question).period, "today");
  assert.equal(sameQuestion(question, { ...question }), true);
  for (const name of FILTERS) assert.equal(sameQuestion(question, { ...question, [name]: "other" }), false);
});
