"""Answers as Python has them: frozen values, made of the messages when they are looked at."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from pageroles.client.frames import Column, Kind, Tabular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from pageroles.v1 import pages_pb2

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, slots=True)
class RoleCount:
    """How often a page had a role.

    Attributes:
        sessions: The included sessions in which it had the role.
        users: The distinct users of those sessions.
    """

    sessions: int
    users: int


@dataclasses.dataclass(frozen=True, slots=True)
class ConversionPage:
    """What one page did for conversions.

    Attributes:
        url: The canonical page.
        conversion: A conversion happened on it.
        conversion_assist: It was visited before a conversion.
        landing_assisted_conversion: The session began on it.
        landing: The sessions that landed on it, what a rate divides by; None where `include` did not ask for it.
    """

    url: str
    conversion: RoleCount
    conversion_assist: RoleCount
    landing_assisted_conversion: RoleCount
    landing: RoleCount | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DropOffPage:
    """Where sessions ended: the roles of one page.

    Attributes:
        url: The canonical page.
        drop_off: The session ended on it.
        drop_off_assist: It was the last other page before that one.
        landing_assisted_drop_off: The session began on it.
        landing: As in `ConversionPage`.
    """

    url: str
    drop_off: RoleCount
    drop_off_assist: RoleCount
    landing_assisted_drop_off: RoleCount
    landing: RoleCount | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PageRoles:
    """The six roles of one page."""

    conversion: RoleCount
    conversion_assist: RoleCount
    landing_assisted_conversion: RoleCount
    drop_off: RoleCount
    drop_off_assist: RoleCount
    landing_assisted_drop_off: RoleCount


@dataclasses.dataclass(frozen=True, slots=True)
class TimeFrame:
    """The window that was used.

    Attributes:
        start: Its first instant, UTC.
        end: Its last second or millisecond, UTC, as a question may have it again.
    """

    start: datetime
    end: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class SummaryTotals:
    """Totals over the included sessions.

    Attributes:
        total_sessions: Included sessions.
        total_users: Their distinct users.
        total_conversion_events: The conversions in them.
        total_conversion_users: Distinct users with at least one of these conversions.
    """

    total_sessions: int
    total_users: int
    total_conversion_events: int
    total_conversion_users: int


@dataclasses.dataclass(frozen=True, slots=True)
class DataState:
    """What an answer was made from.

    Attributes:
        version: Equal versions of a domain mean equal answers to the same question, once its window is resolved.
        complete_through: Every write that was acknowledged before this instant is in the answer.
    """

    version: str
    complete_through: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Balance:
    """How the included sessions add up, as docs/semantics.md says."""

    included: RoleCount
    converting: RoleCount
    dropping_off: RoleCount
    both: RoleCount
    converting_without_views: RoleCount
    dropping_off_without_views: RoleCount


@dataclasses.dataclass(frozen=True, slots=True)
class Omitted:
    """How many rows of each list a limit leaves out."""

    conversion_performance: int
    drop_off_performance: int


@dataclasses.dataclass(frozen=True, slots=True)
class Hint:
    """A value that would have matched.

    Attributes:
        field: The filter.
        value: A stored value of it.
        sessions: The sessions that the question has with it; 0 where it is stored outside of the window only.
        sentence: Why it is named.
    """

    field: str
    value: str
    sessions: int
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True)
class Conversion:
    """One conversion of a session.

    Attributes:
        url: The URL on which it was tracked, as it was tracked; empty: none was.
        type: Its type.
        id: Its id.
        occurred_at: When it happened, UTC.
    """

    url: str
    type: str
    id: str
    occurred_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One session.

    Attributes:
        session_id: Its id.
        user_id: The id of its user.
        started_at: When it started, UTC.
        pages: The canonical pages that it viewed, in order.
        conversions: Its conversions in order; with a conversion filter, those that match.
    """

    session_id: str
    user_id: str
    started_at: datetime
    pages: tuple[str, ...]
    conversions: tuple[Conversion, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Day:
    """The sessions of one UTC day.

    Attributes:
        date: The day.
        summary_totals: Totals of its included sessions.
        roles: What the page did in them; None where the question named no page.
        landing: Its sessions that landed on the page; None likewise.
    """

    date: date
    summary_totals: SummaryTotals
    roles: PageRoles | None = None
    landing: RoleCount | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class FilterValue:
    """A stored value of a filter, and the sessions that the question has with it."""

    value: str
    sessions: int


class _Rows(Sequence[_T], Generic[_T]):
    """Rows of a message, each made a value when it is looked at."""

    def __init__(self, messages: Sequence[Any], make: Callable[[Any], _T]) -> None:
        self._messages = messages
        self._make = make

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> _T: ...

    @overload
    def __getitem__(self, index: slice) -> list[_T]: ...

    def __getitem__(self, index: int | slice) -> _T | list[_T]:
        """Return one, or some as a list."""
        if isinstance(index, slice):
            return [self._make(each) for each in self._messages[index]]
        return self._make(self._messages[index])

    def __iter__(self) -> Iterator[_T]:
        """Give all in order."""
        return map(self._make, self._messages)

    def __repr__(self) -> str:
        """Return what it is, not all that it has."""
        return f"<{type(self).__name__}: {len(self):,}>"


class Pages(_Rows[_T], Tabular):
    """One list of a report, in its order: a sequence, whose rows become values when they are looked at.

    As a table it has `url`, and for each role ROLE`_sessions` and ROLE`_users`.
    """

    def __init__(self, messages: Sequence[Any], make: Callable[[Any], _T], roles: Sequence[str]) -> None:
        """Keep the messages of the rows, how a row is made of one, and the names of its counts."""
        super().__init__(messages, make)
        self._roles = roles

    def columns(self) -> list[Column]:
        """Return the columns of its table."""
        urls = Column("url", Kind.TEXT, [each.url for each in self._messages])
        return [urls, *_count_columns(self._roles, self._messages)]


class Report(Tabular):
    """A report. Where no session is included, its lists are empty and `message` says so.

    As a table it is tidy: a row for each page and each role of its lists, with the columns `url`, `role`, `sessions`
    and `users`. The lists are tables, too, with a row a page.

    Attributes:
        response: The answer as the contract has it, streamed or not.
        plan: How the server made it, as a sentence; None where that was not asked for, or it did not say.
    """

    def __init__(self, response: pages_pb2.PagesResponse, *, landing: bool = False, plan: str | None = None) -> None:
        """Keep an answer; `landing` says whether its rows have their landings."""
        self.response = response
        self.plan = plan
        self._landing = ("landing",) if landing else ()

    @property
    def time_frame(self) -> TimeFrame | None:
        """The window that was used; None where no session is included."""
        if not self.response.HasField("time_frame"):
            return None
        frame = self.response.time_frame
        return TimeFrame(moment(frame.start), moment(frame.end))

    @property
    def summary_totals(self) -> SummaryTotals:
        """Totals over the included sessions; zeros where there are none."""
        return _totals(self.response.summary_totals)

    @property
    def conversion_performance(self) -> Pages[ConversionPage]:
        """The pages with a conversion role, those with most sessions first."""
        roles = (*CONVERSION_ROLES, *self._landing)
        return Pages(self.response.conversion_performance, functools.partial(_page, ConversionPage, roles), roles)

    @property
    def drop_off_performance(self) -> Pages[DropOffPage]:
        """The pages with a drop-off role, those with most sessions first."""
        roles = (*DROP_OFF_ROLES, *self._landing)
        return Pages(self.response.drop_off_performance, functools.partial(_page, DropOffPage, roles), roles)

    @property
    def message(self) -> str:
        """What the server says where no session is included; else empty."""
        return self.response.message

    @property
    def data(self) -> DataState | None:
        """What it was made from; None where `include` did not ask for it."""
        return data_state(self.response)

    @property
    def balance(self) -> Balance | None:
        """How the included sessions add up; None where `include` did not ask for it."""
        return _counts(Balance, self.response.balance) if self.response.HasField("balance") else None

    @property
    def omitted(self) -> Omitted | None:
        """How many rows are left out; None without a limit."""
        if not self.response.HasField("omitted"):
            return None
        omitted = self.response.omitted
        return Omitted(omitted.conversion_performance, omitted.drop_off_performance)

    @property
    def hints(self) -> tuple[Hint, ...]:
        """What nearly matched, where no session is included and `include` asks for it."""
        return tuple(Hint(each.field, each.value, each.sessions, each.sentence) for each in self.response.hints)

    def __repr__(self) -> str:
        """Return what it is, not all that it has."""
        return f"<Report: {self.message or self.summary_totals}>"

    def columns(self) -> list[Column]:
        """Return the columns of its table."""
        lists: tuple[tuple[Iterable[Any], Iterable[str]], ...] = (
            (self.response.conversion_performance, CONVERSION_ROLES),
            (self.response.drop_off_performance, DROP_OFF_ROLES),
        )
        cells = [(page.url, role, getattr(page, role)) for pages, roles in lists for page in pages for role in roles]
        if self._landing:
            # A page on both sides has the same landings there.
            landings = {page.url: page.landing for pages, _ in lists for page in pages}
            cells += [(url, "landing", count) for url, count in landings.items()]
        return [
            Column("url", Kind.TEXT, [url for url, _, _ in cells]),
            Column("role", Kind.TEXT, [role for _, role, _ in cells]),
            Column("sessions", Kind.COUNT, [count.sessions for _, _, count in cells]),
            Column("users", Kind.COUNT, [count.users for _, _, count in cells]),
        ]


class Days(_Rows[Day], Tabular):
    """A window, day by day: a sequence of `Day`, those without sessions included.

    As a table it has `date`, the four totals, and where the question named a page, `landing` and each role as
    ROLE`_sessions` and ROLE`_users`.
    """

    def __init__(self, response: pages_pb2.PageDaysResponse, *, has_page: bool) -> None:
        """Keep an answer; `has_page` says whether the question named a page."""
        super().__init__(response.days, _day)
        self.response = response
        self._has_page = has_page

    def columns(self) -> list[Column]:
        """Return the columns of its table."""
        days = self._messages
        columns = [Column("date", Kind.DATE, [date.fromisoformat(each.date) for each in days])]
        for field in dataclasses.fields(SummaryTotals):
            values = [getattr(each.summary_totals, field.name) for each in days]
            columns.append(Column(field.name, Kind.COUNT, values))
        if self._has_page:
            columns += _count_columns(ROLES, [each.roles for each in days])
            columns += _count_columns(("landing",), days)
        return columns


class Values(_Rows[FilterValue], Tabular):
    """Values of a filter, those with most sessions first: a sequence of `FilterValue`.

    As a table it has `value` and `sessions`.
    """

    def __init__(self, response: pages_pb2.FilterValuesResponse) -> None:
        """Keep an answer."""
        super().__init__(response.values, lambda each: FilterValue(each.value, each.sessions))
        self.response = response

    def columns(self) -> list[Column]:
        """Return the columns of its table."""
        return [
            Column("value", Kind.TEXT, [each.value for each in self._messages]),
            Column("sessions", Kind.COUNT, [each.sessions for each in self._messages]),
        ]


class SessionRows(Tabular):
    """Sessions as a table, with the columns of `Session`; each of `conversions` is a struct, in pandas a dict."""

    def __init__(self, sessions: Iterable[Session]) -> None:
        """Keep the sessions."""
        self._sessions = list(sessions)

    def columns(self) -> list[Column]:
        """Return the columns of its table."""
        found = self._sessions
        conversions = [[dataclasses.asdict(conversion) for conversion in each.conversions] for each in found]
        return [
            Column("session_id", Kind.TEXT, [each.session_id for each in found]),
            Column("user_id", Kind.TEXT, [each.user_id for each in found]),
            Column("started_at", Kind.TIME, [each.started_at for each in found]),
            Column("pages", Kind.TEXTS, [list(each.pages) for each in found]),
            Column("conversions", Kind.CONVERSIONS, conversions),
        ]


# ---- of messages ----


def session(message: pages_pb2.PageSession) -> Session:
    """Return the session of a message."""
    conversions = (Conversion(each.url, each.type, each.id, moment(each.occurred_at)) for each in message.conversions)
    return Session(
        message.session_id, message.user_id, moment(message.started_at), tuple(message.pages), tuple(conversions)
    )


def role_count(message: pages_pb2.RoleCount) -> RoleCount:
    """Return the count of a message."""
    return RoleCount(message.sessions, message.users)


def data_state(message: pages_pb2.PagesResponse | pages_pb2.PageSessionsResponse) -> DataState | None:
    """Return what an answer was made from; None where it does not say."""
    if not message.HasField("data"):
        return None
    return DataState(message.data.version, moment(message.data.complete_through))


def moment(message: Timestamp) -> datetime:
    """Return the instant of a message, UTC."""
    return message.ToDatetime(UTC)


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


CONVERSION_ROLES = tuple(name for name in _names(ConversionPage) if name not in {"url", "landing"})
DROP_OFF_ROLES = tuple(name for name in _names(DropOffPage) if name not in {"url", "landing"})
ROLES = _names(PageRoles)


def _counts(kind: type[_T], message: Any) -> _T:
    """Return a value whose fields are all counts."""
    return kind(**{name: role_count(getattr(message, name)) for name in _names(kind)})


def _page(kind: Callable[..., _T], names: Iterable[str], message: Any) -> _T:
    """Return a page with those of its counts that the message has."""
    counts = {name: role_count(getattr(message, name)) for name in names if message.HasField(name)}
    return kind(url=message.url, **counts)


def _totals(message: pages_pb2.SummaryTotals) -> SummaryTotals:
    return SummaryTotals(*(getattr(message, name) for name in _names(SummaryTotals)))


def _day(message: pages_pb2.PageDay) -> Day:
    return Day(
        date.fromisoformat(message.date),
        _totals(message.summary_totals),
        _counts(PageRoles, message.roles) if message.HasField("roles") else None,
        role_count(message.landing) if message.HasField("landing") else None,
    )


def _count_columns(names: Iterable[str], messages: Sequence[Any]) -> list[Column]:
    columns = []
    for name in names:
        counts = cast("list[pages_pb2.RoleCount]", [getattr(each, name) for each in messages])
        columns.append(Column(f"{name}_sessions", Kind.COUNT, [count.sessions for count in counts]))
        columns.append(Column(f"{name}_users", Kind.COUNT, [count.users for count in counts]))
    return columns
