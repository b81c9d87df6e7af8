"""The gRPC server: reads metadata, answers with statuses, and passes on deadlines and cancellation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pageroles.errors import CancelledError, InvalidArgumentError, PagerolesError, SettingError
from pageroles.service import IncomingRequest, PagesService
from pageroles.transport import addresses, faults, grpc_sessions, headers, reflection
from pageroles.v1 import pages_pb2
from pageroles.writing import MOST_DELIVERIES, IncomingWrite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.report.run import Report
    from pageroles.store.call import Call

SERVICE = "pageroles.v1.PageRolesService"

# Threads beyond those of the requests at work: they refuse further requests and answer health checks.
_SPARE_THREADS = 8

_CHANNEL_OPTIONS = [
    # Without this a second server on the same port would start, and take a part of the requests.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
]


_Request: TypeAlias = pages_pb2.PagesRequest | InvalidArgumentError


class _Servicer:
    """The methods of PageRolesService. Answers are bytes that the core has serialized."""

    def __init__(self, pages_service: PagesService) -> None:
        self._service = pages_service

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[_Request, bytes]]:
        """Return the methods by name, as grpc registers them."""
        read, write = _request, _already_serialized
        return {
            "Pages": grpc.unary_unary_rpc_method_handler(self.pages, read, write),
            "StreamPages": grpc.unary_stream_rpc_method_handler(self.stream_pages, read, write),
        }

    def pages(self, request: _Request, context: grpc.ServicerContext) -> bytes:
        """Answer in one message."""
        return self._report("Pages", request, context).message()

    def stream_pages(self, request: _Request, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Answer in messages of at most 1 MiB."""
        yield from self._report("StreamPages", request, context).messages()

    def _report(self, method: str, request: _Request, context: grpc.ServicerContext) -> Report:
        metadata = _Metadata(context)
        request_id = headers.request_id(next(iter(metadata.texts(headers.REQUEST_ID)), None))

        def started(call: Call) -> None:
            if not context.add_callback(call.cancel):
                call.cancel()

        try:
            if isinstance(request, InvalidArgumentError):
                raise request
            incoming = IncomingRequest(
                method=method,
                request=request,
                key=headers.key(metadata.texts(headers.AUTHENTICATION), metadata.texts(headers.AUTHORIZATION)),
                domain=headers.domain(metadata.domains()),
                seconds=context.time_remaining(),
                request_id=request_id,
            )
            reply = self._service.answer(incoming, started)
        except PagerolesError as error:
            refusal = faults.to_refusal(error, request_id)
            _abort(context, faults.to_grpc(refusal, request_id))
        answered = ((headers.REQUEST_ID.metadata, request_id), *headers.quota_metadata(reply.quota))
        # Also ahead of the answer: a gateway needs them before it passes on the first byte.
        context.send_initial_metadata(answered)
        if metadata.texts(headers.PLAN):
            answered = (*answered, (headers.PLAN.metadata, str(reply.report.plan)))
        context.set_trailing_metadata(answered)
        return reply.report


class _SessionServicer:
    """The methods of SessionService."""

    def __init__(self, pages_service: PagesService) -> None:
        self._service = pages_service

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[grpc_sessions.Request, bytes]]:
        """Return the methods by name, as grpc registers them."""
        read, write = grpc_sessions.read, _already_serialized
        return {grpc_sessions.METHOD: grpc.stream_unary_rpc_method_handler(self.write_sessions, read, write)}

    def write_sessions(self, requests: Iterator[grpc_sessions.Request], context: grpc.ServicerContext) -> bytes:
        """Store the sessions of a call."""
        metadata = _Metadata(context)
        request_id = headers.request_id(next(iter(metadata.texts(headers.REQUEST_ID)), None))
        try:
            incoming = IncomingWrite(
                method=grpc_sessions.METHOD,
                key=headers.key(metadata.texts(headers.AUTHENTICATION), metadata.texts(headers.AUTHORIZATION)),
                domain=headers.domain(metadata.domains()),
                seconds=context.time_remaining(),
                request_id=request_id,
            )
            with self._service.sessions.delivery(incoming) as delivery:
                answer = grpc_sessions.write(delivery, _until_cancelled(requests))
        except PagerolesError as error:
            _abort(context, faults.to_grpc(faults.to_refusal(error, request_id), request_id))
        context.set_trailing_metadata(((headers.REQUEST_ID.metadata, request_id),))
        return answer.SerializeToString()


def _until_cancelled(requests: Iterator[grpc_sessions.Request]) -> Iterator[grpc_sessions.Request]:
    """Give the messages of a call, as they come.

    Raises:
        CancelledError: The caller gave up, or its time is over.
    """
    try:
        yield from requests
    except grpc.RpcError:
        raise CancelledError("the request was cancelled") from None


class _Metadata:
    """The metadata of a request, where a name may stand several times."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        # The stubs of grpc take all values for texts.
        self._pairs: tuple[tuple[str, str | bytes], ...] = tuple(context.invocation_metadata() or ())

    def texts(self, header: headers.Header) -> list[str]:
        return [value for name, value in self._pairs if name == header.metadata and isinstance(value, str)]

    def domains(self) -> list[bytes]:
        utf8 = (value for name, value in self._pairs if name == headers.DOMAIN_IN_UTF8 and isinstance(value, bytes))
        return [*(text.encode() for text in self.texts(headers.DOMAIN)), *utf8]


def _abort(context: grpc.ServicerContext, status: grpc.Status) -> NoReturn:
    context.abort_with_status(status)
    raise AssertionError("abort_with_status always raises")


def _request(message: bytes) -> _Request:
    """Read a message; grpc would call it an internal error, and log a traceback, if this raised."""
    try:
        return pages_pb2.PagesRequest.FromString(message)
    except DecodeError:
        return InvalidArgumentError("", "the message is no PagesRequest; make it with the contract's stubs")


def _already_serialized(message: bytes) -> bytes:
    """Return the message as it is; grpc would never end a call whose serializer returns anything but bytes."""
    if type(message) is not bytes:
        raise TypeError(f"a serialized message is bytes, not {type(message).__name__}")
    return message


class GrpcServer:
    """A gRPC server, with health checks and reflection; it starts when it is created.

    Attributes:
        port: The port that it listens on.
    """

    def __init__(self, pages_service: PagesService, address: str) -> None:
        """Listen at `address`, `host:port`; port 0 takes any free port.

        Raises:
            SettingError: The address can't be used.
        """
        addresses.split(address, "--grpc-address")
        threads = pages_service.max_requests + MOST_DELIVERIES + _SPARE_THREADS
        self._server = grpc.server(ThreadPoolExecutor(threads, thread_name_prefix="rpc"), options=_CHANNEL_OPTIONS)
        served: dict[str, Any] = {
            SERVICE: _Servicer(pages_service).handlers(),
            grpc_sessions.SERVICE: _SessionServicer(pages_service).handlers(),
        }
        for name, handlers in served.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
            self._server.add_registered_method_handlers(name, handlers)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable((*served, health.SERVICE_NAME), self._server)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError:
            raise SettingError(
                f"can't serve at {address}: the port is taken, or this machine does not have the address; "
                "choose another with --grpc-address"
            ) from None
        self._server.start()
        pages_service.watch.on_change(self._tell_health)

    def _tell_health(self, ready: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE, grpc_sessions.SERVICE):
            self._health.set(name, status)

    def stop(self, grace: float) -> None:
        """Accept no new requests, give those in flight `grace` seconds to finish, and cancel the rest."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()
