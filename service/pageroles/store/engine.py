"""Connections to the two forms of ClickHouse: embedded in this process, or a server.

Both give the same client class of clickhouse-connect. They differ in how many readers there may be, and in
what can go wrong when they are opened.
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

# What the driver would log of a failure, its error says too, and we say it.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


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
        return _embedded_engine()(_embedded_path(dsn), readers)
    if scheme in {"clickhouse", "clickhouses", "http", "https"}:
        return Server(dsn, readers, silence)
    raise SettingError(
        f"can't use the store {without_password(dsn)!r}: give chdb:///path/to/folder for an embedded store or "
        "clickhouse://user:password@host:8123/database for a server"
    )


def _embedded_engine() -> Callable[[Path, int], Engine]:
    """Load the embedded engine, which is optional and heavy."""
    try:
        module = importlib.import_module("pageroles.store.embedded")
    except ModuleNotFoundError as error:
        if error.name != "chdb":
            raise
        raise SettingError(
            'the embedded engine is not installed: pip install "pageroles[embedded]", or point the store at a '
            "ClickHouse server"
        ) from None
    made: Callable[[Path, int], Engine] = module.Embedded
    return made


def _embedded_path(dsn: str) -> Path:
    parts = urlsplit(dsn)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or path == "/":
        raise SettingError(f"can't use the store {dsn!r}: an embedded store is a folder, chdb:///path/to/folder")
    return Path(path).resolve()
