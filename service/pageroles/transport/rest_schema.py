"""The models of REST's bodies, from which the OpenAPI document is made; their docstrings stand in it."""

from __future__ import annotations

from types import GenericAlias
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec

from pageroles.question.filters import FILTERS
from pageroles.question.request import INCLUDES, MAX_LIMIT, MAX_VALUES, ROLES, SCOPES, VALUES
from pageroles.question.roles import CONVERSION_ROLES, DROP_OFF_ROLES
from pageroles.transport.faults import Code

# For the document only: `question/window.py` reads the dates, and its sentences say more.
_DATE = r"^$|^\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}(:?\d{2})?)?)?$"

Count = Annotated[int, msgspec.Meta(ge=0)]


def _text(description: str, *examples: str, pattern: str | None = None) -> msgspec.Meta:
    return msgspec.Meta(description=description, examples=list(examples) or None, pattern=pattern)


def _optional(kind: Any, meta: msgspec.Meta) -> Any:
    """Return the type of a parameter that may be left out.

    It has no default in the document, because generated clients would then require the parameter.
    """
    return Annotated[kind, meta] | msgspec.UnsetType


_START = _text(
    "Start of the window: a date (00:00:00 UTC) or an ISO 8601 date-time. Sessions that started then or later are in. "
    "Default: 30 days before now; 30 days before `end_date` where that is not later.",
    "2025-07-01",
    "2025-07-01T09:30:00Z",
    pattern=_DATE,
)
_END = _text(
    "End of the window, in the same forms. It covers the whole of what it names: a date its day, `T09:30` its minute, "
    "`T09:30:15` its second, `T09:30:15.250` its millisecond. Default: now. A window covers at most 31 days and one "
    "hour, so a month in any offset is whole; a longer one starts 30 days before `end_date`. `time_frame` shows the "
    "window that was used.",
    "2025-07-31",
    "2025-07-31T23:59:59Z",
    pattern=_DATE,
)
_SCOPE = msgspec.Meta(
    description="Which sessions of each user's journey: `any`, the default; `first`: the user's first session; "
    "`converting`: sessions with a conversion; `assist`: between the first and the first converting session; "
    "`after`: after the first converting session."
)
_LIMIT = msgspec.Meta(
    description="The most rows of each list: the first ones in its order. `omitted` says how many are left out. "
    "Default: all, which is 0, too.",
    ge=0,
    le=MAX_LIMIT,
)
_INCLUDE = msgspec.Meta(
    description="What the answer carries beyond the report; in the query string with commas between. `data`: what it "
    "was made from; `balance`: how the included sessions add up; `landing`: in each row, the sessions that landed on "
    "its page; `hints`: where no session matched, what nearly did."
)

_ROLE = msgspec.Meta(
    description="The role of the page: one of the six of a report's rows, or `landing`. Default: any of the six."
)
_MOST_SESSIONS = msgspec.Meta(
    description="The most sessions: the latest ones. Default: all, which is 0, too.", ge=0, le=MAX_LIMIT
)
_PAGE = _text("The page, in any form of its URL.", "https://example.com/pricing")
_CONTAINS = _text("Only values that contain this text, in any case.", "goo")
_MOST_VALUES = msgspec.Meta(
    description=f"The most values: the first ones. Default: {VALUES}, which is 0, too.", ge=0, le=MAX_VALUES
)


def _body(name: str, description: str, *more: tuple[str, Any]) -> Any:
    """Return the model of a body that has a question's parameters, and more."""
    fields = [
        ("start_date", _optional(str, _START)),
        ("end_date", _optional(str, _END)),
        *((each.name, _optional(str, _text(each.help, each.example))) for each in FILTERS),
        ("touch_scope", _optional(Literal[SCOPES], _SCOPE)),
        *more,
    ]
    return msgspec.defstruct(
        name,
        [(field, kind, msgspec.UNSET) for field, kind in fields],
        forbid_unknown_fields=True,
        omit_defaults=True,
        module=__name__,
        namespace={"__doc__": description},
    )


