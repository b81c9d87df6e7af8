"""One caller's claim on the store: until when, and how to end it early."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

from pageroles.errors import CancelledError, DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable


class Call:
    """A deadline and a cancel that all queries of one request share.

    Attributes:
        tag: Marks the queries of this call in ClickHouse, so that they can be found and stopped.
        deadline: When the call ends, on the clock of `time.monotonic`.
    """

    def __init__(self, seconds: float) -> None:
        """Start a call that may take `seconds`."""
        self.tag = secrets.token_hex(12)
        self.deadline = time.monotonic() + seconds
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []
        self._finished = False

    def remaining(self) -> float:
        """Return the seconds left, more than 0.

        Raises:
            DeadlineError: No time is left.
            CancelledError: The call was cancelled before that.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError("the time for this request is over; ask for a shorter window or allow more time")
        if self._ended.is_set():
            raise CancelledError("the call was cancelled")
        return left

    def on_cancel(self, stop: Callable[[], None]) -> None:
        """Have `stop` called once if the call is cancelled; at once if it was."""
        with self._lock:
            if not self._ended.is_set():
                self._stops.append(stop)
                return
        stop()

    def cancel(self) -> None:
        """End the call early and stop its queries; does nothing once it is finished or cancelled."""
        with self._lock:
            if self._finished or self._ended.is_set():
                return
            self._ended.set()
            stops, self._stops = self._stops, []
        for stop in stops:
            stop()

    def finish(self) -> None:
        """Say that nothing runs any more: a later cancel has nothing to stop."""
        with self._lock:
            self._finished = True
            self._stops = []
