// Periods: by name or by dates, as the API takes them, the period before, and in words. All in UTC. Pure.

import { toInput } from "./dates.js";

const DAY = 86_400_000;
const ONE_DAY = /^\d{4}-\d\d-\d\d$/;
// What the API leaves whole: longer windows are cut (docs/semantics.md).
const MOST_DAYS = 31;

const day = (instant) => new Date(instant).toISOString().slice(0, 10);
const monthStart = (year, month) => day(Date.UTC(year, month, 1));

// The named periods. Those of days end yesterday: whole days alone compare with whole days.
export const PERIODS = [
  { name: "today", label: "Today", dates: (now) => [day(now), day(now)] },
  { name: "yesterday", label: "Yesterday", dates: (now) => [day(now - DAY), day(now - DAY)] },
  { name: "last-7-days", label: "Last 7 days", dates: (now) => [day(now - 7 * DAY), day(now - DAY)] },
  { name: "last-30-days", label: "Last 30 days", dates: (now) => [day(now - 30 * DAY), day(now - DAY)] },
  { name: "this-month", label: "This month", dates: (now) => [monthStart(...yearAndMonth(now)), day(now)] },
  {
    name: "last-month",
    label: "Last month",
    dates: (now) => {
      const [year, month] = yearAndMonth(now);
      return [monthStart(year, month - 1), day(Date.UTC(year, month, 0))];
    },
  },
];
export const USUAL = "last-30-days";

function yearAndMonth(now) {
  const today = new Date(now);
  return [today.getUTCFullYear(), today.getUTCMonth()];
}

// Returns the start and the end that a period has now; one of dates, not named, keeps its own.
export function datesOf({ period, start_date, end_date }, now) {
  const named = PERIODS.find(({ name }) => name === period);
  if (named === undefined) return { start_date, end_date };
  const [start, end] = named.dates(now);
  return { start_date: start, end_date: end };
}

// Tells whether the API takes a text as a date.
export const isDate = (text) => toInput(text) !== null;

// Returns the period directly before and as long, from the dates asked for; null where only an answer can tell.
export function before({ start_date, end_date }) {
  if (!ONE_DAY.test(start_date) || !ONE_DAY.test(end_date)) return null;
  const [start, end] = [Date.parse(start_date), Date.parse(end_date)];
  const days = (end - start) / DAY + 1;
  if (!(days >= 1 && days <= MOST_DAYS)) return null;
  return { start_date: day(start - days * DAY), end_date: day(start - DAY) };
}

// Returns the period directly before the window of an answer, and as long, to the millisecond.
export function beforeFrame({ start, end }) {
  const from = Date.parse(start);
  const length = last(end) + 1 - from;
  return { start_date: new Date(from - length).toISOString(), end_date: new Date(from - 1).toISOString() };
}

// The last millisecond of an end: one without a fraction covers its whole second.
const last = (end) => Date.parse(end) + (/\.\d*[1-9]\d*Z$/.test(end) ? 0 : 999);

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

// Returns a window as people write it: `27 Oct – 25 Nov 2026`, with times where it does not have whole days.
export function shownFrame({ start, end }) {
  const [from, to] = [new Date(start), new Date(end)];
  const isWhole = from.getTime() % DAY === 0 && (last(end) + 1) % DAY === 0;
  if (!isWhole) {
    const times = from.toISOString().slice(0, 10) === to.toISOString().slice(0, 10)
      ? clock(to) : `${date(to)}, ${clock(to)}`;
    return `${date(from)}, ${clock(from)} – ${times}`;
  }
  if (day(from) === day(to)) return date(to);
  const sameYear = from.getUTCFullYear() === to.getUTCFullYear();
  const sameMonth = sameYear && from.getUTCMonth() === to.getUTCMonth();
  const first = sameMonth ? String(from.getUTCDate()) : sameYear ? shortDay(from) : date(from);
  return `${first} – ${date(to)}`;
}

// Returns dates asked for as people write them, where there is no answer that tells its window.
export function shownDates({ start_date, end_date }) {
  if (ONE_DAY.test(start_date) && ONE_DAY.test(end_date)) {
    return shownFrame({ start: `${start_date}T00:00:00Z`, end: `${end_date}T23:59:59Z` });
  }
  return `${start_date || "30 days"} to ${end_date || "now"}`;
}

const shortDay = (at) => `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
const date = (at) => `${shortDay(at)} ${at.getUTCFullYear()}`;
const clock = (at) => at.toISOString().slice(11, 16);

// Returns a day, `2026-11-25`, as `25 Nov`, with its weekday where asked.
export function shownDay(text, { weekday = false } = {}) {
  const at = new Date(`${text}T00:00:00Z`);
  const name = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][at.getUTCDay()];
  return `${weekday ? `${name} ` : ""}${shortDay(at)}`;
}

// Returns an instant as `25 Nov 2026, 14:03`.
export function shownTime(text) {
  const at = new Date(text);
  return isNaN(at) ? text : `${date(at)}, ${clock(at)}`;
}
