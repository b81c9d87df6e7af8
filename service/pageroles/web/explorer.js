// The page: asks, shows the answer, and keeps the address in step with it.

import { ask, Refusal } from "./api.js";
import { showChart } from "./chart.js";
import { presets, shown } from "./dates.js";
import { byId, make } from "./dom.js";
import { Form } from "./form.js";
import { describe, waiting } from "./problem.js";
import { arrange, haveOneOrigin } from "./rows.js";
import {
  emptyView, filtersSet, isNarrowed, readLink, sameQuestion, SCOPES, SIDES, toBody, writeLink,
} from "./state.js";
import { PagesTable } from "./table.js";
import { number } from "./texts.js";

const PANELS = ["intro", "loading", "problem", "empty", "report"];
const NARROW = matchMedia("(max-width: 56rem)");

const form = new Form(markChanged);
const table = new PagesTable(sortBy);
let view = emptyView();
let answered = null; // the question and the answer on show
let asking = null; // the controller that can cancel the question under way
let countdown = 0;

// Showing

function showPanel(name) {
  for (const panel of PANELS) byId(panel).hidden = panel !== name;
  byId("answer").setAttribute("aria-busy", String(name === "loading"));
  if (name !== "problem") clearInterval(countdown);
}

function say(text) {
  byId("said").textContent = text;
}

function note(text) {
  byId("note").textContent = text;
  byId("note").hidden = text === "";
}

function goTo(element) {
  element.focus({ preventScroll: !NARROW.matches });
  if (NARROW.matches) element.scrollIntoView({ block: "start" });
}

function markChanged() {
  byId("changed").hidden = answered === null || !form.differsFrom(answered.question);
}

function showAnswer() {
  const { question, answer } = answered;
  document.querySelectorAll(".asked").forEach((place) => place.replaceChildren(...asked(question)));
  if (answer.message !== undefined) {
    byId("empty").querySelector(".asked").prepend(make("span", {
      textContent: `${shown(question.start_date) || "30 days"} to ${shown(question.end_date) || "now"}` }));
    byId("empty-text").textContent = answer.message;
    byId("loosen").hidden = !isNarrowed(question);
    showPanel("empty");
    return;
  }
  byId("frame").replaceChildren(...[shown(answer.time_frame.start), `to ${shown(answer.time_frame.end)} UTC`]
    .flatMap((text) => [make("span", { textContent: text }), " "]));
  byId("cut").hidden = !(Date.parse(question.start_date) < Date.parse(answer.time_frame.start));
  const totals = answer.summary_totals;
  for (const [name, count] of Object.entries(totals)) {
    const place = byId("totals").querySelector(`[id="${name}"]`);
    if (place !== null) place.textContent = number(count);
  }
  const share = (100 * totals.total_conversion_users) / Math.max(1, totals.total_users);
  byId("share").textContent = `${share.toFixed(share < 10 ? 1 : 0)}%`;
  answered.oneOrigin = haveOneOrigin(Object.values(SIDES).flatMap(({ list }) => answer[list]));
  showTabs();
  showSide();
  showPanel("report");
}

// Makes a short form of the question that was asked; the form may have changed since.
function asked(question) {
  return [
    ...(question.domain === "" ? [] : [make("b", { textContent: question.domain })]),
    make("span", { textContent: question.touch_scope === SCOPES[0] ? "any session" : `${question.touch_scope} sessions` }),
    ...filtersSet(question).map((name) => make("span", {}, `${name} `, make("b", { textContent: question[name] }))),
  ];
}

function showTabs() {
  const tabs = Object.entries(SIDES).map(([side, { title, list }]) => {
    const tab = make("button", { type: "button", id: `tab-${side}`, attributes: { role: "tab", "aria-controls": "side" } },
      title, " ", make("span", { className: "count", textContent: number(answered.answer[list].length) }));
    tab.addEventListener("click", () => choose({ tab: side }));
    return tab;
  });
  byId("tabs").replaceChildren(...tabs);
}

function showSide() {
  const side = view.tab;
  for (const tab of byId("tabs").children) {
    const isOn = tab.id === `tab-${side}`;
    tab.setAttribute("aria-selected", String(isOn));
    tab.tabIndex = isOn ? 0 : -1;
  }
  byId("side").setAttribute("aria-labelledby", `tab-${side}`);
  if (byId("search").value !== view.search) byId("search").value = view.search;
  const all = answered.answer[SIDES[side].list];
  const rows = arrange(all, view.search, view.sort[side]);
  const { oneOrigin } = answered;
  showChart(side, rows, view.top[side], { oneOrigin, chosen: (role) => choose({ top: { ...view.top, [side]: role } }) });
  table.show(side, rows, view.sort[side], { oneOrigin });
  byId("chart").hidden = rows.length === 0;
  const among = view.search === "" ? "" : `${number(rows.length)} of `;
  byId("found").textContent = `${among}${number(all.length)} ${all.length === 1 ? "page" : "pages"}`;
  byId("none").hidden = rows.length > 0;
  byId("none").textContent = all.length === 0 ? SIDES[side].none : "No page has these words in its URL.";
}

// Choosing what to see of an answer

function choose(changes) {
  view = { ...view, ...changes };
  showSide();
  history.replaceState(null, "", address());
}

