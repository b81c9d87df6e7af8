"""The JSON gateway: an ASGI application that translates REST. What is decided, the service decides, as for gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib.resources
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import swagger_ui_bundle
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pageroles.errors import InternalError, PagerolesError
from pageroles.incoming import Incoming, Origin
from pageroles.telemetry import log
from pageroles.telemetry.record import Telemetry
from pageroles.transport import faults, headers, openapi, patience, rest_answers, rest_body, rest_sessions
from pageroles.transport.backends import RefusedError
from pageroles.transport.rest_middleware import CommonHeaders, Packed
from pageroles.transport.rest_watch import Watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pageroles.service import Asked
    from pageroles.transport.backends import Backend, StreamedReply

_AsJson = Callable[["AsyncIterator[bytes]"], "AsyncIterator[bytes]"]

PATH = "/api/v1/pages"
# What is asked at a path, and how its answer is written.
_ASKED: dict[str, tuple[rest_body.Kind[Any], _AsJson]] = {
    PATH: (rest_body.PAGES, rest_answers.report),
    f"{PATH}/sessions": (rest_body.SESSIONS, rest_answers.sessions),
    f"{PATH}/days": (rest_body.DAYS, rest_answers.days),
    f"{PATH}/values": (rest_body.VALUES, rest_answers.values),
}

# A smaller answer is sent whole, with its length; a larger one as a stream.
_WHOLE_BYTES = 256 << 10
# Ample for 64 KiB, the most that a body may have.
_BODY_SECONDS = 10.0
_GZIP_FROM_BYTES = 1024
# The highest level takes four times as long or more, for answers that are 7 to 23 % smaller.
_GZIP_LEVEL = 4


def application(
    backend: Backend, *, max_seconds: float, allowed_origins: Sequence[str] = (), telemetry: Telemetry | None = None
) -> Starlette:
    """Return the gateway in front of a backend.

    Args:
        backend: What answers the requests; it is closed when the application ends.
        max_seconds: The longest time that a request may take, in seconds.
        allowed_origins: Origins whose pages may call REST from a browser; by default none.
        telemetry: What requests are told to, beside the log.
    """
    telemetry = telemetry or Telemetry()
    gateway = _Gateway(backend, max_seconds, telemetry)
    middleware = [
        Middleware(CommonHeaders),
        Middleware(Packed, minimum_size=_GZIP_FROM_BYTES, compresslevel=_GZIP_LEVEL),
    ]
    if allowed_origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(allowed_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", *(each.http for each in (*headers.OF_REQUESTS, headers.IF_NONE_MATCH))],
            expose_headers=[header.http for header in headers.OF_ANSWERS],
            max_age=600,
        )
        middleware.insert(1, cors)
    web = Path(str(importlib.resources.files("pageroles"))) / "web"
    routes = [
        *(
            Route(path, functools.partial(gateway.ask, path), methods=["GET", "POST"] if path == PATH else ["POST"])
            for path in _ASKED
        ),
        Route(rest_sessions.PATH, gateway.sessions, methods=["POST"]),
        Route("/openapi.json", _openapi, methods=["GET"]),
        Route("/livez", gateway.live, methods=["GET"]),
        Route("/readyz", gateway.ready, methods=["GET"]),
        Route("/healthz", gateway.ready, methods=["GET"]),
        Route("/", _page(web / "index.html"), methods=["GET"]),
        Route("/docs", _page(web / "docs.html"), methods=["GET"]),
        Mount("/explorer", StaticFiles(directory=web)),
        Mount("/swagger-ui", StaticFiles(directory=swagger_ui_bundle.swagger_ui_path)),
    ]
    if telemetry.metrics or telemetry.traces:
        middleware.insert(0, Middleware(Watched, telemetry=telemetry, routes=routes))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await backend.close()

    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: _refuse_http, Exception: _refuse_fault},
        lifespan=lifespan,
    )
    # A redirect has no body to say what is wrong, and few clients send a question again to where it leads.
    app.router.redirect_slashes = False
    return app


class _Gateway:
    def __init__(self, backend: Backend, max_seconds: float, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._backend = backend
        self._max_seconds = max_seconds

    async def ask(self, path: str, request: Request) -> Response:
        """Answer a question: in the query string, and where it is posted in the body as well."""
        origin = _origin(request, f"{request.method} {path}")
        kind, as_json = _ASKED[path]
        is_post = request.method == "POST"
        try:
            with self._telemetry.reading(origin):
                question = rest_body.read(kind, request.scope["query_string"], await _body(request) if is_post else b"")
                incoming = _incoming(request, origin, self._max_seconds)
                if not is_post:
                    known = headers.tags(_all(request, headers.IF_NONE_MATCH))
                    incoming = dataclasses.replace(incoming, known=known)
            reply = await _until_disconnect(request, self._backend, incoming, question)
            return await _respond(request, reply, as_json, headers.NOT_KEPT if is_post else headers.ASKED_AGAIN)
        except PagerolesError as error:
            return faults.to_response(faults.to_refusal(error, origin.request_id))
        except RefusedError as error:
            return faults.to_response(error.refusal)
        except ClientDisconnect:
            return Response(status_code=faults.CLIENT_CLOSED_REQUEST)

    async def sessions(self, request: Request) -> Response:
        """Store sessions."""
        origin = _origin(request, f"POST {rest_sessions.PATH}")
        try:
            with self._telemetry.reading(origin):
                incoming = _incoming(request, origin, self._max_seconds)
            return await rest_sessions.write(request, self._backend, incoming, self._max_seconds)
        except PagerolesError as error:
            await patience.hold_back(error)
            return faults.to_response(faults.to_refusal(error, origin.request_id))
        except RefusedError as error:
            return faults.to_response(error.refusal)

    async def live(self, _: Request) -> Response:
        """Answer 200: this process answers."""
        return _json({"status": "ok"}, more_headers=headers.NOT_KEPT)

    async def ready(self, _: Request) -> Response:
        """Answer 200 where requests can be answered, else 503 and why not."""
        reason = await self._backend.why_not_ready()
        if reason is None:
            return _json({"status": "ok"}, more_headers=headers.NOT_KEPT)
        return faults.to_response(faults.Refusal(faults.Code.UNAVAILABLE, reason))


def _origin(request: Request, method: str) -> Origin:
    """Return where a request comes from."""
    address = request.client.host if request.client else ""
    # A request's own span is what its call belongs to, where there is one.
    trace = request.scope["state"].get("trace") or headers.trace(request.headers.items())
    return Origin(method, request.state.request_id, address, trace)


def _incoming(request: Request, origin: Origin, seconds: float) -> Incoming:
    """Return who calls.

    Raises:
        InvalidArgumentError: Two keys or domains differ, or the domain can't be read.
    """
    key = headers.key(_all(request, headers.AUTHENTICATION), _all(request, headers.AUTHORIZATION))
    # The framework decodes headers as Latin-1.
    domain = headers.domain(value.encode("latin-1") for value in _all(request, headers.DOMAIN))
    return Incoming(origin, key, domain, seconds)


def _all(request: Request, header: headers.Header) -> list[str]:
    """Return a header's values, each time that it came."""
    return request.headers.getlist(header.metadata)


