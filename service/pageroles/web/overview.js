// The first screen: totals with their change and their days, and the pages that answer four questions.

import { changeCell, changeMark, countCell, pageCell, rateCell } from "./cells.js";
import { help } from "./definitions.js";
import { make, save } from "./dom.js";
import { csv } from "./csv.js";
import { LISTS } from "./lists.js";
import { shownDay } from "./periods.js";
import { percent, usersRate } from "./rates.js";
import { listed, pageOf } from "./rows.js";
import { counted, number } from "./texts.js";
import { trend } from "./trend.js";
import { term } from "./words.js";
import { header } from "./header.js";

const ROWS = 6;
const TOTALS = ["total_sessions", "total_users", "total_conversion_events", "total_conversion_users"];
const KINDS = { total_conversion_events: "conversion", total_conversion_users: "conversion" };

export function showOverview(place, context) {
  const { answered } = context;
  place.replaceChildren(
    header(context, { save: () => saveAll(context) }),
    totals(context),
    byDay(answered),
    make("div", { className: "cards" }, ...LISTS.filter(({ role }) => role !== "").map((list) => card(list, context))),
  );
}

function totals({ answered: { now, before, days, question } }) {
  const rate = usersRate(now.summary_totals, question);
  const earlier = before === null ? null : before.summary_totals ?? Object.fromEntries(TOTALS.map((name) => [name, 0]));
  return make("div", { className: "totals", id: "totals" }, ...TOTALS.map((name) => {
    const value = now.summary_totals[name];
    const facts = make("p", { className: "value" }, make("b", { textContent: number(value) }));
    if (earlier !== null) facts.append(" ", changeMark(value, earlier[name]));
    const isRate = name === "total_conversion_users" && rate !== null;
    return make("section", { className: "card total", id: name, attributes: { "aria-label": term(name).label } },
      make("h3", {}, term(name).label, help(name)),
      facts,
      isRate ? make("p", { className: "rate-line" }, make("b", { textContent: percent(rate) }), " of all users", help("users_rate")) : null,
      trend({
        label: term(name).label, kind: KINDS[name] ?? "plain", days: days.map(({ date }) => date),
        values: days.map(({ summary_totals: of }) => of[name]), height: isRate ? 24 : 44,
      }));
  }));
}

function byDay({ days }) {
  const table = make("table", { className: "plain-table" },
    make("caption", { className: "unseen", textContent: "Totals of each day" }),
    make("thead", {}, make("tr", {}, make("th", { textContent: "Day", attributes: { scope: "col" } }),
      ...TOTALS.map((name) => make("th", { textContent: term(name).label, attributes: { scope: "col" } })))),
    make("tbody", {}, ...days.map(({ date, summary_totals: of }) => make("tr", {},
      make("th", { textContent: shownDay(date, { weekday: true }), attributes: { scope: "row" } }),
      ...TOTALS.map((name) => make("td", { textContent: number(of[name]) }))))));
  return make("details", { className: "by-day" },
    make("summary", { textContent: "Each day as a table" }), make("div", {
      className: "card pad", tabIndex: 0, attributes: { role: "region", "aria-label": "Each day, as a table" },
    }, table));
}

function card(list, context) {
  const { answered, labels, linkTo } = context;
  const { question, pages, earlier } = answered;
  const rows = listed(pages, { list: list.name, question });
  const [first] = list.columns;
  const most = Math.max(0, ...rows.map((page) => page[first].sessions));
  const isRated = list.name === "land" && question.touch_scope !== "assist";
  const neutral = list.name === "leave";
  const head = make("tr", {},
    make("th", { className: "page", textContent: "Page", attributes: { scope: "col" } }),
    make("th", { className: "count", attributes: { scope: "col" } }, term(first).label, help(first)),
    isRated ? make("th", { className: "rate", attributes: { scope: "col" } }, "Rate", help("landing_rate")) : null,
    earlier === null ? null : make("th", { className: "delta", attributes: { scope: "col" } }, "Change", help("change")));
  const lines = rows.slice(0, ROWS).map((page) => make("tr", {},
    pageCell(page.url, labels.get(page.url), linkTo({ page: page.url })),
    countCell(first, page[first].sessions, most),
    isRated ? rateCell(page, question) : null,
    earlier === null ? null : changeCell(page[first].sessions, pageOf(earlier, page.url)[first].sessions, { neutral })));
  const more = make("a", { href: linkTo({ list: list.name }), className: "all" },
    rows.length > ROWS ? `All ${counted(rows.length, "page")}` : "Open as a list");
  return make("section", { className: "card list", id: `list-${list.name}`, attributes: { "aria-labelledby": `title-${list.name}` } },
    make("div", { className: "list-head" }, make("h3", { id: `title-${list.name}`, textContent: list.title }),
      rows.length > 0 ? more : null),
    rows.length === 0 ? make("p", { className: "muted none", textContent: list.none })
      : make("table", { className: "pages" },
        make("caption", { className: "unseen", textContent: `${list.title}: sessions, most first` }),
        make("thead", {}, head), make("tbody", {}, ...lines)));
}

function saveAll({ answered: { pages, question } }) {
  const columns = LISTS.find(({ name }) => name === "all").columns;
  save("pageroles.csv", csv([
    ["page", ...columns.flatMap((name) => [`${name} sessions`, `${name} users`])],
    ...listed(pages, { list: "all", question }).map((page) =>
      [page.url, ...columns.flatMap((name) => [page[name].sessions, page[name].users])]),
  ]));
}

