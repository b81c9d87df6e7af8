"""The stages of a report, in order: find the facts, plan, count, name the pages."""

from __future__ import annotations

import collections
import os
import threading
import time
from typing import TYPE_CHECKING

from pageroles import _core
from pageroles.question.model import Include, to_milliseconds
from pageroles.report import plan as planning
from pageroles.report import statements
from pageroles.report.facts import FactFinder
from pageroles.report.names import feed, name_pages
from pageroles.report.plan import InMemory, Streamed
from pageroles.report.residents import Residents
from pageroles.report.workers import Workers
from pageroles.settings import default_memory
from pageroles.store.call import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.question.model import PagesQuery
    from pageroles.report.plan import Plan
    from pageroles.report.statements import KeyRange, Reading
    from pageroles.store.call import Call, Watcher
    from pageroles.store.store import Store

MAX_MESSAGE_BYTES = 1 << 20
# What a page takes in a report: its counts on both sides, and its place in the order; its message takes as much.
_BYTES_OF_PAGE = 100


class Report:
    """A finished report.

    Attributes:
        total_sessions: The number of included sessions.
        plan: How it was made.
        bytes: About how many bytes it takes until its last message is read.
    """

    def __init__(self, query: PagesQuery, plan: Plan, counted: _core.Counted, watcher: Watcher = NOBODY) -> None:
        """Make the report of a question from its counts, in which all pages have names.

        Args:
            query: The question.
            plan: How it was made.
            counted: The counts.
            watcher: Is told how long the messages took.
        """
        self.plan = plan
        self._watcher = watcher
        self._counted = counted
        self._start = to_milliseconds(query.window.start)
        self._end = to_milliseconds(query.window.shown_end)
        self._limit = query.limit
        self.total_sessions = counted.total_sessions
        rows = counted.page_count()
        self.bytes = (rows if query.limit is None else min(rows, 2 * query.limit)) * _BYTES_OF_PAGE

    def message(self) -> bytes:
        """Return the report as one serialized PagesResponse."""
        with self._watcher.stage("message"):
            return self._counted.response(self._start, self._end, self._limit)

    def messages(self) -> Iterator[bytes]:
        """Return the report as serialized PagesResponses of at most 1 MiB, in the order of StreamPages."""
        # Each is made when it is asked for. The time between is the receiver's.
        seconds = 0.0
        try:
            began = time.perf_counter()
            for message in self._counted.responses(self._start, self._end, self._limit, MAX_MESSAGE_BYTES):
                seconds += time.perf_counter() - began
                yield message
                began = time.perf_counter()
        finally:
            self._watcher.took("message", seconds)