PagesBody = _body(
    "PagesBody",
    "Which sessions to look at. Every field may be left out; an empty string means: not set.\n\n"
    "Filters are exact, case-sensitive, and combined with AND.",
    ("limit", _optional(int, _LIMIT)),
    ("include", _optional(GenericAlias(list, Literal[INCLUDES]), _INCLUDE)),
)
SessionsBody = _body(
    "SessionsBody",
    "Which number to open: the question whose report has it, its page and its role.",
    ("url", _optional(str, _text(f"{_PAGE.description} Default: all included sessions.", *_PAGE.examples or ()))),
    ("role", _optional(Literal[ROLES], _ROLE)),
    ("limit", _optional(int, _MOST_SESSIONS)),
)
DaysBody = _body(
    "DaysBody",
    "What to count by day.",
    ("url", _optional(str, _text(f"{_PAGE.description} Default: totals only.", *_PAGE.examples or ()))),
)
ValuesBody = _body(
    "ValuesBody",
    "Which values to list. The question's own value of `field` is left aside.",
    (
        "field",
        _optional(Literal[tuple(each.name for each in FILTERS)], _text("The filter, which must be given.", "source")),
    ),
    ("contains", _optional(str, _CONTAINS)),
    ("limit", _optional(int, _MOST_VALUES)),
)


class TimeFrame(msgspec.Struct):
    """The window that was used, UTC, both ends included. Asked for again, it gives the same answer.

    The end covers the whole second that it names, or the millisecond.
    """

    start: Annotated[str, _text("Start.", "2025-07-01T00:00:00Z")]
    end: Annotated[str, _text("End.", "2025-07-31T23:59:59Z")]


class SummaryTotals(msgspec.Struct):
    """Totals over the included sessions."""

    total_sessions: Count
    total_users: Count
    total_conversion_events: Count
    total_conversion_users: Count


class RoleCount(msgspec.Struct):
    """In how many sessions a page had a role, and for how many distinct users."""

    sessions: Count
    users: Count


_LANDING = msgspec.Meta(
    description="The sessions that landed on the page, which a rate of it divides by; only with `landing` in `include`."
)


def _page(name: str, roles: tuple[str, ...], description: str) -> Any:
    fields: list[Any] = [
        ("url", str),
        *((role, RoleCount) for role in roles),
        ("landing", Annotated[RoleCount, _LANDING] | msgspec.UnsetType, msgspec.UNSET),
    ]
    return msgspec.defstruct(name, fields, module=__name__, namespace={"__doc__": description})


ConversionPage: Any = _page("ConversionPage", CONVERSION_ROLES, "What a page did for conversions.")
DropOffPage: Any = _page("DropOffPage", DROP_OFF_ROLES, "Where sessions ended.")


class Balance(msgspec.Struct):
    """What the included sessions are; only with `balance` in `include`.

    `included` is `converting` and `dropping_off` together, less `both`. Users do not add up: one may have sessions of
    several kinds.
    """

    included: RoleCount
    converting: RoleCount
    dropping_off: RoleCount
    both: RoleCount
    converting_without_views: RoleCount
    dropping_off_without_views: RoleCount


class DataState(msgspec.Struct):
    """What the answer was made from; only with `data` in `include`."""

    version: Annotated[
        str, _text("Equal versions of a domain mean equal answers to the same question.", "5f0c9d7e1a2b-17")
    ]
    complete_through: Annotated[
        str,
        _text("Every write that was acknowledged before this instant is in the answer.", "2025-07-31T12:00:00.250Z"),
    ]


class Hint(msgspec.Struct):
    """A value that nearly matched; only with `hints` in `include`, and where no session matched."""

    field: Annotated[str, _text("The parameter.", "source")]
    value: Annotated[str, _text("A stored value of it.", "google.com")]
    sessions: Annotated[
        Count,
        msgspec.Meta(
            description="`total_sessions` of the question with that value; 0 where it is stored outside of the window."
        ),
    ]
    sentence: Annotated[str, _text("Why it is named.", "`Google.com` matches nothing; `google.com` is stored.")]


class SessionConversion(msgspec.Struct):
    """A conversion of a session."""

    url: Annotated[str, _text("The URL on which it was tracked, as it was tracked.", "https://example.com/signup")]
    type: Annotated[str, _text("Its type.", "hubspot_form")]
    id: Annotated[str, _text("Its id.", "f1")]
    occurred_at: Annotated[str, _text("When it happened, UTC.", "2025-07-03T10:02:00Z")]


class PageSession(msgspec.Struct):
    """A session."""

    session_id: str
    user_id: str
    started_at: Annotated[str, _text("When it started, UTC.", "2025-07-03T10:00:00Z")]
    pages: Annotated[list[str], msgspec.Meta(description="The canonical pages that it viewed, in order.")]
    conversions: Annotated[
        list[SessionConversion],
        msgspec.Meta(description="In order; where a conversion filter is given, those that match."),
    ]


