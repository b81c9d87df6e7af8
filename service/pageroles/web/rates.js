// Rates and changes that are true: each tells when it means nothing. Pure.

import * as contract from "./contract.js";

export const FEW = 100;

const OF_CONVERSIONS = contract.FILTERS.filter((filter) => filter.of === "conversion").map(({ name }) => name);

// Returns a share, 0 to 1; null where there is nothing to divide by.
export function share(part, whole) {
  return whole > 0 ? part / whole : null;
}

// Returns the share of users who converted, or null where the question makes it 0 or 1 for everyone.
export function usersRate(totals, question) {
  const isAnyConverting = question.touch_scope === "any" && OF_CONVERSIONS.some((name) => question[name] !== "");
  if (isAnyConverting || ["converting", "assist"].includes(question.touch_scope)) return null;
  return share(totals.total_conversion_users, totals.total_users);
}

// Returns the conversion rate of a page's landings; null without landings, or where no session can convert.
export function landingRate(page, question) {
  if (question.touch_scope === "assist") return null;
  return share(page.landing_assisted_conversion?.sessions ?? 0, page.landing?.sessions ?? 0);
}

export const isFew = (page) => (page.landing?.sessions ?? 0) < FEW;

// Returns the bounds between which a rate lies with 95 % (Wilson): what so many landings can tell.
export function bounds(part, whole) {
  const z = 1.96;
  const rate = part / whole;
  const middle = rate + z ** 2 / (2 * whole);
  const reach = z * Math.sqrt((rate * (1 - rate)) / whole + z ** 2 / (4 * whole ** 2));
  const scale = 1 + z ** 2 / whole;
  return [Math.max(0, (middle - reach) / scale), Math.min(1, (middle + reach) / scale)];
}

// Returns the change of a number in words: its sign, what is shown, and what is read out.
export function change(now, earlier) {
  if (now === earlier) return { sign: 0, text: "0 %" };
  if (earlier === 0) return { sign: 1, text: "new" };
  const percent = (100 * (now - earlier)) / earlier;
  const size = Math.abs(percent);
  const digits = size < 10 ? 1 : 0;
  if (size >= 1000) return { sign: 1, text: `× ${Math.round(now / earlier).toLocaleString("en")}` };
  return { sign: Math.sign(percent), text: `${percent > 0 ? "+" : "−"}${size.toFixed(digits)} %` };
}

// Returns a share as percent.
export function percent(rate) {
  if (rate === null) return "–";
  const value = 100 * rate;
  return `${value > 0 && value < 0.1 ? "< 0.1" : value.toFixed(value < 10 && value > 0 ? 1 : 0)} %`;
}
