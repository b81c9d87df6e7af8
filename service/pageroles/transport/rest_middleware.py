"""Add to every HTTP response the request's id and headers that protect browsers; answer what a stop cuts short."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware

from pageroles.transport import faults, headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The script of the reference page sets styles.
_CSP_DOCS = _CSP.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

_BOTH_LENGTHS = faults.Refusal(
    faults.Code.INVALID_ARGUMENT,
    "the request has both Content-Length and Transfer-Encoding, so where it ends is not clear; send one of them",
)
HEAD_TOO_LARGE = faults.Refusal(
    faults.Code.HEAD_TOO_LARGE, "the path and the headers are larger than 16 KiB; shorten them"
)
_OF_HEALTH = {"/livez", "/readyz", "/healthz"}
MOST_HEAD_BYTES = 16 << 10
_STOPPING = faults.Refusal(faults.Code.UNAVAILABLE, "the server is stopping; try again")


class CommonHeaders:
    """ASGI middleware that gives each request an id, and each response the common headers."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, whose id is then in its state."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = headers.request_id(Headers(scope=scope).get(headers.REQUEST_ID.metadata))
        scope.setdefault("state", {})["request_id"] = request_id
        csp = _CSP_DOCS if scope["path"] == "/docs" else _CSP
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                response_headers = MutableHeaders(scope=message)
                response_headers[headers.REQUEST_ID.metadata] = request_id
                response_headers["content-security-policy"] = csp
                for name, value in _EVERYWHERE.items():
                    response_headers.setdefault(name, value)
            await send(message)

        refusal = _refusal(scope)
        app = self._app if refusal is None else faults.to_response(refusal, headers.CLOSE)
        try:
            await app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # The grace of a stop is over. Else uvicorn would answer, with a text of its own.
            if is_started:
                raise
            await faults.to_response(_STOPPING)(scope, receive, send_with_headers)


def _refusal(scope: Scope) -> faults.Refusal | None:
    """Return why a request is refused for its head alone; None where it is not."""
    names = {name for name, _ in scope["headers"]}
    if {b"content-length", b"transfer-encoding"} <= names:
        return _BOTH_LENGTHS
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    return HEAD_TOO_LARGE if size > MOST_HEAD_BYTES else None


class Packed(GZipMiddleware):
    """Packs answers for callers who take gzip; starlette's own does for those, too, who say that they don't."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and headers.refuses_gzip(Headers(scope=scope).get("accept-encoding", "")):
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != b"accept-encoding"]}
        await super().__call__(scope, receive, send)


class OnlyHealth:
    """An application that answers questions about health as another one does, and refuses all others."""

    def __init__(self, app: ASGIApp, refusal: ASGIApp) -> None:
        """Ask `app` about health, and `refusal` all else."""
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, and close its connection."""
        app = self._app if scope.get("path") in _OF_HEALTH else self._refusal

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        await app(scope, receive, send_and_close)
