// The table of one side. Every column sorts it; it shows a hundred more rows at a time.

import { byId, make } from "./dom.js";
import { SIDES } from "./state.js";
import { number, split } from "./texts.js";

const STEP = 100;
const LARGE = 1_000_000; // a phone shows such numbers in another layout

export class PagesTable {
  #rows = [];
  #shown = 0;

  // Calls `sorted` with a column that a person presses.
  constructor(sorted) {
    this.sorted = sorted;
    byId("more").addEventListener("click", () => this.#more());
  }

  // Shows rows of a side, in the order given.
  show(side, rows, sort, { oneOrigin }) {
    const table = byId("table");
    if (table.dataset.side !== side) this.#build(table, side);
    table.classList.toggle("one-origin", oneOrigin);
    table.classList.toggle("large", SIDES[side].roles.some(({ name }) => rows.some((row) => row[name].sessions >= LARGE)));
    for (const header of table.querySelectorAll("th[data-column]")) {
      if (header.dataset.column !== sort.column) header.removeAttribute("aria-sort");
      else header.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
    }
    this.#rows = rows;
    this.#shown = 0;
    this.body.replaceChildren();
    table.hidden = rows.length === 0;
    this.#append(side);
  }

  #build(table, side) {
    const { title, roles } = SIDES[side];
    const text = `${title}: sessions and users of each page in each role`;
    const caption = make("caption", { className: "unseen", textContent: text });
    const groups = make("tr", { attributes: { role: "row" } }, this.#header("url", "Page", "", { rowspan: 2, class: "page" }));
    const measures = make("tr", { attributes: { role: "row" } });
    for (const { name, label, kind } of roles) {
      groups.append(make("th", {
        textContent: label,
        attributes: { role: "columnheader", scope: "colgroup", colspan: 2, class: `group ${kind}` },
      }));
      measures.append(
        this.#header(`${name}.sessions`, "sessions", `${label}: `, { class: "sessions" }),
        this.#header(`${name}.users`, "users", `${label}: `, { class: "users" }),
      );
    }
    this.body = make("tbody", { attributes: { role: "rowgroup" } });
    table.replaceChildren(caption, make("thead", { attributes: { role: "rowgroup" } }, groups, measures), this.body);
    table.dataset.side = side;
    table.style.setProperty("--roles", roles.length);
  }

  #header(column, label, before, attributes) {
    const button = make("button", { type: "button" });
    if (before !== "") button.append(make("span", { className: "unseen", textContent: before }));
    button.append(label);
    button.addEventListener("click", () => this.sorted(column));
    const header = make("th", { attributes: { role: "columnheader", scope: "col", ...attributes } }, button);
    header.dataset.column = column;
    return header;
  }

  #more() {
    const first = this.#shown;
    this.#append(byId("table").dataset.side);
    // With the last rows the button goes, so the focus moves to the first new row.
    if (byId("more").hidden) {
      const header = this.body.children[first].firstElementChild;
      header.tabIndex = -1;
      header.focus();
    }
  }

  #append(side) {
    const { roles } = SIDES[side];
    const rows = this.#rows.slice(this.#shown, this.#shown + STEP);
    this.body.append(...rows.map((row) => tableRow(row, roles)));
    this.#shown += rows.length;
    const left = this.#rows.length - this.#shown;
    const more = byId("more");
    more.hidden = left === 0;
    more.textContent = `Show ${number(Math.min(STEP, left))} more of ${number(left)}`;
  }

  get shownCount() {
    return this.#shown;
  }
}

function tableRow(row, roles) {
  const [origin, rest] = split(row.url);
  const page = make("th", { attributes: { role: "rowheader", scope: "row" } });
  if (origin !== "") page.append(make("span", { className: "origin", textContent: origin }));
  page.append(rest);
  const line = make("tr", { attributes: { role: "row" } }, page);
  for (const { name } of roles) {
    const { sessions, users } = row[name];
    const zero = sessions === 0 ? " zero" : "";
    line.append(
      make("td", { className: `sessions${zero}`, textContent: number(sessions), attributes: { role: "cell" } }),
      make("td", { className: `users${zero}`, textContent: number(users), attributes: { role: "cell" } }),
    );
  }
  return line;
}
