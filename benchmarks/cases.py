"""The questions, and the traffic that they are about."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta

FIRST_DAY = date(2025, 7, 1)
DAYS = 30
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
DOMAIN = "shop.example"


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """Made-up traffic of 30 days; the same values give the same sessions.

    Attributes:
        sessions: Of all domains together; there are half as many users.
        pages: Distinct pages of each domain; a few have most of the views.
        domains: They share the sessions equally.
        converts: Percentage of the sessions that convert.
        rewritten: Percentage of the sessions that are delivered twice: unfinished at first, then whole.
        seed: Of the random numbers.
    """

    sessions: int
    pages: int = 5000
    domains: int = 1
    converts: int = 4
    rewritten: int = 1
    seed: int = 1

    @property
    def name(self) -> str:
        """Return the name of the traffic, which is also that of its folder."""
        shared = f"-{self.domains}-domains" if self.domains > 1 else ""
        return f"{short(self.sessions)}-{short(self.pages)}-pages{shared}"


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A question to a store of one domain: whole days, and either a scope or a filter."""

    name: str
    first_day: date = FIRST_DAY
    last_day: date = LAST_DAY
    scope: str = "any"
    filter: tuple[str, str] | None = None

    @property
    def start_ms(self) -> int:
        """First instant, in milliseconds since 1970."""
        return _milliseconds(self.first_day)

    @property
    def end_ms(self) -> int:
        """Last instant, in milliseconds since 1970."""
        return _milliseconds(self.last_day + timedelta(days=1)) - 1

    @property
    def filters_conversions(self) -> bool:
        """Whether it asks for some conversions only."""
        return self.filter is not None and self.filter[0] in {"conversion_page", "meta_type", "meta_id"}

    @property
    def days(self) -> int:
        """Length of the window, in days."""
        return (self.last_day - self.first_day).days + 1


ANY = Question("any")
# No session lies in it: a contestant that has answered it has opened all files and holds no data.
EMPTY_WINDOW = Question("empty window", date(2024, 1, 1), date(2024, 1, 2))

_SECOND_HALF = FIRST_DAY + timedelta(days=15)
# All contestants are asked these.
CASES = (
    ANY,
    *(Question(scope, scope=scope) for scope in ("first", "converting", "assist", "after")),
    Question("source", filter=("source", "google.com")),
    Question("landing page", filter=("landing_page", f"https://{DOMAIN}/catalogue/page-0")),
    Question("type of conversion", filter=("meta_type", "hubspot_form")),
    Question("last 15 days", _SECOND_HALF),
)
# pageroles is asked these, too.
MORE = (
    *(
        Question(name, filter=(name, value))
        for name, value in (
            ("medium", "email"),
            ("campaign", "summer-3"),
            ("content", "top-link"),
            ("term", "running shoes"),
            ("conversion_page", f"https://{DOMAIN}/thanks"),
            ("meta_id", "form-7"),
        )
    ),
    Question("first, last 15 days", _SECOND_HALF, scope="first"),
    Question("7 days", FIRST_DAY + timedelta(days=10), FIRST_DAY + timedelta(days=16)),
    Question("1 day", FIRST_DAY + timedelta(days=10), FIRST_DAY + timedelta(days=10)),
)


def short(number: int) -> str:
    """Return a number as `10M`, `200k` or `37`."""
    for unit, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= unit and number % unit == 0:
            return f"{number // unit}{letter}"
    return str(number)


def number(text: str) -> int:
    """Read `10M`, `200k` or `37`.

    Raises:
        ValueError: It is none of these.
    """
    units = {"M": 1_000_000, "k": 1000}
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