class Reporter:
    """Answers questions from a store, with one worker for each of its readers; safe to use from many threads.

    Attributes:
        residents: The domains in memory.
    """

    def __init__(self, store: Store, *, workers_per_report: int | None = None, memory: int | None = None) -> None:
        """Start the workers.

        Args:
            store: The store of the sessions; it stays open.
            workers_per_report: The most workers for one report; None: one for each core.
            memory: The most bytes of domains in memory; None: a quarter of what this process may use.
        """
        self._store = store
        self._workers = Workers(store.readers, workers_per_report or os.cpu_count() or 1)
        self.residents = Residents(store, self._workers, default_memory() if memory is None else memory)
        self._facts = FactFinder(store, self._workers, self.residents)
        # A large count uses all cores: several end no later one after the other, and take the memory of one.
        self._turn = threading.Semaphore()

    def close(self) -> None:
        """End the workers, after the units in progress."""
        self.residents.close()
        self._workers.close()

    def report(self, query: PagesQuery, call: Call, admit_large: Callable[[], None] = lambda: None) -> Report:
        """Answer a question.

        Args:
            query: The question.
            call: Ends the queries in time.
            admit_large: Called before a large report is made; what it raises ends the report.

        Raises:
            PagerolesError: The store failed, or the call ended; no query of it keeps running.
        """
        plan = self.plan(query, call)
        if plan.large:
            admit_large()
        if isinstance(plan, InMemory):
            return self.run(query, plan, call)
        try:
            return self.run(query, plan, call)
        except _core.AmbiguousPagesError:
            self._facts.remember_ambiguous(query.domain)
            return self.run(query, plan.with_whole_keys(), call)

    def plan(self, query: PagesQuery, call: Call) -> Plan:
        """Return the plan that `report` would use for a question.

        Raises:
            PagerolesError: As for `report`.
        """
        with call.watcher.stage("facts"):
            facts = self._facts.find(query, call)
        with call.watcher.stage("plan"):
            return planning.make(query, facts, self._workers.per_report)

    def run(self, query: PagesQuery, plan: Plan, call: Call) -> Report:
        """Answer a question by a plan; every plan gives the same answer.

        Raises:
            AmbiguousPagesError: The plan's page keys do not tell two pages apart; whole keys do.
            PagerolesError: As for `report`.
        """
        call.watcher.planned(plan.source)
        with call.watcher.stage("count"):
            counted = self._count(query, plan, call)
            if Include.LANDING in query.include and not query.counts_landings:
                counted.take_landings(self._count(query.of_landings, plan, call))
        whole_keys = isinstance(plan, InMemory) or plan.reading.whole_keys
        with call.watcher.stage("names"):
            named = not counted.total_sessions or self._is_named(counted, query, call, whole_keys=whole_keys)
        if not named:
            raise _core.AmbiguousPagesError("two pages have the same key")
        return Report(query, plan, counted, call.watcher)

    def _count(self, query: PagesQuery, plan: Plan, call: Call) -> _core.Counted:
        if isinstance(plan, InMemory):
            call.watcher.read(plan.kept.sessions)
            return self._count_in_memory(query, plan, call)
        tally = self._tally(query, plan, call)
        call.watcher.read(tally.rows)
        return tally.take()

    def _count_in_memory(self, query: PagesQuery, plan: InMemory, call: Call) -> _core.Counted:
        if plan.large:
            call.let_others()
            while not self._turn.acquire(timeout=call.remaining()):
                pass
            try:
                return plan.kept.count(query, plan.threads)
            finally:
                self._turn.release()
        call.go_on()
        return plan.kept.count(query, plan.threads)

    def _tally(self, query: PagesQuery, plan: Streamed, call: Call) -> _core.Tally:
        """Count units in a tally for each worker, and merge the tallies."""
        pending = collections.deque(plan.units)
        work = [lambda: self._count_units(query, plan.reading, pending, call)] * plan.workers
        tally, *others = self._workers.run_all(call, work, large=plan.large)
        for other in others:
            tally.merge(other)
        return tally

    def _count_units(
        self, query: PagesQuery, reading: Reading, pending: collections.deque[KeyRange], call: Call
    ) -> _core.Tally:
        """Count units in a tally until none is left."""
        balance = Include.BALANCE in query.include
        tally = _core.Tally(
            query.touch_scope, query.filters_conversions, reading.whole_keys, balance, query.counts_landings
        )
        while True:
            try:
                keys = pending.popleft()
            except IndexError:
                return tally
            try:
                tally.begin_unit(keys.first, keys.last)
                feed(tally.feed_conversions, self._store, statements.conversions(query, keys, reading), call)
                feed(tally.feed_users, self._store, statements.users(query, keys), call)
                feed(tally.feed_sessions, self._store, statements.sessions(query, keys, reading), call)
                tally.finish_unit()
            except BaseException:
                pending.clear()
                raise

    def _is_named(self, counted: _core.Counted, query: PagesQuery, call: Call, *, whole_keys: bool) -> bool:
        """Look up the names of the counted pages; return False where two of them were counted as one.

        It is returned, not raised: an error in a worker would end the call.
        """
        if not counted.missing_pages():
            return True

        def name() -> bool:
            try:
                name_pages(counted, self._store, query, call, whole_keys=whole_keys)
            except _core.AmbiguousPagesError:
                return False
            return True

        return self._workers.run(call, name)
