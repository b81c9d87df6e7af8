// The page: keeps what is asked, the address and the answer in step.

import { Refusal } from "./api.js";
import { load, loadValues } from "./asking.js";
import { byId, make, markField, unmarkFields } from "./dom.js";
import { asked } from "./header.js";
import { LISTS } from "./lists.js";
import { showList } from "./list.js";
import { showOverview } from "./overview.js";
import { showPage } from "./page.js";
import { datesOf, shownDates } from "./periods.js";
import { describe, waiting } from "./problem.js";
import { Bar } from "./question.js";
import { emptyState, holdsKey, isNarrowed, readLink, sameQuestion, withoutFilters, writeLink } from "./state.js";
import { counted } from "./texts.js";
import { labels } from "./urls.js";
import { filterLabel } from "./words.js";

const STORED = "pageroles.key"; // the API reference reads it, too
const PLAIN = /^[\x21-\x7e]*$/; // what a header can carry
const PANELS = ["problem", "empty", "view"];

let state = emptyState();
let key = sessionStorage.getItem(STORED) ?? "";
let answered = null; // the answer on show, and what was asked
let names = new Map();
let asking = null; // the controller that can cancel the question under way
let parts = new Map(); // what views asked besides, by name, for the answer on show
let partsController = new AbortController();
let countdown = 0;

const bar = new Bar({
  changed: (question) => go({ question }),
  compared: (compare) => go({ compare }),
  values: (question, field, contains, signal) => loadValues({ question, field, contains, key, signal }),
  key: () => key,
});

// What views may use.
const context = {
  get state() { return state; },
  get answered() { return answered; },
  get labels() { return names; },
  key: () => key,
  linkTo: (changes) => `#${writeLink({ ...state, search: "", sort: null, ...changes }, key)}`,
  go, say, note, part, copy, copyLink,
};

function say(text) {
  byId("said").textContent = text;
}

function note(text) {
  byId("note").textContent = text;
  byId("note").hidden = text === "";
}

function show(panel) {
  for (const name of PANELS) byId(name).hidden = name !== panel;
  if (panel !== "problem") clearInterval(countdown);
}

// Asks for a part of a view once for an answer; a newer answer gives it up.
function part(name, ask) {
  if (!parts.has(name)) {
    const asked_ = ask(partsController.signal);
    parts.set(name, asked_);
    asked_.catch(() => parts.delete(name));
  }
  return parts.get(name);
}

// Changes what is asked or looked at. The address follows; a new question is asked at once.
function go(changes, { push = true, render = true } = {}) {
  state = { ...state, ...changes };
  const link = `#${writeLink(state, key)}`;
  if (link !== location.hash) history[push ? "pushState" : "replaceState"](null, "", link);
  if (render) follow({ moves: false });
}

// Shows what the state says: asks where the answer on show is not that of its question.
function follow({ moves }) {
  bar.show(state.question, state.compare);
  if (key === "") {
    welcome();
    return;
  }
  if (answered !== null && isAnswered()) {
    stop();
    showAnswer();
    if (moves) goTo();
  } else ask();
}

function isAnswered() {
  const dates = datesOf(state.question, Date.now());
  return sameQuestion(answered.question, state.question) && state.compare === answered.compare
    && dates.start_date === answered.dates.start_date && dates.end_date === answered.dates.end_date;
}

function goTo() {
  const heading = byId("empty").hidden ? byId("frame") : byId("empty-text");
  heading?.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function showAnswer() {
  if (answered.now.message !== undefined) {
    byId("empty-text").textContent = answered.now.message;
    byId("empty-asked").replaceChildren(make("span", { textContent: shownDates(answered.dates) }), ...asked(answered.question));
    byId("hints").replaceChildren(...(answered.now.hints ?? []).map(hint));
    byId("loosen").hidden = !isNarrowed(answered.question);
    document.title = "pageroles explorer";
    show("empty");
    return;
  }
  note("");
  const view = state.page !== "" ? showPage : state.list !== "" ? showList : showOverview;
  view(byId("view"), context);
  document.title = state.page === "" ? "pageroles explorer" : `${byId("frame").textContent} – pageroles`;
  show("view");
}

function hint({ field, value, sessions }) {
  const use = make("button", { type: "button", textContent: `${filterLabel(field)}: ${value}` });
  use.addEventListener("click", () => go({ question: { ...state.question, [field]: value } }));
  return sessions > 0
    ? make("li", {}, "Nearly the same: ", use, ` has ${counted(sessions, "session")}`)
    : make("li", { textContent: `${filterLabel(field)} ${value} has sessions in other periods.` });
}

// Asking. The old answer stays, dimmed and out of reach, until the new one is there.

function stop() {
  asking?.abort();
  asking = null;
  byId("loading").hidden = true;
  byId("answer").setAttribute("aria-busy", "false");
  for (const name of PANELS) byId(name).inert = false;
}

async function ask() {
  stop();
  const controller = new AbortController();
  asking = controller;
  note("");
  byId("question").hidden = false;
  byId("change-key").hidden = !byId("key-form").hidden;
  byId("loading").hidden = false;
  byId("answer").setAttribute("aria-busy", "true");
  for (const name of PANELS) byId(name).inert = true;
  say("Asking…");
  const stopClock = showElapsed();
  const { question, compare } = state;
  const isFirst = answered === null;
  try {
    const found = await load({ question, compare, key, signal: controller.signal, at: Date.now(), had: answered });
    if (asking !== controller) return;
    answered = { ...found, compare };
    names = labels([...found.pages.keys()]);
    partsController.abort();
    partsController = new AbortController();
    parts = new Map();
    stop();
    keepKey();
    showAnswer();
    const isEmpty = found.now.message !== undefined;
    say(isEmpty ? found.now.message : `${counted(found.now.summary_totals.total_sessions, "session")} counted`);
    if (isFirst || document.activeElement === document.body) goTo();
  } catch (error) {
    if (asking !== controller) return;
    stop();
    controller.abort(); // what else was asked for this screen
    if (!(error instanceof Refusal)) throw error;
    answered = null;
    showProblem(error);
  } finally {
    stopClock();
  }
}

function showElapsed() {
  const began = performance.now();
  byId("elapsed").textContent = "";
  const clock = setInterval(() => {
    byId("elapsed").textContent = `${Math.round((performance.now() - began) / 1000)} s`;
  }, 1000);
  return () => clearInterval(clock);
}

function cancel() {
  if (asking === null) return;
  stop();
  say("Cancelled");
  if (answered === null) {
    welcome();
    return;
  }
  // Back to the question of the answer on show, and its link.
  state = { ...state, question: answered.question, compare: answered.compare };
  history.replaceState(null, "", `#${writeLink(state, key)}`);
  follow({ moves: false });
}

function showProblem(refusal) {
  const { title, text, hint: next } = describe(refusal);
  byId("problem-title").textContent = title;
  byId("problem-text").textContent = text;
  byId("problem-hint").textContent = next ?? "";
  byId("problem-id").hidden = refusal.requestId === "";
  byId("problem-id").querySelector("code").textContent = refusal.requestId;
  say("");
  show("problem");
  const isKey = refusal.status === 401 || refusal.status === 403;
  if (refusal.status === 401) sessionStorage.removeItem(STORED);
  if (isKey || refusal.field === "domain") {
    showKeyForm(true);
    mark(isKey ? "key" : "domain", isKey ? `${title}.` : text);
  } else if (refusal.field === null || !bar.mark(refusal.field, text)) byId("again").focus();
  if (refusal.status === 429 && refusal.retrySeconds !== null) countDown(refusal);
}

function countDown({ retrySeconds, quota }) {
  clearInterval(countdown);
  const until = Date.now() + retrySeconds * 1000;
  countdown = setInterval(() => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    byId("problem-hint").textContent = waiting(left, quota);
    if (left === 0) clearInterval(countdown);
  }, 1000);
}

