"""A call: the deadline and the cancellation that the queries of one request share."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from typing import TYPE_CHECKING, Protocol, Self

from pageroles.errors import CancelledError, DeadlineError

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable


# No two calls have the same tag, whichever processes they are of.
_PROCESS = secrets.token_hex(8)
_numbers = itertools.count(1)

TOO_LONG = "the request took too long; ask for a shorter window or allow more time"


class Query(Protocol):
    """Is told about one query."""

    def identified(self, query_id: str) -> None:
        """Take the id that ClickHouse has given the query; empty where it has given none."""


class Watcher(Protocol):
    """Is told what is done for a call, and may do nothing with it; safe to use from many threads."""

    def stage(self, name: str) -> contextlib.AbstractContextManager[object]:
        """Watch the block, a stage of the call. Stages of a call do not overlap."""

    def took(self, name: str, seconds: float) -> None:
        """Take a stage that is over, and how long it took."""

    def planned(self, source: str) -> None:
        """Take what the report is made from, `memory` or `store`."""

    def read(self, rows: int) -> None:
        """Take how many rows the counts were made of."""

    def query(self, text: str, tag: str) -> contextlib.AbstractContextManager[Query]:
        """Watch the block, which runs a query and reads its result; `tag` marks it in ClickHouse."""


class Turn(Protocol):
    """The turn of a request at the processor."""

    def leave(self) -> None:
        """Let others go on; do nothing if it was left before."""

    def take_again(self, remaining: Callable[[], float]) -> None:
        """Wait for it if it was left; `remaining` returns the seconds that are left, or raises an error."""


class _Nobody:
    """Watches nothing, at no cost."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stage(self, _: str) -> Self:
        return self

    def took(self, name: str, seconds: float) -> None:
        pass

    def planned(self, source: str) -> None:
        pass

    def read(self, rows: int) -> None:
        pass

    def query(self, _: str, __: str) -> Self:
        return self

    def identified(self, query_id: str) -> None:
        pass


NOBODY: Watcher = _Nobody()


class Call:
    """The deadline and the cancellation that all queries of one request share; safe to use from many threads.

    Attributes:
        tag: Marks the queries of this call in ClickHouse, so that they can be stopped.
        deadline: When the call's time is over, in seconds of `time.monotonic`.
        watcher: Is told what is done for the call.
        turn: The turn of its request; None: it takes none.
    """

    def __init__(self, seconds: float, watcher: Watcher = NOBODY) -> None:
        """Start a call that may take `seconds`, and which `watcher` watches."""
        self.watcher = watcher
        self.turn: Turn | None = None
        self.tag = f"{_PROCESS}-{next(_numbers)}"
        self.deadline = time.monotonic() + seconds
        self._cancelled = False
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []
        self._finished = False

    def remaining(self) -> float:
        """Return the seconds left, more than 0.

        Raises:
            DeadlineError: No time is left.
            CancelledError: The call was cancelled in time.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError(TOO_LONG)
        if self._cancelled:
            raise CancelledError("the request was cancelled")
        return left

    def let_others(self) -> None:
        """Leave the turn of its request, before it waits for the store or for another request."""
        if self.turn:
            self.turn.leave()

    def go_on(self) -> None:
        """Wait for a turn if it was left. Who holds a lock may not: those who have the turns may wait for it.

        Raises:
            DeadlineError: No time is left by then.
            CancelledError: The call was cancelled by then.
        """
        if self.turn:
            self.turn.take_again(self.remaining)

    def part(self, seconds: float) -> Call:
        """Return a call for a part of this one that may take `seconds` at most; to cancel this one cancels both."""
        part = Call(min(seconds, self.remaining()), self.watcher)
        part.tag, part.turn = self.tag, self.turn
        self.on_cancel(part.cancel)
        return part

    def on_cancel(self, stop: Callable[[], None]) -> None:
        """Call `stop` once when the call is cancelled; at once if it already is."""
        with self._lock:
            if not self._cancelled:
                self._stops.append(stop)
                return
        stop()

    def cancel(self) -> None:
        """End the call early and stop its queries; do nothing if it is finished or cancelled."""
        with self._lock:
            if self._finished or self._cancelled:
                return
            self._cancelled = True
            stops, self._stops = self._stops, []
        # The parts first: whoever reads has to know before a query is stopped, since that may look as if it was whole.
        for stop in reversed(stops):
            stop()

    def finish(self) -> None:
        """Mark the call as finished: a later cancel does nothing."""
        with self._lock:
            self._finished = True
            self._stops = []
