// The form: shows a question, reads it, and says at each field what is wrong with it.

import * as contract from "./contract.js";
import { fromInput, otherKind, presets, toInput } from "./dates.js";
import { byId, make } from "./dom.js";
import { filterFields, scopeChoices } from "./fields.js";
import { emptyQuestion, FILTERS, filtersSet, holdsKey, sameQuestion } from "./state.js";

const STORED = "pageroles.key";
const PLAIN = /^[\x21-\x7e]*$/; // what a header can carry
const DATES = ["start_date", "end_date"];

export class Form {
  // Calls `changed` after each change that a person makes.
  constructor(changed) {
    this.element = byId("question");
    this.key = byId("key");
    this.remembers = byId("remember");
    this.times = byId("times");
    this.presetButtons = [];
    this.#makeFields();
    this.#showPresets(changed);
    this.times.addEventListener("change", () => {
      DATES.forEach((name) => this.#setKind(name, this.times.checked ? "datetime-local" : "date"));
      changed();
    });
    this.element.addEventListener("input", (event) => {
      this.unmark(event.target.name === "touch_scope" ? "touch_scope" : event.target.id);
      this.refresh();
      changed();
    });
    this.key.value = sessionStorage.getItem(STORED) ?? "";
    this.remembers.checked = this.key.value !== "";
    // A browser may keep a page that a person leaves. The key must not stay in it.
    addEventListener("pagehide", () => {
      if (!this.remembers.checked) this.key.value = "";
    });
    this.remembers.addEventListener("change", () => (this.remembers.checked ? this.keepKey() : this.forgetKey()));
  }

  keyText() {
    return this.key.value.trim();
  }

  // Keeps the key in this tab, only where the person asked for it.
  keepKey() {
    if (this.remembers.checked && this.keyText() !== "") sessionStorage.setItem(STORED, this.keyText());
  }

  forgetKey() {
    sessionStorage.removeItem(STORED);
  }

  read() {
    const question = emptyQuestion();
    for (const name of DATES) question[name] = fromInput(byId(name));
    for (const name of ["domain", ...FILTERS]) question[name] = byId(name).value;
    question.touch_scope = this.element.elements.touch_scope.value;
    return question;
  }

  // Fills the form. Returns the names of the dates that it can't show; these it leaves empty.
  write(question) {
    const unread = [];
    for (const name of DATES) {
      const held = toInput(question[name]);
      if (held === null && question[name] !== "") unread.push(name);
      Object.assign(byId(name), held ?? { type: "date", value: "" }, { step: held?.type === "date" ? "" : "any" });
    }
    this.times.checked = DATES.some((name) => byId(name).type !== "date");
    for (const name of ["domain", ...FILTERS]) byId(name).value = question[name];
    byId("domain").parentElement.hidden = question.domain === "";
    this.element.elements.touch_scope.value = question.touch_scope;
    this.unmarkAll();
    this.refresh();
    return unread;
  }

  writeDates({ start, end }) {
    this.write({ ...this.read(), start_date: start, end_date: end });
  }

  clearFilters() {
    const { domain, start_date, end_date } = this.read();
    this.write({ ...emptyQuestion(), domain, start_date, end_date });
  }

  // Marks what is wrong without asking the server. Returns whether all is right.
  check() {
    this.unmarkAll();
    const key = this.keyText();
    for (const name of [...FILTERS].reverse()) {
      if (holdsKey(byId(name).value, key)) this.mark(name, "This holds your API key. Give the key in its own field only.");
    }
    for (const name of [...DATES].reverse()) {
      if (byId(name).validity.badInput) this.mark(name, "This date is not complete.");
    }
    if (!PLAIN.test(byId("domain").value)) this.mark("domain", "A domain has only plain letters, digits and signs.");
    if (key === "") this.mark("key", "Give your API key.");
    else if (!PLAIN.test(key)) this.mark("key", "A key has no spaces and only plain letters, digits and signs.");
    return this.element.querySelector("[aria-invalid]") === null;
  }

  // Says at a field what is wrong with it, and moves there. Returns whether there is such a field.
  mark(name, text) {
    const field = name === "key" || Object.hasOwn(emptyQuestion(), name) ? byId(name) : null;
    if (field === null) return false;
    this.unmark(name);
    if (name === "domain") field.parentElement.hidden = false;
    if (byId("filters").contains(field)) byId("filters").open = true;
    const said = make("p", { className: "error", id: `${name}-error`, textContent: text });
    const input = name === "touch_scope" ? field.querySelector("input:checked") : field;
    if (name === "touch_scope") field.append(said);
    else field.after(said);
    field.setAttribute("aria-invalid", "true");
    const before = input.getAttribute("aria-describedby");
    input.setAttribute("aria-describedby", before ? `${said.id} ${before}` : said.id);
    input.focus();
    return true;
  }

  unmark(name) {
    const said = byId(`${name}-error`);
    if (said === null) return;
    const input = this.element.querySelector(`[aria-describedby~="${said.id}"]`);
    const others = input.getAttribute("aria-describedby").split(" ").filter((id) => id !== said.id);
    if (others.length > 0) input.setAttribute("aria-describedby", others.join(" "));
    else input.removeAttribute("aria-describedby");
    byId(name).removeAttribute("aria-invalid");
    said.remove();
  }

  unmarkAll() {
    for (const name of ["key", ...Object.keys(emptyQuestion())]) this.unmark(name);
  }

  // Updates the number of filters and the pressed dates.
  refresh() {
    const question = this.read();
    const set = filtersSet(question).length;
    byId("filters-set").textContent = set > 0 ? ` ${set}` : "";
    for (const [button, { start, end }] of this.presetButtons) {
      button.setAttribute("aria-pressed", String(question.start_date === start && question.end_date === end));
    }
  }

  differsFrom(question) {
    return !sameQuestion(this.read(), question);
  }

  // Makes the fields of the contract's filters and the choices of its scopes.
  #makeFields() {
    for (const group of this.element.querySelectorAll("[data-filters-of]")) {
      group.append(...filterFields(contract.FILTERS, group.dataset.filtersOf).map(filterField));
    }
    byId("touch_scope").append(...scopeChoices(contract.SCOPES).map(scopeChoice));
  }

