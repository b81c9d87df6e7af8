"""The period before a window, and what changed since."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from pageroles.errors import InvalidArgumentError
from pageroles.question import window
from pageroles.sentences import instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pageroles.client import Report

_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)


class Dates(NamedTuple):
    """A window as a question names it."""

    start_date: str
    end_date: str


def windows(start_date: str, end_date: str, now: datetime) -> tuple[Dates, Dates]:
    """Return the window that two dates stand for, and the one directly before it, which is as long.

    They share no instant, and there is none between them.

    Raises:
        InvalidArgumentError: A date can't be read, or there is no such period before.
    """
    covered = window.resolve(start_date, end_date, now)
    if covered.start.microsecond == _MILLISECOND.microseconds:
        # Its end would be written like a whole second.
        raise InvalidArgumentError(
            "start_date", "no window can end directly before this start; give one in whole seconds to compare"
        )
    try:
        start = covered.start - (covered.end + _MILLISECOND - covered.start)
    except OverflowError:
        raise InvalidArgumentError("start_date", "there are no dates before it to compare with") from None
    # An end in whole seconds covers the second whole.
    end = covered.start - (_MILLISECOND if covered.start.microsecond else _SECOND)
    return Dates(instant(covered.start), instant(covered.shown_end)), Dates(instant(start), instant(end))


@dataclasses.dataclass(frozen=True)
class Change:
    """A number now and before.

    Attributes:
        now: The number in the window.
        before: The number in the period before.
    """

    now: int
    before: int

    def __str__(self) -> str:
        """Return the change, and how much of the number before it is; a number that was zero has no percentage."""
        change = self.now - self.before
        if not change:
            return "0"
        return f"{change:+,}" + (f", {change / self.before:+.1%}" if self.before else "")


class Row(NamedTuple):
    """A page in two reports.

    Attributes:
        url: The page.
        where: `now` or `before` where only that report has the page; else empty.
        sessions: The sessions in each role of the side.
    """

    url: str
    where: str
    sessions: tuple[Change, ...]


def totals(now: Report, before: Report) -> Iterator[tuple[str, Change]]:
    """Give each total by its name."""
    for field in dataclasses.fields(now.summary_totals):
        found = (getattr(report.summary_totals, field.name) for report in (now, before))
        yield field.name, Change(*found)


def pages(side: str, roles: Sequence[str], now: Report, before: Report) -> list[Row]:
    """Return the pages of one side: those of now in their order, then those of before alone in theirs."""
    here, there = (
        {page.url: [getattr(page, role).sessions for role in roles] for page in getattr(report, f"{side}_performance")}
        for report in (now, before)
    )
    none = [0] * len(roles)
    found = []
    for url in dict.fromkeys([*here, *there]):
        where = "" if url in here and url in there else "now" if url in here else "before"
        counts = zip(here.get(url, none), there.get(url, none), strict=True)
        found.append(Row(url, where, tuple(Change(*pair) for pair in counts)))
    return found
