// Numbers and URLs as people read them. Pure.

const format = new Intl.NumberFormat("en");
export const number = (count) => format.format(count);

// Returns the origin of a URL and the rest. A URL of one part has no origin here.
export function split(url) {
  const parts = /^([a-z][a-z0-9+.-]*:\/\/[^/]*)(\/.*)$/is.exec(url);
  return parts === null ? ["", url] : [parts[1], parts[2]];
}

// Returns a text with its first letter in upper case.
export function capital(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
