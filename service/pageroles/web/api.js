// Asks the API of the same origin.

// A reply without an answer. `status` is that of HTTP; 0: no reply came; "unreadable": the reply is not one of the API.
export class Refusal extends Error {
  constructor(status, { message = "", field = null, requestId = "", retrySeconds = null, quota = null } = {}) {
    super(message);
    Object.assign(this, { status, field, requestId, retrySeconds, quota });
  }
}

// What an answer must have, by its path below `/api/v1/pages`.
const SHAPES = {
  "": isReport,
  "/days": (found) => Array.isArray(found?.days),
  "/values": (found) => Array.isArray(found?.values),
  "/sessions": (found) => Array.isArray(found?.sessions) && Boolean(found.total),
};

// Asks, and returns the answer as it came. Throws a Refusal, or an AbortError when `signal` aborts.
//
// `domain` is empty, except for a key that reads all domains.
export async function ask({ path = "", key, domain, body, signal }) {
  let response;
  let text;
  try {
    response = await fetch(`/api/v1/pages${path}`, {
      method: "POST",
      headers: { Authentication: key, "Content-Type": "application/json", ...(domain !== "" && { Domain: asUtf8(domain) }) },
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal,
    });
    text = await response.text();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refusal(0);
  }
  const requestId = response.headers.get("X-Request-Id") ?? "";
  const found = parsed(text);
  if (!response.ok) {
    throw new Refusal(response.status, {
      message: typeof found?.error === "string" ? found.error : "",
      field: typeof found?.field === "string" ? found.field : null,
      requestId,
      quota: quota(found),
      retrySeconds: retrySeconds(response.headers.get("Retry-After")),
    });
  }
  if (!SHAPES[path](found)) throw new Refusal("unreadable", { requestId });
  return found;
}

// Returns a text as `fetch` sends its UTF-8: one character for each byte.
function asUtf8(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isReport(found) {
  if (typeof found?.message === "string") return true;
  return Boolean(found?.time_frame && found.summary_totals)
    && Array.isArray(found.conversion_performance) && Array.isArray(found.drop_off_performance);
}

// Returns the requests of a month that a spent quota allows, and those made; null where the refusal is of another kind.
function quota(found) {
  const { limit, used } = found ?? {};
  return Number.isInteger(limit) && Number.isInteger(used) ? { limit, used } : null;
}

// Returns the seconds to wait; the header holds them, or a date.
function retrySeconds(header) {
  if (header === null) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}
