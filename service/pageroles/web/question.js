// The bar above the answer: period, comparison, part of the journey, filters. Each change asks at once.

import * as contract from "./contract.js";
import { fromInput, otherKind, toInput } from "./dates.js";
import { help } from "./definitions.js";
import { button, byId, make, markField, unmarkFields } from "./dom.js";
import { datesOf, PERIODS } from "./periods.js";
import { emptyQuestion, FILTERS, filtersSet, holdsKey, isNarrowed, withoutFilters } from "./state.js";
import { Suggestions } from "./suggest.js";
import { filterLabel, filterOf } from "./words.js";

const DATES = ["start_date", "end_date"];
const TYPING = 250; // milliseconds without a key press
const GROUPS = { session: "Where the session came from", conversion: "Which conversions count" };

export class Bar {
  #question = emptyQuestion();
  #timer = 0;

  // Calls `changed` with a new question, or `compared` with whether to compare. `values` gives the values of a filter.
  constructor({ changed, compared, values, key }) {
    this.changed = changed;
    this.key = key;
    this.suggestions = new Suggestions({ input: byId("value"), list: byId("values"), chosen: () => this.#apply(),
      ask: (contains, signal) => values(this.#question, byId("filter").value, contains, signal) });
    byId("question").addEventListener("submit", (event) => event.preventDefault());
    byId("periods").append(
      ...PERIODS.map(({ name, label }) => button(label, () => this.#period(name), { value: name })),
      button("Other days", () => this.#custom(), { value: "custom" }));
    byId("compare").addEventListener("change", () => compared(byId("compare").checked));
    const scopes = byId("touch_scope");
    scopes.append(...contract.SCOPES.map(({ name, label }) => make("option", { value: name, textContent: label })));
    scopes.addEventListener("change", () => this.#ask({ touch_scope: scopes.value }));
    byId("scope-help").append(help("scope", {
      label: "Part of the journey", meaning: contract.SCOPES.map(({ label, meaning }) => `${label}: ${meaning}`).join(" "),
    }));
    for (const name of DATES) byId(name).addEventListener("input", () => this.#typed());
    byId("times").addEventListener("change", () => this.#setKinds());
    byId("filter").append(...Object.entries(GROUPS).map(([of, label]) => make("optgroup", { label },
      ...contract.FILTERS.filter((filter) => filter.of === of).map(({ name }) => make("option", { value: name, textContent: filterLabel(name) })))));
    byId("filter").addEventListener("change", () => this.edit(byId("filter").value));
    byId("add").addEventListener("click", () => (byId("editor").hidden ? this.edit(this.#unset()) : this.close()));
    byId("apply").addEventListener("click", () => this.#apply());
    byId("close").addEventListener("click", () => this.close());
    byId("clear").addEventListener("click", () => this.#ask(withoutFilters(this.#question), byId("add")));
    byId("editor").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      if (!this.suggestions.close()) this.close();
    });
  }

  // Shows a question.
  show(question, compare) {
    clearTimeout(this.#timer);
    this.#question = question;
    byId("compare").checked = compare;
    const custom = question.period === "";
    for (const each of byId("periods").children) {
      each.setAttribute("aria-pressed", String(each.value === (custom ? "custom" : question.period)));
    }
    byId("dates").hidden = !custom;
    if (custom) this.#writeDates(question);
    byId("touch_scope").value = question.touch_scope;
    byId("chips").replaceChildren(...filtersSet(question).map((name) => this.#chip(name, question[name])));
    byId("chips").hidden = filtersSet(question).length === 0;
    byId("clear").hidden = !isNarrowed(question);
    this.unmark();
  }

  // Opens the editor of a filter.
  edit(name) {
    byId("editor").hidden = false;
    byId("add").setAttribute("aria-expanded", "true");
    byId("filter").value = name;
    byId("value").value = this.#question[name];
    const { example, hint } = filterOf(name);
    byId("value").placeholder = `such as ${example}`;
    byId("value-hint").textContent = hint || "Must match exactly, upper and lower case included.";
    this.unmark();
    byId("value").focus();
    this.suggestions.ask();
  }

  close() {
    this.suggestions.close();
    byId("editor").hidden = true;
    byId("add").setAttribute("aria-expanded", "false");
    byId("add").focus();
  }

  // Says at a field what is wrong with it, and moves there. Returns whether there is such a field.
  mark(name, text) {
    if (FILTERS.includes(name)) this.edit(name);
    if (DATES.includes(name)) byId("dates").hidden = false;
    const field = FILTERS.includes(name) ? byId("value") : [...DATES, "touch_scope"].includes(name) ? byId(name) : null;
    if (field === null) return false;
    this.unmark();
    markField(field, name, text);
    return true;
  }

  unmark() {
    unmarkFields(byId("question"));
  }

  #ask(changes, focus = null) {
    this.changed({ ...this.#question, ...changes });
    focus?.focus();
  }

  #period(name) {
    this.#ask({ period: name, start_date: "", end_date: "" });
  }

  // The dates of the period on show become dates to change; the question stays the same until they do.
  #custom() {
    if (this.#question.period !== "") {
      const dates = datesOf(this.#question, Date.now());
      this.#writeDates({ ...this.#question, ...dates });
      byId("dates").hidden = false;
      for (const each of byId("periods").children) each.setAttribute("aria-pressed", String(each.value === "custom"));
    }
    byId("start_date").focus();
  }

  #writeDates(question) {
    if (DATES.every((name) => byId(name).value !== "" && fromInput(byId(name)) === question[name])) return;
    for (const name of DATES) {
      const held = toInput(question[name]) ?? { type: byId("times").checked ? "datetime-local" : "date", value: "" };
      Object.assign(byId(name), held, { step: held.type === "date" ? "" : "any" });
    }
    byId("times").checked = DATES.some((name) => byId(name).type !== "date");
  }

  #typed() {
    this.unmark();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (DATES.some((name) => byId(name).validity.badInput)) return;
      const [start_date, end_date] = DATES.map((name) => fromInput(byId(name)));
      // A year that is being typed begins with zeros.
      if ([start_date, end_date].some((text) => text !== "" && text < "1970")) return;
      this.#ask({ period: "", start_date, end_date });
    }, TYPING);
  }

  #setKinds() {
    const kind = byId("times").checked ? "datetime-local" : "date";
    for (const name of DATES) {
      const input = byId(name);
      if (input.type === kind) continue;
      const value = otherKind(input, name === "end_date");
      Object.assign(input, { type: kind, value, step: kind === "date" ? "" : "any" });
    }
    this.#typed();
  }

  #unset() {
    const order = [...byId("filter").options].map(({ value }) => value);
    return order.find((name) => this.#question[name] === "") ?? order[0];
  }

  #apply() {
    const name = byId("filter").value;
    const { value } = byId("value");
    if (holdsKey(value, this.key())) {
      this.mark(name, "This holds your API key. No filter and no link may.");
      return;
    }
    this.close();
    this.#ask({ [name]: value });
  }

  #chip(name, value) {
    const label = filterLabel(name);
    const chip = button("", () => this.edit(name), { className: "chip", title: value });
    chip.append(`${label}: `, make("b", { textContent: value }));
    return make("li", {}, chip,
      button("×", () => this.#ask({ [name]: "" }, byId("add")), { className: "remove", ariaLabel: `Remove ${label}` }));
  }
}
