// Small helpers for the page's elements.

export const byId = (id) => document.getElementById(id);

// Makes an element with attributes, properties (such as `className` and `textContent`) and children.
export function make(name, { attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

// Makes an element of a drawing.
export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function button(text, pressed, properties = {}) {
  const made = make("button", { type: "button", textContent: text, ...properties });
  made.addEventListener("click", pressed);
  return made;
}

// Offers a text to the person as a file.
export function save(name, text) {
  const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Says what is wrong with a field, below it, and moves there.
export function markField(field, name, text) {
  const said = make("p", { className: "error", id: `${name}-error`, textContent: text });
  field.parentElement.append(said);
  field.setAttribute("aria-invalid", "true");
  const before = field.getAttribute("aria-describedby");
  field.setAttribute("aria-describedby", before === null ? said.id : `${said.id} ${before}`);
  field.focus();
}

// Takes all that is said of fields away.
export function unmarkFields(form) {
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    const left = field.getAttribute("aria-describedby").split(" ").filter((id) => !id.endsWith("-error"));
    if (left.length > 0) field.setAttribute("aria-describedby", left.join(" "));
    else field.removeAttribute("aria-describedby");
  }
  form.querySelectorAll(".error").forEach((said) => said.remove());
}
