// Dates as the API takes them and as the two kinds of input hold them. All in UTC. Pure.

const day = (instant) => new Date(instant).toISOString().slice(0, 10);
// Returns the kind of input and the value that hold a date of the API, or null where neither kind can.
export function toInput(text) {
  if (/^\d{4}-\d\d-\d\d$/.test(text)) {
    return isNaN(Date.parse(text)) || day(Date.parse(text)) !== text ? null : { type: "date", value: text };
  }
  const parts = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d(?::?\d\d)?)?$/i.exec(text);
  if (parts === null) return null;
  const offset = (parts[3] ?? "Z").replace(/^([+-]\d\d):?(\d\d)?$/, (_, hours, minutes) => `${hours}:${minutes ?? "00"}`);
  const instant = Date.parse(`${parts[1]}T${parts[2]}${offset.toUpperCase()}`);
  return isNaN(instant) ? null : { type: "datetime-local", value: new Date(instant).toISOString().slice(0, -1) };
}

// Returns the date of the API that an input holds.
export function fromInput({ type, value }) {
  if (type === "date" || value === "") return value;
  return new Date(`${value}Z`).toISOString().replace(".000Z", "Z");
}

// Returns the value for the other kind of input: a day becomes its first or last moment, a moment its day.
export function otherKind({ type, value }, isEnd) {
  if (value === "") return "";
  if (type === "date") return `${value}T${isEnd ? "23:59:59.999" : "00:00:00"}`;
  return value.slice(0, 10);
}
