"""Serve the metrics, at an address of their own: they are not for callers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from pageroles.transport.rest_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from pageroles.telemetry.metrics import Metrics

PATH = "/metrics"
_OPTION = "--metrics-address"
_GRACE_SECONDS = 1.0


@contextlib.contextmanager
def serving(metrics: Metrics, address: str) -> Iterator[int]:
    """Serve metrics while the block runs.

    Args:
        metrics: The metrics.
        address: Where to listen, `host:port`; port 0 takes any free port.

    Yields:
        The port.

    Raises:
        SettingError: The address can't be used.
    """

    # On the thread of this server alone: whoever asks too often waits, and no other request does.
    async def answer(request: Request) -> Response:
        body, media_type = metrics.text(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})

    server = HttpServer(Starlette(routes=[Route(PATH, answer)]), address, grace=_GRACE_SECONDS, option=_OPTION)
    try:
        yield server.port
    finally:
        server.stop()
