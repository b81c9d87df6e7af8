"""One writer for all who write through a server: what comes while a batch is inserted goes into the next one together.

So a hundred small writers make as few inserts as one does. Each is answered when its rows are stored. What waits is
bounded in bytes; whoever comes beyond that is refused.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from pageroles.counts import Counts
from pageroles.errors import InternalError, OverloadedError, PagerolesError, StoreUnavailableError
from pageroles.ingest.batch import MOST_BYTES, MOST_ROWS, Batch, SessionStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pageroles.ingest.session import Row

_log = structlog.get_logger(__name__)

# The bytes of rows that wait or are inserted.
MOST_WAITING_BYTES = 64 << 20
# Who was answered mostly comes back at once. The next batch waits for as many as are at it, while they come: until none
# came for the first time, and no longer than for the second. So they do not fall apart into groups that take turns.
_PAUSE_SECONDS = 0.02
_GATHER_SECONDS = 0.06
_RETRY_SECONDS = 1.0


class RecoverableStore(SessionStore, Protocol):
    """What the writer needs of a store."""

    def finish_writes(self) -> int:
        """Finish the writes that were cut short; return how many they were."""


class Times(NamedTuple):
    """When rows were stored, on the clock of `time.perf_counter`.

    Attributes:
        submitted: They came.
        taken: Their batch began: what waited before it was stored.
        prepared: What is stored of their sessions is known, and what to insert.
        stored: They are inserted.
    """

    submitted: float
    taken: float
    prepared: float
    stored: float


class _Submission(NamedTuple):
    rows: Sequence[Row]
    size: int
    at: float
    stored: Future[Times]


def size_of(row: Row) -> int:
    """Return the bytes of memory that a row takes, about."""
    return len(row.line) + _ROW_BYTES


# The objects of a row but for its line: the tuples, three texts of usual length, and two times.
_ROW_BYTES = sum(map(sys.getsizeof, ((0,) * 5, (0,) * 2, b"", *("x" * 24,) * 3))) + 2 * 48


class Writer:
    """Stores the rows of many callers, batch after batch; safe to use from many threads.

    Attributes:
        batches: How many batches were inserted.
        refused: How often rows were refused, since too many are `unstored`.
    """

    def __init__(self, store: RecoverableStore, *, most_bytes: int = MOST_WAITING_BYTES) -> None:
        """Start the thread that inserts.

        Args:
            store: Where the rows go.
            most_bytes: The most bytes of rows that wait or are inserted.
        """
        self.batches = 0
        self.refused = Counts("unstored")
        self._store = store
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        # What follows is guarded by `_changed`.
        self._waiting: deque[_Submission] = deque()
        self._bytes = 0
        self._closing = False
        # How many were at it when the last batch was stored: those who were answered, and those who wait.
        self._expected = 1
        # For the thread alone: whether a write may have been cut short; before the first batch, another process's.
        self._is_cut_short = True
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    @property
    def unstored_bytes(self) -> int:
        """The bytes of rows that wait to be stored."""
        return self._bytes

    def submit(self, rows: Sequence[Row]) -> Future[Times]:
        """Take rows over.

        Args:
            rows: Rows in the order of their versions.

        Returns:
            Is done when the rows are stored, and says when, or has the `PagerolesError` for which they may not be. It
            can't be cancelled.

        Raises:
            OverloadedError: Too much waits.
            StoreUnavailableError: The writer is closed.
        """
        size = sum(map(size_of, rows))
        stored: Future[Times] = Future()
        stored.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                raise StoreUnavailableError("the server is stopping; try again")
            # What is larger than the bound is taken where nothing waits: else it never could be.
            if self._bytes and self._bytes + size > self._most_bytes:
                self.refused.add("unstored")
                raise OverloadedError(
                    "more sessions wait to be stored than the server keeps; try again", _RETRY_SECONDS
                )
            self._bytes += size
            self._waiting.append(_Submission(rows, size, time.perf_counter(), stored))
            self._changed.notify()
        return stored

    def close(self) -> None:
        """Take no more, store what was taken, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while taken := self._take():
            times = self._insert(taken)
            with self._changed:
                self._bytes -= sum(submission.size for submission in taken)
                self._expected = len(taken) + len(self._waiting)
            for submission in taken:
                if isinstance(times, PagerolesError):
                    submission.stored.set_exception(times)
                else:
                    submission.stored.set_result(Times(submission.at, *times))

    def _take(self) -> list[_Submission]:
        """Wait for rows, and take those of the next batch; nothing once the writer is closed and all is stored."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._gather()
            taken: list[_Submission] = []
            rows = size = 0
            while self._waiting and (not taken or (rows < MOST_ROWS and size < MOST_BYTES)):
                taken.append(self._waiting.popleft())
                rows += len(taken[-1].rows)
                size += taken[-1].size
            return taken

    def _gather(self) -> None:
        """Wait for all who are at it, while they come."""
        ends = time.monotonic() + _GATHER_SECONDS
        come = 0
        while come < len(self._waiting) < self._expected and not self._closing and time.monotonic() < ends:
            come = len(self._waiting)
            self._changed.wait(_PAUSE_SECONDS)

    def _insert(self, taken: list[_Submission]) -> tuple[float, float, float] | PagerolesError:
        """Insert a batch; return when it was taken, prepared and stored, or why it may not be stored."""
        began = time.perf_counter()
        batch = Batch()
        for submission in taken:
            for row in submission.rows:
                batch.add(row)
        try:
            if self._is_cut_short:
                # `places` may know of sessions what other tables do not yet; see `store/recovery.py`.
                self._store.finish_writes()
                self._is_cut_short = False
            lines, _ = batch.prepared(self._store)
            prepared = time.perf_counter()
            if lines:
                self._store.write_sessions(lines)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            self._is_cut_short = True
            # What callers are not told, such as ClickHouse's own words.
            cause = {} if error.__cause__ is None else {"cause": str(error.__cause__)}
            _log.warning(
                "sessions not stored", sessions=len(batch.sessions), callers=len(taken), error=repr(error), **cause
            )
            return error if isinstance(error, PagerolesError) else InternalError(repr(error))
        self.batches += 1
        return began, prepared, time.perf_counter()
