"""Facts about a domain's data that a plan depends on. Some are remembered."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

from cachetools import LRUCache, TTLCache

from pageroles.errors import InternalError
from pageroles.report import statements
from pageroles.report.plan import SMALL_ROWS

if TYPE_CHECKING:
    from pageroles.question.model import PagesQuery
    from pageroles.report.kept import Kept
    from pageroles.report.residents import Residents
    from pageroles.report.workers import Workers
    from pageroles.store.call import Call
    from pageroles.store.statement import Statement
    from pageroles.store.store import Store

# How long a domain is remembered as small or not. One that grows meanwhile is counted as one unit, which is slower.
_SMALL_SECONDS = 60.0
_MOST_REMEMBERED = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """The facts that a plan depends on.

    Attributes:
        kept: What is kept of the domain in memory; None: nothing, or it can't be proved to be right.
        rows: Rows of `sessions` in the window's days, all versions included; 0 for a small domain.
        converting_rows: Rows of `converting_sessions` over the whole history; 0 for a small domain.
        merged: Whether the window's rows lie in one part for each month.
        ambiguous: Whether the domain has two pages that only whole keys tell apart.
    """

    kept: Kept | None = None
    rows: int = 0
    converting_rows: int = 0
    merged: bool = False
    ambiguous: bool = False


class FactFinder:
    """Finds the facts for a question, and remembers those that rarely change; safe to use from many threads."""

    def __init__(self, store: Store, workers: Workers, residents: Residents) -> None:
        """Query `store` on threads of `workers`; know what is kept in memory."""
        self._store = store
        self._residents = residents
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
        if (kept := self._residents.fresh(query.domain, call)) is not None:
            return Facts(kept=kept)
        ambiguous = self._is_ambiguous(query.domain)
        if self._is_small(query.domain, call):
            return Facts(ambiguous=ambiguous)
        (rows, converting_rows), merged = self._workers.run_both(
            call, lambda: self._numbers(statements.sizes(query), call), lambda: self._is_merged(query, call)
        )
        return Facts(rows=rows, converting_rows=converting_rows, merged=merged, ambiguous=ambiguous)

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

    def _is_merged(self, query: PagesQuery, call: Call) -> bool:
        try:
            elsewhere, unmerged = self._numbers(statements.parts(query), call)
        except InternalError:
            # The user may not read system.parts. Reading all versions is right in any case.
            return False
        return not elsewhere and not unmerged

    def _numbers(self, statement: Statement, call: Call) -> list[int]:
        return [int(str(number)) for number in self._store.rows(statement, call)[0]]
