"""Measure HTTP requests, and make a span of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.routing import Mount, Route

from pageroles.transport import headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pageroles.telemetry.record import Telemetry

# Methods that have a name in what is told; the others share one, as OpenTelemetry's conventions want.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_OTHER_METHOD = "_OTHER"
# What a request ends with that has no answer: its application failed, and what is around it answers so.
_FAILED = 500


class Watched:
    """ASGI middleware that tells the telemetry of each request; the spans within are told the trace in its state."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, routes: Sequence[BaseRoute]) -> None:
        """Wrap an application.

        Args:
            app: The application.
            telemetry: What is told.
            routes: What the application serves; their paths are the only ones that are told.
        """
        self._app = app
        self._metrics = telemetry.metrics
        self._traces = telemetry.traces
        self._paths = frozenset(route.path for route in routes if isinstance(route, Route))
        self._mounts = tuple(route.path for route in routes if isinstance(route, Mount))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
        route, status = self._route(scope["path"]), _FAILED
        span = None
        if self._traces:
            carried = headers.trace(Headers(scope=scope).items())
            span = self._traces.http(method, route, scope["path"], scope["scheme"], carried)
            scope.setdefault("state", {})["trace"] = span.carrier()
        if self._metrics:
            self._metrics.http_began()

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        finally:
            if self._metrics:
                self._metrics.http_ended(method, route, status, time.perf_counter() - began)
            if span:
                span.end(status)

    def _route(self, path: str) -> str:
        if path in self._paths:
            return path
        return next((mount for mount in self._mounts if path.startswith(f"{mount}/")), "")
