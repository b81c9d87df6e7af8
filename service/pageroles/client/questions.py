"""Parameters → the requests of the contract. What only the server can judge, it judges."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pageroles.client.errors import InvalidArgumentError
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TouchScope = Literal["any", "first", "converting", "assist", "after"]
Include = Literal["data", "balance", "landing", "hints"]
Role = Literal[
    "conversion", "conversion_assist", "landing_assisted_conversion", "drop_off", "drop_off_assist",
    "landing_assisted_drop_off", "landing",
]  # fmt: skip
Field = Literal[
    "conversion_page", "meta_type", "meta_id", "source", "medium", "campaign", "content", "term", "landing_page"
]

_MOST = (1 << 32) - 1


class Question(TypedDict, total=False):
    """Which sessions to look at, by the names of the API. What is left out, or None, is not set.

    The two dates are texts, as the API takes them, dates, or datetimes with a time zone. Each filter matches exactly,
    and all that are given must match.

    Attributes:
        start_date: Start of the window. Default: 30 days before now, or before an earlier end.
        end_date: End of the window, which covers the whole of what it names, such as a day. Default: now.
        conversion_page: The URL on which a conversion was tracked, as it was tracked.
        meta_type: A conversion's type.
        meta_id: A conversion's id.
        source: The effective source.
        medium: The effective medium.
        campaign: `utm_campaign`.
        content: `utm_content`.
        term: `utm_term`.
        landing_page: The page on which the session began, in any form of its URL.
        touch_scope: Which sessions of each user's journey to include: `any`, `first`, `converting`, `assist` or
            `after`.
    """

    start_date: str | date | datetime | None
    end_date: str | date | datetime | None
    conversion_page: str | None
    meta_type: str | None
    meta_id: str | None
    source: str | None
    medium: str | None
    campaign: str | None
    content: str | None
    term: str | None
    landing_page: str | None
    touch_scope: TouchScope | None


def pages_request(
    question: Mapping[str, Any], limit: int | None = None, include: Iterable[str] = ()
) -> pages_pb2.PagesRequest:
    """Return the request of a question.

    Raises:
        InvalidArgumentError: A scope or something to include that there is not, a number out of range, or a datetime
            without a time zone.
        TypeError: A parameter that there is not, or of a wrong type.
    """
    values = {name: value for name, value in question.items() if value is not None}
    known = Question.__annotations__
    if unknown := values.keys() - known.keys():
        raise TypeError(f"a question has no parameter {min(unknown)!r}; known are {', '.join(known)}")
    for name in ("start_date", "end_date"):
        if isinstance(given := values.get(name), date):
            values[name] = _written(name, given)
    for name, given in values.items():
        _text(name, given)
    if "touch_scope" in values:
        values["touch_scope"] = _member("touch_scope", "TOUCH_SCOPE_", pages_pb2.TouchScope, values["touch_scope"])
    if isinstance(include, str):
        raise TypeError("include is a list of names, such as ['balance']")
    included = [_member("include", "INCLUDE_", pages_pb2.Include, name) for name in include]
    return pages_pb2.PagesRequest(**values, limit=_limit(limit), include=included)


def sessions_request(
    question: Mapping[str, Any], url: str, role: str | None, limit: int | None
) -> pages_pb2.PageSessionsRequest:
    """Return the request for the sessions behind a number; raises as `pages_request` does."""
    number: Any = 0 if role is None else _member("role", "ROLE_", pages_pb2.Role, role)
    return pages_pb2.PageSessionsRequest(
        question=pages_request(question), url=_text("url", url), role=number, limit=_limit(limit)
    )


def days_request(question: Mapping[str, Any], url: str) -> pages_pb2.PageDaysRequest:
    """Return the request for a window day by day; raises as `pages_request` does."""
    return pages_pb2.PageDaysRequest(question=pages_request(question), url=_text("url", url))


def values_request(
    field: str, question: Mapping[str, Any], contains: str, limit: int | None
) -> pages_pb2.FilterValuesRequest:
    """Return the request for the values of a filter; raises as `pages_request` does."""
    return pages_pb2.FilterValuesRequest(
        question=pages_request(question),
        field=_text("field", field),
        contains=_text("contains", contains),
        limit=_limit(limit),
    )


def _text(name: str, given: object) -> str:
    """Return a text as it is. Protobuf, too, refuses what is none, but does not say what it is about."""
    if not isinstance(given, str):
        raise TypeError(f"{name} must be a str, not {type(given).__name__}")
    return given


def _written(name: str, given: date) -> str:
    if isinstance(given, datetime) and given.utcoffset() is None:
        raise InvalidArgumentError(f"{name}: a datetime needs a time zone, such as tzinfo=datetime.UTC", field=name)
    return given.isoformat()


def _limit(limit: int | None) -> int:
    if not isinstance(limit, int | None) or isinstance(limit, bool):
        raise TypeError(f"limit must be an int, not {type(limit).__name__}")
    if not 0 <= (limit or 0) <= _MOST:
        raise InvalidArgumentError(f"limit: must be from 0, which is no limit, to {_MOST:,}", field="limit")
    return limit or 0


def _member(field: str, prefix: str, enum: Any, name: str) -> Any:
    """Return the number of an enum's member by its short name."""
    _text(field, name)
    names = [each.removeprefix(prefix).lower() for each, number in enum.items() if number]
    if name not in names:
        raise InvalidArgumentError(f"{field}: there is no {name!r}; known are {', '.join(names)}", field=field)
    return enum.Value(f"{prefix}{name.upper()}")
