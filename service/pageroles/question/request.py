"""PagesRequest ↔ PagesQuery: all validation of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pageroles.errors import InvalidArgumentError
from pageroles.question import window
from pageroles.question.model import ConversionFilters, PagesQuery, SessionFilters, TouchScope

if TYPE_CHECKING:
    from datetime import datetime

    from pageroles.v1 import pages_pb2

# Longer than any value that the loader stores.
MAX_FILTER_BYTES = 8192


def to_query(request: pages_pb2.PagesRequest, domain: str, now: datetime) -> PagesQuery:
    """Return the question that a request asks about a domain.

    Raises:
        InvalidArgumentError: A field is wrong; the first one in the order of the contract is named.
    """
    covered = window.resolve(request.start_date, request.end_date, now)
    return PagesQuery(
        domain=domain,
        window=covered,
        conversions=ConversionFilters(
            conversion_page=_filter("conversion_page", request.conversion_page),
            meta_type=_filter("meta_type", request.meta_type),
            meta_id=_filter("meta_id", request.meta_id),
        ),
        sessions=SessionFilters(
            source=_filter("source", request.source),
            medium=_filter("medium", request.medium),
            campaign=_filter("campaign", request.campaign),
            content=_filter("content", request.content),
            term=_filter("term", request.term),
            landing_page=_filter("landing_page", request.landing_page),
        ),
        touch_scope=_touch_scope(request.touch_scope),
    )


def _filter(field: str, value: str) -> str:
    """Return a filter's value; the names of the fields are those of the contract."""
    if len(value.encode()) > MAX_FILTER_BYTES:
        raise InvalidArgumentError(field, f"longer than any stored value; give at most {MAX_FILTER_BYTES:,} bytes")
    return value


def _touch_scope(number: int) -> TouchScope:
    """Return the scope for a number of the contract's enum."""
    if number == 0:
        return TouchScope.ANY
    try:
        return TouchScope(number)
    except ValueError:
        accepted = ", ".join(f"TOUCH_SCOPE_{scope.name} ({scope.value})" for scope in TouchScope)
        raise InvalidArgumentError("touch_scope", f"there is no scope {number}; give one of {accepted}") from None
