"""A ClickHouse server over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import math
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver import httputil
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3 import Timeout

from pageroles.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clickhouse_connect.driver.client import Client
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager

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
        # A pool that blocks would wait for ever for connections that the driver leaves behind: after a 503 it does not
        # give them back. How many are open is bounded by the threads that ask.
        self._pools = _watched(httputil.get_pool_manager(maxsize=readers + 4, block=False), self._made)
        try:
            client: Any = clickhouse_connect.get_client(
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
                pool_mgr=self._pools,
            )
        except ClickHouseError as error:
            self._close_pools()
            raise StoreUnavailableError(
                f"can't reach ClickHouse at {without_password(dsn)}: {_reason(error)}"
            ) from error
        client.timeout = self._patience = _Patience(_CONNECT_SECONDS, silence)
        self._client: Client = client

    folder = None

    @property
    def connections(self) -> int:
        """How many connections were made so far."""
        return self._made.number

    @contextlib.contextmanager
    def _lend(self, seconds: float = math.inf) -> Iterator[Client]:
        with self._patience.at_most(seconds):
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
        """Close the connections; those at work, once their queries end."""
        self._client.close()
        self._close_pools()

    def _close_pools(self) -> None:
        # Pools that are not the driver's own it leaves open, and keeps for ever.
        httputil.all_managers.pop(self._pools, None)
        self._pools.clear()


class _Patience(Timeout):
    """How long the driver waits for the server: what it was opened with, or less for what a thread asks just now."""

    def __init__(self, connect: float, silence: float) -> None:
        super().__init__(connect=connect, read=silence)
        self._least = connect
        self._silence = silence
        self._asked = threading.local()

    @contextlib.contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Let what this thread asks in the block wait no longer for the next bytes."""
        before = getattr(self._asked, "seconds", math.inf)
        self._asked.seconds = seconds
        try:
            yield
        finally:
            self._asked.seconds = before

    def clone(self) -> Timeout:
        """Return the times for one request, which the pool asks for."""
        seconds = min(getattr(self._asked, "seconds", math.inf), self._silence)
        return Timeout(connect=min(self._least, seconds), read=seconds)


class _Count:
    """A number that many threads may raise."""

    def __init__(self) -> None:
        self.number = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.number += 1


def _watched(manager: PoolManager, made: _Count) -> PoolManager:
    """Let a pool manager count the connections that it makes, and refuse answers whose head breaks off."""
    pools: dict[str, type[HTTPConnectionPool]] = manager.pool_classes_by_scheme
    watched: dict[str, Any] = {}
    for scheme, pool in pools.items():
        connection: Any = pool.ConnectionCls

        def connect(self: Any, connect: Callable[[Any], None] = connection.connect) -> None:
            connect(self)
            made.add()

        def getresponse(self: Any, getresponse: Callable[[Any], Any] = connection.getresponse) -> Any:
            return whole(getresponse(self))

        own = type(connection.__name__, (connection,), {"connect": connect, "getresponse": getresponse})
        watched[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": own})
    manager.pool_classes_by_scheme = watched
    return manager


def whole(response: BaseHTTPResponse) -> BaseHTTPResponse:
    """Return an answer whose head is whole.

    The end of a connection reads as the end of a head, and what is left of it as that of an answer without bytes, which
    would pass for a result without rows. A whole head says where the answer ends.

    Raises:
        RemoteDisconnected: The head broke off.
    """
    if response.chunked or response.headers.get("Content-Length", "").isdigit():
        return response
    response.close()
    raise http.client.RemoteDisconnected("the connection ended within the head of an answer")


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
