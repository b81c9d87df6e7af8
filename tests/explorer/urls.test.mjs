import assert from "node:assert/strict";
import test from "node:test";

import { decoded, halves, labels, split } from "../../service/pageroles/web/urls.js";

const read = (...urls) => [...labels(urls).values()].map(({ host, path }) => [path, host]);

test("a URL has an origin and a path", () => {
  assert.deepEqual(split("https://a.example/p/q"), ["https://a.example", "/p/q"]);
  assert.deepEqual(split("https://a.example"), ["https://a.example", "/"]);
  assert.deepEqual(split("/"), ["", "/"]);
  assert.deepEqual(split("javascript:alert(1)//x"), ["", "javascript:alert(1)//x"]);
});

test("encoded letters are letters, unless they would mislead", () => {
  assert.equal(decoded("/caf%C3%A9/%E6%97%A5"), "/café/日");
  assert.equal(decoded("/a%2Fb%3Fc%23d%25e"), "/a%2Fb%3Fc%23d%25e");
  assert.equal(decoded("/a%20b%0A%E2%80%AEc"), "/a%20b%0A%E2%80%AEc");
  assert.equal(decoded("/%FF%zz"), "/%FF%zz");
});

test("the host stands where there are several", () => {
  assert.deepEqual(read("https://a.example/p", "https://a.example"), [["/p", ""], ["/", ""]]);
  assert.deepEqual(read("https://a.example/p", "https://b.example/p"), [["/p", "a.example"], ["/p", "b.example"]]);
  assert.deepEqual(read("https://a.example/p", "http://a.example/p"), [["/p", "a.example"], ["/p", "http://a.example"]]);
});

test("two pages never read the same", () => {
  assert.deepEqual(read("https://a.example/caf%C3%A9", "https://a.example/café"), [["/caf%C3%A9", ""], ["/café", ""]]);
});

test("a long path is cut before its end, and loses nothing", () => {
  const long = `/blog/2025/${"a-long-title-".repeat(5)}part-2`;
  const [start, end] = halves(long);
  assert.equal(start + end, long);
  assert.equal([...end].length, 18);
  assert.deepEqual(halves("/pricing"), ["/pricing", ""]);
});
