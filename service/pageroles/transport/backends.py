"""What answers a gateway's requests: the service in this process, or a gRPC server elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pageroles.errors import PagerolesError, Status
from pageroles.incoming import ANY_ANSWER
from pageroles.report.answers import Unchanged
from pageroles.telemetry import methods
from pageroles.telemetry.record import Telemetry
from pageroles.transport import addresses, faults, grpc_sessions, headers, patience
from pageroles.transport.grpc_server import SERVICE
from pageroles.transport.sinks import LocalSink, RemoteSink
from pageroles.transport.tls import channel, client_credentials
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from pageroles.incoming import Incoming
    from pageroles.service import Asked, PagesService, Reply
    from pageroles.settings import ClientTls
    from pageroles.store.call import Call
    from pageroles.transport.faults import Refusal
    from pageroles.transport.sinks import Sink


# The methods by which another server answers.
_RPCS = {
    pages_pb2.PagesRequest: methods.STREAM_PAGES,
    pages_pb2.PageSessionsRequest: methods.PAGE_SESSIONS,
    pages_pb2.PageDaysRequest: methods.PAGE_DAYS,
    pages_pb2.FilterValuesRequest: methods.FILTER_VALUES,
}
_HEALTH_SECONDS = 2.0
# Messages that are asked for before an answer begins. A small report has two, its totals and its rows: so its end is
# known at once.
_BEGUN = 3


class RefusedError(Exception):
    """A request was refused; `refusal` says how."""

    def __init__(self, refusal: Refusal) -> None:
        """Keep the refusal."""
        super().__init__(refusal.message)
        self.refusal = refusal


class StreamedReply(NamedTuple):
    """An answer as it comes from a backend.

    Attributes:
        messages: Serialized messages, for a report in the order of StreamPages. The first step may raise RefusedError.
        metadata: What is told beside the answer, as headers.
        unchanged: Whether the caller has the answer already; it has no messages then.
    """

    messages: AsyncIterator[bytes]
    metadata: tuple[tuple[str, str], ...]
    unchanged: bool = False


class Backend(Protocol):
    """Answers the requests of a gateway."""

    async def answer(self, incoming: Incoming, question: Asked) -> StreamedReply:
        """Answer a request; cancelling the task stops its queries.

        Raises:
            RefusedError: The request was refused, or failed.
        """

    def writing(self, incoming: Incoming) -> contextlib.AbstractAsyncContextManager[Sink]:
        """Take the sessions of a request while the block runs.

        Raises:
            PagerolesError: The request was refused, or failed.
            RefusedError: The same, by a server elsewhere.
        """

    async def why_not_ready(self) -> str | None:
        """Return why requests can't be answered, as a sentence; None where they can."""

    async def close(self) -> None:
        """Release connections and threads."""


