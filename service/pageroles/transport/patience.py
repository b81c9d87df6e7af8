"""Bounds on callers: on waiting for their messages, on how long they read an answer, on how often they are refused."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from typing import TYPE_CHECKING

from pageroles.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.errors import PagerolesError

# A request has to come within this time.
MESSAGE_SECONDS = 10.0
# An answer has to be read within this time, and longer if it is large: a slow line takes it all the same.
READ_SECONDS = 30.0
READ_BYTES_PER_SECOND = 64 << 10
# How long a refusal is held back where the server is busy: who tries again at once, all the same, does so seldom.
REFUSAL_SECONDS = 0.5

_LOOK_SECONDS = 0.5


def seconds_to_read(size: int) -> float:
    """Return how long a caller may take to read some bytes."""
    return READ_SECONDS + size / READ_BYTES_PER_SECOND


async def hold_back(error: PagerolesError) -> None:
    """Hold a refusal because of load back, so that who tries again at once does so seldom."""
    if isinstance(error, OverloadedError):
        await asyncio.sleep(REFUSAL_SECONDS)


class Patience:
    """Ends what waits for a caller for too long; one thread looks after all."""

    def __init__(self) -> None:
        """Start the thread."""
        self._numbers = itertools.count()
        # What is added and taken out is one step of the interpreter, so no lock is needed.
        self._waiting: dict[int, tuple[float, Callable[[], object]]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="patience", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def bounded(self, seconds: float, end: Callable[[], object]) -> Iterator[None]:
        """Call `end` in another thread if the block takes longer than some seconds."""
        number = next(self._numbers)
        self._waiting[number] = (time.monotonic() + seconds, end)
        try:
            yield
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            now = time.monotonic()
            for number, (until, end) in list(self._waiting.items()):
                if now >= until and self._waiting.pop(number, None) is not None:
                    end()
