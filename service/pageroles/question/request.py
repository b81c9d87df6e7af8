"""Named values → PagesRequest → PagesQuery: all validation of a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pageroles import sentences
from pageroles.errors import InvalidArgumentError
from pageroles.question import window
from pageroles.question.filters import FILTERS, Condition
from pageroles.question.model import DaysQuery, Include, PagesQuery, Role, SessionsQuery, TouchScope, ValuesQuery
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Longer than any value that the loader stores.
MAX_FILTER_BYTES = 8192

_QUERY_OR_FRAGMENT = re.compile(r"[?#].*", re.DOTALL)

SCOPES = tuple(scope.name.lower() for scope in TouchScope)
INCLUDES = tuple(each.name.lower() for each in Include)
MAX_LIMIT = (1 << 32) - 1
ROLES = tuple(role.name.lower() for role in Role)
# How many values of a filter are listed, and how many at most.
VALUES = 100
MAX_VALUES = 1000


def to_request(parameters: Mapping[str, Any]) -> pages_pb2.PagesRequest:
    """Return the request that named values stand for.

    Args:
        parameters: Texts by their names in the contract, `touch_scope` by its short name, such as `any`; `limit` as a
            number, and `include` as a list of short names, such as `balance`. What is left out is not set.

    Raises:
        InvalidArgumentError: There is no such scope, the limit is out of range, or there is no such thing to include.
    """
    values = dict(parameters)
    scope = values.pop("touch_scope", SCOPES[0])
    if scope not in SCOPES:
        accepted = ", ".join(SCOPES)
        raise InvalidArgumentError("touch_scope", f"there is no scope {sentences.shown(scope)}; give one of {accepted}")
    _check_limit(values.get("limit", 0))
    include = values.pop("include", ())
    for name in include:
        if name not in INCLUDES:
            accepted = ", ".join(INCLUDES)
            raise InvalidArgumentError("include", f"there is no {sentences.shown(name)} to include; give {accepted}")
    return pages_pb2.PagesRequest(
        **values,
        touch_scope=pages_pb2.TouchScope.Name(TouchScope[scope.upper()]),
        include=[pages_pb2.Include.Name(Include[name.upper()]) for name in include],
    )


def to_sessions_request(parameters: Mapping[str, Any]) -> pages_pb2.PageSessionsRequest:
    """Return the request that named values stand for: those of a question, `url`, `role` by its name, and `limit`.

    Raises:
        InvalidArgumentError: As for `to_request`; or there is no such role.
    """
    own, question = _apart(parameters, "url", "role", "limit")
    role = own.pop("role", "")
    if role and role not in ROLES:
        raise InvalidArgumentError("role", f"there is no role {sentences.shown(role)}; give one of {', '.join(ROLES)}")
    return pages_pb2.PageSessionsRequest(
        question=to_request(question),
        role=pages_pb2.Role.Name(Role[role.upper()]) if role else pages_pb2.ROLE_UNSPECIFIED,
        **own,
    )


def to_days_request(parameters: Mapping[str, Any]) -> pages_pb2.PageDaysRequest:
    """Return the request that named values stand for: those of a question, and `url`.

    Raises:
        InvalidArgumentError: As for `to_request`.
    """
    own, question = _apart(parameters, "url")
    return pages_pb2.PageDaysRequest(question=to_request(question), **own)


def to_values_request(parameters: Mapping[str, Any]) -> pages_pb2.FilterValuesRequest:
    """Return the request that named values stand for: those of a question, `field`, `contains` and `limit`.

    Raises:
        InvalidArgumentError: As for `to_request`.
    """
    own, question = _apart(parameters, "field", "contains", "limit")
    return pages_pb2.FilterValuesRequest(question=to_request(question), **own)


def _apart(parameters: Mapping[str, Any], *names: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of some names, and the others."""
    own = {name: value for name, value in parameters.items() if name in names}
    _check_limit(own.get("limit", 0))
    return own, {name: value for name, value in parameters.items() if name not in names}


def _check_limit(limit: int) -> None:
    if not 0 <= limit <= MAX_LIMIT:
        raise InvalidArgumentError("limit", f"must be from 0, which is no limit, to {MAX_LIMIT:,}")


