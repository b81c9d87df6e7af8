"""The gRPC server: who asks, until when, and what becomes of faults. Counting is done elsewhere."""

from __future__ import annotations

import re
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pageroles import convert, rpc
from pageroles.errors import InternalError, OverloadedError, PagerolesError, SettingError
from pageroles.keys import Caller, KeyRing, KeyStore
from pageroles.report import Report, Reporter
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.call import Call
    from pageroles.store import Store

_log = structlog.get_logger(__name__)

SERVICE = "pageroles.v1.PageRolesService"

# What a request may take where its caller sets no deadline, or a longer one.
MAX_REQUEST_SECONDS = 60.0
# Requests taken on at once; the others are told to come back. Most of them wait for a worker.
MAX_REQUESTS = 64
# Threads beyond those of the requests: they refuse, and answer health checks.
_SPARE_THREADS = 8
_RETRY_SECONDS = 1.0

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_CHANNEL_OPTIONS = [
    # Two servers on one port would share its callers; the second shall fail instead.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
]


class Answer:
    """One request on its way: who asked, and what the log will tell of it."""

    def __init__(self, context: grpc.ServicerContext, method: str) -> None:
        """Read what the metadata say."""
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self.context = context
        self.method = method
        self.key = metadata.get("authentication")
        self.domain = metadata.get("domain")
        given = metadata.get(rpc.REQUEST_ID, "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.caller: Caller | None = None
        self.sessions: int | None = None
        self._began = time.monotonic()
        context.set_trailing_metadata(((rpc.REQUEST_ID, self.request_id),))

    def log(self, status: grpc.StatusCode, error: BaseException | None = None) -> None:
        """Write the request's line."""
        ours = status in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
        (_log.error if ours else _log.info)(
            "request",
            request_id=self.request_id,
            method=self.method,
            status=status.name,
            key_id=self.caller.key_id if self.caller else None,
            domain=self.caller.domain if self.caller else None,
            sessions=self.sessions,
            milliseconds=round((time.monotonic() - self._began) * 1000, 1),
            **({"error": repr(error)} if error else {}),
            **({"exc_info": error} if ours else {}),
        )

    def refuse(self, error: BaseException) -> NoReturn:
        """End the request with the status of a fault."""
        if not isinstance(error, PagerolesError):
            error = InternalError(repr(error)).with_traceback(error.__traceback__)
        self.log(error.status, error)
        self.context.abort_with_status(rpc.to_status(error, self.request_id))
        raise AssertionError  # abort_with_status raises


class PageRoles:
    """The two methods of the service, on serialized answers that the core wrote."""

    def __init__(
        self, store: Store, *, max_seconds: float = MAX_REQUEST_SECONDS, max_requests: int = MAX_REQUESTS
    ) -> None:
        """Answer from `store`."""
        self._store = store
        self._keys = KeyRing(KeyStore(store))
        self._reporter = Reporter(store)
        self._max_seconds = max_seconds
        self._places = threading.BoundedSemaphore(max_requests)

    def close(self) -> None:
        """End the workers."""
        self._reporter.close()

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[pages_pb2.PagesRequest, bytes]]:
        """Return the methods as grpc registers them."""
        return {
            "Pages": grpc.unary_unary_rpc_method_handler(
                self.pages, pages_pb2.PagesRequest.FromString, _already_serialized
            ),
            "StreamPages": grpc.unary_stream_rpc_method_handler(
                self.stream_pages, pages_pb2.PagesRequest.FromString, _already_serialized
            ),
        }

    def pages(self, request: pages_pb2.PagesRequest, context: grpc.ServicerContext) -> bytes:
        """Answer in one message."""
        answer = Answer(context, "Pages")
        try:
            message = self._report(request, answer).message()
        except BaseException as error:  # noqa: BLE001 - every fault becomes a status
            answer.refuse(error)
        answer.log(grpc.StatusCode.OK)
        return message

    def stream_pages(self, request: pages_pb2.PagesRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Answer in messages of at most 1 MiB."""
        answer = Answer(context, "StreamPages")
        try:
            messages = self._report(request, answer).messages()
            yield from messages
        except GeneratorExit:
            answer.log(grpc.StatusCode.CANCELLED)
            raise
        except BaseException as error:  # noqa: BLE001 - every fault becomes a status
            answer.refuse(error)
        answer.log(grpc.StatusCode.OK)

    def _report(self, request: pages_pb2.PagesRequest, answer: Answer) -> Report:
        if not self._places.acquire(blocking=False):
            raise OverloadedError("the server has all the requests it takes on at once; try again", _RETRY_SECONDS)
        try:
            answer.caller = self._keys.caller(answer.key, answer.domain)
            query = convert.to_query(request, answer.caller.domain, datetime.now(UTC))
            call = self._call(answer.context)
            try:
                report = self._reporter.report(query, call)
            finally:
                call.finish()
        finally:
            self._places.release()
        answer.sessions = report.total_sessions
        return report

    def _call(self, context: grpc.ServicerContext) -> Call:
        """Start a call that ends with the caller's deadline, or when the caller goes."""
        remaining = context.time_remaining()
        call = self._store.call(self._max_seconds if remaining is None else min(remaining, self._max_seconds))
        if not context.add_callback(call.cancel):
            call.cancel()
        return call


def _already_serialized(message: bytes) -> bytes:
    """Pass on what the core wrote; grpc never ends a call whose serializer gives anything but bytes."""
    if type(message) is not bytes:
        raise TypeError(f"a serialized message is bytes, not {type(message).__name__}")
    return message


class Server:
    """A running server; started when made."""

    def __init__(
        self,
        store: Store,
        address: str,
        *,
        max_seconds: float = MAX_REQUEST_SECONDS,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        """Serve `store` at `address`, `host:port`; port 0 lets the system choose.

        Raises:
            SettingError: The address can't be used, or the store lacks the schema.
            StoreUnavailableError: The store can't be reached.
        """
        store.check()
        self._service = PageRoles(store, max_seconds=max_seconds, max_requests=max_requests)
        self._server = grpc.server(
            ThreadPoolExecutor(max_requests + _SPARE_THREADS, thread_name_prefix="rpc"), options=_CHANNEL_OPTIONS
        )
        handlers = self._service.handlers()
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._server.add_registered_method_handlers(SERVICE, handlers)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError:
            self._service.close()
            raise SettingError(
                f"can't serve at {address}: the port is taken or the address is not of this machine; "
                "choose another with --grpc-address"
            ) from None
        self._server.start()
        for name in ("", SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace: float) -> None:
        """Take no new requests, let those in flight finish for up to `grace` seconds, then end the rest."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()
        self._service.close()