function sortBy(column) {
  const before = view.sort[view.tab];
  const descending = before.column === column ? !before.descending : column !== "url";
  choose({ sort: { ...view.sort, [view.tab]: { column, descending } } });
  say(`Sorted, ${descending ? "most" : "least"} first`.replace(/most|least/, (word) =>
    column !== "url" ? word : descending ? "Z" : "A"));
}

byId("tabs").addEventListener("keydown", (event) => {
  const sides = Object.keys(SIDES);
  const at = sides.indexOf(view.tab);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + sides.length, Home: 0, End: sides.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose({ tab: sides[to % sides.length] });
  byId(`tab-${view.tab}`).focus();
});

byId("search").addEventListener("input", () => {
  choose({ search: byId("search").value });
  say(byId("found").textContent);
});

byId("more").addEventListener("click", () => say(`${number(table.shownCount)} pages shown`));

// Asking

async function start({ push = true } = {}) {
  note("");
  if (!form.check()) return;
  asking?.abort();
  const controller = new AbortController();
  asking = controller;
  const question = form.read();
  form.keepKey();
  showPanel("loading");
  if (NARROW.matches) byId("loading").scrollIntoView({ block: "nearest" });
  say("Asking…");
  const stopClock = showElapsed();
  try {
    const answer = await ask({
      key: form.keyText(), domain: question.domain, body: toBody(question), signal: controller.signal,
    });
    if (asking !== controller) return;
    const isNew = answered === null || !sameQuestion(answered.question, question);
    answered = { question, answer };
    showAnswer();
    history[push && isNew ? "pushState" : "replaceState"](null, "", address());
    const isEmpty = answer.message !== undefined;
    say(isEmpty ? answer.message : `${number(answer.summary_totals.total_sessions)} sessions counted`);
    goTo(byId(isEmpty ? "empty-text" : "frame"));
  } catch (error) {
    if (asking !== controller) return;
    if (!(error instanceof Refusal)) throw error;
    answered = null;
    showProblem(error);
  } finally {
    stopClock();
    if (asking === controller) asking = null;
    markChanged();
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
  asking.abort();
  asking = null;
  if (answered !== null) showAnswer();
  else showPanel("intro");
  say("Cancelled");
  byId("ask").focus();
  markChanged();
}

function showProblem(refusal) {
  const { title, text, hint } = describe(refusal);
  byId("problem-title").textContent = title;
  byId("problem-text").textContent = text;
  byId("problem-hint").textContent = hint ?? "";
  byId("problem-id").hidden = refusal.requestId === "";
  byId("problem-id").querySelector("code").textContent = refusal.requestId;
  say("");
  showPanel("problem");
  if (refusal.status === 401) form.forgetKey();
  const isKey = refusal.status === 401 || refusal.status === 403;
  const isMarked = isKey ? form.mark("key", `${title}.`) : refusal.field !== null && form.mark(refusal.field, text);
  if (!isMarked) goTo(byId("again"));
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

form.element.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
byId("again").addEventListener("click", () => start());
byId("cancel").addEventListener("click", cancel);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") cancel();
});
byId("clear").addEventListener("click", () => {
  form.clearFilters();
  markChanged();
  say("Filters cleared");
});
byId("loosen").addEventListener("click", () => {
  form.clearFilters();
  start();
});

// The link

function address() {
  const { question, answer } = answered;
  return `#${writeLink(question, view, { frame: answer.time_frame, key: form.keyText() })}`;
}

byId("copy").addEventListener("click", async () => {
  const link = new URL(address(), location.href).href;
  try {
    await navigator.clipboard.writeText(link);
    byId("link").hidden = true;
    say("Link copied, without the key");
    byId("copy").textContent = "Copied";
    setTimeout(() => (byId("copy").textContent = "Copy link"), 2000);
  } catch {
    // A page that came over plain HTTP has no clipboard. It shows the link, to copy by hand.
    byId("link").value = link;
    byId("link").hidden = false;
    byId("link").select();
  }
});

// Shows what the address says: the answer that is there, a question to ask, or the start.
function followAddress() {
  asking?.abort();
  asking = null;
  note("");
  const { question, view: linked, asks } = readLink(location.hash);
  view = linked;
  if (!asks) [question.start_date, question.end_date] = lastDays();
  if (answered !== null && sameQuestion(answered.question, question)) {
    form.write(question);
    showAnswer();
    markChanged();
    return;
  }
  answered = null;
  showPanel("intro");
  const unread = form.write(question);
  markChanged();
  if (NARROW.matches) byId("filters").open = filtersSet(question).length > 0;
  if (unread.length > 0) note(unreadable(unread));
  else if (asks && form.keyText() !== "") start({ push: false });
  else if (asks) {
    note("The form has the question of the link. Give your API key and ask.");
    form.key.focus();
  }
}

function unreadable(names) {
  const is = names.length === 1 ? "is not a date, so it was" : "are not dates, so they were";
  return `The ${names.join(" and the ")} in the link ${is} left empty.`;
}

function lastDays() {
  const { start: first, end } = presets(Date.now()).find(({ label }) => label === "30 days");
  return [first, end];
}

byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address stands for the question
  byId("answer").focus();
});
addEventListener("popstate", followAddress);
followAddress();
