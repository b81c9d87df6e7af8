// The chart of one side: the top pages in a role, with a column of bars for each role, all to one scale.

import { byId, make } from "./dom.js";
import { topRows } from "./rows.js";
import { SIDES } from "./state.js";
import { number, split } from "./texts.js";

const PAGES = 12;
const SVG = "http://www.w3.org/2000/svg";

// Shows the pages with the most sessions in the role `top`. Calls `chosen` with the role that a person chooses instead.
export function showChart(side, rows, top, { oneOrigin, chosen }) {
  const { roles } = SIDES[side];
  const pages = topRows(rows, top, PAGES);
  const most = Math.max(1, ...pages.flatMap((row) => roles.map(({ name }) => row[name].sessions)));
  const chart = byId("chart");
  // The radio buttons stay as long as the side does: a new one would take the keyboard's focus away.
  if (chart.dataset.side !== side) {
    chart.dataset.side = side;
    chart.style.setProperty("--roles", roles.length);
    chart.replaceChildren(choices(side, chosen), legend(roles), make("ol", { className: "bars" }),
      make("p", { className: "muted none", textContent: "No page has this role." }));
  }
  chart.querySelector(`input[value="${top}"]`).checked = true;
  chart.querySelector("ol").replaceChildren(...pages.map((row) => bars(row, roles, most, oneOrigin)));
  chart.querySelector(".none").hidden = pages.length > 0;
  chart.querySelector(".legend").hidden = pages.length === 0;
}

function choices(side, chosen) {
  const group = make("div", { className: "chips", attributes: { role: "radiogroup", "aria-labelledby": "chart-title" } });
  for (const { name, label } of SIDES[side].roles) {
    const input = make("input", { type: "radio", name: "top", value: name });
    input.addEventListener("change", () => chosen(name));
    group.append(make("label", {}, input, make("span", { textContent: label })));
  }
  return make("figcaption", {}, make("h3", { id: "chart-title", textContent: "Top pages by sessions in the role" }), group);
}

function legend(roles) {
  return make("div", { className: "legend" }, make("span", {}), ...roles.map(({ label, kind, does }) =>
    make("p", { className: kind }, make("b", { textContent: label }), ` ${does}`)));
}

function bars(row, roles, most, oneOrigin) {
  const [, rest] = split(row.url);
  const line = make("li", {}, make("span", { className: "page", title: row.url, textContent: oneOrigin ? rest : row.url }));
  for (const { name, label, kind } of roles) {
    const { sessions } = row[name];
    line.append(make("span", { className: `bar ${kind}` },
      make("span", { className: "unseen", textContent: `${label} ` }),
      bar(sessions / most),
      make("span", { className: sessions === 0 ? "zero" : "", textContent: number(sessions) })));
  }
  return line;
}

// Makes a bar. Its length is an attribute, for the page allows no `style` attributes.
function bar(share) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("width", `${share === 0 ? 0 : Math.max(0.5, share * 100)}%`);
  drawing.setAttribute("height", "10");
  drawing.setAttribute("aria-hidden", "true");
  const box = document.createElementNS(SVG, "rect");
  for (const [name, value] of [["width", "100%"], ["height", "100%"], ["rx", "2"]]) box.setAttribute(name, value);
  drawing.append(box);
  return drawing;
}
