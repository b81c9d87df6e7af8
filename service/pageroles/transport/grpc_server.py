"""The gRPC server: reads metadata, answers with statuses, and passes on deadlines and cancellation.

Each call has a thread. What a caller may keep waiting is bounded: the message of a request has to come in time, and an
answer has to be read in time. So the requests of all methods are streams to grpc, which looks the same on the wire; it
would wait without end for the message of a method that has one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pageroles.admission import COUNTED_BYTES
from pageroles.errors import (
    CancelledError,
    DeadlineError,
    InvalidArgumentError,
    OverloadedError,
    PagerolesError,
    SettingError,
    Status,
)
from pageroles.incoming import Incoming, Origin
from pageroles.telemetry import methods
from pageroles.transport import addresses, faults, grpc_sessions, headers, patience, reflection
from pageroles.transport.patience import Patience
from pageroles.transport.tls import server_credentials
from pageroles.v1 import pages_pb2, sessions_pb2
from pageroles.writing import MOST_DELIVERIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.service import Asked, PagesService, Reply
    from pageroles.settings import ServerTls
    from pageroles.store.call import Call
    from pageroles.telemetry.record import Telemetry

M = TypeVar("M", bound=Message)

SERVICE = "pageroles.v1.PageRolesService"

# The methods of PageRolesService, and what each is asked with.
_ASKED: dict[methods.Rpc, type[Asked]] = {
    methods.PAGES: pages_pb2.PagesRequest,
    methods.STREAM_PAGES: pages_pb2.PagesRequest,
    methods.PAGE_SESSIONS: pages_pb2.PageSessionsRequest,
    methods.PAGE_DAYS: pages_pb2.PageDaysRequest,
    methods.FILTER_VALUES: pages_pb2.FilterValuesRequest,
}
# Calls whose message has not come, in all and from one address. Each holds a thread, for `MESSAGE_SECONDS` at most.
_MOST_WAITING = 1000
_MOST_WAITING_OF_ADDRESS = 200
# Threads beyond those of requests at work and of calls that wait: they refuse further ones and answer health checks.
_SPARE_THREADS = 64
_RETRY_SECONDS = 1.0
# The most refusals that are held back at once; each holds a thread.
_MOST_HELD = 500
_held = threading.Semaphore(_MOST_HELD)
_OK = "OK"

_CHANNEL_OPTIONS = [
    # Without this a second server on the same port would start, and take a part of the requests.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
]


class _Waiting:
    """Counts the calls whose message has not come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_address: Counter[str] = Counter()
        self._all = 0

    @contextlib.contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Count a call while the block waits for its message.

        Raises:
            OverloadedError: Too many wait, in all or from its address.
        """
        with self._lock:
            if self._all >= _MOST_WAITING or self._of_address[address] >= _MOST_WAITING_OF_ADDRESS:
                raise OverloadedError("too many calls wait for their message; send it with the call", _RETRY_SECONDS)
            self._all += 1
            self._of_address[address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._all -= 1
                self._of_address[address] -= 1
                if not self._of_address[address]:
                    del self._of_address[address]


class _Servicer:
    """The methods of PageRolesService. Messages are bytes, and those of answers are serialized by the core."""

    def __init__(self, pages_service: PagesService, patience: Patience) -> None:
        self._service = pages_service
        self._patience = patience
        self._waiting = _Waiting()

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the methods by name, as grpc registers them."""
        whole, streams = grpc.stream_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        return {
            rpc.name: whole(functools.partial(self.whole, rpc, kind))
            if rpc.kind == "unary"
            else streams(functools.partial(self.stream, rpc, kind))
            for rpc, kind in _ASKED.items()
        }

    def whole(
        self, rpc: methods.Rpc, kind: type[Asked], requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> bytes:
        """Answer in one message."""
        with _handling(rpc, context, self._service.telemetry) as received:
            reply = self._reply(rpc, kind, requests, received)
            if reply.report.bytes < COUNTED_BYTES:
                received.begin(reply, with_tag=False)
                # The next one goes on when this one is sent. Before that, its sending would wait for theirs.
                if not context.add_callback(reply.turn.leave):
                    reply.turn.leave()
                return reply.report.message()
            reply.turn.leave()
            with contextlib.ExitStack() as held:
                held.enter_context(self._service.handing_over(reply, received.request_id))
                message = reply.report.message()
                held.enter_context(self._patience.bounded(patience.seconds_to_read(len(message)), context.cancel))
                received.begin(reply)
                # grpc sends it when this has returned. It is held until the call ends.
                until_the_end = held.pop_all()
                if not context.add_callback(until_the_end.close):
                    until_the_end.close()
            return message

    def stream(
        self, rpc: methods.Rpc, kind: type[Asked], requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Answer in messages of about 1 MiB at most."""
        with _handling(rpc, context, self._service.telemetry) as received:
            reply = self._reply(rpc, kind, requests, received, known=received.known())
            reply.turn.leave()
            with self._service.handing_over(reply, received.request_id):
                received.begin(reply)
                for message in reply.report.messages():
                    with self._patience.bounded(patience.seconds_to_read(len(message)), context.cancel):
                        yield message

    def _reply(
        self,
        rpc: methods.Rpc,
        kind: type[Asked],
        requests: Iterator[bytes],
        received: _Received,
        known: frozenset[str] = frozenset(),
    ) -> Reply:
        origin = received.origin(rpc.name)
        with self._service.telemetry.reading(origin):
            question = self._message(kind, requests, received.context, origin.address)
            incoming = dataclasses.replace(received.incoming(origin), known=known)
        return self._service.answer(incoming, question, received.started)

    def _message(self, kind: type[M], requests: Iterator[bytes], context: grpc.ServicerContext, address: str) -> M:
        """Wait for the message of a call that has one.

        Raises:
            DeadlineError: It did not come in time.
            InvalidArgumentError: There is none, or it can't be read.
            OverloadedError: Too many calls wait for theirs.
        """
        with self._waiting.one(address), self._patience.bounded(patience.MESSAGE_SECONDS, context.cancel):
            try:
                message = next(requests, None)
            except grpc.RpcError:
                # It was cancelled.
                raise DeadlineError("the request's message did not come in time") from None
        if message is None:
            raise InvalidArgumentError("", f"the call has no message; send a {kind.DESCRIPTOR.name}")
        return _parsed(message, kind)


class _SessionServicer:
    """The methods of SessionService."""

    def __init__(self, pages_service: PagesService, patience: Patience) -> None:
        self._service = pages_service
        self._patience = patience

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the methods by name, as grpc registers them."""
        return {grpc_sessions.METHOD: grpc.stream_unary_rpc_method_handler(self.write_sessions)}

    def write_sessions(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Store the sessions of a call."""
        with _handling(methods.WRITE_SESSIONS, context, self._service.telemetry) as received:
            origin = received.origin(grpc_sessions.METHOD)
            with self._service.telemetry.reading(origin):
                incoming = received.incoming(origin)
            with self._service.sessions.delivery(incoming) as delivery:
                answer = grpc_sessions.write(delivery, self._messages(requests, context))
            context.set_trailing_metadata(((headers.REQUEST_ID.metadata, received.request_id),))
            return answer.SerializeToString()

    def _messages(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[sessions_pb2.WriteSessionsRequest]:
        """Give the messages of a call, as they come.

        Raises:
            CancelledError: The caller gave up, its time is over, or a message did not come in time.
            InvalidArgumentError: One can't be read.
        """
        while True:
            with self._patience.bounded(patience.MESSAGE_SECONDS, context.cancel):
                try:
                    message = next(requests, None)
                except grpc.RpcError:
                    raise CancelledError("the request was cancelled") from None
            if message is None:
                return
            yield _parsed(message, sessions_pb2.WriteSessionsRequest)


class _Received:
    """What a call brings beside its messages. In its metadata a name may stand several times.

    Attributes:
        context: The call, as grpc knows it.
        request_id: The id of the request: the caller's, or a new one.
    """

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.context = context
        # The stubs of grpc take all values for texts.
        self._pairs: tuple[tuple[str, str | bytes], ...] = tuple(context.invocation_metadata() or ())
        self.request_id = headers.request_id(next(iter(self._texts(headers.REQUEST_ID)), None))

    def origin(self, method: str) -> Origin:
        """Return where the request comes from."""
        return Origin(method, self.request_id, addresses.of_peer(self.context.peer()), headers.trace(self._pairs))

    def incoming(self, origin: Origin) -> Incoming:
        """Return who calls.

        Raises:
            InvalidArgumentError: Two keys or domains differ, or the domain can't be read.
        """
        key = headers.key(self._texts(headers.AUTHENTICATION), self._texts(headers.AUTHORIZATION))
        utf8 = (value for name, value in self._pairs if name == headers.DOMAIN_IN_UTF8 and isinstance(value, bytes))
        domain = headers.domain([*(text.encode() for text in self._texts(headers.DOMAIN)), *utf8])
        return Incoming(origin, key, domain, self.context.time_remaining())

    def known(self) -> frozenset[str]:
        """Return the tags of the answers that the caller, a gateway, has already."""
        return headers.tags(self._texts(headers.IF_NONE_MATCH))

    def started(self, call: Call) -> None:
        """Cancel a call of the store when this one ends."""
        if not self.context.add_callback(call.cancel):
            call.cancel()

    def begin(self, reply: Reply, *, with_tag: bool = True) -> None:
        """Send what goes ahead of an answer, and say what goes behind it."""
        answered = (
            (headers.REQUEST_ID.metadata, self.request_id),
            *headers.told(reply.quota, reply.report, with_tag=with_tag),
        )
        # Also ahead of the answer: a gateway needs them before it passes on the first byte.
        self.context.send_initial_metadata(answered)
        if self._texts(headers.PLAN):
            answered = (*answered, (headers.PLAN.metadata, str(reply.report.plan)))
        self.context.set_trailing_metadata(answered)

    def _texts(self, header: headers.Header) -> list[str]:
        return [value for name, value in self._pairs if name == header.metadata and isinstance(value, str)]


def _parsed(message: bytes, kind: type[M]) -> M:
    """Read a message: here, since grpc would call one that can't be read an internal error, and log a traceback.

    Raises:
        InvalidArgumentError: It can't be read.
    """
    try:
        return kind.FromString(message)
    except DecodeError:
        raise InvalidArgumentError(
            "", f"the message is no {kind.DESCRIPTOR.name}; make it with the contract's stubs"
        ) from None


@contextlib.contextmanager
def _handling(called: methods.Rpc, context: grpc.ServicerContext, telemetry: Telemetry) -> Iterator[_Received]:
    """Give what a call brings, and record it; refuse it for the error that the block raises."""
    received = _Received(context)
    record = telemetry.rpc(called)
    if record is not None and not context.add_callback(record.ended):
        record.ended()
    # What ends the block before it is through: its caller is gone, and with it whoever takes the answer's messages.
    status = Status.CANCELLED.name
    try:
        yield received
        status = _OK
    except PagerolesError as error:
        status = error.status.name
        if isinstance(error, OverloadedError):
            _hold()
        _abort(context, faults.to_grpc(faults.to_refusal(error, received.request_id), received.request_id))
    except Exception:
        # What grpc makes of it.
        status = grpc.StatusCode.UNKNOWN.name
        raise
    finally:
        if record is not None:
            record.handled(status)


def _hold() -> None:
    """Hold a refusal back, so that a caller who tries again at once does not take the time of those who may ask."""
    if _held.acquire(blocking=False):
        try:
            time.sleep(patience.REFUSAL_SECONDS)
        finally:
            _held.release()


def _abort(context: grpc.ServicerContext, status: grpc.Status) -> NoReturn:
    context.abort_with_status(status)
    raise AssertionError("abort_with_status always raises")


class GrpcServer:
    """A gRPC server, with health checks and reflection; it starts when it is created.

    Attributes:
        port: The port that it listens on.
    """

    def __init__(
        self, pages_service: PagesService, address: str, *, tls: ServerTls | None = None, reflects: bool = True
    ) -> None:
        """Listen at an address.

        Args:
            pages_service: What answers the requests.
            address: `host:port`; port 0 takes any free port.
            tls: The certificate; None: without TLS.
            reflects: Whether to tell which methods there are.

        Raises:
            SettingError: The address or the certificate can't be used.
        """
        credentials = None if tls is None else server_credentials(tls)
        addresses.split(address, "--grpc-address")
        threads = (
            pages_service.admission.places
            + pages_service.turns.most_in_line
            + MOST_DELIVERIES
            + _MOST_WAITING
            + _MOST_HELD
            + _SPARE_THREADS
        )
        self._patience = Patience()
        self._server = grpc.server(ThreadPoolExecutor(threads, thread_name_prefix="rpc"), options=_CHANNEL_OPTIONS)
        served: dict[str, Any] = {
            SERVICE: _Servicer(pages_service, self._patience).handlers(),
            grpc_sessions.SERVICE: _SessionServicer(pages_service, self._patience).handlers(),
        }
        for name, handlers in served.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
            self._server.add_registered_method_handlers(name, handlers)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflects:
            reflection.enable((*served, health.SERVICE_NAME), self._server)
        try:
            if credentials is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, credentials)
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

    def refuse_new(self, grace: float) -> None:
        """Accept no new requests; those in flight have `grace` seconds, and what is left then is cancelled."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace)

    def stop(self, grace: float) -> None:
        """Refuse new requests, unless that is done, and wait until none is in flight."""
        self._health.enter_graceful_shutdown()
        # A grace that is longer than that of an earlier stop changes nothing.
        self._server.stop(grace).wait()
        self._patience.close()
