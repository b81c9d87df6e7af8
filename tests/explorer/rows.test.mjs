import assert from "node:assert/strict";
import test from "node:test";

import { columnsOf, LISTS } from "../../service/pageroles/web/lists.js";
import { listed, pageOf, pagesOf, valueOf } from "../../service/pageroles/web/rows.js";
import { emptyQuestion } from "../../service/pageroles/web/state.js";

const count = (sessions) => ({ sessions, users: sessions });
const conversion = (path, here, read, landed, landing) => ({
  url: `https://a.example${path}`, conversion: count(here), conversion_assist: count(read),
  landing_assisted_conversion: count(landed), landing: count(landing),
});
const dropOff = (path, left, landing) => ({
  url: `https://a.example${path}`, drop_off: count(left), drop_off_assist: count(0),
  landing_assisted_drop_off: count(landing), landing: count(landing),
});
const ANSWER = {
  conversion_performance: [conversion("/signup", 9, 2, 3, 10), conversion("/Pricing", 2, 9, 1, 100)],
  drop_off_performance: [dropOff("/caf%C3%A9", 5, 50), dropOff("/Pricing", 4, 100)],
};
const question = emptyQuestion();
const paths = (found) => found.map(({ url }) => url.replace("https://a.example", ""));
const list = (name, more = {}) => paths(listed(pagesOf(ANSWER), { list: name, question, ...more }));

test("a page of both sides is one row with all roles", () => {
  const pages = pagesOf(ANSWER);
  assert.equal(pages.size, 3);
  const pricing = pages.get("https://a.example/Pricing");
  assert.deepEqual([pricing.conversion.sessions, pricing.drop_off.sessions, pricing.landing.sessions], [2, 4, 100]);
  assert.equal(pages.get("https://a.example/signup").drop_off.sessions, 0);
  assert.equal(pageOf(pages, "nowhere").landing.users, 0);
  assert.equal(pagesOf({ message: "none" }).size, 0);
});

test("each question lists the pages that have its role, most first", () => {
  assert.deepEqual(list("convert"), ["/signup", "/Pricing"]);
  assert.deepEqual(list("read"), ["/Pricing", "/signup"]);
  assert.deepEqual(list("land"), ["/Pricing", "/caf%C3%A9", "/signup"]);
  assert.deepEqual(list("leave"), ["/caf%C3%A9", "/Pricing"]);
  assert.equal(list("all").length, 3);
});

test("words find pages, in either case, encoded or not", () => {
  assert.deepEqual(list("all", { search: " PRICING a.example" }), ["/Pricing"]);
  assert.deepEqual(list("all", { search: "café" }), ["/caf%C3%A9"]);
  assert.deepEqual(list("all", { search: "caf%c3" }), ["/caf%C3%A9"]);
  assert.deepEqual(list("all", { search: "nowhere" }), []);
});

test("lists sort by each column, both ways", () => {
  const sort = (column, descending) => ({ sort: { column, descending } });
  assert.deepEqual(list("land", sort("landing_rate", true)), ["/signup", "/Pricing", "/caf%C3%A9"]);
  assert.deepEqual(list("land", sort("landing_rate", false)), ["/caf%C3%A9", "/Pricing", "/signup"]);
  assert.deepEqual(list("land", sort("page", false)), ["/Pricing", "/caf%C3%A9", "/signup"]);
  const before = pagesOf({ conversion_performance: [conversion("/signup", 8, 0, 0, 0)], drop_off_performance: [] });
  assert.deepEqual(list("convert", { ...sort("change", true), before }), ["/Pricing", "/signup"]);
  for (const { name } of LISTS) {
    for (const column of columnsOf(name)) assert.equal(list(name, { ...sort(column, true), before }).length, list(name).length);
  }
});

test("a rate without landings is none", () => {
  assert.equal(valueOf(pageOf(new Map(), "x"), "landing_rate", question), null);
});
