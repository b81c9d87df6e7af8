"""The sessions behind a number of a report."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from pageroles import _core
from pageroles.errors import StoreUnavailableError
from pageroles.question.model import Role
from pageroles.report import statements
from pageroles.report.kept import to_question
from pageroles.report.plan import InMemory
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pageroles.question.model import SessionsQuery
    from pageroles.report.plan import Plan
    from pageroles.report.walks import Walks
    from pageroles.store.call import Call
    from pageroles.store.store import Store


class ChangedError(StoreUnavailableError):
    """A session has changed since it was chosen."""


# Start, session key and user key.
Place = tuple[int, int, int]

# The sessions that are looked up at once.
AT_ONCE = 1000
# The most that one walk chooses: in memory, where it costs little; and where it reads the domain again.
_OF_A_WALK, _OF_A_READING = 100_000, 1_000_000
# A message that has so many bytes takes no further session.
_MESSAGE_BYTES = 512 << 10


class Chosen(NamedTuple):
    """Sessions that a walk has chosen, and whose order they are in.

    Attributes:
        total: How many there are behind the number, and of how many users.
        places: The latest ones of them, or those after the ones before.
    """

    total: tuple[int, int]
    places: list[Place]


class Opener:
    """Finds the sessions behind a number."""

    def __init__(self, store: Store, walks: Walks) -> None:
        """Find sessions in `store`."""
        self._store = store
        self._walks = walks

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

    def further(self, query: SessionsQuery, plan: Plan, call: Call, before: Place, left: int | None) -> list[Place]:
        """Return the sessions that come after another one, as many as one walk chooses.

        Raises:
            PagerolesError: As for `choose`.
        """
        most = _OF_A_WALK if isinstance(plan, InMemory) else _OF_A_READING
        return self.choose(query, plan, call, most if left is None else min(left, most), before).places

    def show(self, query: SessionsQuery, places: Sequence[Place], call: Call) -> Iterator[pages_pb2.PageSession]:
        """Give sessions with all that is shown of them, in their order.

        Raises:
            ChangedError: A session has changed since it was chosen.
            PagerolesError: The store failed, or the call ended.
        """
        for start in range(0, len(places), AT_ONCE):
            chosen = places[start : start + AT_ONCE]
            call.let_others()
            found = {tuple(row[:3]): row for row in self._store.rows(statements.opened(query.of, chosen), call)}
            for place in chosen:
                if place not in found:
                    raise ChangedError("the sessions changed while they were read; ask again")
                yield _session(found[place])


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


def _session(row: Sequence[Any]) -> pages_pb2.PageSession:
    started_at, _, _, session_id, user_id, pages, urls, types, ids, times, passing = row
    session = pages_pb2.PageSession(session_id=session_id, user_id=user_id, pages=pages)
    session.started_at.FromMilliseconds(started_at)
    columns = zip(urls, types, ids, times, strict=True)
    for url, kind, name, occurred_at in itertools.compress(columns, passing):
        conversion = session.conversions.add(url=url, type=kind, id=name)
        conversion.occurred_at.FromMilliseconds(occurred_at)
    return session
