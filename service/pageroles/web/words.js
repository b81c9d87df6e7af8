// The words of the contract by name: labels and definitions of filters, scopes, roles, totals and rates. Pure.

import * as contract from "./contract.js";

export const ROLES = Object.values(contract.ROLES).flat().map(({ name }) => name);
const SAID = new Map([...Object.values(contract.ROLES).flat(), ...contract.TERMS].map((term) => [term.name, term]));
const SCOPES = new Map(contract.SCOPES.map((scope) => [scope.name, scope]));
const FILTERS = new Map(contract.FILTERS.map((filter) => [filter.name, filter]));
const NOTHING = { label: "", meaning: "" };

export const term = (name) => SAID.get(name) ?? NOTHING;
export const scope = (name) => SCOPES.get(name) ?? NOTHING;

// The names of filters say less without the group in which they stand.
const ALONE = { meta_type: "Conversion type", meta_id: "Conversion id" };
export const filterLabel = (name) => ALONE[name] ?? FILTERS.get(name)?.label ?? name;
export const filterOf = (name) => FILTERS.get(name);

const KINDS = {
  conversion: "conversion", conversion_assist: "assist", landing_assisted_conversion: "landing", landing: "landing",
  drop_off: "drop_off", drop_off_assist: "assist", landing_assisted_drop_off: "landing",
};
// Returns the name of a role's colour.
export const kind = (role) => KINDS[role] ?? "other";
