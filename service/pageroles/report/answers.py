"""Finished answers: what they are made of, and their messages."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, ClassVar

from pageroles.question.model import Include, to_milliseconds
from pageroles.store.call import NOBODY
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pageroles import _core
    from pageroles.question.model import PagesQuery
    from pageroles.report.data_state import DataState
    from pageroles.report.plan import Plan
    from pageroles.store.call import Watcher

    # Answers have a number of this name.
    _Bytes = bytes

MAX_MESSAGE_BYTES = 1 << 20
# What a page takes in a report: its counts on both sides, and its place in the order; its message takes as much.
_BYTES_OF_PAGE = 100


class Report:
    """A finished report.

    Attributes:
        total_sessions: The number of included sessions.
        plan: How it was made.
        state: What it was made from; None: that is not told.
        hints: What nearly matched, where no session did.
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
        self.state: DataState | None = None
        self.hints: Sequence[pages_pb2.Hint] = ()
        self._query = query
        self._watcher = watcher
        self._counted = counted
        self._start = to_milliseconds(query.window.start)
        self._end = to_milliseconds(query.window.shown_end)
        self._limit = query.limit
        self.total_sessions = counted.total_sessions
        rows = counted.page_count()
        self.bytes = (rows if query.limit is None else min(rows, 2 * query.limit)) * _BYTES_OF_PAGE

    @property
    def tag(self) -> str | None:
        """Names it; None where it is not told what it was made from."""
        return self._query.tag(self.state.version) if self.state else None

    def message(self) -> bytes:
        """Return the report as one serialized PagesResponse."""
        with self._watcher.stage("message"):
            return self._counted.response(self._start, self._end, self._limit) + self._more()

    def messages(self) -> Iterator[bytes]:
        """Return the report as serialized PagesResponses of at most 1 MiB, in the order of StreamPages."""
        # Each is made when it is asked for. The time between is the receiver's.
        seconds, more = 0.0, self._more()
        try:
            began = time.perf_counter()
            for message in self._counted.responses(self._start, self._end, self._limit, MAX_MESSAGE_BYTES):
                whole, more = message + more, b""
                seconds += time.perf_counter() - began
                yield whole
                began = time.perf_counter()
        finally:
            self._watcher.took("message", seconds)

    def _more(self) -> bytes:
        """Return the fields that the core does not write, serialized: behind a message they are a part of it."""
        more = pages_pb2.PagesResponse(hints=self.hints)
        if self.state is not None and Include.DATA in self._query.include:
            more.data.CopyFrom(self.state.message())
        return more.SerializeToString()


@dataclasses.dataclass(frozen=True, slots=True)
class Unchanged:
    """An answer that its caller has already: it has no messages.

    Attributes:
        state: What it was made from.
        tag: Names it.
        total_sessions: None: nothing was counted.
        plan: How it was made.
        bytes: 0.
    """

    state: DataState
    tag: str
    total_sessions: ClassVar[int | None] = None
    plan: ClassVar[str] = "nothing: the caller has the answer"
    bytes: ClassVar[int] = 0

    def message(self) -> _Bytes:
        """Return nothing."""
        return b""

    def messages(self) -> Iterator[_Bytes]:
        """Return nothing."""
        return iter(())


class Message:
    """An answer of one message.

    Attributes:
        state: What it was made from.
        tag: None: it is not kept.
        total_sessions: None: it has no such number.
        plan: How it was made.
        bytes: About how many bytes it takes.
    """

    tag = None
    total_sessions = None

    def __init__(self, message: _Bytes, plan: Plan, state: DataState | None) -> None:
        """Take the serialized message."""
        self._message = message
        self.plan = plan
        self.state = state
        self.bytes = len(message)

    def message(self) -> _Bytes:
        """Return it, serialized."""
        return self._message

    def messages(self) -> Iterator[_Bytes]:
        """Give the one message."""
        yield self._message


class Opened:
    """The sessions behind a number, which are read while their caller reads them.

    Attributes:
        state: What it was made from.
        tag: None: it is not kept.
        total_sessions: How many there are.
        plan: How they were chosen.
        bytes: About how many bytes its messages take at one time.
    """

    tag = None

    def __init__(
        self,
        total: int,
        first: Sequence[_Bytes],
        rest: Iterator[_Bytes],
        size: int,
        plan: Plan,
        state: DataState | None,
    ) -> None:
        """Take its messages: the first ones, and those that are made when they are asked for.

        Args:
            total: How many sessions there are.
            first: The first messages.
            rest: The further ones.
            size: About how many bytes of them are in memory at one time.
            plan: How the sessions were chosen.
            state: What the answer was made from.
        """
        self.total_sessions = total
        self._first = first
        self._rest = rest
        self.plan = plan
        self.state = state
        self.bytes = size

    def message(self) -> _Bytes:
        """Return all of it as one message: messages behind each other are one."""
        return b"".join(self.messages())

    def messages(self) -> Iterator[_Bytes]:
        """Give its messages, serialized."""
        yield from self._first
        yield from self._rest


Answer = Report | Unchanged | Message | Opened
