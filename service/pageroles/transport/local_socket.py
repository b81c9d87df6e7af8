"""A socket in the folder of an embedded store, by which commands on the same machine ask the server that holds it.

Only who may read the folder's owner's files can connect: the socket has the mode 0600.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from pageroles.transport.rest_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

_NAME = "server.sock"
_STATUS = "/status"
_SECONDS = 600.0


@contextlib.contextmanager
def serving(folder: Path, status: Callable[[], Any]) -> Iterator[None]:
    """Answer commands on the same machine while the block runs.

    Args:
        folder: The folder of the embedded store, which this process holds.
        status: Returns what the store holds and the server keeps; called for each question, in a thread.
    """
    with _named(folder) as path, contextlib.suppress(FileNotFoundError):
        path.unlink()  # of a server that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _named(folder) as path:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    listener.listen()

    async def answer(_: Request) -> Response:
        return Response(msgspec.json.encode(await run_in_threadpool(status)), media_type="application/json")

    server = HttpServer(Starlette(routes=[Route(_STATUS, answer)]), listener, grace=1)
    try:
        yield
    finally:
        server.stop()
        # The folder may be gone, too.
        with contextlib.suppress(FileNotFoundError), _named(folder) as path:
            path.unlink()


def status(folder: Path) -> bytes | None:
    """Return what the server that holds the store in a folder tells, as JSON; None: no server answers there."""
    try:
        with _named(folder) as path, contextlib.closing(_Connection(str(path))) as connection:
            connection.request("GET", _STATUS)
            response = connection.getresponse()
            body = response.read()
    except (OSError, http.client.HTTPException):
        return None
    return body if response.status == http.HTTPStatus.OK else None


class _Connection(http.client.HTTPConnection):
    """A connection to a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[Path]:
    """Name the socket of a folder by a short path: that of a socket may have 107 bytes."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{opened}/{_NAME}")
    finally:
        os.close(opened)
