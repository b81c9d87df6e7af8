"""The stages of a report, in order: find the facts, plan, count, name the pages."""

from __future__ import annotations

import collections
import os
from typing import TYPE_CHECKING

from pageroles import _core
from pageroles.question.model import Include
from pageroles.report import plan as planning
from pageroles.report import statements
from pageroles.report.answers import Report
from pageroles.report.facts import FactFinder
from pageroles.report.names import feed, name_pages
from pageroles.report.plan import InMemory
from pageroles.report.residents import Residents
from pageroles.report.walks import Walks
from pageroles.report.workers import Workers
from pageroles.settings import default_memory

if TYPE_CHECKING:
    from pageroles.question.model import PagesQuery
    from pageroles.report.plan import Plan, Streamed
    from pageroles.report.statements import KeyRange, Reading
    from pageroles.store.call import Call
    from pageroles.store.store import Store


class Reporter:
    """Answers questions from a store, with one worker for each of its readers; safe to use from many threads.

    Attributes:
        residents: The domains in memory.
        walks: Walks over sessions, for other questions.
        workers: The threads that query the store.
    """

    def __init__(self, store: Store, *, workers_per_report: int | None = None, memory: int | None = None) -> None:
        """Start the workers.

        Args:
            store: The store of the sessions; it stays open.
            workers_per_report: The most workers for one report; None: one for each core.
            memory: The most bytes of domains in memory; None: a quarter of what this process may use.
        """
        self._store = store
        self.workers = Workers(store.readers, workers_per_report or os.cpu_count() or 1)
        self.residents = Residents(store, self.workers, default_memory() if memory is None else memory)
        self._facts = FactFinder(store, self.workers, self.residents)
        self.walks = Walks(store, self.workers)

    def close(self) -> None:
        """End the workers, after the units in progress."""
        self.residents.close()
        self.workers.close()

    def report(self, query: PagesQuery, call: Call) -> Report:
        """Answer a question.

        Args:
            query: The question.
            call: Ends the queries in time.

        Raises:
            PagerolesError: The store failed, or the call ended; no query of it keeps running.
        """
        return self.carry_out(query, self.plan(query, call), call)

    def carry_out(self, query: PagesQuery, plan: Plan, call: Call) -> Report:
        """Answer a question by a plan, or by one with whole page keys where those of the plan do not do.

        Raises:
            PagerolesError: As for `report`.
        """
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
            return planning.make(query, facts, self.workers.per_report)

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
        return self.walks.in_turn(plan, call, lambda: plan.kept.count(query, plan.threads))

    def _tally(self, query: PagesQuery, plan: Streamed, call: Call) -> _core.Tally:
        """Count units in a tally for each worker, and merge the tallies."""
        pending = collections.deque(plan.units)
        work = [lambda: self._count_units(query, plan.reading, pending, call)] * plan.workers
        tally, *others = self.workers.run_all(call, work, large=plan.large)
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

        return self.workers.run(call, name)
