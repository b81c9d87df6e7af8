"""What nearly matched, where no session did."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from pageroles.question.request import canonical
from pageroles.report import statements
from pageroles.report.plan import InMemory
from pageroles.sentences import shown
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.question.filters import Condition, Filter
    from pageroles.question.model import PagesQuery
    from pageroles.report.plan import Plan
    from pageroles.report.values import ValueFinder
    from pageroles.report.workers import Workers
    from pageroles.store.call import Call
    from pageroles.store.store import Store

MOST = 10
# The values of a filter that are compared: those with most sessions of those that contain the given one.
_COMPARED = 1000
_URL_AS_TRACKED = "conversion_page"
# The scheme and the host of a URL, or a host alone: what has a dot and stands before the first slash.
_SITE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*|[^/?#]*\.[^/?#]*(?=/)")


class HintFinder:
    """Finds values that an empty answer's question nearly has."""

    def __init__(self, store: Store, workers: Workers, values: ValueFinder) -> None:
        """Look for values in `store`, on threads of `workers`."""
        self._store = store
        self._workers = workers
        self._values = values

    def find(self, query: PagesQuery, plan: Plan, call: Call) -> list[pages_pb2.Hint]:
        """Return the hints for a question that includes no session, at most ten.

        Values that differ a little come first, and then those that are stored outside of the window. The former are
        left out where they would take a reading of a large domain each.

        Raises:
            PagerolesError: The store failed, or the call ended.
        """
        hints: list[pages_pb2.Hint] = []
        if finds_all(plan):
            for condition in query.conditions:
                hints += self._alike(query, condition, plan, call)
            if not hints and len(query.conditions) > 1:
                # Several may be wrong at once.
                for condition in query.conditions:
                    alone = dataclasses.replace(query, conditions=(condition,))
                    hints += self._alike(alone, condition, plan, call, is_alone=True)
        for condition in query.conditions:
            hints += self._elsewhere(query, condition, call)
        return hints[:MOST]

    def _alike(
        self, query: PagesQuery, condition: Condition, plan: Plan, call: Call, *, is_alone: bool = False
    ) -> Iterator[pages_pb2.Hint]:
        """Give the stored values that differ a little from the given one.

        `is_alone`: other filters are left out of the question; with them no session is included.
        """
        asked, given = condition
        core = _core_of(asked, given)
        if not core:
            return
        top = self._values.top(query.without(asked), asked, plan, call, contains=core, limit=_COMPARED)
        for value, sessions in top:
            if differs := difference(asked, given, value):
                yield pages_pb2.Hint(
                    field=asked.name,
                    value=value,
                    sessions=0 if is_alone else sessions,
                    sentence=f"{shown(value)} is stored: it differs from {shown(given)} {differs}"
                    + (", and the other filters leave none of its sessions" if is_alone else ""),
                )

    def _elsewhere(self, query: PagesQuery, condition: Condition, call: Call) -> Iterator[pages_pb2.Hint]:
        """Give the value if it is stored, but in no session of the window."""
        statement = statements.times_of(query, condition)
        ((within, everywhere, first, last),) = self._workers.run(call, lambda: self._store.rows(statement, call))
        if not int(str(within)) and int(str(everywhere)):
            asked, value = condition
            days = [statements.day_of(int(str(each))).isoformat() for each in (first, last)]
            when = f"on {days[0]}" if days[0] == days[1] else f"from {days[0]} to {days[1]}"
            yield pages_pb2.Hint(
                field=asked.name,
                value=value,
                sessions=0,
                sentence=f"sessions with {shown(value)} started {when}, and none in the window",
            )


def finds_all(plan: Plan) -> bool:
    """Tell whether a plan has all hints, or those are left out that would take a reading of a large domain each."""
    return isinstance(plan, InMemory) or not plan.large


def difference(asked: Filter, given: str, stored: str) -> str | None:
    """Tell how a stored value differs from the given one; None where it is the same, or differs a lot."""
    if given == stored or _core_of(asked, given).casefold() != _core_of(asked, stored).casefold():
        return None
    found = []
    if given.strip() != given or stored.strip() != stored:
        found.append("in the space around it")
    if asked.name == _URL_AS_TRACKED and _tail(given) != _tail(stored):
        found.append("in what follows its path")
    elif given.strip().rstrip("/").casefold() == stored.strip().rstrip("/").casefold() and (
        given.strip().endswith("/") != stored.strip().endswith("/")
    ):
        found.append("in the slash at its end")
    if asked.name == _URL_AS_TRACKED or asked.is_page:
        sites = [(_SITE.match(value.strip()) or [""])[0] for value in (given, stored)]
        if sites[0].casefold() != sites[1].casefold():
            found.append("in the site before its path")
        elif sites[0] != sites[1] and _core_of(asked, given) == _core_of(asked, stored):
            found.append("in upper and lower case")
    if _core_of(asked, given) != _core_of(asked, stored):
        found.append("in upper and lower case")
    return " and ".join(found) or None


def _core_of(asked: Filter, value: str) -> str:
    """Return what two values that differ a little have in common, but for upper and lower case."""
    value = value.strip()
    if asked.name == _URL_AS_TRACKED or asked.is_page:
        value = _SITE.sub("", canonical(value))
    return value.rstrip("/")


def _tail(url: str) -> str:
    """Return the query string and the fragment of a URL, and what is cut from the end of its path."""
    url = url.strip()
    return url.removeprefix(canonical(url))
