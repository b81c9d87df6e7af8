"""Watch a store: whether it can be read, has the latest schema, and has lost no rows to damage."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from pageroles.errors import (
    DeadlineError,
    InternalError,
    PagerolesError,
    SettingError,
    StoreDamagedError,
    StoreUnavailableError,
)
from pageroles.store import damage
from pageroles.store.faults import NOT_ANSWERED, NOT_REACHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.store import Store

_log = structlog.get_logger(__name__)

EVERY_SECONDS = 2.0
# A look takes some milliseconds. One that is not done after this time says that the store does not answer.
PATIENCE_SECONDS = 4.0
# What closing waits for a look that is at work. One that hangs ends by itself later.
_CLOSE_SECONDS = 1.0

_SILENT = StoreUnavailableError(NOT_ANSWERED)
_FOLDER_GONE = StoreUnavailableError("the folder of the embedded store is gone, or another one has taken its place")
_STOPPING = StoreUnavailableError("the server is stopping; try again")


class Watch:
    """Looks at a store every few seconds, apart from all requests, and tells whether it is ready.

    One thread looks, through a connection of its own. Another one notices when a look is not done in time: so neither
    a store that hangs nor one that is busy keeps the watch from telling. Safe to use from many threads.
    """

    def __init__(
        self, store: Store, *, every_seconds: float = EVERY_SECONDS, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Prepare to watch; `start` takes the first look.

        Args:
            store: The store, which stays open until this is closed.
            every_seconds: The time from one look to the next.
            patience_seconds: The longest time that a look may take.
        """
        self._store = store
        self._every_seconds = every_seconds
        self._patience_seconds = patience_seconds
        self._apart: Store | None = None
        self._state = threading.Condition()
        # What follows is guarded by `_state`.
        self._fault: PagerolesError | None = None
        self._damage: StoreDamagedError | None = None
        self._begun = self._ended = 0
        # How many connections the last look knew of that could tell.
        self._connections = 0
        self._listeners: list[Callable[[bool], None]] = []
        self._stopping = False
        # A look is wanted now; a look is done.
        self._wanted, self._done = threading.Event(), threading.Event()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for run, name in ((self._look_again, "watch"), (self._await_looks, "watch-late"))
        ]

    def start(self) -> None:
        """Take the first look, and go on looking.

        Raises:
            SettingError: The store lacks the schema or has another version of it, or its user may not see damage.
            StoreDamagedError: Parts of the store are damaged.
            StoreUnavailableError: The store can't be reached.
        """
        try:
            self._look()
        except BaseException as error:
            self._close_apart()
            if isinstance(error, StoreDamagedError):
                _log_fault(error)
            raise
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tell from now on that the store is not ready, since its server stops; the looking goes on until `close`."""
        with self._state:
            self._stopping = True
            self._state.notify_all()
        self._tell(_STOPPING)

    def close(self) -> None:
        """End the looking; wait for a look that hangs no longer than a second."""
        self._closing.set()
        self._wanted.set()
        self._done.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_CLOSE_SECONDS)

    @property
    def reason(self) -> str | None:
        """Why the store is not ready, as a sentence for anyone; None while it is ready."""
        with self._state:
            fault = self._fault
        if fault is None:
            return None
        told = not fault.ours or isinstance(fault, SettingError)
        return str(fault) if told else "the store can't be read; the server's log says why"

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """Call `listener` now and at each change, with whether the store is ready."""
        with self._state:
            self._listeners.append(listener)
            listener(self._fault is None)

    def refuse_damaged(self) -> None:
        """Refuse a store that is damaged.

        A server may have been restarted, and have found damage then, if the store was not ready or if a connection was
        made since the last look. Then look first, for `patience_seconds` at most.

        Raises:
            StoreDamagedError: The last look that could tell saw damage.
        """
        with self._state:
            in_doubt = self._fault is not None or self._store.connections > self._connections
            if in_doubt and not self._stopping:
                # Not the look at work, which may have begun before the server came back.
                wanted = self._begun + 1
                self._wanted.set()
                self._state.wait_for(lambda: self._ended >= wanted or self._stopping, self._patience_seconds)
            seen = self._damage
        if seen is not None:
            raise StoreDamagedError(seen.parts)

    # ---- looking ----

    def _look(self) -> None:
        connections = self._store.connections
        if not self._store.in_place():
            raise _FOLDER_GONE
        if self._apart is None:
            try:
                self._apart = self._store.apart(self._patience_seconds)
            except StoreUnavailableError as error:  # whose text names the host
                raise StoreUnavailableError(NOT_REACHED) from error
        parts = damage.damaged_parts(self._apart, self._apart.call(self._patience_seconds))
        with self._state:
            self._connections = connections
            self._damage = StoreDamagedError(parts) if parts else None
            seen = self._damage
        if seen is not None:
            raise seen
        self._apart.check()

    def _look_again(self) -> None:
        self._wanted.wait(self._every_seconds)
        while not self._closing.is_set():
            with self._state:
                self._wanted.clear()
                self._begun += 1
            fault: PagerolesError | None = None
            try:
                self._look()
            except DeadlineError:
                # In the same words, whichever of the two threads is first to see it.
                fault = _SILENT
            except PagerolesError as error:
                fault = error
            except Exception as error:  # noqa: BLE001 - whatever it is, the store is not ready
                fault = InternalError(repr(error))
            self._hear(fault)
            self._wanted.wait(self._every_seconds)
        self._close_apart()

    def _hear(self, fault: PagerolesError | None) -> None:
        """Take the outcome of a look."""
        with self._state:
            self._ended += 1
            self._state.notify_all()
        self._done.set()
        self._tell(fault)

    def _await_looks(self) -> None:
        while not self._closing.is_set():
            if self._done.wait(self._every_seconds + self._patience_seconds):
                self._done.clear()
            else:
                self._tell(_SILENT)

    def _tell(self, fault: PagerolesError | None) -> None:
        """Take on a state; log and tell it if it is another one."""
        with self._state:
            if self._stopping:
                fault = _STOPPING
            before, self._fault = self._fault, fault
            if str(before) == str(fault):
                return
            if (before is None) != (fault is None):
                for listener in self._listeners:
                    listener(fault is None)
        if fault is None:
            _log.info("store is ready again")
        elif fault is not _STOPPING:
            _log_fault(fault)

    def _close_apart(self) -> None:
        if self._apart is not None:
            self._apart.close()


def _log_fault(fault: PagerolesError) -> None:
    parts = {"parts": fault.parts} if isinstance(fault, StoreDamagedError) else {}
    _log.warning("store is not ready", reason=str(fault), **parts)
