"""A ClickHouse server over HTTP."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver import httputil
from clickhouse_connect.driver.exceptions import ClickHouseError

from pageroles.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clickhouse_connect.driver.client import Client
    from urllib3 import HTTPConnectionPool, PoolManager

    from pageroles.store.interface import Interface

_CONNECT_SECONDS = 5


class Server:
    """A ClickHouse server over HTTP: one client serves all threads."""

    embedded = False
    changes = None

    def __init__(self, dsn: str, readers: int, silence: float, retries: int = 2) -> None:
        """Connect to a server.

        Args:
            dsn: `clickhouse://user:password@host:8123/database`, or `clickhouses://…` for TLS.
            readers: The most streams that may be open at once.
            silence: Seconds after which the connection is closed if the server sends nothing.
            retries: How often a query is sent again whose connection broke.

        Raises:
            StoreUnavailableError: The server can't be reached or refuses the connection.
        """
        self._dsn = dsn
        self._made = _Count()
        secure = urlsplit(dsn).scheme in {"clickhouses", "https"}
        try:
            self._client = clickhouse_connect.get_client(
                dsn=dsn,
                secure=secure,
                # A session would allow only one query at a time.
                autogenerate_session_id=False,
                # On the server's own network compression takes more time than it saves.
                compress=False,
                query_retries=retries,
                connect_timeout=_CONNECT_SECONDS,
                send_receive_timeout=int(silence),
                show_clickhouse_errors="scrub",
                # A pool that blocks would wait for ever for connections that the driver leaves behind: after a 503 it
                # does not give them back. How many are open is bounded by the threads that ask.
                pool_mgr=_counting(httputil.get_pool_manager(maxsize=readers + 4, block=False), self._made),
            )
        except ClickHouseError as error:
            raise StoreUnavailableError(
                f"can't reach ClickHouse at {without_password(dsn)}: {_reason(error)}"
            ) from error

    folder = None

    @property
    def connections(self) -> int:
        """How many connections were made so far."""
        return self._made.number

    @contextlib.contextmanager
    def _lend(self) -> Iterator[Client]:
        yield self._client

    reader = control = writer = _lend

    def apart(self, seconds: float) -> Server:
        """Return an engine with a connection of its own, which is closed after `seconds` of silence.

        Raises:
            StoreUnavailableError: The server can't be reached or refuses the connection.
        """
        return Server(self._dsn, 1, max(seconds, 1.0), retries=0)

    def interface(self) -> Interface | None:
        """Return None: the server has one of its own."""
        return None

    def in_place(self) -> bool:
        """Return True: only a query can tell."""
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class _Count:
    """A number that many threads may raise."""

    def __init__(self) -> None:
        self.number = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.number += 1


def _counting(manager: PoolManager, made: _Count) -> PoolManager:
    """Let a pool manager count the connections that it makes, those that replace broken ones included."""
    pools: dict[str, type[HTTPConnectionPool]] = manager.pool_classes_by_scheme
    counting: dict[str, Any] = {}
    for scheme, pool in pools.items():
        connection: Any = pool.ConnectionCls

        def connect(self: Any, connect: Callable[[Any], None] = connection.connect) -> None:
            connect(self)
            made.add()

        counted = type(connection.__name__, (connection,), {"connect": connect})
        counting[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": counted})
    manager.pool_classes_by_scheme = counting
    return manager


def without_password(dsn: str) -> str:
    """Return a DSN with `…` in place of its password."""
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:…@{host}").geturl()


def _reason(error: Exception) -> str:
    """Return the text of the innermost cause; the outer errors speak of attempts and pools."""
    innermost: Any = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    return str(innermost)
