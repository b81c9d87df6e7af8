import assert from "node:assert/strict";
import test from "node:test";

import { FILTERS, ROLES, SCOPES } from "../../service/pageroles/web/contract.js";
import { filterFields, formFields, scopeChoices } from "../../service/pageroles/web/fields.js";
import { sidesOf } from "../../service/pageroles/web/state.js";

const country = { name: "country", of: "session", label: "Country", example: "NZ", hint: "Two letters." };

test("a filter of the contract becomes a field", () => {
  assert.deepEqual(filterFields([country], "session"), [
    { name: "country", label: "Country", hint: "Two letters.", placeholder: "NZ", takesUrl: false, suggested: [] },
  ]);
  assert.deepEqual(filterFields([country], "conversion"), []);
});

test("every filter has one field, and those that take a URL come last on their side", () => {
  const fields = formFields([...FILTERS, country]);
  assert.deepEqual(fields.map(({ name }) => name), [
    "source", "medium", "campaign", "content", "term", "country", "landing_page",
    "meta_type", "meta_id", "conversion_page",
  ]);
  assert.deepEqual(fields.filter(({ takesUrl }) => takesUrl).map(({ name }) => name), ["landing_page", "conversion_page"]);
});

test("a type is suggested", () => {
  const [type] = formFields(FILTERS).filter(({ name }) => name === "meta_type");
  assert.deepEqual(type.suggested, ["hubspot_form", "html_form", "custom"]);
});

test("every scope is a choice, the first by default, and a new one has its name", () => {
  const choices = scopeChoices([...SCOPES, "last_click"]);
  assert.deepEqual(choices.map(({ value }) => value), [...SCOPES, "last_click"]);
  assert.deepEqual(choices.filter(({ isDefault }) => isDefault).map(({ value }) => value), ["any"]);
  assert.deepEqual(choices.at(-1), { value: "last_click", label: "Last click", means: "", isDefault: false });
  assert.ok(choices.slice(0, -1).every(({ means }) => means !== ""));
});

test("every role of the contract has words and a colour, and a new one has its heading", () => {
  const known = Object.values(sidesOf(ROLES)).flatMap(({ roles }) => roles);
  assert.ok(known.every(({ does, kind }) => does !== "" && kind !== "other"));
  const sides = sidesOf({ ...ROLES, drop_off: [...ROLES.drop_off, { name: "quick_exit", heading: "quick exit" }] });
  assert.deepEqual(sides.conversion, sidesOf(ROLES).conversion);
  assert.deepEqual(sides.drop_off.roles.at(-1), { name: "quick_exit", label: "Quick exit", kind: "other", does: "" });
});
