// Small helpers for the page's elements.

export const byId = (id) => document.getElementById(id);

// Makes an element with attributes, properties (such as `className` and `textContent`) and children.
export function make(name, { attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
