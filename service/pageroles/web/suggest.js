// A list of values below a text field, that fills as one types (a combobox as the ARIA practices have it).

import { make } from "./dom.js";
import { number } from "./texts.js";

const TYPING = 250; // milliseconds without a key press

export class Suggestions {
  #timer = 0;
  #controller = null;
  #at = -1;

  // `ask` gives values and their sessions; `chosen` is called with Enter, or when a value is taken.
  constructor({ input, list, ask, chosen }) {
    Object.assign(this, { input, list, askFor: ask, chosen });
    input.addEventListener("input", () => this.ask(TYPING));
    input.addEventListener("keydown", (event) => this.#pressed(event));
    input.addEventListener("blur", () => this.close());
    list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option !== null) this.#take(option);
    });
  }

  ask(wait = 0) {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    this.#timer = setTimeout(async () => {
      try {
        const values = await this.askFor(this.input.value, controller.signal);
        if (!controller.signal.aborted && document.activeElement === this.input) this.#show(values);
      } catch {
        this.close(); // what is typed can be applied all the same
      }
    }, wait);
  }

  // Closes the list; returns whether it was open.
  close() {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    const wasOpen = !this.list.hidden;
    this.list.hidden = true;
    this.#at = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    return wasOpen;
  }

  #show(values) {
    this.#at = -1;
    this.input.removeAttribute("aria-activedescendant");
    this.list.replaceChildren(...values.map(({ value, sessions }, at) => {
      const option = make("li", { id: `value-${at}`, attributes: { role: "option", "aria-selected": "false" } },
        make("span", { textContent: value }), make("small", { textContent: number(sessions) }));
      option.dataset.value = value;
      return option;
    }));
    this.list.hidden = values.length === 0;
    this.input.setAttribute("aria-expanded", String(values.length > 0));
  }

  #pressed(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      if (this.list.hidden) this.ask();
      else this.#move(step);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const option = this.list.hidden ? undefined : this.list.children[this.#at];
      if (option !== undefined) this.#take(option);
      else this.chosen();
    }
  }

  #move(step) {
    const options = [...this.list.children];
    this.#at = (this.#at + step + options.length + (this.#at < 0 && step < 0 ? 1 : 0)) % options.length;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === this.#at)));
    this.input.setAttribute("aria-activedescendant", options[this.#at].id);
    options[this.#at].scrollIntoView({ block: "nearest" });
  }

  #take(option) {
    this.input.value = option.dataset.value;
    this.chosen();
  }
}
