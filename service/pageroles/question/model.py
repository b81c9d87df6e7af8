"""The parts of a question: frozen values, which use neither gRPC nor ClickHouse."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from datetime import UTC, datetime, timedelta

from pageroles.question.filters import Condition, Filter, Of


class TouchScope(enum.IntEnum):
    """A part of a user's journey. The numbers are those of the enum in the contract."""

    ANY = 1
    FIRST = 2
    CONVERTING = 3
    ASSIST = 4
    AFTER = 5


class Include(enum.IntEnum):
    """What an answer may carry beyond the report. The numbers are those of the enum in the contract."""

    DATA = 1
    BALANCE = 2
    LANDING = 3
    HINTS = 4


class Role(enum.IntEnum):
    """The role of a page in a session. The numbers are those of the enum in the contract."""

    CONVERSION = 1
    CONVERSION_ASSIST = 2
    LANDING_ASSISTED_CONVERSION = 3
    DROP_OFF = 4
    DROP_OFF_ASSIST = 5
    LANDING_ASSISTED_DROP_OFF = 6
    LANDING = 7


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """The time in which the sessions of a report started; both ends are included.

    Attributes:
        start: The first millisecond, UTC.
        end: The last millisecond, UTC.
        shown_end: The end as an answer shows it, which stands for `end` where it is asked for again: the second that
            `end` is the last millisecond of, or `end` itself where the end was given in milliseconds.
    """

    start: datetime
    end: datetime
    shown_end: datetime

    @property
    def is_whole_days(self) -> bool:
        """Tell whether it starts with the first millisecond of a day and ends with the last of one."""
        edges = (to_milliseconds(self.start), to_milliseconds(self.end) + 1)
        return all(edge % _MILLISECONDS_OF_A_DAY == 0 for edge in edges)


@dataclasses.dataclass(frozen=True, slots=True)
class PagesQuery:
    """A validated question about the sessions of one domain.

    Attributes:
        domain: The domain.
        window: When the sessions started.
        conditions: The filters that are set, in the order of the contract.
        touch_scope: Which sessions of each user's journey are included.
        limit: The most rows of each list; None: all.
        include: What the answer carries beyond the report.
    """

    domain: str
    window: Window
    conditions: tuple[Condition, ...] = ()
    touch_scope: TouchScope = TouchScope.ANY
    limit: int | None = None
    include: frozenset[Include] = frozenset()

    def conditions_of(self, of: Of) -> tuple[Condition, ...]:
        """Return the conditions that sessions, or conversions, must meet."""
        return tuple(condition for condition in self.conditions if condition.filter.of is of)

    def without(self, left_aside: Filter) -> PagesQuery:
        """Return the question without a value of one filter."""
        return dataclasses.replace(
            self, conditions=tuple(each for each in self.conditions if each.filter is not left_aside)
        )

    @property
    def filters_conversions(self) -> bool:
        """Tell whether "conversion" means "matching conversion" in journeys, roles and totals."""
        return bool(self.conditions_of(Of.CONVERSION))

    def tag(self, version: str) -> str:
        """Return what names the answer that a version of the data gives: 32 letters and digits."""
        window = [to_milliseconds(each) for each in (self.window.start, self.window.end, self.window.shown_end)]
        conditions = [(condition.filter.name, condition.value) for condition in self.conditions]
        told = (version, self.domain, window, conditions, int(self.touch_scope), self.limit, sorted(self.include))
        return hashlib.sha256(repr(told).encode(errors="surrogatepass")).hexdigest()[:32]

    @property
    def of_landings(self) -> PagesQuery:
        """The question whose included sessions count as landings: this one, or that of all sessions in its place."""
        if self.touch_scope not in {TouchScope.ANY, TouchScope.CONVERTING}:
            return self
        return dataclasses.replace(self, touch_scope=TouchScope.ANY, conditions=self.conditions_of(Of.SESSION))

    @property
    def counts_landings(self) -> bool:
        """Tell whether the count of its own sessions gives its landings."""
        return Include.LANDING in self.include and self == self.of_landings


@dataclasses.dataclass(frozen=True, slots=True)
class SessionsQuery:
    """Which sessions to show: those behind a number of a report.

    Attributes:
        of: The report's question.
        page: The canonical page; None: all included sessions.
        role: The role of the page; None: any of the six of a report.
        limit: The most sessions, the latest ones; None: all.
    """

    of: PagesQuery
    page: str | None = None
    role: Role | None = None
    limit: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DaysQuery:
    """What to count by day.

    Attributes:
        of: The report's question.
        page: The canonical page whose roles are counted; None: totals only.
    """

    of: PagesQuery
    page: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ValuesQuery:
    """Which values of a filter to list.

    Attributes:
        of: The question, without a value of the filter.
        filter: The filter.
        contains: Text that the values contain, in any case; empty: all do.
        limit: The most values.
    """

    of: PagesQuery
    filter: Filter
    contains: str
    limit: int


Query = PagesQuery | SessionsQuery | DaysQuery | ValuesQuery


_MILLISECONDS_OF_A_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_milliseconds(instant: datetime) -> int:
    """Return the whole milliseconds from 1970-01-01 UTC to `instant`, rounded down."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)
