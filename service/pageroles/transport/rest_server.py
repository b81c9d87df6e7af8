"""Run the gateway: uvicorn in a thread, with limits on the connections and bytes that anyone may use."""

from __future__ import annotations

import contextlib
import socket
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pageroles.errors import SettingError
from pageroles.transport import addresses, faults, headers, patience
from pageroles.transport.rest_middleware import HEAD_TOO_LARGE, MOST_HEAD_BYTES, CommonHeaders, OnlyHealth
from pageroles.transport.tls import server_context

if TYPE_CHECKING:
    import asyncio

    from starlette.applications import Starlette
    from starlette.types import ASGIApp
    from uvicorn._types import ASGI3Application

    from pageroles.settings import ServerTls

_MOST_CONNECTIONS = 1000
# A connection is closed if the head of a request has not come after this time, from its first byte on; of the first
# request, from the connection on.
_HEAD_SECONDS = 10.0
_IDLE_SECONDS = 60
_START_SECONDS = 10.0


_NOT_HTTP = faults.Refusal(faults.Code.INVALID_ARGUMENT, "this is no request of HTTP/1.1; send another")
_BUSY = faults.Refusal(faults.Code.OVERLOADED, "the server is busy; try again", retry_after=1)


class _PromptProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose client keeps it waiting; uvicorn itself would wait for ever.

    What it refuses before there is a request for the application, it refuses in the form of all other errors.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head: asyncio.TimerHandle | None = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)
        self._reader: asyncio.TimerHandle | None = None
        if len(self.connections) > _MOST_CONNECTIONS:
            refusal = CommonHeaders(faults.to_response(_BUSY, headers.CLOSE))
            self.app = cast("ASGI3Application", OnlyHealth(cast("ASGIApp", self.app), refusal))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Of a request that is under way, no more is read.
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if begun and self._head is None:
            self._head = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)
        elif not begun and self.cycle is not None and self._head is not None:
            self._head.cancel()
            self._head = None

    def pause_writing(self) -> None:
        super().pause_writing()
        seconds = patience.seconds_to_read(self.transport.get_write_buffer_size())
        self._reader = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head, self._reader):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        """Answer as if an upgrade were not asked for, as HTTP lets a server do; uvicorn would warn each time."""
        return False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence, which it has logged
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            is_too_large = len(self.conn.trailing_data[0]) > MOST_HEAD_BYTES
            refusal = faults.to_response(HEAD_TOO_LARGE if is_too_large else _NOT_HTTP, headers.CLOSE)
            reason = HTTPStatus(refusal.status_code).phrase.encode()
            head = h11.Response(status_code=refusal.status_code, headers=refusal.raw_headers, reason=reason)
            for event in (head, h11.Data(data=bytes(refusal.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class HttpServer:
    """An HTTP server; it starts when it is created.

    Attributes:
        port: The port that it listens on; 0 for a socket in the file system.
    """

    def __init__(
        self,
        application: Starlette,
        address: str | socket.socket,
        *,
        grace: float = 30.0,
        tls: ServerTls | None = None,
        option: str = "--http-address",
    ) -> None:
        """Listen at an address.

        Args:
            application: What answers the requests.
            address: `host:port`; port 0 takes any free port. Or a socket that listens, which the server closes.
            grace: Seconds that requests in flight get to finish when the server stops.
            tls: The certificate; None: without TLS.
            option: The option that set the address, for the sentence of an error.

        Raises:
            SettingError: The address or the certificate can't be used.
        """
        context = None if tls is None else server_context(tls)
        self._socket = _listening_socket(address, option) if isinstance(address, str) else address
        self.port: int = 0 if self._socket.family is socket.AF_UNIX else self._socket.getsockname()[1]
        config = uvicorn.Config(
            application,
            http=_PromptProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=int(grace),
            ssl_context_factory=None if context is None else lambda *_: context,
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


def _listening_socket(address: str, option: str) -> socket.socket:
    host, port = addresses.split(address, option)
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
            f"choose another with {option}"
        ) from None