// The key

function welcome() {
  stop();
  show("");
  showKeyForm(true);
  byId("key").focus();
}

function showKeyForm(isShown) {
  byId("key-form").hidden = !isShown;
  byId("question").hidden = key === "";
  byId("change-key").hidden = isShown;
  byId("domain-field").hidden = byId("domain-field").hidden && state.question.domain === "";
  if (isShown) {
    byId("key").value = key;
    byId("domain").value ||= state.question.domain;
  }
}

function keepKey() {
  if (byId("remember").checked) sessionStorage.setItem(STORED, key);
  showKeyForm(false);
}

function mark(name, text) {
  unmark();
  if (name === "domain") byId("domain-field").hidden = false;
  markField(byId(name), name, text);
}

function unmark() {
  unmarkFields(byId("key-form"));
}

byId("questions").append(...LISTS.filter(({ role }) => role !== "").map(({ title, says, role }) =>
  make("div", { className: role }, make("dt", { textContent: title }), make("dd", { textContent: says }))));
byId("key-form").addEventListener("input", unmark);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  unmark();
  const given = byId("key").value.trim();
  const domain = byId("domain").value.trim();
  if (given === "") mark("key", "Give your API key.");
  else if (!PLAIN.test(given)) mark("key", "A key has no spaces and only plain letters, digits and signs.");
  else if (holdsKey(domain, given)) mark("domain", "This holds your API key. Give the key in its own field only.");
  else {
    if (given !== key) answered = null;
    key = given;
    byId("question").hidden = false;
    if (answered !== null && domain === state.question.domain) keepKey();
    go({ question: { ...state.question, domain } }, { push: answered !== null });
  }
});
byId("remember").checked = true;
byId("remember").addEventListener("change", () => {
  if (!byId("remember").checked) sessionStorage.removeItem(STORED);
});
byId("change-key").addEventListener("click", () => {
  showKeyForm(true);
  byId("key").select();
});
// A browser may keep a page that a person leaves. The key must not stay in it.
addEventListener("pagehide", () => {
  if (byId("remember").checked) return;
  key = "";
  byId("key").value = "";
});

// Taking along

async function copy(text, pressed) {
  try {
    await navigator.clipboard.writeText(text);
    const label = pressed.textContent;
    pressed.textContent = "Copied";
    setTimeout(() => (pressed.textContent = label), 2000);
    return true;
  } catch {
    return false; // a page that came over plain HTTP has no clipboard
  }
}

async function copyLink() {
  const link = new URL(`#${writeLink(state, key)}`, location.href).href;
  const isCopied = await copy(link, byId("copy"));
  byId("link").hidden = isCopied;
  if (isCopied) say("Link copied, without the key");
  else {
    byId("link").value = link;
    byId("link").select();
  }
}

byId("cancel").addEventListener("click", cancel);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") cancel();
});
byId("again").addEventListener("click", () => ask());
byId("loosen").addEventListener("click", () => go({ question: withoutFilters(state.question) }));
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address stands for the question
  byId("answer").focus();
});

// Shows what the address says.
function followAddress({ moves = true } = {}) {
  const { state: linked, unread } = readLink(location.hash);
  state = linked;
  follow({ moves });
  if (unread.length > 0) note(`The ${unread.join(" and the ")} in the link can’t be read as a date, so you see the last 30 days.`);
}
addEventListener("popstate", () => followAddress());
followAddress({ moves: false });
