"""Open ClickHouse in either form: embedded in this process, or a server.

Both forms have the same clients, those of clickhouse-connect. They differ in how many queries a client runs at once,
and in what can fail when they are opened.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from pageroles.errors import SettingError
from pageroles.store.server import Server, without_password

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

# The driver logs failures and raises them as well; we report what is raised.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


class Engine(Protocol):
    """Lends clients to readers and writers; safe to use from many threads.

    Attributes:
        embedded: Whether the engine runs in this process.
    """

    embedded: bool

    @property
    def connections(self) -> int:
        """How many connections to a server were made so far; a server that was restarted is reached by a new one."""

    def reader(self) -> contextlib.AbstractContextManager[Client]:
        """Lend a client for one query; wait while all are lent."""

    def control(self) -> contextlib.AbstractContextManager[Client]:
        """Lend the client that stops queries and reads the schema; reports never hold it."""

    def writer(self) -> contextlib.AbstractContextManager[Client]:
        """Lend the client that changes the store; wait while it is lent."""

    def apart(self, seconds: float) -> Engine:
        """Return an engine of the same store whose one client nothing else holds, and which waits for `seconds`.

        Raises:
            StoreUnavailableError: The store can't be reached.
        """

    def in_place(self) -> bool:
        """Return whether the store is still where it was opened; True for a server, which only a query can tell."""

    def close(self) -> None:
        """Close all clients."""


def connect(dsn: str, readers: int, silence: float) -> Engine:
    """Open the engine that a DSN names.

    Args:
        dsn: `chdb:///path/to/folder`, or `clickhouse://user:password@host:8123/database`.
        readers: The most streams that may be open at once.
        silence: Seconds after which the connection to a server that sends nothing is closed.

    Raises:
        SettingError: The DSN can't be used, or the embedded engine isn't installed.
        StoreLockedError: Another process holds the embedded store.
        StoreUnavailableError: The server can't be reached or refuses the connection.
    """
    scheme = urlsplit(dsn).scheme
    if scheme == "chdb":
        return _embedded_engine()(_embedded_path(dsn), readers)
    if scheme in {"clickhouse", "clickhouses", "http", "https"}:
        return Server(dsn, readers, silence)
    raise SettingError(
        f"can't use the store {without_password(dsn)!r}: give chdb:///path/to/folder for an embedded store or "
        "clickhouse://user:password@host:8123/database for a server"
    )


def _embedded_engine() -> Callable[[Path, int], Engine]:
    """Import the embedded engine, which is optional and slow to load."""
    try:
        module = importlib.import_module("pageroles.store.embedded")
    except ModuleNotFoundError as error:
        if error.name != "chdb":
            raise
        raise SettingError(
            'the embedded engine is not installed: run pip install "pageroles[embedded]", or give a ClickHouse server '
            "with --store"
        ) from None
    engine: Callable[[Path, int], Engine] = module.Embedded
    return engine


def _embedded_path(dsn: str) -> Path:
    parts = urlsplit(dsn)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or path == "/":
        raise SettingError(
            f"can't use the store {dsn!r}: give the whole path of the folder of an embedded store, "
            "chdb:///path/to/folder"
        )
    return Path(path).resolve()
