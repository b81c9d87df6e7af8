// Small helpers for the page.

export const byId = (id) => document.getElementById(id);

// Makes an element; properties such as `className` and `textContent` are set, `attributes` too, children appended.
export function make(name, { attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const format = new Intl.NumberFormat("en");
export const number = (count) => format.format(count);

// Splits a URL into its origin and the rest; what has only one part is all rest.
export function split(url) {
  const parts = /^([a-z][a-z0-9+.-]*:\/\/[^/]*)(\/.*)$/is.exec(url);
  return parts === null ? ["", url] : [parts[1], parts[2]];
}
