"""Facts about a domain's data that a plan depends on. Some are remembered."""

from __future__ import annotations

import dataclasses
import enum
import threading
from typing import TYPE_CHECKING

from cachetools import LRUCache, TTLCache

from pageroles.errors import InternalError
from pageroles.report import statements

if TYPE_CHECKING:
    from pageroles.question.model import PagesQuery
    from pageroles.report.workers import Workers
    from pageroles.store.call import Call
    from pageroles.store.statement import Statement
    from pageroles.store.store import Store

# A domain with fewer rows is small: a second worker would cost more time than it saves.
SMALL_ROWS = 100_000
# How long a domain is remembered as small or not. One that grows meanwhile is counted as one unit, which is slower.
_SMALL_SECONDS = 60.0
_MOST_REMEMBERED = 10_000


class Parts(enum.Enum):
    """How the sessions of a window lie in ClickHouse's parts.

    Attributes:
        ONE: In one part.
        MERGED: In one part for each month.
        MANY: In several parts of a month, or in parts that are not merged or not known.
    """

    ONE = enum.auto()
    MERGED = enum.auto()
    MANY = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """The facts that a plan depends on.

    Attributes:
        rows: Rows of `sessions` in the window's days, all versions included; 0 for a small domain.
        converting_rows: Rows of `converting_sessions` over the whole history; 0 for a small domain.
        parts: How the window's rows lie in parts.
        ambiguous: Whether the domain has two pages that only whole keys tell apart.
    """

    rows: int = 0
    converting_rows: int = 0
    parts: Parts = Parts.MANY
    ambiguous: bool = False


class FactFinder:
    """Finds the facts for a question, and remembers those that rarely change; safe to use from many threads."""

    def __init__(self, store: Store, workers: Workers) -> None:
        """Query `store` on threads of `workers`."""
        self._store = store
        self._workers = workers
        self._lock = threading.Lock()
        self._small: TTLCache[str, bool] = TTLCache(_MOST_REMEMBERED, _SMALL_SECONDS)
        # Pages are added and never removed: an ambiguous domain stays so.
        self._ambiguous: LRUCache[str, bool] = LRUCache(_MOST_REMEMBERED)

    def find(self, query: PagesQuery, call: Call) -> Facts:
        """Return the facts that a question's plan depends on.

        Raises:
            PagerolesError: The store failed, or the call ended.
        """
        ambiguous = self._is_ambiguous(query.domain)
        if self._is_small(query.domain, call):
            return Facts(ambiguous=ambiguous)
        (rows, converting_rows), parts = self._workers.run_both(
            call, lambda: self._numbers(statements.sizes(query), call), lambda: self._parts(query, call)
        )
        return Facts(rows, converting_rows, parts, ambiguous)

    def remember_ambiguous(self, domain: str) -> None:
        """Remember that a domain has two pages that only whole keys tell apart."""
        with self._lock:
            self._ambiguous[domain] = True

    def _is_ambiguous(self, domain: str) -> bool:
        with self._lock:
            return self._ambiguous.get(domain, False)

    def _is_small(self, domain: str, call: Call) -> bool:
        """Return whether a domain has so few sessions that no report on it need be cut; remember it for a minute."""
        with self._lock:
            remembered = self._small.get(domain)
        if remembered is not None:
            return remembered
        (rows,) = self._workers.run(call, lambda: self._numbers(statements.domain_size(domain), call))
        with self._lock:
            self._small[domain] = rows < SMALL_ROWS
        return rows < SMALL_ROWS

    def _parts(self, query: PagesQuery, call: Call) -> Parts:
        try:
            elsewhere, months, unmerged = self._numbers(statements.parts(query), call)
        except InternalError:
            # The user may not read system.parts. Reading all versions is right in any case.
            return Parts.MANY
        if elsewhere or unmerged:
            return Parts.MANY
        return Parts.ONE if months <= 1 else Parts.MERGED

    def _numbers(self, statement: Statement, call: Call) -> list[int]:
        return [int(str(number)) for number in self._store.rows(statement, call)[0]]