  #showPresets(changed) {
    this.presetButtons = presets(Date.now()).map((dates) => {
      const button = make("button", { type: "button", textContent: dates.label });
      button.addEventListener("click", () => {
        this.writeDates(dates);
        changed();
      });
      return [button, dates];
    });
    byId("presets").replaceChildren(...this.presetButtons.map(([button]) => button));
  }

  #setKind(name, kind) {
    const input = byId(name);
    if (input.type === kind) return;
    const value = otherKind(input, name === "end_date");
    Object.assign(input, { type: kind, value, step: kind === "date" ? "" : "any" });
    this.refresh();
  }
}

function filterField({ name, label, hint, placeholder, takesUrl, suggested }) {
  const attributes = { autocapitalize: "off", spellcheck: "false" };
  const input = make("input", { id: name, type: "text", placeholder, attributes });
  const field = make("div", { className: "field" }, make("label", { htmlFor: name, textContent: label }), input);
  if (takesUrl) {
    field.classList.add("wide");
    input.inputMode = "url";
  }
  if (hint !== "") {
    const said = make("p", { className: "hint", id: `${name}-hint`, textContent: hint });
    input.setAttribute("aria-describedby", said.id);
    field.append(said);
  }
  if (suggested.length > 0) {
    const list = make("datalist", { id: `${name}-values` }, ...suggested.map((value) => make("option", { value })));
    input.setAttribute("list", list.id);
    field.append(list);
  }
  return field;
}

function scopeChoice({ value, label, means, isDefault }) {
  const input = make("input", { type: "radio", name: "touch_scope", value, defaultChecked: isDefault });
  return make("label", {}, input, make("span", {}, make("b", { textContent: label }), ` ${means}`));
}
