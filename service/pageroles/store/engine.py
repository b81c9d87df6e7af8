"""Connections to the two forms of ClickHouse: embedded in this process, or a server.

Both give the same client class of clickhouse-connect. They differ in how many readers there may be, and in
what can go wrong when they are opened.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver import httputil
from clickhouse_connect.driver.exceptions import ClickHouseError

from pageroles.errors import SettingError, StoreLockedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

# What the driver would log of a failure, its error says too, and we say it.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

_CONNECT_SECONDS = 5

# glibc's names for `mallopt` (malloc.h), and what they are set to: bytes at the top of a heap that are given back, and
# from which on a buffer is mapped by itself.
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 64 << 20
_M_MMAP_THRESHOLD, _MAPPED_BYTES = -3, 32 << 20


class Engine(Protocol):
    """Gives clients to readers and to writers."""

    embedded: bool

    def reader(self) -> contextlib.AbstractContextManager[Client]:
        """Lend a client for one query at a time; waits while all are lent."""

    def control(self) -> contextlib.AbstractContextManager[Client]:
        """Lend the client that stops queries; never waits for a report."""

    def writer(self) -> contextlib.AbstractContextManager[Client]:
        """Lend the client that may change the store."""

    def close(self) -> None:
        """Close every client."""


def connect(dsn: str, readers: int, silence: float) -> Engine:
    """Open the engine that a DSN names.

    Raises:
        SettingError: The DSN can't be used, or the embedded engine isn't installed.
        StoreLockedError: Another process holds the embedded store.
        StoreUnavailableError: The server can't be reached or refuses the connection.
    """
    scheme = urlsplit(dsn).scheme
    if scheme == "chdb":
        return _Embedded(_embedded_path(dsn), readers)
    if scheme in {"clickhouse", "clickhouses", "http", "https"}:
        return _Server(dsn, readers, silence)
    raise SettingError(
        f"can't use the store {_without_password(dsn)!r}: give chdb:///path/to/folder for an embedded store or "
        "clickhouse://user:password@host:8123/database for a server"
    )


class _Embedded:
    """chDB: one process holds the folder; each handle runs one query at a time."""

    embedded = True

    def __init__(self, path: Path, readers: int) -> None:
        try:
            # The engine sets up threads and signal handlers when it is imported: once, and not before it is needed.
            import chdb  # noqa: F401, PLC0415
        except ImportError:
            raise SettingError(
                'the embedded engine is not installed: pip install "pageroles[embedded]", or point the store at a '
                "ClickHouse server"
            ) from None
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
                raise _locked(path) from None
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
        client = self._readers.get()
        try:
            yield client
        finally:
            self._readers.put(client)

    @contextlib.contextmanager
    def control(self) -> Iterator[Client]:
        with self._control_lock:
            yield self._control

    @contextlib.contextmanager
    def writer(self) -> Iterator[Client]:
        with self._write_lock:
            yield self._writer

    def close(self) -> None:
        for client in reversed(self._clients):
            client.close()


class _Server:
    """A ClickHouse server over HTTP: one client serves all threads."""

    embedded = False

    def __init__(self, dsn: str, readers: int, silence: float) -> None:
        secure = urlsplit(dsn).scheme in {"clickhouses", "https"}
        try:
            self._client = clickhouse_connect.get_client(
                dsn=dsn,
                secure=secure,
                # A session would allow one query at a time.
                autogenerate_session_id=False,
                # Reports are read on the server's own network, where packing costs more than it saves.
                compress=False,
                query_retries=2,
                connect_timeout=_CONNECT_SECONDS,
                send_receive_timeout=int(silence),
                show_clickhouse_errors="scrub",
                pool_mgr=httputil.get_pool_manager(maxsize=readers + 4, block=True),
            )
        except ClickHouseError as error:
            raise StoreUnavailableError(
                f"can't reach ClickHouse at {_without_password(dsn)}: {_reason(error)}"
            ) from error

    @contextlib.contextmanager
    def _lend(self) -> Iterator[Client]:
        yield self._client

    reader = control = writer = _lend

    def close(self) -> None:
        self._client.close()


def _keep_memory() -> None:
    """Have the allocator keep what a query frees for the next: else each faults tens of megabytes in again."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def _embedded_path(dsn: str) -> Path:
    parts = urlsplit(dsn)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or path == "/":
        raise SettingError(f"can't use the store {dsn!r}: an embedded store is a folder, chdb:///path/to/folder")
    return Path(path).resolve()


def refuse_if_locked(path: Path) -> None:
    """Look at the engine's lock before the engine does: it tells the reason to standard error only."""
    status = path / "status"
    with contextlib.suppress(FileNotFoundError), status.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(path) from None


def _locked(path: Path) -> StoreLockedError:
    return StoreLockedError(
        f"another process holds the embedded store at {path} (a running `pageroles serve`, `demo` or `load`?), and "
        "only one can: stop it first, give another folder with --store, or use a ClickHouse server, which many "
        "processes can share"
    )


def _without_password(dsn: str) -> str:
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:…@{host}").geturl()


def _reason(error: Exception) -> str:
    """Return the innermost cause's text: the outer ones speak of attempts and pools."""
    innermost: Any = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    return str(innermost)
