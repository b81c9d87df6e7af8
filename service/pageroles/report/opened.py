"""The sessions behind a number of a report."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from pageroles import _core
from pageroles.errors import StoreChangedError
from pageroles.question.model import Role
from pageroles.report import statements
from pageroles.report.answers import Opened
from pageroles.report.kept import to_question
from pageroles.report.plan import InMemory
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pageroles.question.model import PagesQuery, SessionsQuery
    from pageroles.report.answerer import Begun
    from pageroles.report.data_state import DataState
    from pageroles.report.plan import Plan
    from pageroles.report.walks import Walks
    from pageroles.store.call import Call
    from pageroles.store.statement import Statement
    from pageroles.store.store import Store


# Start, session key and user key.
Place = tuple[int, int, int]

_CHANGED = "the sessions changed while they were read; ask again"
# How often sessions are chosen anew that changed while they were read.
_TRIES = 3
# The most sessions that are looked up at once, and about how many bytes their messages may take: a session may have
# thousands of pages, and what was looked up is in memory until its caller has read it.
AT_ONCE, BYTES_AT_ONCE = 1000, 4 << 20
# The first of them are sent before the others are looked up: a look-up takes longer the more days and users it touches.
AT_FIRST = 20
# The most that one walk chooses: in memory, where it costs little; and where it reads the domain.
_OF_A_WALK, _OF_A_READING = 100_000, 200_000
# A query lists at most so many page keys, which is some 100 KB: a server takes no field of a form above 128 KiB, and
# the embedded engine does not come back from lists of several MB.
LISTED = 5000
# A message that has so many bytes takes no further session.
_MESSAGE_BYTES = 512 << 10


class Chosen(NamedTuple):
    """Sessions that a walk has chosen, and whose order they are in.

    Attributes:
        total: How many there are behind the number, and of how many users.
        places: The latest ones of them, or those after the ones before, as many as a walk chooses.
    """

    total: tuple[int, int]
    places: list[Place]


class Opener:
    """Finds the sessions behind a number."""

    def __init__(self, store: Store, walks: Walks) -> None:
        """Find sessions in `store`."""
        self._store = store
        self._walks = walks

    def open(
        self,
        query: SessionsQuery,
        begun: Begun,
        call: Call,
        begin: Callable[[PagesQuery, Call], Begun],
        read_since: Callable[[Begun, Call], DataState | None],
        go_on: Callable[[], AbstractContextManager[Call]],
    ) -> Opened:
        """Choose the sessions behind a number, and read the first ones.

        Args:
            query: The number.
            begun: The answer, which is begun.
            call: Ends the queries in time.
            begin: Begins it anew.
            read_since: Returns what it was made from, now that sessions were read, too.
            go_on: Returns a call for what is read when this has returned.

        Raises:
            StoreChangedError: The sessions change again and again.
            PagerolesError: The store failed, or the call ended.
        """
        for tries_left in reversed(range(_TRIES)):
            # Where a walk reads the domain, it chooses what comes later, too: another one might find it changed.
            most = AT_ONCE if isinstance(begun.plan, InMemory) else _OF_A_READING
            chosen = self.choose(query, begun.plan, call, min(query.limit or most, most))
            try:
                first = list(in_messages(self.show(query, chosen.places[:AT_FIRST], call)))
            except StoreChangedError:
                if not tries_left:
                    raise
            else:
                state = read_since(begun, call)
                # To choose anew costs little in memory alone.
                if state == begun.state or begun.passage is not None or not tries_left:
                    break
            begun = begin(query.of, call)
        head = pages_pb2.PageSessionsResponse(data=None if state is None else state.message())
        head.total.sessions, head.total.users = chosen.total
        head.MergeFrom(first.pop(0) if first else pages_pb2.PageSessionsResponse())
        messages = [message.SerializeToString() for message in (head, *first)]
        size = sum(map(len, messages))
        rest = self._further(query, begun.plan, chosen, size, go_on)
        left = _wanted(query, chosen) - len(chosen.places[:AT_FIRST])
        at_one_time = size + min(BYTES_AT_ONCE, size * left // AT_FIRST)
        return Opened(chosen.total[0], messages, rest, at_one_time, begun.plan, state)

    def _further(
        self,
        query: SessionsQuery,
        plan: Plan,
        chosen: Chosen,
        size: int,
        go_on: Callable[[], AbstractContextManager[Call]],
    ) -> Iterator[bytes]:
        """Give the messages of the sessions after the first ones. No place is held while their caller reads one.

        Args:
            query: The number.
            plan: Where the sessions come from.
            chosen: The sessions; the first `AT_FIRST` are read.
            size: The bytes of the messages of these.
            go_on: Returns a call for what is read.
        """
        most = _OF_A_WALK if isinstance(plan, InMemory) else _OF_A_READING
        total, places = chosen
        left = _wanted(query, chosen) - len(places)
        last, places = places[-1:], places[AT_FIRST:]
        at_once = _at_once(AT_FIRST, size)
        while True:
            while places:
                with go_on() as call:
                    shown = in_messages(self.show(query, places[:at_once], call))
                    messages = [message.SerializeToString() for message in shown]
                yield from messages
                places, at_once = places[at_once:], _at_once(len(places[:at_once]), sum(map(len, messages)))
            if left <= 0:
                return
            with go_on() as call:
                again = self.choose(query, plan, call, min(left, most), *last)
            places = again.places
            if not places or again.total != total:
                raise StoreChangedError(_CHANGED)
            left -= len(places)
            last = places[-1:]

    def choose(self, query: SessionsQuery, plan: Plan, call: Call, limit: int, before: Place | None = None) -> Chosen:
        """Return the latest sessions behind a number.

        Args:
            query: The number.
            plan: Where the sessions come from.
            call: Ends the queries in time.
            limit: The most sessions.
            before: Only those that come after this one, which was the last of those before.

        Raises:
            PagerolesError: The store failed, or the call ended.
        """
        of = query.of.of_landings if query.role is Role.LANDING else query.of
        question = to_question(of)
        page = None if query.page is None else _core.keys([query.page])[0]
        role = 0 if query.role is None else int(query.role)

        def walk(resident: _core.Resident, selection: _core.Selection, threads: int) -> None:
            resident.select(question, page, role, selection, threads)

        selection = self._walks.find(of, plan, call, lambda: _core.Selection(limit, before), walk)
        return Chosen(selection.total, selection.take())

    def show(self, query: SessionsQuery, places: Sequence[Place], call: Call) -> Iterator[pages_pb2.PageSession]:
        """Give sessions with all that is shown of them, in their order.

        Raises:
            StoreChangedError: A session has changed since it was chosen.
            PagerolesError: The store failed, or the call ended.
        """
        call.let_others()
        found: dict[Any, Any] = {
            tuple(row[:3]): row for row in self._store.rows(statements.opened(query.of, places), call)
        }
        if not found.keys() >= set(places):
            raise StoreChangedError(_CHANGED)
        pages = self._names(query.of, {key for place in places for key in found[place][5]}, call)
        for place in places:
            yield _session(found.pop(place), pages)

    def _names(self, query: PagesQuery, keys: set[int], call: Call) -> dict[int, str]:
        """Return the names of pages by their keys."""
        names: dict[int, str] = {}
        for some in _listed(sorted(keys)):
            names |= self._read_names(statements.page_names(query.domain, some, whole_keys=True), call)
        # A writer that ended between the sessions and the names left some out: the sessions have them.
        for some in _listed(sorted(keys - names.keys())):
            names |= self._read_names(statements.page_names_in_sessions(query, some, whole_keys=True), call)
        if not names.keys() >= keys:
            raise StoreChangedError(_CHANGED)
        return names

    def _read_names(self, statement: Statement, call: Call) -> dict[int, str]:
        rows: Any = self._store.rows(statement, call)
        return {key: str(name) for key, name in rows}


def _wanted(query: SessionsQuery, chosen: Chosen) -> int:
    """Return how many sessions are sent: all that there are, or as many as the question's limit."""
    return min(chosen.total[0], query.limit or chosen.total[0])


