"""Walks over a domain's sessions in the core's columns: for all questions that are no report.

A domain in memory is there as a whole. Another one is read from the store in ranges of users, each of which is walked
over and dropped. All sessions of a user are in one range, so what the walks find adds up exactly.
"""

from __future__ import annotations

import collections
import math
import threading
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from pageroles import _core
from pageroles.report import statements
from pageroles.report.names import feed
from pageroles.report.plan import InMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.question.model import PagesQuery
    from pageroles.report.plan import Plan
    from pageroles.report.workers import Workers
    from pageroles.store.call import Call
    from pageroles.store.store import Store

# A row takes some 200 bytes while it is read.
_ROWS_AT_ONCE = 500_000


class Found(Protocol):
    """What walks over some users find."""

    def merge(self, other: Self) -> None:
        """Add what was found of other users."""


F = TypeVar("F", bound=Found)
T = TypeVar("T")


class Walks:
    """Walks over the sessions of domains; safe to use from many threads."""

    def __init__(self, store: Store, workers: Workers) -> None:
        """Read from `store` on threads of `workers`."""
        self._store = store
        self._workers = workers
        # A large walk uses all cores: several end no later one after the other, and take the memory of one.
        self._turn = threading.Semaphore()

    def find(
        self,
        query: PagesQuery,
        plan: Plan,
        call: Call,
        new: Callable[[], F],
        walk: Callable[[_core.Resident, F, int], None],
    ) -> F:
        """Return what is found in all sessions of a domain.

        Args:
            query: The question: sessions that no question with its domain, window and scope needs may be left out.
            plan: Where the sessions come from.
            call: Ends the queries in time.
            new: Returns what was found in no session.
            walk: Walks over sessions, and adds what it finds; the number is that of threads to use.

        Raises:
            PagerolesError: The store failed, or the call ended; no query of it keeps running.
        """
        call.watcher.planned(plan.source)
        with call.watcher.stage("count"):
            return self._find(query, plan, call, new, walk)

    def _find(
        self,
        query: PagesQuery,
        plan: Plan,
        call: Call,
        new: Callable[[], F],
        walk: Callable[[_core.Resident, F, int], None],
    ) -> F:
        if isinstance(plan, InMemory):
            call.watcher.read(plan.kept.sessions)
            found = new()
            self.in_turn(plan, call, lambda: walk(plan.kept.resident, found, plan.threads))
            return found
        (rows,) = self._workers.run(call, lambda: self._store.rows(statements.domain_size(query.domain), call)[0])
        ranges = statements.key_ranges(max(math.ceil(int(str(rows)) / _ROWS_AT_ONCE), 1))
        call.watcher.read(int(str(rows)))
        pending = collections.deque(ranges)

        def work() -> F:
            found = new()
            while True:
                try:
                    keys = pending.popleft()
                except IndexError:
                    return found
                try:
                    walk(self._range(query, keys, call), found, 1)
                except BaseException:
                    pending.clear()
                    raise

        found, *others = self._workers.run_all(call, [work] * plan.workers, large=plan.large)
        for other in others:
            found.merge(other)
        return found

    def in_turn(self, plan: InMemory, call: Call, work: Callable[[], T]) -> T:
        """Do work on a domain in memory, a large one alone; return what it returns.

        Raises:
            CancelledError: The call was cancelled.
            DeadlineError: The call's time is over.
        """
        if not plan.large:
            call.go_on()
            return work()
        call.let_others()
        while not self._turn.acquire(timeout=call.remaining()):
            pass
        try:
            return work()
        finally:
            self._turn.release()

    def _range(self, query: PagesQuery, keys: statements.KeyRange, call: Call) -> _core.Resident:
        resident = _core.Resident()
        incoming = _core.Incoming(resident)
        feed(incoming.feed, self._store, statements.places_for(query, keys), call)
        incoming.apply()
        return resident
