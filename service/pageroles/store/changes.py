"""Count what changes an embedded store: all of it goes through the process that holds it."""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What may take parts of `sessions` away otherwise than by a mutation; to find too many such statements does no harm.
_REMOVES = re.compile(r"\b(DROP|DETACH|TRUNCATE|REPLACE|MOVE)\b", re.IGNORECASE)
_OF_SESSIONS = re.compile(r"\b(sessions|DATABASE)\b", re.IGNORECASE)


class Changes:
    """How often a store was changed; safe to use from many threads.

    A change counts when it begins and when it ends. Merges do not count, nor do the mutations that go on in the
    background after their statement.
    """

    def __init__(self) -> None:
        """Begin to count."""
        self._lock = threading.Lock()
        self._begun = self._ended = self._removals = 0

    @property
    def number(self) -> int | None:
        """How many changes there were; None while one is at work."""
        with self._lock:
            return self._ended if self._begun == self._ended else None

    @property
    def removals(self) -> int:
        """How often a statement that may take parts of `sessions` away began or ended."""
        with self._lock:
            return self._removals

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count the block as a change."""
        with self._lock:
            self._begun += 1
        try:
            yield
        finally:
            with self._lock:
                self._ended += 1

    @contextlib.contextmanager
    def command(self, text: str) -> Iterator[None]:
        """Count the block, which runs a statement, as a removal if it may be one."""
        removes = bool(_REMOVES.search(text) and _OF_SESSIONS.search(text))
        with self._lock:
            self._removals += removes
        try:
            yield
        finally:
            with self._lock:
                self._removals += removes
