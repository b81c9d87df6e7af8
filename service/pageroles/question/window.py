"""Dates of a request → the window that a report covers. Pure: the caller tells the time."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta

from pageroles import sentences
from pageroles.errors import InvalidArgumentError
from pageroles.question.model import Window

# A month in any offset, with a change of the clock in it.
MAX_SPAN = timedelta(days=31, hours=1)
# What a longer window is cut to, and what a window without a start reaches back.
DEFAULT_SPAN = timedelta(days=30)

_ACCEPTED = "a date (2025-07-01) or an ISO 8601 date-time (2025-07-01T09:30:00Z, 2025-07-01T09:30:00+02:00)"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?P<second>:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}(:?\d{2})?)?", re.ASCII
)
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
    """A date as it was given.

    Attributes:
        first: The first instant that it names, UTC, in whole milliseconds.
        length: How long the time is that it names: a day, a minute, a second or a millisecond.
    """

    first: datetime
    length: timedelta

    @property
    def last(self) -> datetime:
        """Return the last millisecond that it names."""
        # The last millisecond of the year 9999 exists; the one after it does not.
        return self.first + (self.length - _MILLISECOND)


def resolve(start_date: str, end_date: str, now: datetime) -> Window:
    """Return the window that two dates of a request stand for.

    Args:
        start_date: `YYYY-MM-DD` or an ISO 8601 date-time, UTC where it has no offset; empty: 30 days before
            `now`, or before the end where the end is not later than that.
        end_date: The same forms; it covers the whole day, minute, second or millisecond that it names. Empty: `now`.
        now: The present, with a time zone; its fraction of a second is dropped.

    Returns:
        The window. Where it would reach over more than 31 days and one hour, from the start to the last millisecond
        of the end, it starts 30 days before the end as given (a date alone counts as its midnight). The dates that an
        answer shows for it stand for the same window.

    Raises:
        InvalidArgumentError: A date that can't be read or doesn't exist, or a start after the end.
    """
    present = now.astimezone(UTC).replace(microsecond=0)
    end = _read("end_date", end_date) if end_date else _Given(present, _SECOND)
    if start_date:
        start = _read("start_date", start_date).first
    else:
        default = present - DEFAULT_SPAN
        start = default if end.first > default else _before(end.first)

    if start > end.last:
        raise InvalidArgumentError(
            "start_date" if start_date else "end_date",
            f"the window starts at {_shown(start)}, after its end {'at' if end_date else 'now,'} {_shown(end.last)}; "
            f"give a start_date that is not later than {'the end_date' if end_date else 'now'}",
        )
    if end.last - start > MAX_SPAN:
        start = _before(end.first)
    shown_end = end.last if end.length == _MILLISECOND else end.last.replace(microsecond=0)
    return Window(start=start, end=end.last, shown_end=shown_end)


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def first_instant(field: str, text: str) -> datetime:
    """Return the first instant that a date names, UTC, in whole milliseconds.

    Args:
        field: The date's name, for the error.
        text: A date in one of the forms of a window's start.

    Raises:
        InvalidArgumentError: The date can't be read or doesn't exist.
    """
    return _read(field, text).first


def _before(end: datetime) -> datetime:
    """Return the instant 30 days before `end`, or the first that exists."""
    first = datetime.min.replace(tzinfo=UTC)
    return end - DEFAULT_SPAN if end - first > DEFAULT_SPAN else first


def _read(field: str, text: str) -> _Given:
    """Read one date of a request."""
    is_date = _DATE.fullmatch(text) is not None
    date_time = _DATE_TIME.fullmatch(text)
    if not is_date and date_time is None:
        raise InvalidArgumentError(field, f"can't read {sentences.shown(text)} as a date; give {_ACCEPTED}")
    try:
        instant = datetime.fromisoformat(text.upper())
        instant = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgumentError(field, f"there is no date {sentences.shown(text)}; give {_ACCEPTED}") from None
    instant = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    if date_time is None:
        length = _DAY
    elif date_time["second"] is None:
        length = _MINUTE
    else:
        # An answer shows no fraction that is zero: such a date names the second.
        length = _MILLISECOND if instant.microsecond else _SECOND
    return _Given(instant, length)
