"""Where a gateway gets its answers: the service in this process, or a gRPC server elsewhere."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pageroles.errors import PagerolesError, Status
from pageroles.transport import addresses, faults, headers
from pageroles.transport.grpc_server import SERVICE
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pageroles.service import IncomingRequest, PagesService
    from pageroles.store.call import Call
    from pageroles.transport.faults import Refusal


_HEALTH_SECONDS = 2.0


class RefusedError(Exception):
    """A request was refused; `refusal` says how."""

    def __init__(self, refusal: Refusal) -> None:
        """Hold the refusal."""
        super().__init__(refusal.message)
        self.refusal = refusal


class StreamedReply(NamedTuple):
    """An answer: serialized PagesResponses in the order of StreamPages, and what goes along as headers."""

    messages: AsyncIterator[bytes]
    metadata: tuple[tuple[str, str], ...]


class Backend(Protocol):
    """Answers requests for a gateway."""

    async def answer(self, incoming: IncomingRequest) -> StreamedReply:
        """Answer a request; cancelling the task stops its queries.

        Raises:
            RefusedError: Whatever went wrong.
        """

    async def ready(self) -> bool:
        """Tell whether requests can be answered."""

    async def close(self) -> None:
        """Let go of connections and threads."""


class LocalBackend:
    """The service in this process."""

    def __init__(self, pages_service: PagesService) -> None:
        """Ask `pages_service`; it stays open."""
        self._service = pages_service
        # Room for those that are refused, too: they must not wait for those that are taken.
        self._pool = ThreadPoolExecutor(pages_service.max_requests + 8, thread_name_prefix="rest")

    async def answer(self, incoming: IncomingRequest) -> StreamedReply:
        """Answer a request; cancelling the task stops its queries."""
        loop = asyncio.get_running_loop()
        calls: list[Call] = []
        try:
            reply = await loop.run_in_executor(self._pool, self._service.answer, incoming, calls.append)
        except PagerolesError as error:
            raise RefusedError(faults.to_refusal(error, incoming.request_id)) from error
        except asyncio.CancelledError:
            for call in calls:
                call.cancel()
            raise
        return StreamedReply(self._in_turn(reply.report.messages()), headers.quota_metadata(reply.quota))

    async def _in_turn(self, messages: Iterator[bytes]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while (message := await loop.run_in_executor(self._pool, next, messages, None)) is not None:
            yield message

    async def ready(self) -> bool:
        """Tell whether requests can be answered."""
        return True

    async def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False)


class RemoteBackend:
    """A gRPC server elsewhere."""

    def __init__(self, target: str) -> None:
        """Ask the server at `target`, `host:port`.

        Raises:
            SettingError: The target is no address.
        """
        addresses.split(target, "--target")
        self._target = target
        self._channel: grpc.aio.Channel | None = None

    async def answer(self, incoming: IncomingRequest) -> StreamedReply:
        """Answer a request; cancelling the task cancels the call."""
        metadata = [(headers.REQUEST_ID.metadata, incoming.request_id)]
        metadata += [(headers.AUTHENTICATION.metadata, incoming.key)] if incoming.key is not None else []
        metadata += [(headers.DOMAIN.metadata, incoming.domain)] if incoming.domain is not None else []
        method: Any = self._connected().unary_stream(
            f"/{SERVICE}/StreamPages", request_serializer=pages_pb2.PagesRequest.SerializeToString
        )
        call = method(incoming.request, metadata=metadata, timeout=incoming.seconds)
        try:
            first = await call.read()
            if first is grpc.aio.EOF:
                raise RefusedError(faults.Refusal(Status.INTERNAL, "the server gave no answer"))
            told = headers.quota_part(await call.initial_metadata())
        except grpc.aio.AioRpcError as error:
            raise RefusedError(faults.from_grpc(error)) from error
        return StreamedReply(_rest(first, call), told)

    def _connected(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(
                self._target, options=[("grpc.max_receive_message_length", 8 << 20)]
            )
        return self._channel

    async def ready(self) -> bool:
        """Ask the server whether it serves."""
        health: Any = health_pb2_grpc.HealthStub(self._connected())
        try:
            answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=_HEALTH_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close()


async def _rest(first: bytes, call: Any) -> AsyncIterator[bytes]:
    try:
        yield first
        while (message := await call.read()) is not grpc.aio.EOF:
            yield message
    finally:
        call.cancel()
