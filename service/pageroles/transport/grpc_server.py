"""The gRPC transport: metadata in, statuses out, deadlines and cancel passed on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pageroles.errors import PagerolesError, SettingError
from pageroles.service import IncomingRequest, PagesService
from pageroles.transport import addresses, faults, headers, reflection
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.report.run import Report
    from pageroles.store.call import Call

SERVICE = "pageroles.v1.PageRolesService"

# Threads beyond those of the requests: they refuse, and answer health checks.
_SPARE_THREADS = 8

_CHANNEL_OPTIONS = [
    # Two servers on one port would share its callers; the second shall fail instead.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
]


class _Servicer:
    """The two methods of the contract, on serialized answers that the core wrote."""

    def __init__(self, pages_service: PagesService) -> None:
        self._service = pages_service

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[pages_pb2.PagesRequest, bytes]]:
        """Return the methods as grpc registers them."""
        read, write = pages_pb2.PagesRequest.FromString, _already_serialized
        return {
            "Pages": grpc.unary_unary_rpc_method_handler(self.pages, read, write),
            "StreamPages": grpc.unary_stream_rpc_method_handler(self.stream_pages, read, write),
        }

    def pages(self, request: pages_pb2.PagesRequest, context: grpc.ServicerContext) -> bytes:
        """Answer in one message."""
        return self._report("Pages", request, context).message()

    def stream_pages(self, request: pages_pb2.PagesRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Answer in messages of at most 1 MiB."""
        yield from self._report("StreamPages", request, context).messages()

    def _report(self, method: str, request: pages_pb2.PagesRequest, context: grpc.ServicerContext) -> Report:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        incoming = IncomingRequest(
            method=method,
            request=request,
            key=metadata.get(headers.AUTHENTICATION.metadata),
            domain=metadata.get(headers.DOMAIN.metadata),
            seconds=context.time_remaining(),
            request_id=headers.request_id(metadata.get(headers.REQUEST_ID.metadata)),
        )

        def started(call: Call) -> None:
            if not context.add_callback(call.cancel):
                call.cancel()

        try:
            reply = self._service.answer(incoming, started)
        except PagerolesError as error:
            refusal = faults.to_refusal(error, incoming.request_id)
            _abort(context, faults.to_grpc(refusal, incoming.request_id))
        sent = ((headers.REQUEST_ID.metadata, incoming.request_id), *headers.quota_metadata(reply.quota))
        # First as well as last: a gateway must know them before it passes on the first byte.
        context.send_initial_metadata(sent)
        context.set_trailing_metadata(sent)
        return reply.report


def _abort(context: grpc.ServicerContext, status: grpc.Status) -> NoReturn:
    context.abort_with_status(status)
    raise AssertionError  # abort_with_status raises


def _already_serialized(message: bytes) -> bytes:
    """Pass on what the core wrote; grpc never ends a call whose serializer gives anything but bytes."""
    if type(message) is not bytes:
        raise TypeError(f"a serialized message is bytes, not {type(message).__name__}")
    return message


class GrpcServer:
    """A running gRPC server; started when made."""

    def __init__(self, pages_service: PagesService, address: str) -> None:
        """Serve at `address`, `host:port`; port 0 lets the system choose.

        Raises:
            SettingError: The address can't be used.
        """
        addresses.split(address, "--grpc-address")
        threads = pages_service.max_requests + _SPARE_THREADS
        self._server = grpc.server(ThreadPoolExecutor(threads, thread_name_prefix="rpc"), options=_CHANNEL_OPTIONS)
        handlers = _Servicer(pages_service).handlers()
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._server.add_registered_method_handlers(SERVICE, handlers)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable((SERVICE, health.SERVICE_NAME), self._server)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError:
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
