"""An embedded store that another process holds and serves: it is reached through the socket in its folder."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import clickhouse_connect
from clickhouse_connect.driver import httputil
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3 import HTTPConnectionPool, Retry
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from pageroles import __version__
from pageroles.errors import InternalError, SettingError, StoreUnavailableError
from pageroles.store import socket_file
from pageroles.store.server import whole

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from urllib3 import PoolManager

    from pageroles.store.interface import Interface

# The server says nothing while a statement is at work, and the system tells when it dies.
_SILENCE_SECONDS = 86_400
_OK = 200
_GONE = "the server that holds the store does not answer any more: run the command again"


class Held:
    """An embedded store in the hands of a server on this machine; one client serves all threads."""

    embedded = False
    changes = None
    connections = 0

    def __init__(self, folder: Path) -> None:
        """Connect to the server that holds the store in a folder.

        Raises:
            StoreUnavailableError: None answers there.
            SettingError: It is of another version of pageroles.
        """
        self.folder = folder
        self._pools = _pool_manager(folder)
        self._refuse_other_version()
        with _translated():
            self._client = clickhouse_connect.get_client(
                host="localhost",
                # A session would allow only one query at a time.
                autogenerate_session_id=False,
                compress=False,
                query_retries=0,
                send_receive_timeout=_SILENCE_SECONDS,
                show_clickhouse_errors="scrub",
                pool_mgr=self._pools,
            )

    def _refuse_other_version(self) -> None:
        try:
            version = self.ask("/version").decode()
        except InternalError:
            version = "of an earlier version"
        if version != __version__:
            raise SettingError(
                f"the server that holds the store at {self.folder} is pageroles {version}, and this is {__version__}: "
                "use the command of that version, or start the server anew with this one"
            )

    @contextlib.contextmanager
    def _lend(self, _: float = math.inf) -> Iterator[Client]:
        with _translated():
            yield self._client

    reader = control = writer = _lend

    def apart(self, _: float) -> Held:
        """Return an engine with connections of its own.

        Raises:
            StoreUnavailableError: The server does not answer any more.
        """
        return Held(self.folder)

    def in_place(self) -> bool:
        """Return True: the server looks after its folder."""
        return True

    def interface(self) -> Interface | None:
        """Return None: the server has it."""
        return None

    def ask(self, path: str) -> bytes:
        """Ask the server for what only it knows, or can do.

        Args:
            path: The path of the address.

        Returns:
            JSON, as a rule.

        Raises:
            StoreUnavailableError: The server does not answer.
            InternalError: It refuses, and says why.
        """
        with _translated():
            response = self._pools.request("POST", f"http://localhost{path}", retries=Retry(0))
        if response.status != _OK:
            raise InternalError(response.data.decode(errors="replace"))
        return bytes(response.data)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._pools.clear()


def _pool_manager(folder: Path) -> PoolManager:
    """Return a pool manager whose connections go to the socket of a folder, whatever address they are for."""

    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return socket_file.connect(folder)

        def getresponse(self) -> Any:
            return whole(super().getresponse())

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    manager: PoolManager = httputil.get_pool_manager(maxsize=4, block=False)
    pools: Any = {"http": Pool}
    manager.pool_classes_by_scheme = pools
    return manager


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Let what is no error of ClickHouse's own say that the server does not answer."""
    try:
        yield
    except (ClickHouseError, HTTPError, OSError) as error:
        if getattr(error, "code", None) is None:
            raise StoreUnavailableError(_GONE) from error
        raise
