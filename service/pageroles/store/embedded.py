"""The embedded engine, chDB: one process holds the folder, and each client runs one query at a time.

Importing this module loads the engine, which starts threads and sets signal handlers. So it is imported only when an
embedded store is opened.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import queue
import threading
from typing import TYPE_CHECKING

import chdb
import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from pageroles.errors import SettingError, StoreUnavailableError
from pageroles.store.changes import Changes
from pageroles.store.interface import SETTINGS, Interface
from pageroles.store.lock import lock_file, locked, refuse_if_locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from clickhouse_connect.driver.client import Client

# Parameters of glibc's `mallopt` (malloc.h) and their values: the free bytes at the top of a heap that stay with the
# process, and the size from which a buffer gets a mapping of its own.
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 64 << 20
_M_MMAP_THRESHOLD, _MAPPED_BYTES = -3, 32 << 20


class Embedded:
    """chDB in this process, on a folder that no other process may hold."""

    embedded = True
    connections = 0

    def __init__(self, path: Path, readers: int) -> None:
        """Open the store in a folder.

        Args:
            path: The folder; it is created if it does not exist.
            readers: The number of clients that read.

        Raises:
            SettingError: The folder can't be created.
            StoreLockedError: Another process holds the store.
            StoreUnavailableError: The engine can't open it.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"can't use {path} as the folder of an embedded store: {error.strerror}") from None
        refuse_if_locked(path)
        _keep_memory()
        self._path = self.folder = path
        self.changes = Changes()
        self._clients: list[Client] = []
        try:
            # The engine lives as long as any client; opening and closing it again and again would leak threads.
            self._writer = self._client(path)
            self._control = self._client(path)
            # None is one that is opened when it is wanted.
            self._readers: queue.SimpleQueue[Client | None] = queue.SimpleQueue()
            for _ in range(readers):
                self._readers.put(self._client(path, mode="ro"))
        except (ClickHouseError, RuntimeError) as error:
            self.close()
            if "BAD_ARGUMENTS" in str(error):
                raise locked(path) from None
            raise StoreUnavailableError(f"can't open the embedded store at {path}: {error}") from error
        self._identity = _identity(path)
        self._write_lock = threading.Lock()
        self._control_lock = threading.Lock()

    def _client(self, path: Path, **options: str) -> Client:
        client = _opened(path, **options)
        self._clients.append(client)
        return client

    @contextlib.contextmanager
    def reader(self, _: float = math.inf) -> Iterator[Client]:
        """Lend a client for one query; wait while all are lent. A query in this process ends at its own limit.

        Where the block fails, nobody gets that client again: to the next query, the engine may give what is left of the
        answer to one that was stopped.

        Raises:
            StoreUnavailableError: No client can be opened in place of one that was closed.
        """
        client = self._readers.get()
        try:
            if client is None:
                client = self._again()
            yield client
        except BaseException:
            if client is not None:
                self._clients.remove(client)
                client.close()
                client = None
            raise
        finally:
            self._readers.put(client)

    def _again(self) -> Client:
        try:
            return self._client(self._path, mode="ro")
        except (ClickHouseError, RuntimeError) as error:
            raise StoreUnavailableError(f"can't open the embedded store again: {error}") from error

    @contextlib.contextmanager
    def control(self, _: float = math.inf) -> Iterator[Client]:
        """Lend the client that stops queries and reads the schema; reports never hold it."""
        with self._control_lock:
            yield self._control

    @contextlib.contextmanager
    def writer(self, _: float = math.inf) -> Iterator[Client]:
        """Lend the client that changes the store; wait while it is lent."""
        with self._write_lock, self.changes.one():
            yield self._writer

    def apart(self, seconds: float) -> _Apart:  # noqa: ARG002 - a query in this process ends at its own limit
        """Return an engine with a client of its own; the store stays open until that is closed, too."""
        return _Apart(self.changes, self._path)

    def interface(self) -> Interface | None:
        """Return what answers other processes on this machine, each query on a connection of its own."""
        return Interface(self._connection, self.changes)

    def _connection(self) -> Any:
        return chdb.connect(str(self._path))  # type: ignore[no-untyped-call]

    def in_place(self) -> bool:
        """Return whether the folder is still the one that was opened, and not a copy of it."""
        return _identity(self._path) == self._identity

    def close(self) -> None:
        """Close all clients, and with them the engine."""
        for client in reversed(self._clients):
            client.close()


class _Apart:
    """One client of an open store, for one thread; another one where it may have been stopped."""

    embedded = True
    connections = 0

    def __init__(self, changes: Changes, folder: Path) -> None:
        self.changes = changes
        self.folder = folder
        self._client: Client | None = _opened(folder)

    @contextlib.contextmanager
    def _lend(self, _: float = math.inf) -> Iterator[Client]:
        client = self._client = self._client or _opened(self.folder)
        try:
            yield client
        except BaseException:
            self.close()
            raise

    reader = control = _lend

    @contextlib.contextmanager
    def writer(self, _: float = math.inf) -> Iterator[Client]:
        with self.changes.one(), self._lend() as client:
            yield client

    def apart(self, _: float) -> _Apart:
        return self

    def interface(self) -> None:
        return None

    def in_place(self) -> bool:
        return True

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _opened(path: Path, **options: str) -> Client:
    return clickhouse_connect.get_client(
        dsn=f"chdb://{path}", chdb_options=SETTINGS | options, show_clickhouse_errors="scrub"
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file that locks a store from any other; None where it is gone."""
    try:
        status = lock_file(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _keep_memory() -> None:
    """Let the allocator keep memory for the next query, which would otherwise get tens of megabytes anew."""
    with contextlib.suppress(AttributeError, OSError):  # a C library other than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
