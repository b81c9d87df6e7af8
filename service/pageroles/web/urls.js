// URLs as people read them: the path first, decoded, the host where there are several. Pure.

// What would hide or turn text around stays encoded.
const UNREADABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]/u;

// Returns the origin of a URL and the rest. A URL of one part has no origin here.
export function split(url) {
  const parts = /^([a-z][a-z0-9+.-]*:\/\/[^/]*)(\/.*)?$/is.exec(url);
  return parts === null ? ["", url] : [parts[1], parts[2] ?? "/"];
}

// Returns a path with its percent-encoded letters as letters. What does not decode, or would mislead, stays as it is.
export function decoded(path) {
  return path.replace(/(?:%[0-9a-f]{2})+/gi, (run) => {
    try {
      return [...decodeURIComponent(run)]
        .map((letter) => (UNREADABLE.test(letter) || "/?#%".includes(letter) ? encodeURIComponent(letter) : letter)).join("");
    } catch {
      return run;
    }
  });
}

// Returns the host as it stands before a path: without `https://`, which most have.
const hostOf = (origin) => origin.replace(/^https:\/\//i, "");

// Returns how each URL reads: `path`, and `host`, which is empty where all pages have the same one.
//
// URLs that would read the same keep their encoding.
export function labels(urls) {
  const parts = urls.map((url) => [url, ...split(url)]);
  const isAlone = new Set(parts.map(([, origin]) => origin)).size === 1;
  const taken = new Map();
  for (const [, origin, rest] of parts) {
    const text = `${origin} ${decoded(rest)}`;
    taken.set(text, (taken.get(text) ?? 0) + 1);
  }
  return new Map(parts.map(([url, origin, rest]) => {
    const path = taken.get(`${origin} ${decoded(rest)}`) > 1 ? rest : decoded(rest);
    return [url, { path, host: isAlone ? "" : hostOf(origin) }];
  }));
}

// Returns a path in two parts, to be cut between them: the end, which tells pages apart, is never cut.
export function halves(path, ending = 18) {
  const letters = [...path];
  if (letters.length <= ending + 6) return [path, ""];
  return [letters.slice(0, -ending).join(""), letters.slice(-ending).join("")];
}
