// The fields that the form makes from the contract: one for each filter, one choice for each scope. Pure.

import { capital } from "./texts.js";

// Values that a field suggests.
const SUGGESTED = { meta_type: ["hubspot_form", "html_form", "custom"] };

const SCOPES_MEAN = {
  any: "every session",
  first: "the user’s first session",
  converting: "with a conversion",
  assist: "between the first session and the first converting one",
  after: "the first converting session",
};

// Returns the fields of the filters of a session, or of a conversion, in the order of the contract.
//
// Fields that take a URL come last: each needs a whole row.
export function filterFields(filters, of) {
  const fields = filters.filter((filter) => filter.of === of).map(({ name, label, example, hint }) => ({
    name, label, hint, placeholder: example, takesUrl: /^https?:/.test(example), suggested: SUGGESTED[name] ?? [],
  }));
  return [...fields.filter(({ takesUrl }) => !takesUrl), ...fields.filter(({ takesUrl }) => takesUrl)];
}

// Returns all fields of filters, as they follow each other in the form.
export function formFields(filters) {
  return ["session", "conversion"].flatMap((of) => filterFields(filters, of));
}

// Returns the choices of scopes; the first is the default.
export function scopeChoices(scopes) {
  return scopes.map((value, at) => ({
    value, label: capital(value.replaceAll("_", " ")), means: SCOPES_MEAN[value] ?? "", isDefault: at === 0,
  }));
}
