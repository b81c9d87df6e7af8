// The rows of an answer: which are shown, and in which order. Pure.

import { split } from "./texts.js";

// Returns the rows whose URL holds every word of the search, sorted by a column.
//
// Equal rows keep the order of the answer.
export function arrange(rows, search, { column, descending }) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(({ url }) => {
    const text = url.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const sign = descending ? -1 : 1;
  if (column === "url") return found.sort((a, b) => sign * (a.url < b.url ? -1 : Number(a.url > b.url)));
  const [role, measure] = column.split(".");
  return found.sort((a, b) => sign * (a[role][measure] - b[role][measure]));
}

// Returns the rows with the most sessions in a role, at most `count`, and none without a session in it.
export function topRows(rows, role, count) {
  const found = rows.filter((row) => row[role].sessions > 0);
  return found.sort((a, b) => b[role].sessions - a[role].sessions).slice(0, count);
}

// Tells whether all pages have the same origin.
export function haveOneOrigin(rows) {
  return new Set(rows.map(({ url }) => split(url)[0] || url)).size === 1;
}
