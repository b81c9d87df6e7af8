"""Answers all kinds of questions, and says what each answer was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pageroles.incoming import ANY_ANSWER
from pageroles.question.model import DaysQuery, Include, PagesQuery, SessionsQuery, ValuesQuery
from pageroles.report import days
from pageroles.report.answers import Message, Unchanged
from pageroles.report.hints import HintFinder, finds_all
from pageroles.report.opened import Opener
from pageroles.report.plan import InMemory
from pageroles.report.values import ValueFinder

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from contextlib import AbstractContextManager

    from pageroles.question.model import Query
    from pageroles.report.answers import Answer, Report
    from pageroles.report.data_state import DataState, Passage
    from pageroles.report.plan import Plan
    from pageroles.report.run import Reporter
    from pageroles.store.call import Call
    from pageroles.store.store import Store


class Begun(NamedTuple):
    """An answer that is begun.

    Attributes:
        domain: The domain.
        plan: Where its sessions come from.
        state: What it is made from, as far as that is known before.
        passage: Its way through the store, where it is made from that.
    """

    domain: str
    plan: Plan
    state: DataState | None
    passage: Passage | None = None


class Answerer:
    """Answers questions; safe to use from many threads."""

    def __init__(self, store: Store, reporter: Reporter) -> None:
        """Make reports with `reporter`, and read what else is shown from `store`."""
        self._reporter = reporter
        self._residents = reporter.residents
        self._states = reporter.residents.states
        self._values = ValueFinder(store, reporter.walks)
        self._opener = Opener(store, reporter.walks)
        self._hints = HintFinder(store, reporter.workers, self._values)

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
            admit_large: Called before much is counted; what it raises ends the answer.
            go_on: Returns a call for what is read when this has returned.
            known: The tags of answers that the caller has; or that it has one, whichever it is.

        Raises:
            PagerolesError: The store failed, or the call ended; no query of it keeps running.
        """
        begun = self._begin(query if isinstance(query, PagesQuery) else query.of, call)
        if isinstance(query, PagesQuery) and begun.state and known:
            tag = query.tag(begun.state.version)
            if tag in known or ANY_ANSWER in known:
                return Unchanged(begun.state, tag)
        if begun.plan.large:
            admit_large()
        match query:
            case PagesQuery():
                return self._report(query, begun, call)
            case SessionsQuery():
                return self._opener.open(query, begun, call, self._begin, self._read_since, go_on)
            case DaysQuery():
                message = days.count(query, begun.plan, self._reporter.walks, call)
            case ValuesQuery():
                message = self._values.message(query, begun.plan, call)
        return Message(message, begun.plan, self._counted(begun, call))

    def _begin(self, query: PagesQuery, call: Call) -> Begun:
        plan = self._reporter.plan(query, call)
        if isinstance(plan, InMemory):
            look = plan.kept.look
            return Begun(query.domain, plan, None if look is None else self._states.at(look))
        passage = self._states.begin(call)
        return Begun(query.domain, plan, self._states.known(passage), passage)

    def _report(self, query: PagesQuery, begun: Begun, call: Call) -> Report:
        report = self._reporter.carry_out(query, begun.plan, call)
        is_whole = True
        if Include.HINTS in query.include and not report.total_sessions:
            report.hints = self._hints.find(query, begun.plan, call)
            is_whole = finds_all(begun.plan)
        report.state = self._counted(begun, call)
        if report.state is not None and not is_whole:
            # The same data has more hints once the domain is in memory.
            report.state = self._states.alone(report.state.complete_through)
        return report

    def _counted(self, begun: Begun, call: Call) -> DataState | None:
        """Return what was counted: what is kept in memory stays as it is, and the store may have changed."""
        return begun.state if begun.passage is None else self._states.end(begun.passage, call)

    def _read_since(self, begun: Begun, call: Call) -> DataState | None:
        """Return what an answer was made from that has also read the store since it was begun."""
        if begun.passage is not None or begun.state is None:
            return self._counted(begun, call)
        kept = self._residents.fresh(begun.domain, call)
        if kept is not None and kept.look is not None and self._states.at(kept.look) == begun.state:
            return begun.state
        return self._states.alone(begun.state.complete_through)