class PageSessions(msgspec.Struct):
    """The sessions behind a number, the latest first."""

    total: Annotated[RoleCount, msgspec.Meta(description="The number, as a report of the same data has it.")]
    sessions: list[PageSession]


class PageRoles(msgspec.Struct):
    """The roles of one page."""

    conversion: RoleCount
    conversion_assist: RoleCount
    landing_assisted_conversion: RoleCount
    drop_off: RoleCount
    drop_off_assist: RoleCount
    landing_assisted_drop_off: RoleCount


class PageDay(msgspec.Struct, omit_defaults=True):
    """The sessions of the window that started on one UTC day. Users do not add up over days."""

    date: Annotated[str, _text("The day.", "2025-07-01")]
    summary_totals: SummaryTotals
    roles: PageRoles | msgspec.UnsetType = msgspec.UNSET
    landing: RoleCount | msgspec.UnsetType = msgspec.UNSET


class PageDays(msgspec.Struct):
    """Each UTC day that the window touches, in order."""

    days: list[PageDay]


class FilterValue(msgspec.Struct):
    """A stored value of a filter."""

    value: str
    sessions: Annotated[Count, msgspec.Meta(description="`total_sessions` of the question with that value.")]


class FilterValues(msgspec.Struct):
    """Values that include at least one session, those with most sessions first."""

    values: list[FilterValue]


class OmittedPages(msgspec.Struct):
    """How many rows of each list are left out; only with `limit`."""

    conversion_performance: Count
    drop_off_performance: Count


class PagesAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The report: pages with their roles in conversions and in drop-offs, those of most sessions first."""

    time_frame: TimeFrame
    summary_totals: SummaryTotals
    conversion_performance: list[ConversionPage]
    drop_off_performance: list[DropOffPage]
    data: DataState | msgspec.UnsetType = msgspec.UNSET
    balance: Balance | msgspec.UnsetType = msgspec.UNSET
    omitted: OmittedPages | msgspec.UnsetType = msgspec.UNSET


class NoResults(msgspec.Struct, forbid_unknown_fields=True):
    """No session matched; not an error."""

    message: Literal["No page data found for the given parameters."]
    data: DataState | msgspec.UnsetType = msgspec.UNSET
    balance: Balance | msgspec.UnsetType = msgspec.UNSET
    hints: list[Hint] | msgspec.UnsetType = msgspec.UNSET


NO_RESULTS: str = get_args(get_type_hints(NoResults)["message"])[0]


_CODE = msgspec.Meta(
    description="What kind of error it is. A code stays what it is; later versions may add some.",
    extra_json_schema={"enum": [code.text for code in Code]},
)


class RejectedLine(msgspec.Struct):
    """A line that breaks a rule, and is not stored."""

    line: Annotated[int, msgspec.Meta(ge=1, description="The number of the line in the body, from 1.")]
    reason: Annotated[str, _text("What is wrong, and what is accepted.", "session_id must not be empty")]


class WrittenSessions(msgspec.Struct, omit_defaults=True):
    """What became of the lines of a body; blank ones do not count."""

    stored: Annotated[Count, msgspec.Meta(description="Sessions that are stored: all but the rejected ones.")]
    rejected: Annotated[list[RejectedLine], msgspec.Meta(description="The first 1,000 lines that are not stored.")]
    rejected_count: (
        Annotated[int, msgspec.Meta(ge=0, description="How many are not stored, where they are more than are listed.")]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class Fault(msgspec.Struct, omit_defaults=True):
    """What is wrong: a sentence that says what to change."""

    error: str
    code: Annotated[str, _CODE]
    field: Annotated[str, _text("The parameter at fault, where one is.", "start_date")] | msgspec.UnsetType = (
        msgspec.UNSET
    )


class QuotaFault(msgspec.Struct):
    """The domain's requests of this month are used up; or, with `error` and `code` alone, the server is busy."""

    error: Annotated[str, _text("What is exceeded.", "API monthly limit exceeded.")]
    code: Annotated[str, _CODE]
    limit: Count | msgspec.UnsetType = msgspec.UNSET
    used: Count | msgspec.UnsetType = msgspec.UNSET
    domain: str | msgspec.UnsetType = msgspec.UNSET
