// One list of pages whole: found by words, sorted by any column, a hundred more at a time.

import { changeCell, countCell, pageCell, rateCell } from "./cells.js";
import { help } from "./definitions.js";
import { button, make, save } from "./dom.js";
import { csv } from "./csv.js";
import { header } from "./header.js";
import { listNamed, LISTS } from "./lists.js";
import { landingRate } from "./rates.js";
import { listed, pageOf } from "./rows.js";
import { counted, number } from "./texts.js";
import { term } from "./words.js";

const STEP = 100;

export function showList(place, context) {
  const { state, answered, linkTo, labels, go, say } = context;
  const { question, pages, earlier } = answered;
  const list = listNamed(state.list);
  const [first] = list.columns;
  const hasChange = earlier !== null && list.role !== "";
  const columns = list.columns.filter((name) => name !== "landing_rate" || question.touch_scope !== "assist");
  let rows = [];
  let shown = 0;

  const body = make("tbody");
  const headers = ["page", ...columns, ...(hasChange ? ["change"] : [])].map(column);
  const table = make("table", { className: `pages full${columns.length > 4 ? " wide" : ""}`, id: "table" },
    make("caption", { className: "unseen", textContent: `${list.title}: sessions of each page` }),
    make("thead", {}, make("tr", {}, ...headers)), body);
  const found = make("p", { className: "muted", id: "found" });
  const none = make("p", { className: "muted none", id: "none" });
  const more = button("", () => {
    const from = shown;
    append();
    say(`${number(shown)} pages shown`);
    // With the last rows the button goes, so the focus moves to the first new row.
    if (more.hidden) body.children[from].querySelector("a").focus();
  }, { id: "more" });
  const search = make("input", {
    id: "search", type: "search", value: state.search, placeholder: "words of the URL",
    attributes: { autocapitalize: "off", spellcheck: "false" },
  });
  search.addEventListener("input", () => {
    go({ search: search.value }, { push: false, render: false });
    fill();
    say(found.textContent);
  });

  function column(name) {
    const label = name === "page" ? "Page" : term(name).label;
    const sorter = button(label, () => {
      const now = context.state.sort ?? { column: first, descending: true };
      const descending = now.column === name ? !now.descending : name !== "page";
      go({ sort: { column: name, descending } }, { push: false, render: false });
      fill();
      say(`Sorted by ${label}, ${name === "page" ? (descending ? "Z" : "A") : descending ? "most" : "least"} first`);
    });
    const made = make("th", { className: name === "page" ? "page" : name === "landing_rate" ? "rate" : name === "change" ? "delta" : "count", attributes: { scope: "col" } }, sorter, name === "page" ? null : help(name));
    made.dataset.column = name;
    return made;
  }

  function fill() {
    const { search: words, sort } = context.state;
    rows = listed(pages, { list: list.name, search: words, sort, question, before: earlier });
    shown = 0;
    body.replaceChildren();
    const { column: by, descending } = sort ?? { column: first, descending: true };
    for (const each of headers) {
      if (each.dataset.column !== by) each.removeAttribute("aria-sort");
      else each.setAttribute("aria-sort", descending ? "descending" : "ascending");
    }
    const all = words === "" ? rows.length : listed(pages, { list: list.name, question }).length;
    found.textContent = words === "" ? counted(all, "page") : `${number(rows.length)} of ${counted(all, "page")}`;
    table.hidden = rows.length === 0;
    none.hidden = rows.length > 0;
    none.textContent = all === 0 ? list.none : "No page has these words in its URL.";
    append();
  }

  function append() {
    const most = Object.fromEntries(columns.map((name) =>
      [name, name === "landing_rate" ? 0 : rows.reduce((top, page) => Math.max(top, page[name].sessions), 0)]));
    const next = rows.slice(shown, shown + STEP).map((page) => make("tr", {},
      pageCell(page.url, labels.get(page.url), linkTo({ page: page.url, search: context.state.search, sort: context.state.sort })),
      ...columns.map((name) => (name === "landing_rate" ? rateCell(page, question) : countCell(name, page[name].sessions, most[name]))),
      hasChange ? changeCell(page[first].sessions, pageOf(earlier, page.url)[first].sessions, { neutral: list.name === "leave" }) : null));
    body.append(...next);
    shown += next.length;
    more.hidden = shown === rows.length;
    more.textContent = `Show ${number(Math.min(STEP, rows.length - shown))} more of ${number(rows.length - shown)}`;
  }

  const save_ = () => save(`pageroles-${list.name}.csv`, csv([
    ["page", ...columns.flatMap((name) => (name === "landing_rate" ? [name] : [`${name} sessions`, `${name} users`])),
      ...(hasChange ? [`${first} sessions before`] : [])],
    ...rows.map((page) => [page.url,
      ...columns.flatMap((name) => (name === "landing_rate" ? [landingRate(page, question)?.toFixed(4) ?? ""] : [page[name].sessions, page[name].users])),
      ...(hasChange ? [pageOf(earlier, page.url)[first].sessions] : [])]),
  ]));
  const back = make("a", { className: "back", href: linkTo({ list: "" }), textContent: "‹ Overview" });
  const others = make("nav", { className: "segments", attributes: { "aria-label": "Lists" } }, ...LISTS.map(({ name, title }) => {
    const link = make("a", { href: linkTo({ list: name }), textContent: title });
    if (name === list.name) link.setAttribute("aria-current", "page");
    return link;
  }));
  place.replaceChildren(
    header(context, { title: list.title, back, save: save_ }),
    others,
    make("section", { className: "card pad", attributes: { "aria-label": list.title } },
      make("div", { className: "bar-tools" }, make("label", { htmlFor: "search", textContent: "Find pages" }), search, found),
      make("div", { className: "scroll", tabIndex: 0, attributes: { role: "region", "aria-label": `${list.title}, as a table` } }, table),
      none, make("p", { className: "more" }, more)));
  fill();
}
