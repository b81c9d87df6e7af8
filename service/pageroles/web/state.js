// What is asked and what is looked at, and the link that stands for both. Pure.

import * as contract from "./contract.js";
import { LISTS, columnsOf } from "./lists.js";
import { isDate, PERIODS, USUAL } from "./periods.js";

export const FILTERS = contract.FILTERS.map(({ name }) => name);
export const SCOPES = contract.SCOPES.map(({ name }) => name);
const [ANY] = SCOPES; // the default
const KEY = /pr_[0-9a-f]{12}_[\w-]{43}/;

// Tells whether a text holds an API key. No link may hold one.
export function holdsKey(text, key = "") {
  return KEY.test(text) || (key.length > 7 && text.includes(key));
}

// Returns a question that sets nothing: the last 30 days, every session. `domain` is for keys that read all domains.
//
// `period` names a period, or is empty: then `start_date` and `end_date` hold.
export function emptyQuestion() {
  return {
    domain: "", period: USUAL, start_date: "", end_date: "",
    ...Object.fromEntries(FILTERS.map((name) => [name, ""])), touch_scope: ANY,
  };
}

export function emptyState() {
  return { question: emptyQuestion(), compare: true, list: "", page: "", search: "", sort: null };
}

export function sameQuestion(one, other) {
  return Object.keys(one).every((name) => one[name] === other[name]);
}

// Returns the names of the filters that are set.
export const filtersSet = (question) => FILTERS.filter((name) => question[name] !== "");

// Tells whether a filter is set, or a part of the journey chosen.
export const isNarrowed = (question) => question.touch_scope !== ANY || filtersSet(question).length > 0;

export const withoutFilters = (question) => ({
  ...question, ...Object.fromEntries(FILTERS.map((name) => [name, ""])), touch_scope: ANY,
});

// Returns the body of a request: what is set, with the dates given, without the domain, which goes in a header.
export function toBody(question, dates) {
  const { domain: _, period: __, ...rest } = { ...question, ...dates };
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== ""));
}

// Returns the fragment of a link, without its `#`. A named period stays a name, so it means another one tomorrow.
export function writeLink({ question, compare, list, page, search, sort }, key = "") {
  const link = new URLSearchParams();
  const put = (name, value, usual = "") => {
    if (value !== usual && !holdsKey(value, key)) link.set(name, value);
  };
  put("domain", question.domain);
  if (question.period === "") {
    put("start_date", question.start_date);
    put("end_date", question.end_date);
    if (question.start_date === "" && question.end_date === "") put("period", "until-now");
  } else put("period", question.period);
  for (const name of FILTERS) put(name, question[name]);
  put("touch_scope", question.touch_scope, ANY);
  if (!compare) put("compare", "off");
  put("list", list);
  put("page", page);
  put("search", search);
  if (sort !== null) put("sort", `${sort.column}:${sort.descending ? "desc" : "asc"}`);
  return link.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
}

// Reads a fragment, with or without its `#`, and ignores what it does not know.
//
// `unread` names the dates that are none; they are left out.
export function readLink(fragment) {
  const link = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = emptyState();
  const { question } = state;
  const unread = [];
  for (const name of ["domain", ...FILTERS]) question[name] = link.get(name) ?? "";
  for (const name of ["start_date", "end_date"]) {
    const text = link.get(name) ?? "";
    if (text !== "" && !isDate(text)) unread.push(name);
    else question[name] = text;
  }
  const isDated = link.has("start_date") || link.has("end_date") || link.get("period") === "until-now";
  const named = PERIODS.some(({ name }) => name === link.get("period"));
  if (named) [question.period, question.start_date, question.end_date] = [link.get("period"), "", ""];
  else if (isDated && unread.length === 0) question.period = "";
  else [question.start_date, question.end_date] = ["", ""];
  if (SCOPES.includes(link.get("touch_scope"))) question.touch_scope = link.get("touch_scope");
  state.compare = link.get("compare") !== "off";
  if (LISTS.some(({ name }) => name === link.get("list"))) state.list = link.get("list");
  state.page = link.get("page") ?? "";
  state.search = link.get("search") ?? "";
  const [column, direction] = (link.get("sort") ?? "").split(":");
  if (state.list !== "" && columnsOf(state.list).includes(column)) {
    state.sort = { column, descending: direction !== "asc" };
  }
  return { state, unread };
}
