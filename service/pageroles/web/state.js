// A question, a view of its answer, and the link that stands for both. Pure.

import * as contract from "./contract.js";
import { formFields } from "./fields.js";
import { capital } from "./texts.js";

export const FILTERS = formFields(contract.FILTERS).map(({ name }) => name); // in the order of the form
export const SCOPES = contract.SCOPES;
const [ANY] = SCOPES; // the default

const SIDES_SAY = {
  conversion: {
    list: "conversion_performance",
    title: "Where people convert",
    none: "No page had a part in a conversion.",
  },
  drop_off: {
    list: "drop_off_performance",
    title: "Where people leave",
    none: "No page had a part in a drop-off.",
  },
};

// `kind` names a colour; `does` ends the sentence "a page has the role where …".
const ROLES_SAY = {
  conversion: { kind: "conversion", does: "a conversion happened on it" },
  conversion_assist: { kind: "assist", does: "it was visited before the conversion" },
  landing_assisted_conversion: { kind: "landing", does: "the session began on it" },
  drop_off: { kind: "drop_off", does: "it was the last page of the session" },
  drop_off_assist: { kind: "assist", does: "it was the step before leaving" },
  landing_assisted_drop_off: { kind: "landing", does: "the session began on it" },
};

// Returns both sides of an answer with the roles of the contract. A role without words here has its heading alone.
export function sidesOf(roles) {
  return Object.fromEntries(Object.entries(SIDES_SAY).map(([side, words]) => [side, {
    ...words,
    roles: roles[side].map(({ name, heading }) => ({
      name, label: capital(heading), ...(ROLES_SAY[name] ?? { kind: "other", does: "" }),
    })),
  }]));
}

export const SIDES = sidesOf(contract.ROLES);

const KEY = /pr_[0-9a-f]{12}_[\w-]{43}/;

// Tells whether a text holds an API key. No link may hold one.
export function holdsKey(text, key = "") {
  return KEY.test(text) || (key.length > 7 && text.includes(key));
}

// Returns a question that sets nothing. Its `domain` is for keys that read all domains.
export function emptyQuestion() {
  const texts = ["domain", "start_date", "end_date", ...FILTERS];
  return { ...Object.fromEntries(texts.map((name) => [name, ""])), touch_scope: ANY };
}

export function sameQuestion(one, other) {
  return Object.keys(one).every((name) => one[name] === other[name]);
}

// Returns the names of the filters that are set.
export function filtersSet(question) {
  return FILTERS.filter((name) => question[name] !== "");
}

// Tells whether a filter is set, or a part of the journey chosen.
export function isNarrowed(question) {
  return question.touch_scope !== ANY || filtersSet(question).length > 0;
}

// Returns the body of a request: what is set, without the domain, which goes in a header.
export function toBody({ domain: _, ...question }) {
  return Object.fromEntries(Object.entries(question).filter(([, value]) => value !== ""));
}

export function defaultSort(side) {
  return { column: `${SIDES[side].roles[0].name}.sessions`, descending: true };
}

export function emptyView() {
  const sides = Object.keys(SIDES);
  return {
    tab: "conversion",
    search: "",
    sort: Object.fromEntries(sides.map((side) => [side, defaultSort(side)])),
    top: Object.fromEntries(sides.map((side) => [side, SIDES[side].roles[0].name])),
  };
}

// Returns the names of a side's columns: `url`, and `role.measure` for each role.
export function columns(side) {
  return ["url", ...SIDES[side].roles.flatMap(({ name }) => [`${name}.sessions`, `${name}.users`])];
}

// Returns the fragment of a link, without its `#`.
//
// A date that the question leaves empty is taken from `frame`, the window that the server used: the link then shows the
// same answer on another day.
export function writeLink(question, view, { frame = null, key = "" } = {}) {
  const link = new URLSearchParams();
  const put = (name, value, usual = "") => {
    if (value !== usual && !holdsKey(value, key)) link.set(name, value);
  };
  put("domain", question.domain);
  put("start_date", question.start_date || (frame?.start ?? "").replace(/T00:00:00Z$/, ""));
  put("end_date", question.end_date || (frame?.end ?? ""));
  for (const name of FILTERS) put(name, question[name]);
  put("touch_scope", question.touch_scope, ANY);
  put("tab", view.tab, "conversion");
  for (const side of Object.keys(SIDES)) {
    put(`${side}_sort`, sortText(view.sort[side]), sortText(defaultSort(side)));
    put(`${side}_top`, view.top[side], SIDES[side].roles[0].name);
  }
  put("search", view.search);
  return link.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
}

// Reads a fragment, with or without its `#`, and ignores what it does not know.
export function readLink(fragment) {
  const link = new URLSearchParams(fragment.replace(/^#/, ""));
  const question = emptyQuestion();
  for (const name of ["domain", "start_date", "end_date", ...FILTERS]) question[name] = link.get(name) ?? "";
  if (SCOPES.includes(link.get("touch_scope"))) question.touch_scope = link.get("touch_scope");
  const view = emptyView();
  if (Object.hasOwn(SIDES, link.get("tab") ?? "")) view.tab = link.get("tab");
  view.search = link.get("search") ?? "";
  for (const side of Object.keys(SIDES)) {
    const [column, direction] = (link.get(`${side}_sort`) ?? "").split(":");
    if (columns(side).includes(column)) view.sort[side] = { column, descending: direction !== "asc" };
    const top = link.get(`${side}_top`);
    if (SIDES[side].roles.some(({ name }) => name === top)) view.top[side] = top;
  }
  return { question, view, asks: [...link.keys()].length > 0 };
}

function sortText({ column, descending }) {
  return `${column}:${descending ? "desc" : "asc"}`;
}
