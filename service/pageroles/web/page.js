// The view of one page: its roles, their change and days, parts of the journey, what follows a landing, the sessions.

import { loadPage, loadScopes, loadSessions } from "./asking.js";
import { changeMark, countCell } from "./cells.js";
import { SCOPES as SAID_SCOPES } from "./contract.js";
import { csv } from "./csv.js";
import { help } from "./definitions.js";
import { button, make, save } from "./dom.js";
import { header } from "./header.js";
import { shownTime } from "./periods.js";
import { describe } from "./problem.js";
import { bounds, isFew, landingRate, percent } from "./rates.js";
import { pageOf } from "./rows.js";
import { length } from "./scales.js";
import { SCOPES } from "./state.js";
import { counted, number } from "./texts.js";
import { trend } from "./trend.js";
import { decoded, labels as labelled } from "./urls.js";
import { kind, ROLES, scope, term } from "./words.js";

const ALL = ["landing", ...ROLES];
const MOST = 5;

export function showPage(place, context) {
  const { state, answered, labels, linkTo } = context;
  const url = state.page;
  const page = pageOf(answered.pages, url);
  const earlier = answered.earlier === null ? null : pageOf(answered.earlier, url);
  const title = (labels.get(url) ?? labelled([url]).get(url)).path;
  const has = ALL.some((name) => page[name].sessions > 0);
  const back = make("a", { className: "back", href: linkTo({ page: "", search: state.search, sort: state.sort }), textContent: state.list === "" ? "‹ Overview" : "‹ List" });
  const parts = make("div", { className: "page-view" });
  const days = { rows: [] };
  place.replaceChildren(
    header(context, { title, back, save: () => saveDays(url, days.rows) }),
    address(url, context, page),
    has ? parts : make("p", { className: "card state", textContent: "This page had no role in these sessions." }));
  if (!has) return;
  const trends = new Map(ALL.map((name) => [name, make("td", { className: "spark" }, make("span", { className: "muted", textContent: "…" }))]));
  const sessions = make("section", { className: "card pad", id: "sessions", hidden: true, attributes: { "aria-labelledby": "sessions-title" } });
  const flow = make("section", { className: "card pad", id: "flow", hidden: true, attributes: { "aria-labelledby": "flow-title" } });
  parts.append(rate(page, answered.question), roles(page, earlier, trends, (role) => showSessions(sessions, role, context)), sessions, flow, scopes(page, context));

  context.part(`page ${url}`, (signal) => loadPage({
    answered, url, key: context.key(), signal, hasLandings: page.landing.sessions > 0,
  })).then(({ days: found, flow: after }) => {
    days.rows = found;
    for (const name of ALL) {
      const values = found.map((day) => of(day, name).sessions);
      trends.get(name).replaceChildren(trend({
        label: term(name).label, days: found.map(({ date }) => date), values, kind: kind(name), height: 26,
      }));
    }
    if (after !== null && page.landing.sessions > 0) showFlow(flow, after, context);
  }).catch((error) => {
    if (error.name === "AbortError") return;
    for (const cell of trends.values()) cell.replaceChildren(make("span", { className: "muted", textContent: "–" }));
    context.note(`The days of this page did not come: ${describe(error).title}.`);
  });
}

const of = (day, name) => (name === "landing" ? day.landing : day.roles[name]) ?? { sessions: 0, users: 0 };

function address(url, { go, state, copy }, page) {
  const isLink = /^https?:\/\//i.test(url);
  const isFiltered = state.question.landing_page === url;
  return make("div", { className: "address" },
    make("code", { id: "url", textContent: url }),
    button("Copy URL", (event) => copy(url, event.target), { className: "small" }),
    isLink ? make("a", { href: url, target: "_blank", rel: "noopener noreferrer", textContent: "Open the page" }) : null,
    page.landing.sessions > 0 && !isFiltered
      ? button("Count only sessions that landed here", () => go({ question: { ...state.question, landing_page: url }, page: "", list: "" }), { id: "only" })
      : null);
}

function rate(page, question) {
  const found = landingRate(page, question);
  if (found === null) return make("p", { className: "unseen" });
  const [least, most] = bounds(page.landing_assisted_conversion.sessions, page.landing.sessions);
  return make("p", { className: "card pad sentence", id: "rate" },
    "Of ", make("b", { textContent: counted(page.landing.sessions, "session") }), " that began here, ",
    make("b", { textContent: number(page.landing_assisted_conversion.sessions) }), " converted: ",
    make("b", { className: "big", textContent: percent(found) }), help("landing_rate"),
    make("span", { className: "muted", textContent: isFew(page)
      ? ` So few landings tell only that the rate lies between ${percent(least)} and ${percent(most)}.`
      : ` (${percent(least)} to ${percent(most)} with chance taken into account)` }));
}

