// The cells of tables of pages: the page, a number with its bar, a rate, a change.

import { make } from "./dom.js";
import { bounds, change, isFew, landingRate, percent } from "./rates.js";
import { length } from "./scales.js";
import { number } from "./texts.js";
import { halves } from "./urls.js";
import { kind, term } from "./words.js";

// Makes the readable form of a page; the whole URL is its title.
export function pageName(url, label, { href = null } = {}) {
  const [start, end] = halves(label.path);
  const path = make(href === null ? "span" : "a", { className: "path", title: url },
    make("span", { className: "start", textContent: start }));
  if (href !== null) path.setAttribute("href", href);
  if (end !== "") path.append(make("span", { className: "end", textContent: end }));
  return make("span", { className: "name" }, path,
    label.host === "" ? null : make("span", { className: "host", textContent: label.host }));
}

export function pageCell(url, label, href) {
  return make("th", { className: "page", attributes: { scope: "row" } }, pageName(url, label, { href }));
}

export function countCell(role, value, most) {
  const bar = make("span", { className: `bar ${kind(role)}`, attributes: { "aria-hidden": "true" } });
  bar.style.setProperty("--share", `${length(value, most)}%`);
  return make("td", { className: "count" },
    make("span", { className: "barred" }, bar, make("span", { className: value === 0 ? "zero" : "", textContent: number(value) })));
}

export function rateCell(page, question) {
  const rate = landingRate(page, question);
  const cell = make("td", { className: "rate", textContent: percent(rate) });
  if (rate === null) return cell;
  const [least, most] = bounds(page.landing_assisted_conversion.sessions, page.landing.sessions);
  cell.title = `${number(page.landing_assisted_conversion.sessions)} of ${number(page.landing.sessions)} landings. `
    + `So many tell that the rate lies between ${percent(least)} and ${percent(most)}.`;
  if (isFew(page)) {
    cell.classList.add("few");
    cell.prepend(make("small", { className: "tag", textContent: "few", title: term("few").meaning }), " ");
  }
  return cell;
}

// Makes the words of a change; where a rise is no good news, `neutral` colours neither way.
export function changeMark(now, earlier, { neutral = false } = {}) {
  const { sign, text } = change(now, earlier);
  const way = neutral ? "" : sign > 0 ? " up" : sign < 0 ? " down" : "";
  return make("span", { className: `change${way}`, textContent: text, title: `${number(earlier)} in the period before` });
}

export function changeCell(now, earlier, options) {
  return make("td", { className: "delta" }, changeMark(now, earlier, options));
}
