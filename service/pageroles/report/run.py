"""The stages of a report, in order: find the facts, plan, count, name the pages.

Each worker counts one group of units after another in a tally of its own; the tallies are merged at the end.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import time
from typing import TYPE_CHECKING

from pageroles import _core
from pageroles.errors import InternalError
from pageroles.question.model import to_milliseconds
from pageroles.report import plan as planning
from pageroles.report import statements
from pageroles.report.facts import FactFinder
from pageroles.report.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.question.model import PagesQuery
    from pageroles.report.plan import Plan, UnitGroup
    from pageroles.report.statements import KeyRange, Reading
    from pageroles.store.call import Call
    from pageroles.store.statement import Statement
    from pageroles.store.store import Store

# A query lists at most this many page keys; for more, all page names of the domain are read.
_LISTED_NAMES = 1000
# A session can be read a moment before the names of its pages.
_NAME_RETRIES = 3
_NAME_RETRY_SECONDS = 0.1

MAX_MESSAGE_BYTES = 1 << 20


class Report:
    """A finished report.

    Attributes:
        total_sessions: The number of included sessions.
    """

    def __init__(self, query: PagesQuery, tally: _core.Tally) -> None:
        """Make the report of a question from its counts, in which all pages have names."""
        self._tally = tally
        self._start = to_milliseconds(query.window.start)
        self._end = to_milliseconds(query.window.shown_end)
        self.total_sessions = tally.total_sessions

    def message(self) -> bytes:
        """Return the report as one serialized PagesResponse."""
        return self._tally.response(self._start, self._end)

    def messages(self) -> Iterator[bytes]:
        """Return the report as serialized PagesResponses of at most 1 MiB, in the order of StreamPages."""
        return self._tally.responses(self._start, self._end, MAX_MESSAGE_BYTES)


class Reporter:
    """Answers questions from a store, with one worker for each of its readers; safe to use from many threads."""

    def __init__(self, store: Store, *, workers_per_report: int | None = None) -> None:
        """Start the workers.

        Args:
            store: The store of the sessions; it stays open.
            workers_per_report: The most workers for one report; None: one for each core.
        """
        self._store = store
        self._workers = Workers(store.readers, workers_per_report or os.cpu_count() or 1)
        self._facts = FactFinder(store, self._workers)

    def close(self) -> None:
        """End the workers, after the units in progress."""
        self._workers.close()

    def report(self, query: PagesQuery, call: Call) -> Report:
        """Answer a question.

        Raises:
            PagerolesError: The store failed, or the call ended; no query of it keeps running.
        """
        plan = self.plan(query, call)
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
        return planning.make(self._facts.find(query, call), self._workers.per_report)

    def run(self, query: PagesQuery, plan: Plan, call: Call) -> Report:
        """Answer a question by a plan; every plan gives the same answer.

        Raises:
            AmbiguousPagesError: The plan's page keys do not tell two pages apart; whole keys do.
            PagerolesError: As for `report`.
        """
        pending = collections.deque(plan.groups)
        workers = min(len(plan.groups), self._workers.per_report)
        work = [lambda: self._count(query, plan.reading, pending, call)] * workers
        tally, *others = self._workers.run_all(call, work, large=plan.large)
        for other in others:
            tally.merge(other)
        if tally.total_sessions and not self._workers.run(call, lambda: self._name(query, tally, plan.reading, call)):
            raise _core.AmbiguousPagesError("two pages have the same key")
        return Report(query, tally)

    # ---- counting ----

    def _count(
        self, query: PagesQuery, reading: Reading, pending: collections.deque[UnitGroup], call: Call
    ) -> _core.Tally:
        """Count groups in a tally until none is left."""
        tally, counted = _tally(query, reading), []
        while True:
            try:
                group = pending.popleft()
            except IndexError:
                return tally
            counted.append(group)
            try:
                self._count_group(tally, query, group, reading, call)
            except _core.UnorderedError:
                # Most likely a part was added since the plan was made.
                reading = dataclasses.replace(reading, in_order=False)
                pending.extend(counted)
                tally, counted = _tally(query, reading), []
            except BaseException:
                pending.clear()
                raise

    def _count_group(
        self, tally: _core.Tally, query: PagesQuery, group: UnitGroup, reading: Reading, call: Call
    ) -> None:
        self._feed(tally.feed_conversions, statements.conversions(query, group.keys, reading), call)
        self._feed(tally.feed_users, statements.users(query, group.keys), call)
        for units in [group.units] if reading.in_order else [(unit,) for unit in group.units]:
            self._count_units(tally, query, units, reading, call)

    def _count_units(
        self, tally: _core.Tally, query: PagesQuery, units: tuple[KeyRange, ...], reading: Reading, call: Call
    ) -> None:
        tally.begin_units([(keys.first, keys.last) for keys in units])
        self._feed(tally.feed_sessions, statements.sessions(query, planning.joined(units), reading), call)
        tally.finish_units()

    # ---- naming ----

    def _name(self, query: PagesQuery, tally: _core.Tally, reading: Reading, call: Call) -> bool:
        """Look up the names of the counted pages; return False where two of them were counted as one.

        It is returned, not raised: an error in a worker would end the call.
        """
        try:
            self._feed_names(query, tally, reading, call)
        except _core.AmbiguousPagesError:
            return False
        return True

    def _feed_names(self, query: PagesQuery, tally: _core.Tally, reading: Reading, call: Call) -> None:
        keys = tally.page_keys() if tally.page_count() <= _LISTED_NAMES else None
        self._feed(tally.feed_pages, statements.page_names(query.domain, keys, reading), call)
        for _ in range(_NAME_RETRIES):
            missing = tally.missing_pages()[:_LISTED_NAMES]
            if not missing:
                return
            time.sleep(min(_NAME_RETRY_SECONDS, call.remaining()))
            self._feed(tally.feed_pages, statements.page_names(query.domain, missing, reading), call)
        # A writer that ended between the sessions and the names left some out: the sessions have them.
        while missing := tally.missing_pages():
            listed = missing[:_LISTED_NAMES]
            self._feed(tally.feed_pages, statements.page_names_in_sessions(query, listed, reading), call)
            if len(tally.missing_pages()) == len(missing):
                raise InternalError(f"{len(missing)} pages have no name in the store")

    def _feed(self, feed: Callable[[bytes], None], statement: Statement | None, call: Call) -> None:
        if statement is not None:
            with self._store.stream(statement, call) as chunks:
                for chunk in chunks:
                    feed(chunk)


def _tally(query: PagesQuery, reading: Reading) -> _core.Tally:
    return _core.Tally(query.touch_scope, query.filters_conversions, reading.whole_keys)
