"""Counts of what happened, which many threads raise and whoever watches reads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Counts:
    """How often things of a few kinds happened; safe to use from many threads.

    The kinds are set at the start, so that there are never more of them, and each is there before it happens.
    """

    def __init__(self, *kinds: str) -> None:
        """Begin at 0 for each of `kinds`."""
        self._lock = threading.Lock()
        self._numbers = dict.fromkeys(kinds, 0)

    def add(self, kind: str, number: int = 1) -> None:
        """Count something.

        Args:
            kind: Its kind.
            number: How often it happened.

        Raises:
            KeyError: There is no such kind.
        """
        with self._lock:
            self._numbers[kind] += number

    def read(self) -> Mapping[str, int]:
        """Return the counts as they are now, by kind."""
        with self._lock:
            return dict(self._numbers)

    def __getitem__(self, kind: str) -> int:
        """Return the count of a kind."""
        with self._lock:
            return self._numbers[kind]
