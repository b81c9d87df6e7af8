"""Serve other processes on the same machine through the socket in the folder of an embedded store."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from pageroles import __version__
from pageroles.errors import PagerolesError
from pageroles.store import socket_file
from pageroles.transport.rest_app import disconnected
from pageroles.transport.rest_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request

    from pageroles.store.interface import Interface

_METHODS = ["GET", "POST"]
# The time that changes at work get when the server stops; those that take longer end all the same.
_GRACE_SECONDS = 10


@contextlib.contextmanager
def serving(folder: Path, interface: Interface, told: Mapping[str, Callable[[], Any]]) -> Iterator[None]:
    """Answer other processes on the same machine while the block runs.

    Args:
        folder: The folder of the embedded store, which this process holds.
        interface: Answers ClickHouse's HTTP requests.
        told: What else can be asked for: functions by the path of the address, each called in a thread.
    """

    async def query(request: Request) -> Response:
        asked = interface.query(request.query_params, request.headers.get("content-type", ""), await request.body())
        running = asyncio.ensure_future(run_in_threadpool(asked.run))
        gone = asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if not running.done():
            await run_in_threadpool(asked.stop)
        answer = await running
        return Response(answer.body, answer.status, dict(answer.headers), media_type="application/octet-stream")

    async def version(_: Request) -> Response:
        return Response(__version__)

    routes = [Route("/", query, methods=_METHODS), Route("/version", version, methods=_METHODS)]
    routes += [Route(path, _telling(tell), methods=_METHODS) for path, tell in told.items()]
    server = HttpServer(Starlette(routes=routes), socket_file.listen(folder), grace=_GRACE_SECONDS)
    try:
        yield
    finally:
        # Nobody who comes now is to find a socket that does not answer any more.
        socket_file.remove(folder)
        interface.close()
        server.stop()


def _telling(tell: Callable[[], Any]) -> Callable[[Request], Any]:
    async def answer(_: Request) -> Response:
        try:
            told = await run_in_threadpool(tell)
        except PagerolesError as error:
            return Response(str(error), HTTPStatus.INTERNAL_SERVER_ERROR)
        return Response(msgspec.json.encode(told), media_type="application/json")

    return answer
