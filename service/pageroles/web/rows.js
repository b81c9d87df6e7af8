// The pages of an answer: one row a page with all its roles, which are listed, and in which order. Pure.

import { listNamed } from "./lists.js";
import { landingRate } from "./rates.js";
import { decoded } from "./urls.js";
import { ROLES } from "./words.js";

const NONE = Object.freeze({ sessions: 0, users: 0 });

// Returns one row for each page of both lists of an answer, by its URL: every role, and `landing`, with zeros.
export function pagesOf(answer) {
  const pages = new Map();
  for (const row of [...(answer?.conversion_performance ?? []), ...(answer?.drop_off_performance ?? [])]) {
    const page = pages.get(row.url);
    if (page === undefined) pages.set(row.url, { ...nothing(), ...row });
    else Object.assign(page, row);
  }
  return pages;
}

function nothing() {
  return Object.fromEntries([...ROLES, "landing"].map((name) => [name, NONE]));
}

// Returns the row of a page; of one that the answer does not have, zeros.
export const pageOf = (pages, url) => pages.get(url) ?? { url, ...nothing() };

// Returns the value of a column for a page: sessions, a rate, or null where there is none.
export function valueOf(page, column, question) {
  if (column === "landing_rate") return landingRate(page, question);
  return page[column].sessions;
}

// Returns the pages of a list: those whose URL holds every word of the search, most sessions first unless sorted.
//
// Equal rows keep the order of the answer. `before` is what `change` compares with; null: nothing.
export function listed(pages, { list, search = "", sort = null, question, before = null }) {
  const { role, columns } = listNamed(list);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [...pages.values()].filter((page) => {
    if (role !== "" && page[role].sessions === 0) return false;
    const text = `${page.url} ${decoded(page.url)}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const { column, descending } = sort ?? { column: columns[0], descending: true };
  const sign = descending ? -1 : 1;
  if (column === "page") return found.sort((a, b) => sign * (a.url < b.url ? -1 : Number(a.url > b.url)));
  const value = (page) => {
    if (column !== "change") return valueOf(page, column, question) ?? -1;
    return before === null ? 0 : page[columns[0]].sessions - pageOf(before, page.url)[columns[0]].sessions;
  };
  return found.sort((a, b) => sign * (value(a) - value(b)));
}
