"""What a question is made of: frozen values that know nothing of gRPC or ClickHouse."""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, datetime, timedelta


class TouchScope(enum.IntEnum):
    """A part of a user's journey; the values are those of the enum in the contract."""

    ANY = 1
    FIRST = 2
    CONVERTING = 3
    ASSIST = 4
    AFTER = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """The time in which the sessions of a report started; both ends are included.

    Attributes:
        start: First instant, UTC, in whole milliseconds.
        end: Last instant, UTC, in whole milliseconds.
        shown_end: The end as an answer shows it: 23:59:59 where `end` is the last millisecond of a day that
            was given as a date alone, else `end`.
    """

    start: datetime
    end: datetime
    shown_end: datetime

    @property
    def is_whole_days(self) -> bool:
        """Tell whether it starts with the first instant of a day and ends with the last of one."""
        edges = (to_milliseconds(self.start), to_milliseconds(self.end) + 1)
        return all(edge % _MILLISECONDS_OF_A_DAY == 0 for edge in edges)


@dataclasses.dataclass(frozen=True, slots=True)
class SessionFilters:
    """Exact values that a session must have; an empty string sets no condition."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    content: str = ""
    term: str = ""
    landing_page: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ConversionFilters:
    """Exact values that one conversion must have all together; an empty string sets no condition.

    Where any is set, "conversion" means "matching conversion" in journeys, roles and totals.
    """

    conversion_page: str = ""
    meta_type: str = ""
    meta_id: str = ""

    def __bool__(self) -> bool:
        """Tell whether any condition is set."""
        return bool(self.conversion_page or self.meta_type or self.meta_id)


@dataclasses.dataclass(frozen=True, slots=True)
class PagesQuery:
    """A validated question about the sessions of one domain."""

    domain: str
    window: Window
    sessions: SessionFilters = SessionFilters()
    conversions: ConversionFilters = ConversionFilters()
    touch_scope: TouchScope = TouchScope.ANY


@dataclasses.dataclass(frozen=True, slots=True)
class QuotaState:
    """A domain's quota after a request.

    Attributes:
        domain: The domain.
        limit: Requests a month.
        used: Requests of this month, this one included.
        resets_at: When the month is over, UTC.
    """

    domain: str
    limit: int
    used: int
    resets_at: datetime

    @property
    def remaining(self) -> int:
        """Requests left this month."""
        return max(self.limit - self.used, 0)


_MILLISECONDS_OF_A_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_milliseconds(instant: datetime) -> int:
    """Return the whole milliseconds from 1970-01-01 UTC to `instant`, rounded down."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)