function roles(page, earlier, trends, opened) {
  const rows = ALL.map((name) => {
    const { sessions, users } = page[name];
    const label = make("th", { className: "page", attributes: { scope: "row" } },
      make("span", { className: `dot ${kind(name)}`, attributes: { "aria-hidden": "true" } }), term(name).label, help(name));
    return make("tr", {}, label,
      make("td", { className: "num", textContent: number(sessions) }), make("td", { className: "num muted", textContent: number(users) }),
      earlier === null ? null : make("td", { className: "delta" },
        changeMark(sessions, earlier[name].sessions, { neutral: name.includes("drop_off") })),
      trends.get(name),
      make("td", { className: "open" }, sessions === 0 ? "" : button("Sessions", () => opened(name), {
        className: "small sessions-of", value: name, ariaLabel: `Sessions: ${term(name).label}` })));
  });
  const heads = ["Role", "Sessions", "Users", ...(earlier === null ? [] : ["Change"]), "By day", "Behind it"];
  return make("section", { className: "card pad", attributes: { "aria-label": "Roles of this page" } },
    make("table", { className: "roles-table", id: "roles" },
      make("caption", { className: "unseen", textContent: "Roles of this page: sessions, users and days" }),
      make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { textContent: text, attributes: { scope: "col" } })))),
      make("tbody", {}, ...rows)));
}

// The sessions behind a number, for keys that may see them.

function showSessions(place, role, context) {
  const { state, answered } = context;
  const title = make("h3", { id: "sessions-title", tabIndex: -1 }, `Sessions: ${term(role).label.toLowerCase()}`);
  place.hidden = false;
  const body = make("div", {}, make("p", { className: "muted", textContent: "Asking…" }));
  place.replaceChildren(title, body);
  title.focus();
  context.part(`sessions ${role} ${state.page}`, (signal) =>
    loadSessions({ answered, url: state.page, role, key: context.key(), signal })).then((found) => {
    const names = labelled(found.sessions.flatMap(({ pages }) => pages));
    const shown = found.sessions.map((session) => sessionItem(session, state.page, names));
    const said = found.sessions.length < found.total.sessions
      ? `The latest ${number(found.sessions.length)} of ${number(found.total.sessions)}, of ${counted(found.total.users, "user")}. Times are UTC.`
      : `${counted(found.total.sessions, "session")} of ${counted(found.total.users, "user")}. Times are UTC.`;
    body.replaceChildren(make("p", { className: "muted", id: "sessions-said", textContent: said }), make("ol", { className: "sessions" }, ...shown));
  }).catch((error) => {
    if (error.name === "AbortError") return;
    const isForbidden = error.status === 403;
    const text = isForbidden
      ? "This key may not see single sessions: it lacks the permission “sessions”, for user ids may be personal. Whoever made the key can make one that may."
      : `${describe(error).title}. ${describe(error).text}`;
    body.replaceChildren(make("p", { id: "sessions-said", textContent: text }));
    if (isForbidden) for (const each of document.querySelectorAll(".sessions-of")) each.hidden = true;
  });
}

function sessionItem(session, url, names) {
  const steps = session.pages.map((page) => make("li", page === url ? { className: "here" } : {},
    make("span", { title: page, textContent: names.get(page).path })));
  const goals = session.conversions.map(({ type, id, url: at, occurred_at }) => make("li", {},
    `${[type, id].filter(Boolean).join(" ") || "conversion"} at ${shownTime(occurred_at).slice(-5)}`,
    at === "" || at === undefined ? "" : ` on ${decoded(at.replace(/^https?:\/\/[^/]*/, "")) || "/"}`));
  return make("li", {},
    make("p", {}, make("b", { textContent: shownTime(session.started_at) }), make("span", { className: "muted", textContent: ` ${session.user_id}` })),
    make("ol", { className: "steps", attributes: { "aria-label": "Pages in order" } }, ...steps),
    goals.length === 0 ? null : make("ul", { className: "goals", attributes: { "aria-label": "Conversions" } }, ...goals));
}

// What followed where people landed on the page: the same question with this landing page.

