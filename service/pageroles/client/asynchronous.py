"""`AsyncClient`: asks a server from asyncio."""

from __future__ import annotations

import functools
from asyncio import sleep
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
import grpc.aio

from pageroles.client import calls, questions
from pageroles.client.answers import Days, Report, Session, SessionRows, Values, session
from pageroles.client.errors import refused
from pageroles.v1 import pages_pb2, pages_pb2_grpc

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
    from typing import Unpack

    from pageroles.client.questions import Field, Include, Question, Role

_T = TypeVar("_T")
_Stub: Any = pages_pb2_grpc.PageRolesServiceStub


class AsyncClient:
    """A client of one server for one event loop; use it as an asynchronous context manager.

    It asks, tries again and answers as `Client` does.
    """

    def __init__(
        self,
        target: str,
        key: str,
        *,
        domain: str | None = None,
        tls: bool | grpc.ChannelCredentials = False,
        ca: str | os.PathLike[str] | None = None,
        timeout: float | None = calls.TIMEOUT,
        retries: int = calls.RETRIES,
    ) -> None:
        """Make a client; it connects with its first request. Takes what `Client` takes, and raises the same."""
        self._settings = calls.Settings(target, key, domain=domain, tls=tls, ca=ca, timeout=timeout, retries=retries)

    @functools.cached_property
    def _channel(self) -> grpc.aio.Channel:
        # A channel belongs to the loop in which it is made.
        target, credentials = self._settings.target, self._settings.credentials
        if credentials is None:
            return grpc.aio.insecure_channel(target, calls.OPTIONS)
        return grpc.aio.secure_channel(target, credentials, calls.OPTIONS)

    @functools.cached_property
    def _stub(self) -> Any:
        return _Stub(self._channel)

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; what is under way is cancelled."""
        await self._channel.close()

    async def report(
        self,
        *,
        limit: int | None = None,
        include: Iterable[Include] = (),
        plan: bool = False,
        **question: Unpack[Question],
    ) -> Report:
        """Ask for the roles of all pages; see `Client.report`."""
        request = questions.pages_request(question, limit, include)

        async def ask(seconds: float | None) -> Report:
            call = self._stub.StreamPages(request, metadata=self._settings.metadata(plan=plan), timeout=seconds)
            whole = calls.whole([message async for message in call])
            told = calls.plan_of(await call.trailing_metadata()) if plan else None
            return Report(whole, landing=pages_pb2.INCLUDE_LANDING in request.include, plan=told)

        return await self._tried(ask)

    async def sessions(
        self,
        *,
        url: str = "",
        role: Role | None = None,
        limit: int | None = None,
        **question: Unpack[Question],
    ) -> AsyncSessions:
        """Ask for the sessions behind a number of a report, the latest first; see `Client.sessions`."""
        request = questions.sessions_request(question, url, role, limit)

        async def ask(seconds: float | None) -> AsyncSessions:
            call = self._stub.PageSessions(request, metadata=self._settings.metadata(), timeout=seconds)
            first = await call.read()
            if first is grpc.aio.EOF:
                raise calls.nothing_came()
            return AsyncSessions(first, call, self._settings.timeout)

        return await self._tried(ask)

    async def days(self, *, url: str = "", **question: Unpack[Question]) -> Days:
        """Ask for the totals of each UTC day of the window, and for what a page did on it; see `Client.days`."""
        request = questions.days_request(question, url)
        response = await self._tried(lambda seconds: self._asked(self._stub.PageDays, request, seconds))
        return Days(response, has_page=bool(url))

    async def values(
        self, field: Field, *, contains: str = "", limit: int | None = None, **question: Unpack[Question]
    ) -> Values:
        """Ask for the stored values of a filter, those with most sessions first; see `Client.values`."""
        request = questions.values_request(field, question, contains, limit)
        return Values(await self._tried(lambda seconds: self._asked(self._stub.FilterValues, request, seconds)))

    async def _asked(self, method: Any, request: object, seconds: float | None) -> Any:
        return await method(request, metadata=self._settings.metadata(), timeout=seconds)

    async def _tried(self, ask: Callable[[float | None], Awaitable[_T]]) -> _T:
        """Ask, again where that may help; `ask` takes the seconds that are left."""
        tries = self._settings.tries()
        while True:
            try:
                return await ask(tries.seconds)
            except grpc.RpcError as error:
                pause = tries.pause(error)
            await sleep(pause)


class AsyncSessions(calls.Opening):
    """The sessions behind a number: an asynchronous iterator, which gives each once; see `Sessions`."""

    def __init__(self, first: pages_pb2.PageSessionsResponse, more: Any, timeout: float | None) -> None:
        """Keep the first message, and the call that brings more."""
        super().__init__(first, more, timeout)
        self._given = self._sessions(first)

    def __aiter__(self) -> Self:
        """Return the iterator itself.

        Raises:
            ValueError: It was read to its end: it gives each session once.
        """
        self._refuse_again()
        return self

    async def __anext__(self) -> Session:
        """Return the next session.

        Raises:
            RequestError: The request failed since it began.
        """
        return await anext(self._given)

    async def __aenter__(self) -> Self:
        """Return the iterator itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the request."""
        await self.close()

    async def close(self) -> None:
        """End the request; what has not been read is left."""
        await self._given.aclose()
        self._call.cancel()

    async def to_arrow(self) -> Any:
        """Read the sessions that are left, and return them as a `pyarrow.Table`; see `SessionRows`."""
        return SessionRows([each async for each in self]).to_arrow()

    async def to_pandas(self) -> Any:
        """Read the sessions that are left, and return them as a `pandas.DataFrame`; see `SessionRows`."""
        return SessionRows([each async for each in self]).to_pandas()

    async def _sessions(self, first: pages_pb2.PageSessionsResponse) -> AsyncGenerator[Session, None]:
        message: Any = first
        while message is not grpc.aio.EOF:
            for each in message.sessions:
                yield session(each)
            try:
                message = await self._call.read()
            except grpc.RpcError as error:
                raise refused(error, self._timeout) from error
        self._is_read = True