def _at_once(sessions: int, size: int) -> int:
    """Return how many sessions to look up next, after some whose messages took `size` bytes.

    Of at most four times as many the size may be guessed from theirs.
    """
    return max(1, min(AT_ONCE, 4 * sessions, BYTES_AT_ONCE * sessions // size))


def _listed(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    """Give keys in lists that a query may have."""
    return (keys[start : start + LISTED] for start in range(0, len(keys), LISTED))


def in_messages(sessions: Iterator[pages_pb2.PageSession]) -> Iterator[pages_pb2.PageSessionsResponse]:
    """Give sessions in messages of half a MiB and the last one's bytes at most."""
    response, size = pages_pb2.PageSessionsResponse(), 0
    for session in sessions:
        response.sessions.append(session)
        size += session.ByteSize()
        if size >= _MESSAGE_BYTES:
            yield response
            response, size = pages_pb2.PageSessionsResponse(), 0
    if size:
        yield response


def _session(row: Sequence[Any], names: Mapping[int, str]) -> pages_pb2.PageSession:
    started_at, _, _, session_id, user_id, page_keys, urls, types, ids, times, passing = row
    session = pages_pb2.PageSession(session_id=session_id, user_id=user_id, pages=[names[key] for key in page_keys])
    session.started_at.FromMilliseconds(started_at)
    columns = zip(urls, types, ids, times, strict=True)
    for url, kind, name, occurred_at in itertools.compress(columns, passing):
        conversion = session.conversions.add(url=url, type=kind, id=name)
        conversion.occurred_at.FromMilliseconds(occurred_at)
    return session
