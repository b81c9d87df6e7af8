"""What every HTTP answer carries: the request's id, and headers that keep browsers safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from pageroles.transport import headers

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
# The reference page sets styles from its script.
_CSP_DOCS = _CSP.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")


class CommonHeaders:
    """Gives each request an id, and each answer its headers."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = headers.request_id(Headers(scope=scope).get(headers.REQUEST_ID.metadata))
        scope.setdefault("state", {})["request_id"] = request_id
        csp = _CSP_DOCS if scope["path"] == "/docs" else _CSP

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = MutableHeaders(scope=message)
                named[headers.REQUEST_ID.metadata] = request_id
                named["content-security-policy"] = csp
                for name, value in _EVERYWHERE.items():
                    named.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
