import assert from "node:assert/strict";
import test from "node:test";

import {
  columns, emptyQuestion, emptyView, FILTERS, filtersSet, holdsKey, isNarrowed, readLink, sameQuestion, SCOPES, toBody,
  writeLink,
} from "../../service/pageroles/web/state.js";

const KEY = `pr_0123456789ab_${"k".repeat(43)}`;

test("an empty question asks for the default scope alone", () => {
  assert.deepEqual(toBody(emptyQuestion()), { touch_scope: "any" });
  assert.equal(writeLink(emptyQuestion(), emptyView()), "");
});

test("a body holds what is set, as it was typed, and no domain", () => {
  const question = { ...emptyQuestion(), domain: "example.com", source: " Ü&x ", touch_scope: "first" };
  assert.deepEqual(toBody(question), { source: " Ü&x ", touch_scope: "first" });
});

test("a link brings back every field of the question and of the view", () => {
  const texts = ["domain", "start_date", "end_date", ...FILTERS];
  const question = {
    ...Object.fromEntries(texts.map((name) => [name, `${name} /:?&=#%+ü`])), touch_scope: SCOPES.at(-1),
  };
  const view = {
    tab: "drop_off",
    search: "a & b",
    sort: {
      conversion: { column: "url", descending: false },
      drop_off: { column: "drop_off_assist.users", descending: true },
    },
    top: { conversion: "conversion_assist", drop_off: "landing_assisted_drop_off" },
  };
  const link = writeLink(question, view);
  assert.deepEqual(readLink(link), { question, view, asks: true });
  assert.deepEqual(readLink(`#${link}`), readLink(link));
});

test("a link is as short as it can be, and leaves URLs readable", () => {
  const question = { ...emptyQuestion(), landing_page: "https://example.com/pricing" };
  assert.equal(writeLink(question, emptyView()), "landing_page=https://example.com/pricing");
});

test("a date that was left empty becomes that of the window that was used", () => {
  const frame = { start: "2025-07-01T00:00:00Z", end: "2025-07-31T23:59:59Z" };
  assert.equal(writeLink(emptyQuestion(), emptyView(), { frame }), "start_date=2025-07-01&end_date=2025-07-31T23:59:59Z");
  const given = { ...emptyQuestion(), start_date: "2025-06-01", end_date: "2025-06-02" };
  assert.equal(writeLink(given, emptyView(), { frame }), "start_date=2025-06-01&end_date=2025-06-02");
});

test("no link holds a key, wherever it was typed", () => {
  for (const key of [KEY, "another-form-of-key"]) {
    const texts = ["domain", "start_date", "end_date", ...FILTERS];
    const question = { ...emptyQuestion(), ...Object.fromEntries(texts.map((name) => [name, `x${key}`])) };
    assert.equal(writeLink(question, { ...emptyView(), search: `${key}x` }, { key }), "");
  }
  assert.ok(holdsKey(`https://example.com/?key=${KEY}`));
  assert.ok(!holdsKey("pricing", ""));
  assert.ok(!holdsKey("a pricing page", "pricing")); // too short to be a key
});

test("what a link should not have is ignored", () => {
  const broken = "touch_scope=x&tab=toString&conversion_sort=url.length:up&drop_off_sort=__proto__&drop_off_top=y&z=1";
  assert.deepEqual(readLink(`#${broken}`), { question: emptyQuestion(), view: emptyView(), asks: true });
  assert.equal(readLink("").asks, false);
  assert.equal(readLink("#%E0%A4%A").asks, true);
});

test("every column of a side can be sorted by", () => {
  for (const side of ["conversion", "drop_off"]) {
    assert.equal(columns(side).length, 7);
    for (const column of columns(side)) {
      for (const descending of [true, false]) {
        const view = { ...emptyView(), sort: { ...emptyView().sort, [side]: { column, descending } } };
        assert.deepEqual(readLink(writeLink(emptyQuestion(), view)).view, view);
      }
    }
  }
});

test("two questions are the same where every field is", () => {
  for (const name of Object.keys(emptyQuestion())) {
    const other = { ...emptyQuestion(), [name]: "other" };
    assert.ok(sameQuestion(other, { ...other }));
    assert.ok(!sameQuestion(emptyQuestion(), other), name);
  }
});

test("filters and scope narrow a question; dates and domain do not", () => {
  assert.ok(!isNarrowed({ ...emptyQuestion(), domain: "example.com", start_date: "2025-07-01" }));
  assert.ok(isNarrowed({ ...emptyQuestion(), touch_scope: "assist" }));
  for (const name of FILTERS) {
    assert.deepEqual(filtersSet({ ...emptyQuestion(), [name]: "x" }), [name]);
    assert.ok(isNarrowed({ ...emptyQuestion(), [name]: "x" }));
  }
});
