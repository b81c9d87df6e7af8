// Written by `make proto` from the contract and the table of filters. Do not edit.

export const FILTERS = [
  { name: "conversion_page", of: "conversion", label: "Conversion page", example: "https://example.com/signup?plan=pro", hint: "As it was tracked, with its query string." },
  { name: "meta_type", of: "conversion", label: "Type", example: "hubspot_form", hint: "" },
  { name: "meta_id", of: "conversion", label: "Id", example: "form-1", hint: "" },
  { name: "source", of: "session", label: "Source", example: "google.com", hint: "" },
  { name: "medium", of: "session", label: "Medium", example: "organic", hint: "" },
  { name: "campaign", of: "session", label: "Campaign", example: "summer-sale", hint: "" },
  { name: "content", of: "session", label: "Content", example: "banner-b", hint: "" },
  { name: "term", of: "session", label: "Term", example: "page analytics", hint: "" },
  { name: "landing_page", of: "session", label: "Landing page", example: "https://example.com/pricing", hint: "Any form of its URL: query string and slashes at the end do not matter." },
];

export const SCOPES = ["any", "first", "converting", "assist", "after"];

export const ROLES = {
  conversion: [
    { name: "conversion", heading: "conversion" },
    { name: "conversion_assist", heading: "assist" },
    { name: "landing_assisted_conversion", heading: "landing" },
  ],
  drop_off: [
    { name: "drop_off", heading: "drop-off" },
    { name: "drop_off_assist", heading: "assist" },
    { name: "landing_assisted_drop_off", heading: "landing" },
  ],
};
