// A question and a view of its answer, and the link that stands for both. Pure: knows nothing of the page.

export const FILTERS = [
  "source", "medium", "campaign", "content", "term", "landing_page", "conversion_page", "meta_type", "meta_id",
];
export const SCOPES = ["any", "first", "converting", "assist", "after"];

// Both sides of an answer. `kind` names a colour; `does` ends the sentence "a page counts where …".
export const SIDES = {
  conversion: {
    list: "conversion_performance",
    title: "Where people convert",
    none: "No page had a part in a conversion.",
    roles: [
      { name: "conversion", label: "Conversion", kind: "conversion", does: "a conversion happened on it" },
      { name: "conversion_assist", label: "Assist", kind: "assist", does: "it was visited before the conversion" },
      { name: "landing_assisted_conversion", label: "Landing", kind: "landing", does: "the session began on it" },
    ],
  },
  drop_off: {
    list: "drop_off_performance",
    title: "Where people leave",
    none: "No session here ended without a conversion.",
    roles: [
      { name: "drop_off", label: "Drop-off", kind: "drop_off", does: "it was the last page of the session" },
      { name: "drop_off_assist", label: "Assist", kind: "assist", does: "it was the step before leaving" },
      { name: "landing_assisted_drop_off", label: "Landing", kind: "landing", does: "the session began on it" },
    ],
  },
};

const KEY = /pr_[0-9a-f]{12}_[\w-]{43}/;

// Tells whether a text holds an API key, which belongs in no link.
export function holdsKey(text, key = "") {
  return KEY.test(text) || (key.length > 7 && text.includes(key));
}

// All that a question is made of; `domain` is for keys that read all domains.
export function emptyQuestion() {
  const texts = ["domain", "start_date", "end_date", ...FILTERS];
  return { ...Object.fromEntries(texts.map((name) => [name, ""])), touch_scope: "any" };
}

export function sameQuestion(one, other) {
  return Object.keys(one).every((name) => one[name] === other[name]);
}

// The body of a request: only what is set. The domain goes in a header.
export function toBody({ domain: _, ...question }) {
  return Object.fromEntries(Object.entries(question).filter(([, value]) => value !== ""));
}

export function defaultSort(side) {
  return { column: `${SIDES[side].roles[0].name}.sessions`, descending: true };
}

export function emptyView() {
  const sides = Object.keys(SIDES);
  return {
    tab: "conversion",
    search: "",
    sort: Object.fromEntries(sides.map((side) => [side, defaultSort(side)])),
    top: Object.fromEntries(sides.map((side) => [side, SIDES[side].roles[0].name])),
  };
}

// Every column of a side, as `url` or `role.measure`.
export function columns(side) {
  return ["url", ...SIDES[side].roles.flatMap(({ name }) => [`${name}.sessions`, `${name}.users`])];
}

// Returns the fragment of a link, without its `#`. Where a date was left to the server, `frame` (the window that it
// used) pins it.
export function writeLink(question, view, { frame = null, key = "" } = {}) {
  const link = new URLSearchParams();
  const put = (name, value, usual = "") => {
    if (value !== usual && !holdsKey(value, key)) link.set(name, value);
  };
  put("domain", question.domain);
  put("start_date", question.start_date || (frame?.start ?? "").replace(/T00:00:00Z$/, ""));
  put("end_date", question.end_date || (frame?.end ?? ""));
  for (const name of FILTERS) put(name, question[name]);
  put("touch_scope", question.touch_scope, "any");
  put("tab", view.tab, "conversion");
  for (const side of Object.keys(SIDES)) {
    put(`${side}_sort`, sortText(view.sort[side]), sortText(defaultSort(side)));
    put(`${side}_top`, view.top[side], SIDES[side].roles[0].name);
  }
  put("search", view.search);
  return link.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
}

// Reads a fragment, with or without its `#`; what it does not know, it leaves out.
export function readLink(fragment) {
  const link = new URLSearchParams(fragment.replace(/^#/, ""));
  const question = emptyQuestion();
  for (const name of ["domain", "start_date", "end_date", ...FILTERS]) question[name] = link.get(name) ?? "";
  if (SCOPES.includes(link.get("touch_scope"))) question.touch_scope = link.get("touch_scope");
  const view = emptyView();
  if (Object.hasOwn(SIDES, link.get("tab") ?? "")) view.tab = link.get("tab");
  view.search = link.get("search") ?? "";
  for (const side of Object.keys(SIDES)) {
    const [column, direction] = (link.get(`${side}_sort`) ?? "").split(":");
    if (columns(side).includes(column)) view.sort[side] = { column, descending: direction !== "asc" };
    const top = link.get(`${side}_top`);
    if (SIDES[side].roles.some(({ name }) => name === top)) view.top[side] = top;
  }
  return { question, view, asks: [...link.keys()].length > 0 };
}

function sortText({ column, descending }) {
  return `${column}:${descending ? "desc" : "asc"}`;
}
