"""The stages of a report, in order: find the facts, plan, count, name the pages."""

from __future__ import annotations

import collections
import os
from typing import TYPE_CHECKING, NamedTuple

from pageroles import _core
from pageroles.question.model import DaysQuery, Include, PagesQuery, SessionsQuery, ValuesQuery
from pageroles.report import days, statements
from pageroles.report import plan as planning
from pageroles.report.answers import Message, Opened, Report, Unchanged
from pageroles.report.facts import FactFinder
from pageroles.report.hints import HintFinder
from pageroles.report.names import feed, name_pages
from pageroles.report.opened import AT_ONCE, ChangedError, Opener, in_messages
from pageroles.report.plan import InMemory, Streamed
from pageroles.report.residents import Residents
from pageroles.report.values import ValueFinder
from pageroles.report.walks import Walks
from pageroles.report.workers import Workers
from pageroles.settings import default_memory
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from contextlib import AbstractContextManager

    from pageroles.question.model import Query
    from pageroles.report.answers import Answer
    from pageroles.report.data_state import DataState, Passage
    from pageroles.report.opened import Place
    from pageroles.report.plan import Plan
    from pageroles.report.statements import KeyRange, Reading
    from pageroles.store.call import Call
    from pageroles.store.store import Store


# How often sessions are chosen anew that changed while they were read.
_TRIES = 3


class _Begun(NamedTuple):
    """A report that is begun.

    Attributes:
        domain: The domain.
        plan: How it is made.
        state: What it is made from, as far as that is known before.
        passage: Its way through the store, where it is made from that.
    """

    domain: str
    plan: Plan
    state: DataState | None
    passage: Passage | None = None


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
        self._walks = Walks(store, self._workers)
        self._values = ValueFinder(store, self._walks)
        self._opener = Opener(store, self._walks)
        self._hints = HintFinder(store, self._workers, self._values)

    def close(self) -> None:
        """End the workers, after the units in progress."""
        self.residents.close()
        self._workers.close()

    def report(self, query: PagesQuery, call: Call) -> Report:
        """Answer a question.

        Args:
            query: The question.
            call: Ends the queries in time.

        Raises:
            PagerolesError: The store failed, or the call ended; no query of it keeps running.
        """
        return self._report(query, self._begin(query, call), call)

    def answer(
        self,
        query: Query,
        call: Call,
        admit_large: Callable[[], None],
        go_on: Callable[[], AbstractContextManager[Call]],
        known: Container[str] = (),
    ) -> Answer:
        """Answer a question, unless its caller has the answer.

        Args:
            query: The question.
            call: Ends the queries in time.
            admit_large: Called before a large report is made; what it raises ends the report.
            go_on: Returns a call for what is read when this has returned.
            known: The tags of answers that the caller has.

        Raises:
            PagerolesError: As for `report`.
        """
        begun = self._begin(query if isinstance(query, PagesQuery) else query.of, call)
        if isinstance(query, PagesQuery) and begun.state and known and (tag := query.tag(begun.state.version)) in known:
            return Unchanged(begun.state, tag)
        if begun.plan.large:
            admit_large()
        match query:
            case PagesQuery():
                return self._report(query, begun, call)
            case SessionsQuery():
                return self._opened(query, begun, call, go_on)
            case DaysQuery():
                message = days.count(query, begun.plan, self._walks, call)
            case ValuesQuery():
                message = self._values.message(query, begun.plan, call)
        return Message(message, begun.plan, self._state(begun, call))

    def _opened(
        self, query: SessionsQuery, begun: _Begun, call: Call, go_on: Callable[[], AbstractContextManager[Call]]
    ) -> Opened:
        """Choose the sessions behind a number, and read the first ones."""
        opener, limit = self._opener, min(query.limit or AT_ONCE, AT_ONCE)
        for tries_left in reversed(range(_TRIES)):
            chosen = opener.choose(query, begun.plan, call, limit)
            try:
                first = list(in_messages(opener.show(query, chosen.places, call)))
            except ChangedError:
                if not tries_left:
                    raise
            else:
                state = self._state(begun, call)
                if state == begun.state or not tries_left or begun.passage is not None:
                    break
            begun = self._begin(query.of, call)
        head = pages_pb2.PageSessionsResponse(data=None if state is None else state.message())
        head.total.sessions, head.total.users = chosen.total
        head.MergeFrom(first.pop(0) if first else pages_pb2.PageSessionsResponse())
        left = min(chosen.total[0], query.limit or chosen.total[0]) - len(chosen.places)
        rest = self._further(query, begun.plan, chosen.places[-1], left, go_on) if left > 0 else iter(())
        messages = [message.SerializeToString() for message in (head, *first)]
        return Opened(chosen.total, messages, rest, begun.plan, state)

    def _further(
        self,
        query: SessionsQuery,
        plan: Plan,
        last: Place,
        left: int,
        go_on: Callable[[], AbstractContextManager[Call]],
    ) -> Iterator[bytes]:
        """Give the messages of the sessions after the first ones. Nothing is held while their caller reads one."""
        while left > 0:
            with go_on() as call:
                places = self._opener.further(query, plan, call, last, left)
            if not places:
                raise ChangedError("the sessions changed while they were read; ask again")
            left -= len(places)
            last = places[-1]
            for start in range(0, len(places), AT_ONCE):
                with go_on() as call:
                    shown = list(in_messages(self._opener.show(query, places[start : start + AT_ONCE], call)))
                for message in shown:
                    yield message.SerializeToString()

    def _state(self, begun: _Begun, call: Call) -> DataState | None:
        """Return what an answer was made from that has read the store since it was begun."""
        states = self.residents.states
        if begun.passage is not None:
            return states.end(begun.passage, call)
        if begun.state is None:
            return None
        kept = self.residents.fresh(begun.domain, call)
        if kept is not None and kept.look is not None and states.at(kept.look) == begun.state:
            return begun.state
        return states.alone(begun.state.complete_through)

    def _begin(self, query: PagesQuery, call: Call) -> _Begun:
        plan, states = self.plan(query, call), self.residents.states
        if isinstance(plan, InMemory):
            look = plan.kept.look
            return _Begun(query.domain, plan, None if look is None else states.at(look))
        passage = states.begin(call)
        return _Begun(query.domain, plan, states.known(passage), passage)

    def _report(self, query: PagesQuery, begun: _Begun, call: Call) -> Report:
        plan = begun.plan
        try:
            report = self.run(query, plan, call)
        except _core.AmbiguousPagesError:
            if isinstance(plan, InMemory):
                raise
            self._facts.remember_ambiguous(query.domain)
            report = self.run(query, plan.with_whole_keys(), call)
        if Include.HINTS in query.include and not report.total_sessions:
            report.hints = self._hints.find(query, plan, call)
        report.state = begun.state if begun.passage is None else self.residents.states.end(begun.passage, call)
        return report

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
        return self._walks.in_turn(plan, call, lambda: plan.kept.count(query, plan.threads))

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
