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

export const SCOPES = [
  { name: "any", label: "Every session", meaning: "All sessions that started in the period and pass the filters." },
  { name: "first", label: "First sessions", meaning: "The first session of each user ever, if it started in the period." },
  { name: "converting", label: "Converting sessions", meaning: "Sessions with at least one conversion." },
  { name: "assist", label: "On the way", meaning: "Sessions after the user's first and before the first one that converted. None of them converts itself." },
  { name: "after", label: "After converting", meaning: "Sessions after the user's first one that converted." },
];

export const ROLES = {
  conversion: [
    { name: "conversion", label: "Converted here", meaning: "Sessions with a conversion on this page." },
    { name: "conversion_assist", label: "Read before converting", meaning: "Sessions in which this page was visited before a conversion. If people landed on a page and converted right there, it is that page." },
    { name: "landing_assisted_conversion", label: "Landed here, converted", meaning: "Sessions that began on this page and had a conversion, on whatever page." },
  ],
  drop_off: [
    { name: "drop_off", label: "Left from here", meaning: "Sessions without a conversion, or after the user's first converting session, whose last page this was." },
    { name: "drop_off_assist", label: "Step before leaving", meaning: "Such sessions whose last other page this was, before the one from which they left. A reload is no step." },
    { name: "landing_assisted_drop_off", label: "Landed here, left", meaning: "Such sessions that began on this page." },
  ],
};

export const TERMS = [
  { name: "total_sessions", label: "Sessions", meaning: "Visits that started in the period and pass all filters, each counted once." },
  { name: "total_users", label: "Users", meaning: "Distinct visitors of these sessions, counted exactly. Users of days or pages do not add up." },
  { name: "total_conversion_events", label: "Conversions", meaning: "Conversions in these sessions. One session may have several, and each counts." },
  { name: "total_conversion_users", label: "Users who converted", meaning: "Distinct users with a conversion in these sessions." },
  { name: "users_rate", label: "Share of users who converted", meaning: "Users who converted, divided by all users of these sessions." },
  { name: "landing", label: "Landings", meaning: "Sessions that began on this page. What filters of conversions leave out still counts here." },
  { name: "landing_rate", label: "Conversion rate", meaning: "Of 100 sessions that began on this page, how many had a conversion, on whatever page." },
  { name: "few", label: "Few landings", meaning: "Fewer than 100 sessions began on this page, so chance moves its rate by several points." },
  { name: "change", label: "Change", meaning: "Compared with the period directly before, which is as long." },
  { name: "scope", label: "Part of the journey", meaning: "Which of each user's sessions count, by their place in the user's journey." },
];
