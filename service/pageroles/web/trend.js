// A number by day, as columns from zero up. The table behind it is made by those who show it.

import { draw, make } from "./dom.js";
import { shownDay } from "./periods.js";
import { columns, roundedUp } from "./scales.js";
import { number } from "./texts.js";

const WIDTH = 310;

// Draws the days of a series: `days` are dates, `values` their numbers.
export function trend({ label, days, values, kind = "plain", height = 44 }) {
  const most = Math.max(0, ...values);
  const top = roundedUp(most);
  const drawn = columns(values, { width: WIDTH, height, top });
  const step = WIDTH / Math.max(1, days.length);
  const peak = days[values.indexOf(most)];
  const name = most === 0 ? `${label} by day: none` : `${label} by day: from ${number(Math.min(...values))} to ${number(most)}, most on ${shownDay(peak)}`;
  const drawing = draw("svg", {
    class: "trend", viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": name, height,
  }, ...drawn.map(({ x, y, width, height: tall }, at) => {
    const said = draw("title");
    said.textContent = `${shownDay(days[at], { weekday: true })}: ${number(values[at])}`;
    return draw("g", {}, said,
      draw("rect", { class: "ground", x: at * step, y: 0, width: step, height }),
      draw("rect", { class: "column", x, y, width, height: tall }));
  }));
  const ends = make("p", { className: "ends", attributes: { "aria-hidden": "true" } },
    make("span", { textContent: days.length > 0 ? shownDay(days[0]) : "" }),
    make("span", { textContent: most > 0 ? `most ${number(most)}` : "" }),
    make("span", { textContent: days.length > 1 ? shownDay(days.at(-1)) : "" }));
  return make("div", { className: `trend-box ${kind}` }, drawing, ends);
}
