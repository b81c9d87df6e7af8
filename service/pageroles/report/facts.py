"""What the store knows of a domain that a plan depends on; some of it is remembered."""

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

# A domain with fewer rows is small: a second worker would cost more than it brings.
SMALL_ROWS = 100_000
# Whether a domain is small is not looked at again for so long; growing meanwhile, it is counted in one piece.
_SMALL_SECONDS = 60.0
_MOST_REMEMBERED = 10_000


class Parts(enum.Enum):
    """How the sessions of a window lie in ClickHouse's parts."""

    ONE = enum.auto()
    # One of each month.
    MERGED = enum.auto()
    MANY = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What a plan depends on.

    Attributes:
        rows: Rows of `sessions` that the window's days have, some counted twice; 0 where the domain is small.
        converting_rows: Rows of `converting_sessions`, over all history; 0 where the domain is small.
        parts: How the window's rows lie.
        ambiguous: The domain has two pages that only whole keys tell apart.
    """

    rows: int = 0
    converting_rows: int = 0
    parts: Parts = Parts.MANY
    ambiguous: bool = False


class FactFinder:
    """Looks facts up, and remembers what stays true for a while; safe to use from many threads."""

    def __init__(self, store: Store, workers: Workers) -> None:
        """Look into `store`, on threads of `workers`."""
        self._store = store
        self._workers = workers
        self._lock = threading.Lock()
        self._small: TTLCache[str, bool] = TTLCache(_MOST_REMEMBERED, _SMALL_SECONDS)
        # Pages come, they do not go: what is ambiguous stays so.
        self._ambiguous: LRUCache[str, bool] = LRUCache(_MOST_REMEMBERED)

    def find(self, query: PagesQuery, call: Call) -> Facts:
        """Return the facts that a question's plan depends on.

        Raises:
            PagerolesError: What the store could not do, or the call's end.
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
        """Tell whether a domain has so few sessions that no window of it need be cut; remembered for a minute."""
        with self._lock:
            known = self._small.get(domain)
        if known is not None:
            return known
        (rows,) = self._workers.run(call, lambda: self._numbers(statements.domain_size(domain), call))
        with self._lock:
            self._small[domain] = rows < SMALL_ROWS
        return rows < SMALL_ROWS

    def _parts(self, query: PagesQuery, call: Call) -> Parts:
        try:
            elsewhere, months, unmerged = self._numbers(statements.parts(query), call)
        except InternalError:
            # A user who may not see the parts; reading all versions is right anyway.
            return Parts.MANY
        if elsewhere or unmerged:
            return Parts.MANY
        return Parts.ONE if months <= 1 else Parts.MERGED

    def _numbers(self, statement: Statement, call: Call) -> list[int]:
        return [int(str(number)) for number in self._store.rows(statement, call)[0]]
