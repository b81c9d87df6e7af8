// What one screen asks: the report, the report of the period before, and the days.

import { ask } from "./api.js";
import { before, beforeFrame, datesOf } from "./periods.js";
import { pagesOf } from "./rows.js";
import { sameQuestion, toBody } from "./state.js";

const INCLUDE = ["data", "landing", "balance", "hints"];

// Asks for all that a screen shows: three requests, two where nothing is compared. What `had` has is not asked again.
//
// Returns `now`, `before` (null: not compared, or nothing there), `days`, the pages of both reports, and the dates.
export async function load({ question, compare, key, signal, at, had = null }) {
  const dates = datesOf(question, at);
  const send = (path, body) => ask({ path, key, domain: question.domain, body, signal });
  const isSame = had !== null && sameQuestion(had.question, question)
    && had.dates.start_date === dates.start_date && had.dates.end_date === dates.end_date;
  const report = isSame ? Promise.resolve(had.now) : send("", { ...toBody(question, dates), include: INCLUDE });
  // Where the dates tell the periods, all is asked at once; else the answer tells which window was used.
  let earlier = before(dates);
  let window = dates;
  if (earlier === null) {
    const frame = (await report).time_frame;
    if (frame === undefined) return { question, dates, now: await report, before: null, days: [], pages: new Map(), earlier: null };
    earlier = beforeFrame(frame);
    window = { start_date: frame.start, end_date: frame.end };
  }
  const askEarlier = () => send("", { ...toBody(question, earlier), include: ["landing"] });
  const [now, then, days] = await Promise.all([
    report,
    !compare ? null : isSame && had.before !== null ? had.before : askEarlier(),
    isSame ? { days: had.days } : send("/days", toBody(question, window)),
  ]);
  return {
    question, dates, window, now, before: then, days: days.days,
    pages: isSame ? had.pages : pagesOf(now), earlier: then === null ? null : pagesOf(then),
    frameBefore: then === null ? null : then.time_frame ?? { start: earlier.start_date, end: earlier.end_date },
  };
}

// Asks for a page's days, and for what followed where people landed on it: two requests, one without landings.
export async function loadPage({ answered, url, key, signal, hasLandings }) {
  const { question, window } = answered;
  const send = (path, body) => ask({ path, key, domain: question.domain, body, signal });
  const flows = hasLandings && question.landing_page === "";
  const [days, flow] = await Promise.all([
    send("/days", { ...toBody(question, window), url }),
    flows ? send("", { ...toBody(question, window), landing_page: url, include: ["balance"] }) : null,
  ]);
  return { days: days.days, flow: flow?.message === undefined ? flow : null };
}

// Asks for a page's sessions in each role, for the scopes given: a request for each.
export async function loadScopes({ answered, url, scopes, key, signal }) {
  const { question, window } = answered;
  return Promise.all(scopes.map(async (touch_scope) => {
    const body = { ...toBody(question, window), touch_scope, url };
    return (await ask({ path: "/days", key, domain: question.domain, body, signal })).days;
  }));
}

export async function loadSessions({ answered, url, role, key, signal }) {
  const { question, window } = answered;
  const body = { ...toBody(question, window), url, role, limit: 10 };
  return ask({ path: "/sessions", key, domain: question.domain, body, signal });
}

export async function loadValues({ question, field, contains, key, signal }) {
  const body = { ...toBody(question, datesOf(question, Date.now())), field, contains, limit: 12 };
  return (await ask({ path: "/values", key, domain: question.domain, body, signal })).values;
}
