// What the page says where there is no answer. Pure.

import { capital, number } from "./texts.js";

const PROBLEMS = {
  0: {
    title: "No answer came",
    text: "The server can’t be reached from here.",
    hint: "Check your connection and whether the server runs. Then ask again.",
  },
  400: { title: "The server can’t answer this question", hint: "Change the marked field, then ask again." },
  401: {
    title: "The key was not accepted",
    text: "It is unknown, revoked or expired.",
    hint: "Check that you copied all of it, or get a new one.",
  },
  403: { title: "The key may not read this", hint: "It belongs to another domain." },
  429: { title: "The server is busy", text: "It takes no more requests now." },
  503: { title: "The service is not available", hint: "It may be starting or stopping. Ask again in a minute." },
  504: {
    title: "It took too long",
    text: "The answer was not ready in the time that a question may take.",
    hint: "Ask for a shorter window, or set more filters.",
  },
  unreadable: {
    title: "The reply is not an answer",
    text: "This page can’t read what the server sent.",
    hint: "A proxy between you and the server may have replied instead.",
  },
};
const ANY = { title: "Something went wrong", text: "The server has a fault.", hint: "Ask again. If it fails again, report it." };

// Returns the title, text and hint for a Refusal.
export function describe(refusal) {
  const known = PROBLEMS[refusal.status] ?? ANY;
  return {
    title: refusal.quota === null ? known.title : "No requests are left this month",
    text: sentence(refusal.message) || known.text || ANY.text,
    hint: refusal.status === 429 ? waiting(refusal.retrySeconds, refusal.quota) : known.hint,
  };
}

// Returns the hint where the server asks to wait; `seconds` and `quota` may be null.
export function waiting(seconds, quota) {
  if (seconds === 0) return "You can ask again now.";
  if (quota !== null) {
    const next = seconds === null ? "" : ` The next month begins in ${duration(seconds)}.`;
    return `${number(quota.used)} of ${number(quota.limit)} requests were made.${next}`;
  }
  if (seconds === null) return "Ask again in a moment.";
  return `Ask again in ${duration(seconds)}.`;
}

// Returns a time, rounded up, in the largest unit of which it has at least two.
function duration(seconds) {
  const [size, unit] = [[86_400, "day"], [3_600, "hour"], [60, "minute"]].find(([one]) => seconds >= 2 * one) ?? [1, "second"];
  const count = Math.ceil(seconds / size);
  return `${number(count)} ${unit}${count === 1 ? "" : "s"}`;
}

function sentence(text) {
  if (text === "") return "";
  return capital(/[.!?…]$/.test(text) ? text : `${text}.`);
}
