"""Run the gateway: uvicorn in a thread, with limits on the connections and bytes that anyone may use."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pageroles.errors import SettingError
from pageroles.transport import addresses, faults
from pageroles.transport.rest_middleware import CommonHeaders

if TYPE_CHECKING:
    import asyncio

    from starlette.applications import Starlette
    from uvicorn._types import ASGI3Application

_MOST_CONNECTIONS = 1000
_MOST_HEADER_BYTES = 16 << 10
# A new connection is closed if it has not sent the head of a request after this time.
_HEAD_SECONDS = 10.0
_IDLE_SECONDS = 60
_START_SECONDS = 10.0


_NOT_HTTP = faults.Refusal(
    faults.Code.INVALID_ARGUMENT, "this is no request of HTTP/1.1, or its head is larger than 16 KiB; send another"
)
_CLOSE = {"connection": "close"}
_BUSY = faults.Refusal(faults.Code.OVERLOADED, "the server is busy; try again", retry_after=1)


class _PromptProtocol(H11Protocol):
    """HTTP/1.1 that closes a new connection which sends no request; uvicorn itself would wait for ever.

    What it refuses before there is a request for the application, it refuses in the form of all other errors.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._close_if_silent)
        if len(self.connections) > _MOST_CONNECTIONS:
            self.app = cast("ASGI3Application", CommonHeaders(faults.to_response(_BUSY, _CLOSE)))

    def _close_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        """Answer as if an upgrade were not asked for, as HTTP lets a server do; uvicorn would warn each time."""
        return False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence, which it has logged
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            refusal = faults.to_response(_NOT_HTTP, _CLOSE)
            head = h11.Response(status_code=refusal.status_code, headers=refusal.raw_headers, reason=b"Bad Request")
            for event in (head, h11.Data(data=bytes(refusal.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class HttpServer:
    """An HTTP server; it starts when it is created.

    Attributes:
        port: The port that it listens on; 0 for a socket in the file system.
    """

    def __init__(self, application: Starlette, address: str | socket.socket, *, grace: float = 30.0) -> None:
        """Listen at an address.

        Args:
            application: What answers the requests.
            address: `host:port`; port 0 takes any free port. Or a socket that listens, which the server closes.
            grace: Seconds that requests in flight get to finish when the server stops.

        Raises:
            SettingError: The address can't be used.
        """
        self._socket = _listening_socket(address) if isinstance(address, str) else address
        self.port: int = 0 if self._socket.family is socket.AF_UNIX else self._socket.getsockname()[1]
        config = uvicorn.Config(
            application,
            http=_PromptProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=int(grace),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()
        self._wait_until_started()

    def _run(self) -> None:
        with contextlib.suppress(SystemExit):  # uvicorn exits where it can't start
            self._server.run(sockets=[self._socket])

    def _wait_until_started(self) -> None:
        never = threading.Event()
        for _ in range(int(_START_SECONDS / 0.01)):
            if self._server.started or not self._thread.is_alive():
                break
            never.wait(0.01)

    def stop(self) -> None:
        """Accept no new requests, let those in flight finish within the grace period, and end."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def _listening_socket(address: str) -> socket.socket:
    host, port = addresses.split(address, "--http-address")
    try:
        resolved: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, _, _, socket_address = resolved[0]
        # asyncio turns off Nagle's delay, 40 ms here, only for sockets whose protocol says TCP.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(socket_address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
        else:
            return listener
    except OSError:
        raise SettingError(
            f"can't serve at {address}: the port is taken, or this machine does not have the address; "
            "choose another with --http-address"
        ) from None
