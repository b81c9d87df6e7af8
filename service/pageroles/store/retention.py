"""Keep sessions for a number of days: once a day, a thread erases those that are older."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import structlog

from pageroles.errors import CancelledError
from pageroles.store import erasure
from pageroles.store.erasure import Erasure

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.store import Store

_log = structlog.get_logger(__name__)

_DAY_SECONDS = 86_400.0


class Retention:
    """Erases what started more than so many days ago, in every domain; at its start, then once a day.

    ClickHouse looks up what to erase with one thread, and deletes in its background, where no other writer waits. Use
    it as a context manager.
    """

    def __init__(
        self,
        store: Store,
        days: int,
        *,
        every_seconds: float = _DAY_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare the thread; entering the context starts it.

        Args:
            store: The store, which stays open until this is closed.
            days: How many days sessions are kept, at least 1.
            every_seconds: The time from one erasure to the next.
            now: Returns the present, with a time zone.
        """
        self._store = store
        self._days = days
        self._every_seconds = every_seconds
        self._now = now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread; the next start finishes an erasure that is broken off."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._erase()
            self._stopping.wait(self._every_seconds)

    def _erase(self) -> None:
        try:
            before = self._now() - timedelta(days=self._days)
            erased = erasure.erase(self._store, Erasure(before=before), self._stopping)
        except CancelledError:
            return
        except Exception:  # noqa: BLE001 - whatever it is, the server goes on serving, and tries again the next day
            _log.exception("old sessions not erased", keep_days=self._days)
            return
        _log.info(
            "old sessions erased", before=before.isoformat(), sessions=erased.sessions, users=erased.users,
            old_parts=erased.old_parts,
        )  # fmt: skip
