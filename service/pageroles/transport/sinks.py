"""Where the sessions of a request go: to the writer in this process, or to a gRPC server elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from typing import TYPE_CHECKING, Any, Protocol

from pageroles.transport import grpc_sessions
from pageroles.writing import MOST_UNSTORED_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from pageroles.ingest.session import Row
    from pageroles.ingest.writer import Times
    from pageroles.v1 import sessions_pb2
    from pageroles.writing import Delivery, Written

# Messages of a call that wait to be sent.
_MOST_UNSENT = 2


class Sink(Protocol):
    """Takes the sessions of one request."""

    async def add(self, rows: Sequence[Row]) -> None:
        """Take rows; wait until there is room for more."""

    async def end(self) -> Written:
        """Wait until all rows are stored; return what became of them, by their positions among those added."""


class LocalSink:
    """The writer in this process."""

    def __init__(self, delivery: Delivery) -> None:
        """Fill a delivery."""
        self._delivery = delivery

    async def add(self, rows: Iterable[Row | str]) -> None:
        """Take rows, and for sessions that break a rule the reason; wait until there is room for more.

        Raises:
            PagerolesError: As for a `Delivery`.
        """
        self._delivery.add(rows)
        await self._settle(MOST_UNSTORED_BYTES)

    async def end(self) -> Written:
        """Wait until all rows are stored; return what became of them.

        Raises:
            PagerolesError: As for a `Delivery`.
        """
        await self._settle(0)
        return self._delivery.written()

    async def _settle(self, most_bytes: int) -> None:
        while (oldest := self._delivery.under_way(most_bytes)) is not None:
            await asyncio.wait((_in_loop(oldest),), timeout=self._delivery.remaining())


class RemoteSink:
    """A call of a gRPC server elsewhere, which a thread of grpc's fills.

    The asynchronous form of grpc does not serve: where a server refuses while a message is sent, its status is lost.

    Attributes:
        written: What became of all rows; None until the server has said so.
    """

    def __init__(self, method: Any, metadata: Sequence[tuple[str, str | bytes]], seconds: float | None) -> None:
        """Begin a call of a method that takes a stream."""
        self.written: Written | None = None
        self._loop = asyncio.get_running_loop()
        self._messages: queue.SimpleQueue[sessions_pb2.WriteSessionsRequest | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(_MOST_UNSENT)
        self._ended = asyncio.Event()
        self._call = method.future(self._taken(), metadata=metadata, timeout=seconds)
        self._call.add_done_callback(lambda _: self._tell(self._end))

    async def add(self, rows: Sequence[Row]) -> None:
        """Send rows; wait until the server takes more.

        Raises:
            grpc.RpcError: The server refused.
        """
        for message in grpc_sessions.requests(rows):
            await self._room.acquire()
            if self._ended.is_set():
                self._call.result()
            self._messages.put(message)

    async def end(self) -> Written:
        """Wait until the server has stored all rows; return what it says of them.

        Raises:
            grpc.RpcError: The server refused, or failed.
        """
        self._messages.put(None)
        await self._ended.wait()
        self.written = grpc_sessions.written(self._call.result())
        return self.written

    def close(self) -> None:
        """End the call, if it has not ended."""
        self._messages.put(None)
        self._call.cancel()

    def _taken(self) -> Iterator[sessions_pb2.WriteSessionsRequest]:
        """Give the messages to grpc, which asks for the next one when one is sent; in a thread."""
        while (message := self._messages.get()) is not None:
            yield message
            self._tell(self._room.release)

    def _end(self) -> None:
        self._ended.set()
        # Whoever waits for room finds that the call has ended.
        self._room.release()

    def _tell(self, what: Callable[[], None]) -> None:
        """Do something in the loop, from a thread; where the loop is closed, nobody waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)


def _in_loop(stored: Future[Times]) -> asyncio.Future[Times]:
    """Return what is done in this loop when a write is; whether it failed, the write itself tells."""
    waited: asyncio.Future[Times] = asyncio.wrap_future(stored)
    waited.add_done_callback(lambda done: done.cancelled() or done.exception())
    return waited