function showFlow(place, { summary_totals: totals, balance, conversion_performance: rows }, { linkTo, answered }) {
  const names = labelled(rows.map(({ url }) => url).concat([...answered.pages.keys()]));
  const column = (title, role) => {
    const listed = rows.filter((row) => row[role].sessions > 0).sort((a, b) => b[role].sessions - a[role].sessions);
    return make("div", {}, make("h4", { textContent: title }), listed.length === 0 ? make("p", { className: "muted", textContent: "none" })
      : make("ol", { className: "flow-list" }, ...listed.slice(0, MOST).map((row) => flowItem(row, role, listed[0][role].sessions, names, linkTo))),
    listed.length > MOST ? make("p", { className: "hint", textContent: `and ${counted(listed.length - MOST, "more page", "more pages")}` }) : null);
  };
  const converting = balance.converting.sessions;
  place.hidden = false;
  place.replaceChildren(
    make("h3", { id: "flow-title", textContent: "What followed a landing here" }),
    make("div", { className: "flow" },
      make("div", {}, make("h4", { textContent: "Landed here" }), make("p", { className: "value" }, make("b", { textContent: number(totals.total_sessions) })),
        make("p", { textContent: `${number(converting)} converted` }), make("p", { className: "muted", textContent: `${number(balance.included.sessions - converting)} did not` })),
      column("Read before converting", "conversion_assist"),
      column("Converted on", "conversion")),
    make("p", { className: "hint", textContent: "Sessions of this question that began here. One session may read several pages and convert on several, so the numbers do not add up." }));
}

function flowItem(row, role, most, names, linkTo) {
  const bar = make("span", { className: `bar ${kind(role)}`, attributes: { "aria-hidden": "true" } });
  bar.style.setProperty("--share", `${length(row[role].sessions, most)}%`);
  return make("li", {}, make("a", { href: linkTo({ page: row.url }), title: row.url, textContent: names.get(row.url).path }),
    make("span", { className: "barred" }, bar, make("span", { textContent: number(row[role].sessions) })));
}

// The parts of the journey are asked for when a person wants them: a request for each.

function scopes(page, context) {
  const { state, answered } = context;
  const others = SCOPES.filter((name) => name !== answered.question.touch_scope);
  const place = make("section", { className: "card pad", id: "scopes", attributes: { "aria-labelledby": "scopes-title" } });
  const title = make("h3", { id: "scopes-title" }, "By part of the journey", help("scope"));
  const wanted = button("Show", () => {
    wanted.disabled = true;
    context.part(`scopes ${state.page}`, (signal) =>
      loadScopes({ answered, url: state.page, scopes: others, key: context.key(), signal })).then((found) => {
      const sums = new Map(others.map((name, at) => [name, Object.fromEntries(ROLES.map((role) =>
        [role, found[at].reduce((sum, day) => sum + of(day, role).sessions, 0)]))]));
      sums.set(answered.question.touch_scope, Object.fromEntries(ROLES.map((role) => [role, page[role].sessions])));
      place.replaceChildren(title, make("div", { className: "scroll", tabIndex: 0, attributes: { role: "region", "aria-label": "Roles by part of the journey" } }, scopeTable(sums)));
      place.querySelector(".scroll").focus();
    }).catch((error) => {
      wanted.disabled = false;
      if (error.name !== "AbortError") context.note(`The parts of the journey did not come: ${describe(error).title}.`);
    });
  }, { id: "show-scopes" });
  place.append(title, make("p", { className: "muted", textContent: `Sessions in each role among first sessions, those on the way, and so on. This asks ${others.length} times.` }), wanted);
  return place;
}

function scopeTable(sums) {
  const most = Object.fromEntries(ROLES.map((role) => [role, Math.max(...[...sums.values()].map((each) => each[role]))]));
  return make("table", { className: "pages full wide" }, make("caption", { className: "unseen", textContent: "Sessions in each role by part of the journey" }),
    make("thead", {}, make("tr", {}, make("th", { className: "page", textContent: "Sessions", attributes: { scope: "col" } }),
      ...ROLES.map((role) => make("th", { className: "count", attributes: { scope: "col" } }, term(role).label)))),
    make("tbody", {}, ...SAID_SCOPES.map(({ name, label }) => make("tr", {},
      make("th", { className: "page", attributes: { scope: "row" } }, label, help(name, scope(name))),
      ...ROLES.map((role) => countCell(role, sums.get(name)[role], most[role]))))));
}

function saveDays(url, days) {
  save("pageroles-page.csv", csv([
    ["page", "date", ...ALL.flatMap((name) => [`${name} sessions`, `${name} users`])],
    ...days.map((day) => [url, day.date, ...ALL.flatMap((name) => [of(day, name).sessions, of(day, name).users])]),
  ]));
}
