"""Dates of a request → the window that a report covers. Pure: the caller says what time it is."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta

from pageroles import sentences
from pageroles.errors import InvalidArgumentError
from pageroles.question.model import Window

MAX_SPAN = timedelta(days=30)

_ACCEPTED = "a date (2025-07-01) or an ISO 8601 date-time (2025-07-01T09:30:00Z, 2025-07-01T09:30:00+02:00)"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}(:?\d{2})?)?", re.ASCII
)
_MILLISECOND = timedelta(milliseconds=1)


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
    """A date as it was given: the instant it names, and whether it was a date alone."""

    instant: datetime
    is_date: bool


def resolve(start_date: str, end_date: str, now: datetime) -> Window:
    """Return the window that two dates of a request stand for.

    Args:
        start_date: `YYYY-MM-DD` or an ISO 8601 date-time, UTC where it has no offset; empty: 30 days before
            `now`, or before the end where the end is not later than that.
        end_date: The same forms; a date alone covers its whole day; empty: `now`.
        now: The present, with a time zone; its fraction of a second is dropped.

    Returns:
        The window. Where it would span more than 30 days from start to end as given (a date alone counting as
        its midnight), it starts 30 days before the end as given.

    Raises:
        InvalidArgumentError: A date that can't be read or doesn't exist, or a start after the end.
    """
    present = now.astimezone(UTC).replace(microsecond=0)
    end = _read("end_date", end_date) if end_date else _Given(present, is_date=False)
    if start_date:
        start = _read("start_date", start_date).instant
    else:
        default = present - MAX_SPAN
        start = default if end.instant > default else _before(end.instant)

    covered_end = end.instant + timedelta(days=1) - _MILLISECOND if end.is_date else end.instant
    if start > covered_end:
        raise InvalidArgumentError(
            "start_date" if start_date else "end_date",
            f"the window starts at {start.isoformat()}, after its end at {covered_end.isoformat()}; "
            "give a start_date that is not later than the end_date",
        )
    if end.instant - start > MAX_SPAN:
        start = _before(end.instant)
    return Window(
        start=start,
        end=covered_end,
        shown_end=covered_end.replace(microsecond=0) if end.is_date else covered_end,
    )


def _before(end: datetime) -> datetime:
    """Return the instant a whole span before `end`, or the first that exists."""
    first = datetime.min.replace(tzinfo=UTC)
    return end - MAX_SPAN if end - first > MAX_SPAN else first


def _read(field: str, text: str) -> _Given:
    """Read one date of a request, in whole milliseconds of UTC."""
    is_date = _DATE.fullmatch(text) is not None
    if not is_date and _DATE_TIME.fullmatch(text) is None:
        raise InvalidArgumentError(field, f"can't read {sentences.shown(text)} as a date; give {_ACCEPTED}")
    try:
        instant = datetime.fromisoformat(text.upper())
        instant = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        if is_date:
            # The day must have an end that can be told.
            instant + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidArgumentError(field, f"there is no date {sentences.shown(text)}; give {_ACCEPTED}") from None
    return _Given(instant.replace(microsecond=instant.microsecond // 1000 * 1000), is_date)
