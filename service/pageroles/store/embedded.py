"""The embedded engine, chDB: one process holds the folder, and each handle runs one query at a time.

Importing this module loads the engine, which starts threads and sets signal handlers: so it is imported where an
embedded store is opened, and nowhere else.
"""

from __future__ import annotations

import contextlib
import ctypes
import queue
import threading
from typing import TYPE_CHECKING

import chdb  # noqa: F401 - the driver finds it loaded
import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from pageroles.errors import SettingError, StoreUnavailableError
from pageroles.store.lock import locked, refuse_if_locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

# glibc's names for `mallopt` (malloc.h), and what they are set to: bytes at the top of a heap that are given back, and
# from which on a buffer is mapped by itself.
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 64 << 20
_M_MMAP_THRESHOLD, _MAPPED_BYTES = -3, 32 << 20


class Embedded:
    """chDB: one process holds the folder; each handle runs one query at a time."""

    embedded = True

    def __init__(self, path: Path, readers: int) -> None:
        """Open the store in a folder, which is made where it is missing.

        Raises:
            SettingError: The folder can't be used.
            StoreLockedError: Another process holds the store.
            StoreUnavailableError: The engine can't open it.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"can't use {path} as the folder of an embedded store: {error.strerror}") from None
        refuse_if_locked(path)
        _keep_memory()
        self._clients: list[Client] = []
        try:
            # The anchor keeps the engine alive; opening and closing it whole leaks threads.
            self._writer = self._client(path)
            self._control = self._client(path)
            self._readers: queue.SimpleQueue[Client] = queue.SimpleQueue()
            for _ in range(readers):
                self._readers.put(self._client(path, mode="ro"))
        except (ClickHouseError, RuntimeError) as error:
            self.close()
            if "BAD_ARGUMENTS" in str(error):
                raise locked(path) from None
            raise StoreUnavailableError(f"can't open the embedded store at {path}: {error}") from error
        self._write_lock = threading.Lock()
        self._control_lock = threading.Lock()

    def _client(self, path: Path, **options: str) -> Client:
        client = clickhouse_connect.get_client(
            dsn=f"chdb://{path}", chdb_options=options or None, show_clickhouse_errors="scrub"
        )
        self._clients.append(client)
        return client

    @contextlib.contextmanager
    def reader(self) -> Iterator[Client]:
        """Lend a client for one query at a time; wait while all are lent."""
        client = self._readers.get()
        try:
            yield client
        finally:
            self._readers.put(client)

    @contextlib.contextmanager
    def control(self) -> Iterator[Client]:
        """Lend the client that stops queries; never wait for a report."""
        with self._control_lock:
            yield self._control

    @contextlib.contextmanager
    def writer(self) -> Iterator[Client]:
        """Lend the client that may change the store."""
        with self._write_lock:
            yield self._writer

    def close(self) -> None:
        """Close every client."""
        for client in reversed(self._clients):
            client.close()


def _keep_memory() -> None:
    """Have the allocator keep what a query frees for the next: else each faults tens of megabytes in again."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