def to_query(request: pages_pb2.PagesRequest, domain: str, now: datetime) -> PagesQuery:
    """Return the question that a request asks about a domain.

    Raises:
        InvalidArgumentError: A field is wrong; the first one in the order of the contract is named.
    """
    covered = window.resolve(request.start_date, request.end_date, now)
    conditions = []
    for each in FILTERS:
        value: str = getattr(request, each.name)
        if not value:
            continue
        if len(value.encode()) > MAX_FILTER_BYTES:
            raise InvalidArgumentError(
                each.name, f"longer than any stored value; give at most {MAX_FILTER_BYTES:,} bytes"
            )
        conditions.append(Condition(each, canonical(value) if each.is_page else value))
    return PagesQuery(
        domain=domain,
        window=covered,
        conditions=tuple(conditions),
        touch_scope=_touch_scope(request.touch_scope),
        limit=request.limit or None,
        include=frozenset(_include(number) for number in request.include if number),
    )


def to_sessions_query(request: pages_pb2.PageSessionsRequest, domain: str, now: datetime) -> SessionsQuery:
    """Return which sessions a request asks for.

    Raises:
        InvalidArgumentError: A field is wrong.
    """
    of = _without_more(request.question, domain, now)
    page = _page(request.url)
    role = _role(request.role)
    if role is not None and page is None:
        raise InvalidArgumentError("role", "is that of a page; give `url` too, or leave the role out")
    return SessionsQuery(of, page, role, request.limit or None)


def to_days_query(request: pages_pb2.PageDaysRequest, domain: str, now: datetime) -> DaysQuery:
    """Return what a request asks to count by day.

    Raises:
        InvalidArgumentError: A field is wrong.
    """
    return DaysQuery(_without_more(request.question, domain, now), _page(request.url))


def to_values_query(request: pages_pb2.FilterValuesRequest, domain: str, now: datetime) -> ValuesQuery:
    """Return which values a request asks for.

    Raises:
        InvalidArgumentError: A field is wrong.
    """
    of = _without_more(request.question, domain, now)
    named = {each.name: each for each in FILTERS}
    if not request.field:
        raise InvalidArgumentError("field", f"is missing; give one of {', '.join(named)}")
    if request.field not in named:
        raise InvalidArgumentError("field", sentences.unknown_name("filter", request.field, tuple(named)))
    if len(request.contains.encode()) > MAX_FILTER_BYTES:
        raise InvalidArgumentError("contains", f"longer than any stored value; give at most {MAX_FILTER_BYTES:,} bytes")
    if request.limit > MAX_VALUES:
        raise InvalidArgumentError("limit", f"must be at most {MAX_VALUES:,}; `contains` leaves fewer values")
    return ValuesQuery(
        of.without(named[request.field]), named[request.field], request.contains, request.limit or VALUES
    )


def _without_more(question: pages_pb2.PagesRequest, domain: str, now: datetime) -> PagesQuery:
    """Return a question whose answer is no report."""
    if question.limit:
        raise InvalidArgumentError("question.limit", "has no meaning here; leave it out")
    if question.include:
        raise InvalidArgumentError("question.include", "has no meaning here; leave it out")
    return to_query(question, domain, now)


def _page(url: str) -> str | None:
    if len(url.encode()) > MAX_FILTER_BYTES:
        raise InvalidArgumentError("url", f"longer than any stored page; give at most {MAX_FILTER_BYTES:,} bytes")
    return canonical(url) if url else None


def _role(number: int) -> Role | None:
    """Return the role for a number of the contract's enum."""
    if number == 0:
        return None
    try:
        return Role(number)
    except ValueError:
        accepted = ", ".join(f"ROLE_{role.name} ({role.value})" for role in Role)
        raise InvalidArgumentError("role", f"there is no role {number}; give one of {accepted}") from None


def canonical(url: str) -> str:
    """Return the canonical page of a URL, as the store has it (docs/semantics.md)."""
    return _QUERY_OR_FRAGMENT.sub("", url).rstrip("/") or "/"


def _include(number: int) -> Include:
    """Return what a number of the contract's enum asks for."""
    try:
        return Include(number)
    except ValueError:
        accepted = ", ".join(f"INCLUDE_{each.name} ({each.value})" for each in Include)
        raise InvalidArgumentError("include", f"there is no {number} to include; give {accepted}") from None


def _touch_scope(number: int) -> TouchScope:
    """Return the scope for a number of the contract's enum."""
    if number == 0:
        return TouchScope.ANY
    try:
        return TouchScope(number)
    except ValueError:
        accepted = ", ".join(f"TOUCH_SCOPE_{scope.name} ({scope.value})" for scope in TouchScope)
        raise InvalidArgumentError("touch_scope", f"there is no scope {number}; give one of {accepted}") from None
