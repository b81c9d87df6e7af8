// The heading of each view: the period that the numbers are of, what was asked, and what to take along.

import { button, make } from "./dom.js";
import { shownFrame, shownTime } from "./periods.js";
import { filtersSet } from "./state.js";
import { filterLabel, scope } from "./words.js";

// Makes the heading of a view. `title` stands in front of the period; `save` offers the CSV of what is shown.
export function header({ answered, copyLink }, { title = null, back = null, save }) {
  const { now, before, frameBefore, question, dates } = answered;
  const frame = shownFrame(now.time_frame);
  const heading = make("h2", { id: "frame", tabIndex: -1 }, ...(title === null ? [frame] : [title]));
  const compared = before === null ? "" : `compared with ${shownFrame(frameBefore)}`;
  const isCut = Date.parse(dates.start_date) < Date.parse(now.time_frame.start);
  return make("div", { className: "head" },
    make("div", { className: "head-text" },
      back,
      heading,
      make("p", { className: "asked" },
        ...(title === null ? [] : [make("span", { textContent: frame })]),
        ...(compared === "" ? [] : [make("span", { textContent: compared })]), ...asked(question),
        now.data === undefined ? null : make("span", { textContent: `data until ${shownTime(now.data.complete_through)} UTC` })),
      isCut ? make("p", { className: "hint", id: "cut", textContent: "A period has at most 31 days, so you see the last 30 before its end." }) : null),
    make("div", { className: "tools" },
      button("Copy link", copyLink, { id: "copy" }), button("CSV", save, { id: "csv" }), button("Print", () => print(), { id: "print" }),
      make("input", { id: "link", type: "text", readOnly: true, hidden: true, attributes: { "aria-label": "Link to this view, without the key" } })));
}

// Makes a short form of a question: the domain, which sessions, and the filters.
export function asked(question) {
  return [
    ...(question.domain === "" ? [] : [make("b", { textContent: question.domain })]),
    make("span", { textContent: scope(question.touch_scope).label || question.touch_scope }),
    ...filtersSet(question).map((name) => make("span", {}, `${filterLabel(name)} `, make("b", { textContent: question[name] }))),
  ];
}
