// The questions that an answer is a list of pages for: which pages, in which order, with which columns. Pure.

import { ROLES } from "./words.js";

// `says` is the question in a sentence; `role` is what a page must have to be listed; `columns` are roles, `landing`, or a rate. `all` lists every page.
export const LISTS = [
  {
    name: "convert", says: "Pages with conversions.", title: "Where people convert", role: "conversion", columns: ["conversion"],
    none: "No page had a conversion.",
  },
  {
    name: "read", says: "Pages they visited before they converted.", title: "What they read before", role: "conversion_assist", columns: ["conversion_assist"],
    none: "No page was visited before a conversion.",
  },
  {
    name: "land", says: "Pages on which visits began, and how many of these converted.", title: "Where they land", role: "landing",
    columns: ["landing", "landing_assisted_conversion", "landing_rate"], none: "No session has a page on which it began.",
  },
  {
    name: "leave", says: "The last pages of visits that did not convert.", title: "Where they leave", role: "drop_off", columns: ["drop_off", "drop_off_assist"],
    none: "No session left without converting.",
  },
  { name: "all", title: "All pages, all roles", role: "", columns: [...ROLES, "landing"], none: "No page had a role." },
];

export const listNamed = (name) => LISTS.find((list) => list.name === name);

// Returns the columns by which a list sorts: `page`, and each that it shows; the change is of the first.
export function columnsOf(name) {
  return ["page", ...listNamed(name).columns, "change"];
}
