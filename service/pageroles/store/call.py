"""A call: the deadline and the cancellation that the queries of one request share."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from typing import TYPE_CHECKING

from pageroles.errors import CancelledError, DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable


# No two calls have the same tag, whichever processes they are of.
_PROCESS = secrets.token_hex(8)
_numbers = itertools.count(1)

TOO_LONG = "the request took too long; ask for a shorter window or allow more time"


class Call:
    """The deadline and the cancellation that all queries of one request share; safe to use from many threads.

    Attributes:
        tag: Marks the queries of this call in ClickHouse, so that they can be stopped.
        deadline: When the call's time is over, in seconds of `time.monotonic`.
    """

    def __init__(self, seconds: float) -> None:
        """Start a call that may take `seconds`."""
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
        for stop in stops:
            stop()

    def finish(self) -> None:
        """Mark the call as finished: a later cancel does nothing."""
        with self._lock:
            self._finished = True
            self._stops = []
