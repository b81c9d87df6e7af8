"""What people read about roles, scopes, totals and rates: a label and a short definition of each.

docs/semantics.md defines them; these are its sentences, made short. The explorer's words come from here alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """A thing that people ask about.

    Attributes:
        label: Its name in the explorer.
        meaning: Its definition, in one or two sentences.
    """

    label: str
    meaning: str


_ROLES = {
    "conversion": Term("Converted here", "Sessions with a conversion on this page."),
    "conversion_assist": Term(
        "Read before converting",
        "Sessions in which this page was visited before a conversion. If people landed on a page and converted right "
        "there, it is that page.",
    ),
    "landing_assisted_conversion": Term(
        "Landed here, converted", "Sessions that began on this page and had a conversion, on whatever page."
    ),
    "drop_off": Term(
        "Left from here",
        "Sessions without a conversion, or after the user's first converting session, whose last page this was.",
    ),
    "drop_off_assist": Term(
        "Step before leaving",
        "Such sessions whose last other page this was, before the one from which they left. A reload is no step.",
    ),
    "landing_assisted_drop_off": Term("Landed here, left", "Such sessions that began on this page."),
}
_SCOPES = {
    "any": Term("Every session", "All sessions that started in the period and pass the filters."),
    "first": Term("First sessions", "The first session of each user ever, if it started in the period."),
    "converting": Term("Converting sessions", "Sessions with at least one conversion."),
    "assist": Term(
        "On the way",
        "Sessions after the user's first and before the first one that converted. None of them converts itself.",
    ),
    "after": Term("After converting", "Sessions after the user's first one that converted."),
}
TERMS = {
    "total_sessions": Term("Sessions", "Visits that started in the period and pass all filters, each counted once."),
    "total_users": Term(
        "Users", "Distinct visitors of these sessions, counted exactly. Users of days or pages do not add up."
    ),
    "total_conversion_events": Term(
        "Conversions", "Conversions in these sessions. One session may have several, and each counts."
    ),
    "total_conversion_users": Term("Users who converted", "Distinct users with a conversion in these sessions."),
    "users_rate": Term("Share of users who converted", "Users who converted, divided by all users of these sessions."),
    "landing": Term(
        "Landings", "Sessions that began on this page. What filters of conversions leave out still counts here."
    ),
    "landing_rate": Term(
        "Conversion rate", "Of 100 sessions that began on this page, how many had a conversion, on whatever page."
    ),
    "few": Term(
        "Few landings", "Fewer than 100 sessions began on this page, so chance moves its rate by several points."
    ),
    "change": Term("Change", "Compared with the period directly before, which is as long."),
    "scope": Term("Part of the journey", "Which of each user's sessions count, by their place in the user's journey."),
}  # fmt: skip


def of_role(role: str) -> Term:
    """Return the words of a role; one without words gets its own name as its label."""
    return _ROLES.get(role, _named(role))


def of_scope(scope: str) -> Term:
    """Return the words of a scope; one without words gets its own name as its label."""
    return _SCOPES.get(scope, _named(scope))


def _named(name: str) -> Term:
    return Term(name.replace("_", " ").capitalize(), "")
