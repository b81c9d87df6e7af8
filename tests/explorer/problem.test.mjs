import assert from "node:assert/strict";
import test from "node:test";

import { ask, Refusal } from "../../service/pageroles/web/api.js";
import { describe, waiting } from "../../service/pageroles/web/problem.js";

const FOUND = { time_frame: {}, summary_totals: {}, conversion_performance: [], drop_off_performance: [] };

// Asks a made-up server; returns its answer, or the Refusal, and the request that was sent.
async function asked(body, { status = 200, headers = {}, domain = "", fault = null, isCancelled = false } = {}) {
  const real = globalThis.fetch;
  let sent;
  globalThis.fetch = async (url, options) => {
    sent = { url, ...options };
    if (fault !== null) throw fault;
    return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
  };
  try {
    const controller = new AbortController();
    if (isCancelled) controller.abort();
    return [await ask({ key: "k", domain, body: { source: "x" }, signal: controller.signal }), sent];
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [error, sent];
  } finally {
    globalThis.fetch = real;
  }
}

test("the key and the domain go in headers, and nowhere else", async () => {
  const [answer, sent] = await asked(FOUND, { domain: "example.com" });
  assert.deepEqual(answer, FOUND);
  assert.equal(sent.url, "/api/v1/pages");
  assert.equal(sent.body, '{"source":"x"}');
  assert.deepEqual(sent.headers, { Authentication: "k", "Content-Type": "application/json", Domain: "example.com" });
  assert.ok(!("Domain" in (await asked(FOUND))[1].headers));
});

test("a domain with other letters goes as its UTF-8", async () => {
  const [, sent] = await asked(FOUND, { domain: "m\u00fcnchen.example" });
  assert.equal(sent.headers.Domain, "m\u00c3\u00bcnchen.example");
  assert.ok(new Headers({ Domain: (await asked(FOUND, { domain: "\u4f8b\u3048" }))[1].headers.Domain }));
});

test("an answer that found nothing is an answer", async () => {
  assert.deepEqual((await asked({ message: "Nothing." }))[0], { message: "Nothing." });
});

test("a reply that is not of the API is unreadable", async () => {
  for (const body of ["<html>", "", [], { message: 1 }, { ...FOUND, drop_off_performance: null }]) {
    const [refusal] = await asked(body);
    assert.equal(refusal.status, "unreadable");
    assert.equal(describe(refusal).title, "The reply is not an answer");
  }
});

test("no reply is told from a cancel", async () => {
  const [refusal] = await asked("", { fault: new TypeError("no network") });
  assert.equal(refusal.status, 0);
  assert.equal(describe(refusal).title, "No answer came");
  const cancel = new DOMException("cancelled", "AbortError");
  await assert.rejects(asked("", { fault: cancel, isCancelled: true }), cancel);
});

test("a refusal brings what the server says", async () => {
  const headers = { "X-Request-Id": "r1", "Retry-After": "7" };
  const [refusal] = await asked({ error: "there is no date; give one", field: "start_date" }, { status: 400, headers });
  const { status, field, requestId, retrySeconds, quota } = refusal;
  assert.deepEqual({ status, field, requestId, retrySeconds, quota }, {
    status: 400, field: "start_date", requestId: "r1", retrySeconds: 7, quota: null,
  });
  assert.deepEqual(describe(refusal), {
    title: "The server can’t answer this question",
    text: "There is no date; give one.",
    hint: "Change the marked field, then ask again.",
  });
});

test("a refusal without words has those of the page", async () => {
  for (const status of [401, 429, 500, 503, 504, 418]) {
    const [refusal] = await asked("", { status });
    const { title, text } = describe(refusal);
    assert.match(title, /^[A-Z].*[a-z]$/);
    assert.match(text, /^[A-Z].*\.$/);
  }
});

test("Retry-After may be a date", async () => {
  const seconds = async (header) => (await asked("", { status: 429, headers: { "Retry-After": header } }))[0].retrySeconds;
  const inAMinute = await seconds(new Date(Date.now() + 60_000).toUTCString());
  assert.ok(inAMinute > 55 && inAMinute <= 60, String(inAMinute));
  assert.equal(await seconds(new Date(0).toUTCString()), 0);
  assert.equal(await seconds("soon"), null);
});

test("a spent quota says when the next month begins", async () => {
  const spent = { error: "API monthly limit exceeded.", limit: 1000, used: 1000, domain: "example.com" };
  const [refusal] = await asked(spent, { status: 429, headers: { "Retry-After": String(11 * 86_400 + 5) } });
  assert.deepEqual(describe(refusal), {
    title: "No requests are left this month",
    text: "API monthly limit exceeded.",
    hint: "1,000 of 1,000 requests were made. The next month begins in 12 days.",
  });
});

test("a wait is told in the largest unit that has two of it", () => {
  const hints = { 1: "1 second", 119: "119 seconds", 120: "2 minutes", 7_200: "2 hours", 7_201: "3 hours", 172_800: "2 days" };
  for (const [seconds, text] of Object.entries(hints)) {
    assert.equal(waiting(Number(seconds), null), `Ask again in ${text}.`);
  }
  assert.equal(waiting(0, null), "You can ask again now.");
  assert.equal(waiting(null, null), "Ask again in a moment.");
});