async def _body(request: Request) -> bytes:
    """Read a body of JSON.

    Raises:
        HTTPException: It is larger than 64 KiB, takes longer than 10 seconds, or is not sent as JSON.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    too_large = HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {rest_body.MAX_BODY_BYTES:,} bytes; shorten it: a question needs far less",
    )
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > rest_body.MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > rest_body.MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time; send it again", headers.CLOSE
        ) from None
    if body.strip() and media_type not in {"application/json", ""}:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be JSON: send it with Content-Type: application/json"
        )
    return bytes(body)


async def _until_disconnect(request: Request, backend: Backend, incoming: Incoming, question: Asked) -> StreamedReply:
    """Answer a request; cancel it when its client disconnects.

    Raises:
        ClientDisconnect: The client disconnected before the answer was ready.
        RefusedError: The backend refused.
    """
    answer = asyncio.create_task(backend.answer(incoming, question))
    gone = asyncio.create_task(disconnected(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        answer.cancel()
        gone.cancel()


async def disconnected(request: Request) -> None:
    """Return when the client of a request, whose body was read, has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _respond(request: Request, reply: StreamedReply, as_json: _AsJson, kept: dict[str, str]) -> Response:
    """Return an answer as a response: whole if it is small, as a stream if it is large.

    Args:
        request: What is answered.
        reply: The answer.
        as_json: Gives the JSON of its messages.
        kept: The headers that say who may keep it.
    """
    response_headers = dict(reply.metadata) | kept
    if reply.unchanged:
        tag = response_headers[headers.ETAG.metadata]
        response_headers[headers.ETAG.metadata] = headers.tag_as_sent(tag, _all(request, headers.IF_NONE_MATCH))
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=response_headers)
    chunks = as_json(reply.messages)
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) >= _WHOLE_BYTES:
            body = _continued(bytes(buffer), chunks)
            _tell_encoding(response_headers, request, len(buffer))
            return StreamingResponse(body, headers=response_headers, media_type="application/json")
    _tell_encoding(response_headers, request, len(buffer))
    return Response(bytes(buffer), headers=response_headers, media_type="application/json")


def _tell_encoding(response_headers: dict[str, str], request: Request, size: int) -> None:
    """Give an answer that goes out in gzip a tag of its own."""
    tag = response_headers.get(headers.ETAG.metadata)
    if tag and size >= _GZIP_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        response_headers[headers.ETAG.metadata] = headers.in_gzip(tag)


async def _continued(start: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for chunk in chunks:
        yield chunk


async def _openapi(_: Request) -> Response:
    return Response(openapi.document(), media_type="application/json")


def _page(path: Path) -> Any:
    async def page(_: Request) -> Response:
        return FileResponse(path, media_type="text/html; charset=utf-8", headers={"cache-control": "no-cache"})

    return page


def _json(body: object, more_headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(body), headers=more_headers, media_type="application/json")


_SENTENCES = {
    HTTPStatus.NOT_FOUND: f"there is nothing at this path; send questions with POST {PATH} (no slash at the end) and "
    f"sessions with POST {rest_sessions.PATH}, and see /docs",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not take this method; the header `Allow` says which it takes: "
    f"questions come with POST, those of {PATH} with GET as well, and sessions with POST {rest_sessions.PATH}",
}


async def _refuse_http(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    sentence = _SENTENCES.get(HTTPStatus(error.status_code), error.detail)
    return faults.to_response(faults.Refusal(faults.Code.of_http(error.status_code), sentence), error.headers)


async def _refuse_fault(request: Request, error: Exception) -> Response:
    request_id = getattr(request.state, "request_id", None) or headers.request_id(None)
    log.unserved(request_id, request.url.path, error)
    return faults.to_response(faults.to_refusal(InternalError(repr(error)), request_id))
