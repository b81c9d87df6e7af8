"""A copy of a value in the store, which is read again when it is too old."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from pageroles.errors import OverloadedError, PagerolesError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# The store can't be read just now.
_FAILED = (StoreError, OverloadedError)


class _Copy(NamedTuple, Generic[T]):
    """A value, and when its reading began."""

    value: T
    read_at: float


class Cached(Generic[T]):
    """A copy of one value; safe to use from many threads.

    One thread reads at a time, and holds no lock meanwhile. The age of a copy counts from the beginning of its reading:
    a copy of some age has all that was written before.
    """

    def __init__(
        self,
        read: Callable[[], T],
        seconds: float,
        *,
        stale_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep a copy of what `read` returns; the first `get` reads it.

        Args:
            read: Reads the value. It must end by itself, since other threads wait for it.
            seconds: The age, in seconds, from which the copy is read again.
            stale_seconds: The age, in seconds, up to which `get` returns an old copy while another thread reads, or
                where the store can't be read.
            clock: Returns the time in seconds.
        """
        self._read = read
        self._seconds = seconds
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._copy: _Copy[T] | None = None
        self._reading: Future[_Copy[T]] | None = None

    def get(self) -> T:
        """Return the copy while it is young enough; else read it, or return a stale one.

        Raises:
            StoreError: The store can't be read, and there is no copy younger than `stale_seconds`.
            OverloadedError: The same, since ClickHouse is busy.
        """
        return self._get(self._seconds, self._stale_seconds)

    def newer(self, seconds: float) -> T:
        """Return a copy younger than `seconds`; a stale one only where the store can't be read.

        Raises:
            StoreError: As for `get`.
        """
        return self._get(seconds, 0.0)

    def forget(self) -> None:
        """Drop the copy: the next call reads."""
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
                    own_reading: Future[_Copy[T]] = Future()
                    self._reading = own_reading
                    break
            if copy is not None and asked_at - copy.read_at < stale_seconds:
                return copy.value
            try:
                copy = reading.result()
            except _FAILED as error:
                return self._stale_value(error)
            # The other thread may have begun to read too long before this call: then this one tries again.
            if asked_at - copy.read_at < seconds:
                return copy.value
        self._fill(own_reading)
        try:
            return own_reading.result().value
        except _FAILED as error:
            return self._stale_value(error)

    def _fill(self, reading: Future[_Copy[T]]) -> None:
        began = self._clock()
        try:
            copy = _Copy(self._read(), began)
        except BaseException as error:  # noqa: BLE001 - raised in all threads that wait
            with self._lock:
                self._reading = None
            reading.set_exception(error)
        else:
            with self._lock:
                self._copy, self._reading = copy, None
            reading.set_result(copy)

    def _stale_value(self, error: PagerolesError) -> T:
        """Return the old copy if it may be used without the store, else raise the error of the store."""
        copy = self._copy
        if copy is None or self._clock() - copy.read_at >= self._stale_seconds:
            raise error
        return copy.value
