"""Keep sessions for a number of days: once a day, a thread erases those that are older."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import structlog

from pageroles.errors import CancelledError
from pageroles.store import audit, erasure
from pageroles.store.erasure import Erasure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pageroles.store.store import Store

_log = structlog.get_logger(__name__)

_DAY_SECONDS = 86_400.0


class Retention:
    """Erases what started more than so many days ago; at its start, then once a day.

    ClickHouse looks up what to erase with one thread, and deletes in its background, where no other writer waits. Use
    it as a context manager.
    """

    def __init__(
        self,
        store: Store,
        days: Mapping[str | None, int],
        *,
        every_seconds: float = _DAY_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare the thread; entering the context starts it.

        Args:
            store: The store, which stays open until this is closed.
            days: How many days sessions are kept, at least 1, by domain; None: in every other domain, where they are
                kept for ever without it.
            every_seconds: The time from one erasure to the next.
            now: Returns the present, with a time zone.
        """
        self._store = store
        self._days = dict(days)
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
        log = _log.bind(keep_days={domain or "": days for domain, days in self._days.items()})
        try:
            erased = erasure.erase(self._store, *self._erasures(), process=audit.SERVER, stopping=self._stopping)
        except CancelledError:
            return
        except Exception:  # whatever it is, the server goes on serving, and tries again the next day
            log.exception("old sessions not erased")
            return
        log.info("old sessions erased", sessions=erased.sessions, users=erased.users, old_parts=erased.old_parts)

    def _erasures(self) -> Iterator[Erasure]:
        now = self._now()
        named = tuple(domain for domain in self._days if domain is not None)
        for domain, days in self._days.items():
            before = now - timedelta(days=days)
            yield Erasure(domain, before=before, other_than=named if domain is None else ())
