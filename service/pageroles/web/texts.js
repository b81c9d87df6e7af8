// Numbers and words as people read them. Pure.

const format = new Intl.NumberFormat("en");
export const number = (count) => format.format(count);

// Returns a number with the word that it counts.
export const counted = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

// Returns a text with its first letter in upper case.
export function capital(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
