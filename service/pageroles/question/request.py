"""Named values → PagesRequest → PagesQuery: all validation of a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pageroles import sentences
from pageroles.errors import InvalidArgumentError
from pageroles.question import window
from pageroles.question.filters import FILTERS, Condition
from pageroles.question.model import Include, PagesQuery, TouchScope
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
    if not 0 <= values.get("limit", 0) <= MAX_LIMIT:
        raise InvalidArgumentError("limit", f"must be from 0, which is all rows, to {MAX_LIMIT:,}")
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