class _Cancellation:
    """Cancels a call that is started in another thread, before or after it is cancelled."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self._is_cancelled = False

    def started(self, call: Call) -> None:
        """Take the call."""
        self._call = call
        if self._is_cancelled:
            call.cancel()

    def cancel(self) -> None:
        """Cancel it."""
        self._is_cancelled = True
        if self._call is not None:
            self._call.cancel()


class LocalBackend:
    """The service in this process."""

    def __init__(self, pages_service: PagesService) -> None:
        """Ask `pages_service`, which `close` leaves open."""
        self._service = pages_service
        # More threads than requests at work: a request to refuse must not wait for one of them to end.
        threads = pages_service.admission.places + pages_service.turns.most_in_line + 8
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")

    async def answer(self, incoming: Incoming, question: Asked) -> StreamedReply:
        """Answer a request; cancelling the task stops its queries.

        Raises:
            RefusedError: The request was refused, or failed.
        """
        loop = asyncio.get_running_loop()
        cancellation = _Cancellation()
        try:
            reply, begun, rest = await loop.run_in_executor(
                self._pool, self._begin, incoming, question, cancellation.started
            )
        except PagerolesError as error:
            await patience.hold_back(error)
            raise RefusedError(faults.to_refusal(error, incoming.origin.request_id)) from error
        except asyncio.CancelledError:
            cancellation.cancel()
            raise
        messages = self._messages(incoming, reply, begun, rest, cancellation)
        return StreamedReply(messages, headers.told(reply.quota, reply.report), isinstance(reply.report, Unchanged))

    def _begin(
        self, incoming: Incoming, question: Asked, started: Callable[[Call], None]
    ) -> tuple[Reply, list[bytes], Iterator[bytes]]:
        """Answer a request, and return the answer with its first messages and the rest of them.

        They are made in the same turn of a thread: to wait for another one takes longer than to make them.
        """
        reply = self._service.answer(incoming, question, started)
        try:
            messages = reply.report.messages()
            return reply, list(itertools.islice(messages, _BEGUN)), messages
        finally:
            reply.turn.leave()

    async def _messages(
        self, incoming: Incoming, reply: Reply, begun: list[bytes], rest: Iterator[bytes], cancellation: _Cancellation
    ) -> AsyncIterator[bytes]:
        with contextlib.ExitStack() as held:
            # What is read for a caller who is gone ends; where all was read, this does nothing.
            held.callback(cancellation.cancel)
            try:
                held.enter_context(self._service.handing_over(reply, incoming.origin.request_id))
            except PagerolesError as error:
                raise RefusedError(faults.to_refusal(error, incoming.origin.request_id)) from error
            for made in begun:
                yield made
            if len(begun) < _BEGUN:
                return
            loop = asyncio.get_running_loop()
            while (message := await loop.run_in_executor(self._pool, next, rest, None)) is not None:
                yield message

    @contextlib.asynccontextmanager
    async def writing(self, incoming: Incoming) -> AsyncIterator[LocalSink]:
        """Take the sessions of a request while the block runs.

        Raises:
            PagerolesError: The request was refused, or failed.
        """
        loop = asyncio.get_running_loop()
        opened = contextlib.ExitStack()
        # In a thread, since keys may have to be looked up.
        opening = loop.run_in_executor(self._pool, opened.enter_context, self._service.sessions.delivery(incoming))
        try:
            delivery = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # What is opened meanwhile is closed then; the stack is empty where that fails.
            opening.add_done_callback(lambda done: opened.close() if done.exception() is None else None)
            raise
        with opened:
            yield LocalSink(delivery)

    async def why_not_ready(self) -> str | None:
        """Return why the store is not ready; None where it is."""
        return self._service.watch.reason

    async def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False)


class RemoteBackend:
    """A gRPC server elsewhere."""

    def __init__(self, target: str, tls: ClientTls | None = None, telemetry: Telemetry | None = None) -> None:
        """Ask a server; the connection is opened at the first request.

        Args:
            target: Its address, `host:port`.
            tls: What it is trusted by; None: without TLS.
            telemetry: What requests are told to, beside the log.

        Raises:
            SettingError: `target` is not an address, or the files of TLS can't be used.
        """
        addresses.split(target, "--target")
        self._telemetry = telemetry or Telemetry()
        self._target = target
        self._credentials = client_credentials(tls)
        self._channel: grpc.aio.Channel | None = None
        self._writing_channel: grpc.Channel | None = None

    async def answer(self, incoming: Incoming, question: Asked) -> StreamedReply:
        """Answer a request; cancelling the task cancels the call to the server.

        Raises:
            RefusedError: The server refused or failed, or can't be reached.
        """
        with self._telemetry.request(incoming.origin, question, forwarded=_RPCS[type(question)]) as record:
            try:
                return await self._answer(incoming, question, record.trace)
            except RefusedError as error:
                record.refuse((error.refusal.code.status or Status.INTERNAL).name)
                raise

    async def _answer(self, incoming: Incoming, question: Asked, trace: Mapping[str, str]) -> StreamedReply:
        # To who calls, a method of one message looks like one of several.
        method: Any = self._connected().unary_stream(
            f"/{_RPCS[type(question)].path}", request_serializer=type(question).SerializeToString
        )
        call = method(question, metadata=_metadata(incoming, trace), timeout=incoming.seconds)
        try:
            first = await call.read()
            unchanged = first is grpc.aio.EOF
            # Of an answer without messages, grpc has it all behind them.
            told = headers.passed_on(await (call.trailing_metadata() if unchanged else call.initial_metadata()))
        except grpc.aio.AioRpcError as error:
            raise RefusedError(faults.from_grpc(error)) from error
        if unchanged and not any(name == headers.ETAG.metadata for name, _ in told):
            raise RefusedError(faults.Refusal(faults.Code.INTERNAL, "the server gave no answer"))
        return StreamedReply(_messages(first, call), told, unchanged)

    @contextlib.asynccontextmanager
    async def writing(self, incoming: Incoming) -> AsyncIterator[RemoteSink]:
        """Pass the sessions of a request on while the block runs.

        Raises:
            RefusedError: The server refused or failed, or can't be reached.
        """
        if self._writing_channel is None:
            self._writing_channel = channel(self._target, self._credentials)
        method = grpc_sessions.method(self._writing_channel)
        with self._telemetry.request(incoming.origin, forwarded=methods.WRITE_SESSIONS) as record:
            record.stored, record.rejected = 0, 0
            sink = RemoteSink(method, _metadata(incoming, record.trace), incoming.seconds)
            try:
                yield sink
            except grpc.RpcError as error:
                refusal = faults.from_grpc(cast("grpc.Call", error))
                record.refuse((refusal.code.status or Status.INTERNAL).name)
                raise RefusedError(refusal) from error
            else:
                if sink.written is not None:
                    record.stored, record.rejected = sink.written.stored, sink.written.rejected_count
            finally:
                sink.close()

    def _connected(self) -> grpc.aio.Channel:
        if self._channel is None:
            options = [("grpc.max_receive_message_length", headers.MOST_MESSAGE_BYTES)]
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self._target, options=options)
            else:
                self._channel = grpc.aio.secure_channel(self._target, self._credentials, options=options)
        return self._channel

    async def why_not_ready(self) -> str | None:
        """Return None where the server says, within 2 seconds, that it serves; else what is wrong."""
        health: Any = health_pb2_grpc.HealthStub(self._connected())
        try:
            response = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=_HEALTH_SECONDS)
        except grpc.aio.AioRpcError:
            return "the server behind this gateway can't be reached; try again"
        if response.status == health_pb2.HealthCheckResponse.SERVING:
            return None
        return "the server behind this gateway is not ready; its log says why"

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close()
        if self._writing_channel is not None:
            self._writing_channel.close()


def _metadata(incoming: Incoming, trace: Mapping[str, str]) -> list[tuple[str, str | bytes]]:
    """Return what a request that is passed on carries."""
    metadata = headers.caller_metadata(incoming.key, incoming.domain)
    tags = (tag if tag == ANY_ANSWER else f'"{tag}"' for tag in sorted(incoming.known))
    known = [(headers.IF_NONE_MATCH.metadata, tag) for tag in tags]
    return [*metadata, (headers.REQUEST_ID.metadata, incoming.origin.request_id), *known, *trace.items()]


async def _messages(first: Any, call: Any) -> AsyncIterator[bytes]:
    try:
        if first is not grpc.aio.EOF:
            yield first
        while (message := await call.read()) is not grpc.aio.EOF:
            yield message
    finally:
        call.cancel()
