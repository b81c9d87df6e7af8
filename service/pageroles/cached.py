"""A copy of what the store knows, no older than some seconds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from pageroles.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _Copy(NamedTuple, Generic[T]):
    value: T
    read_at: float


class Cached(Generic[T]):
    """One value that is read again when its copy is too old.

    One thread reads at a time, outside of the lock. An age counts from the moment when a reading began, so a copy that
    is young enough has all that was written before that age. Safe to use from many threads.
    """

    def __init__(
        self,
        read: Callable[[], T],
        seconds: float,
        *,
        stale_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep a copy of what `read` returns; the first is read when it is asked for.

        Args:
            read: Reads the value; it must end by itself, as others wait for it.
            seconds: The age, in seconds, from which the copy is read again.
            stale_seconds: The age up to which an old copy serves while another thread reads, or where the store can't
                be read.
            clock: Tells the time, in seconds.
        """
        self._read = read
        self._seconds = seconds
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._copy: _Copy[T] | None = None
        self._reading: Future[_Copy[T]] | None = None

    def get(self) -> T:
        """Return a copy of the usual age, or an older one where that may serve.

        Raises:
            StoreError: The store can't be read, and no copy may serve.
        """
        return self._get(self._seconds, self._stale_seconds)

    def newer(self, seconds: float) -> T:
        """Return a copy younger than `seconds`; an older one only where the store can't be read.

        Raises:
            StoreError: As for `get`.
        """
        return self._get(seconds, 0.0)

    def forget(self) -> None:
        """Drop the copy: the next to ask reads."""
        with self._lock:
            self._copy = None

    def _get(self, seconds: float, stale_seconds: float) -> T:
        asked_at = self._clock()
        while True:
            with self._lock:
                copy, reading = self._copy, self._reading
                if copy is not None and asked_at - copy.read_at < seconds:
                    return copy.value
                if reading is None:
                    mine: Future[_Copy[T]] = Future()
                    self._reading = mine
                    break
            if copy is not None and asked_at - copy.read_at < stale_seconds:
                return copy.value
            # What this reading finds may still be too old for this asker: then it reads itself.
            try:
                copy = reading.result()
            except StoreError as error:
                return self._old_value(error)
            # What the other thread began to read before this one asked may be too old: then this one reads.
            if asked_at - copy.read_at < seconds:
                return copy.value
        self._fill(mine)
        try:
            return mine.result().value
        except StoreError as error:
            return self._old_value(error)

    def _fill(self, reading: Future[_Copy[T]]) -> None:
        began = self._clock()
        try:
            made = _Copy(self._read(), began)
        except BaseException as error:  # noqa: BLE001 - those who wait are told
            with self._lock:
                self._reading = None
            reading.set_exception(error)
        else:
            with self._lock:
                self._copy, self._reading = made, None
            reading.set_result(made)

    def _old_value(self, error: StoreError) -> T:
        """Return the old copy where the store can't be read, or raise that again."""
        copy = self._copy
        if copy is None or self._clock() - copy.read_at >= self._stale_seconds:
            raise error
        return copy.value
