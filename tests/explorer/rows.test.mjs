import assert from "node:assert/strict";
import test from "node:test";

import { arrange, haveOneOrigin, topRows } from "../../service/pageroles/web/rows.js";
import { capital, number, split } from "../../service/pageroles/web/texts.js";

const row = (url, sessions, users = sessions) => ({ url, drop_off: { sessions, users } });
const ROWS = [row("https://a.example/Docs/b", 3, 1), row("https://a.example/docs/a", 3, 2), row("https://a.example", 0)];
const urls = (rows) => rows.map(({ url }) => url.replace("https://a.example", ""));

test("a search keeps the rows that hold every word, in either case", () => {
  const sort = { column: "drop_off.sessions", descending: true };
  assert.deepEqual(urls(arrange(ROWS, "", sort)), ["/Docs/b", "/docs/a", ""]);
  assert.deepEqual(urls(arrange(ROWS, "  DOCS /b ", sort)), ["/Docs/b"]);
  assert.deepEqual(urls(arrange(ROWS, "docs nowhere", sort)), []);
});

test("a column sorts both ways, and equal rows keep their order", () => {
  const sorted = (column, descending) => urls(arrange(ROWS, "", { column, descending }));
  assert.deepEqual(sorted("drop_off.sessions", true), ["/Docs/b", "/docs/a", ""]);
  assert.deepEqual(sorted("drop_off.sessions", false), ["", "/Docs/b", "/docs/a"]);
  assert.deepEqual(sorted("drop_off.users", true), ["/docs/a", "/Docs/b", ""]);
  assert.deepEqual(sorted("url", false), ["", "/Docs/b", "/docs/a"]);
  assert.deepEqual(sorted("url", true), ["/docs/a", "/Docs/b", ""]);
});

test("sorting leaves the answer as it is", () => {
  const before = [...ROWS];
  arrange(ROWS, "", { column: "url", descending: true });
  topRows(ROWS, "drop_off", 2);
  assert.deepEqual(ROWS, before);
});

test("the top rows have the role", () => {
  const rows = [row("/a", 1), row("/b", 5), row("/c", 0), row("/d", 5)];
  assert.deepEqual(topRows(rows, "drop_off", 12).map(({ url }) => url), ["/b", "/d", "/a"]);
  assert.deepEqual(topRows(rows, "drop_off", 1).map(({ url }) => url), ["/b"]);
});

test("pages of one site have one origin", () => {
  assert.ok(haveOneOrigin(ROWS));
  assert.ok(!haveOneOrigin([...ROWS, row("http://a.example/docs", 1)]));
  assert.ok(!haveOneOrigin([]));
});

test("a URL has an origin and a rest", () => {
  assert.deepEqual(split("https://a.example/b?c"), ["https://a.example", "/b?c"]);
  assert.deepEqual(split("https://a.example"), ["", "https://a.example"]);
  assert.deepEqual(split("/"), ["", "/"]);
  assert.deepEqual(split("javascript:alert(1)//x"), ["", "javascript:alert(1)//x"]);
});

test("people read numbers in groups, and sentences with a capital", () => {
  assert.equal(number(1234567), "1,234,567");
  assert.equal(capital("drop-off"), "Drop-off");
  assert.equal(capital(""), "");
});
