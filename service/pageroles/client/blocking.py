"""`Client`: asks a server, and waits for the answer."""

from __future__ import annotations

import contextlib
from time import sleep
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from pageroles.client import calls, questions
from pageroles.client.answers import Days, Report, Session, SessionRows, Values, session
from pageroles.client.errors import refused
from pageroles.v1 import pages_pb2, pages_pb2_grpc

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Unpack

    from pageroles.client.questions import Field, Include, Question, Role

_T = TypeVar("_T")
_Stub: Any = pages_pb2_grpc.PageRolesServiceStub


class Client:
    """A client of one server; use it as a context manager. Many threads may share it.

    A request is tried again, with pauses that grow, where the server can't be reached, or is busy and says when to come
    back; all tries are within the timeout. An answer that is lost on its way counts against a quota, as the next one
    does.
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
        """Make a client; it connects with its first request.

        Args:
            target: The server's address for gRPC, `host:port`.
            key: The API key.
            domain: The domain to read; only with a key for all domains.
            tls: Whether to ask over TLS; or credentials of gRPC's, such as those with a client's certificate.
            ca: A file with the roots of the server's certificate, in PEM; it implies TLS. None: those that gRPC trusts.
            timeout: The longest time that a request may take, its tries and pauses included, in seconds; None: the
                server's limit.
            retries: The most tries of a request after the first.

        Raises:
            OSError: The file of roots can't be read.
        """
        self._settings = calls.Settings(target, key, domain=domain, tls=tls, ca=ca, timeout=timeout, retries=retries)
        credentials = self._settings.credentials
        self._channel = (
            grpc.insecure_channel(target, calls.OPTIONS)
            if credentials is None
            else grpc.secure_channel(target, credentials, calls.OPTIONS)
        )
        self._stub = _Stub(self._channel)

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; what is under way ends with a `CancelledError`."""
        self._channel.close()

    def report(
        self,
        *,
        limit: int | None = None,
        include: Iterable[Include] = (),
        plan: bool = False,
        **question: Unpack[Question],
    ) -> Report:
        """Ask for the roles of all pages, however many there are.

        Args:
            limit: The most rows of each list; None: all.
            include: What the report carries beyond its rows: `data`, `balance`, `landing`, `hints`.
            plan: Also ask how the server made the report.
            question: Which sessions to look at; see `Question`.

        Raises:
            RequestError: The request was refused or failed.
        """
        request = questions.pages_request(question, limit, include)

        def ask(seconds: float | None) -> Report:
            call = self._stub.StreamPages(request, metadata=self._settings.metadata(plan=plan), timeout=seconds)
            with _ended_where_it_fails(call):
                whole = calls.whole(list(call))
                told = calls.plan_of(call.trailing_metadata()) if plan else None
            return Report(whole, landing=pages_pb2.INCLUDE_LANDING in request.include, plan=told)

        return self._tried(ask)

    def sessions(
        self,
        *,
        url: str = "",
        role: Role | None = None,
        limit: int | None = None,
        **question: Unpack[Question],
    ) -> Sessions:
        """Ask for the sessions behind a number of a report, the latest first.

        Args:
            url: The page, in any form of its URL; empty: all included sessions, and then no role.
            role: The role; None: the page in any of its six roles.
            limit: The most sessions; None: all.
            question: The question whose report has the number; see `Question`.

        Returns:
            The number, and an iterator over the sessions, which come while they are read.

        Raises:
            RequestError: The request was refused or failed. Once the first sessions are here it is not tried again.
        """
        request = questions.sessions_request(question, url, role, limit)

        def ask(seconds: float | None) -> Sessions:
            call = self._stub.PageSessions(request, metadata=self._settings.metadata(), timeout=seconds)
            with _ended_where_it_fails(call):
                first = next(call, None)
                if first is None:
                    raise calls.nothing_came()
            return Sessions(first, call, self._settings.timeout)

        return self._tried(ask)

    def days(self, *, url: str = "", **question: Unpack[Question]) -> Days:
        """Ask for the totals of each UTC day of the window, and for what a page did on it.

        Args:
            url: The page, in any form of its URL; empty: totals only.
            question: Which sessions to look at; see `Question`.

        Raises:
            RequestError: The request was refused or failed.
        """
        request = questions.days_request(question, url)
        response = self._tried(lambda seconds: self._asked(self._stub.PageDays, request, seconds))
        return Days(response, has_page=bool(url))

    def values(
        self, field: Field, *, contains: str = "", limit: int | None = None, **question: Unpack[Question]
    ) -> Values:
        """Ask for the stored values of a filter, those with most sessions first.

        Args:
            field: The filter, by its name in `Question`.
            contains: Only values that contain this text, in any case; empty: all.
            limit: The most values; None: 100.
            question: Which sessions to look at; its own value of the filter is left aside.

        Raises:
            RequestError: The request was refused or failed.
        """
        request = questions.values_request(field, question, contains, limit)
        return Values(self._tried(lambda seconds: self._asked(self._stub.FilterValues, request, seconds)))

    def _asked(self, method: Any, request: object, seconds: float | None) -> Any:
        return method(request, metadata=self._settings.metadata(), timeout=seconds)

    def _tried(self, ask: Callable[[float | None], _T]) -> _T:
        """Ask, again where that may help; `ask` takes the seconds that are left."""
        tries = self._settings.tries()
        while True:
            try:
                return ask(tries.seconds)
            except grpc.RpcError as error:
                pause = tries.pause(error)
            sleep(pause)


class Sessions(calls.Opening):
    """The sessions behind a number: an iterator, which gives each once. As a context manager it ends the request.

    Attributes:
        total: The number, as a report of the same data has it.
        data: What the answer was made from; None where the server does not say.
    """

    def __init__(self, first: pages_pb2.PageSessionsResponse, more: Any, timeout: float | None) -> None:
        """Keep the first message, and the call that brings more."""
        super().__init__(first, more, timeout)
        self._given = self._sessions(first)

    def __iter__(self) -> Self:
        """Return the iterator itself.

        Raises:
            ValueError: It was read to its end: it gives each session once.
        """
        self._refuse_again()
        return self

    def __next__(self) -> Session:
        """Return the next session.

        Raises:
            RequestError: The request failed since it began.
        """
        return next(self._given)

    def __enter__(self) -> Self:
        """Return the iterator itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the request."""
        self.close()

    def close(self) -> None:
        """End the request; what has not been read is left."""
        self._given.close()
        self._call.cancel()

    def to_arrow(self) -> Any:
        """Read the sessions that are left, and return them as a `pyarrow.Table`; see `SessionRows`."""
        return SessionRows(self).to_arrow()

    def to_pandas(self) -> Any:
        """Read the sessions that are left, and return them as a `pandas.DataFrame`; see `SessionRows`."""
        return SessionRows(self).to_pandas()

    def _sessions(self, first: pages_pb2.PageSessionsResponse) -> Generator[Session, None, None]:
        yield from map(session, first.sessions)
        try:
            for message in self._call:
                yield from map(session, message.sessions)
            self._is_read = True
        except grpc.RpcError as error:
            raise refused(error, self._timeout) from error


@contextlib.contextmanager
def _ended_where_it_fails(call: Any) -> Iterator[None]:
    """End a call in the server, too, where its answer is not read to the end, as after Ctrl-C."""
    try:
        yield
    except BaseException:
        call.cancel()
        raise
