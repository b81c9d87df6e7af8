// What to tell people where no answer came.

import { number } from "./dom.js";

const PROBLEMS = {
  0: {
    title: "No answer came",
    text: "The server can’t be reached from here.",
    hint: "Check the connection, and whether the server runs; then ask again.",
  },
  400: { title: "The question can’t be answered like this", hint: "Change what is marked, then ask again." },
  401: {
    title: "The key was not accepted",
    text: "It is unknown or revoked.",
    hint: "Check that it was copied whole, or ask for a new one.",
  },
  403: { title: "The key may not read this", hint: "It belongs to another domain." },
  429: { title: "The server has its hands full", text: "It takes on no more work now." },
  503: { title: "The service is not there at the moment", hint: "It may be starting or stopping; ask again in a while." },
  504: {
    title: "It took too long",
    text: "The time for one question was over before the answer was.",
    hint: "Ask for a shorter window or with narrower filters.",
  },
  unreadable: {
    title: "What came is no answer",
    text: "The server replied with something that this page can’t read.",
    hint: "Something between you and the service may have replied in its place.",
  },
};
const ANY = { title: "Something went wrong", text: "The server had a fault.", hint: "Ask again; if it stays, report it." };

// Returns title, text and hint for a Refusal.
export function describe(refusal) {
  const known = PROBLEMS[refusal.status] ?? ANY;
  return {
    title: refusal.quota === null ? known.title : "The requests of this month are used up",
    text: sentence(refusal.message) || known.text || ANY.text,
    hint: refusal.status === 429 ? waiting(refusal.retrySeconds, refusal.quota) : known.hint,
  };
}

// Returns the hint for a server that asks to wait.
export function waiting(seconds, quota) {
  if (seconds === 0) return "You can ask again now.";
  if (quota !== null) {
    const next = seconds === null ? "" : ` New ones come in ${duration(seconds)}.`;
    return `${number(quota.used)} of ${number(quota.limit)} were made.${next}`;
  }
  if (seconds === null) return "Ask again in a moment.";
  return `It asks to wait ${duration(seconds)}; then ask again.`;
}

// Returns a time in the largest unit of which there are at least two, rounded up.
function duration(seconds) {
  const [size, unit] = [[86_400, "day"], [3_600, "hour"], [60, "minute"]].find(([one]) => seconds >= 2 * one) ?? [1, "second"];
  const count = Math.ceil(seconds / size);
  return `${number(count)} ${unit}${count === 1 ? "" : "s"}`;
}

function sentence(text) {
  if (text === "") return "";
  const capital = text[0].toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
