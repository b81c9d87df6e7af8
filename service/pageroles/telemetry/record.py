"""What is known of one request: its line in the log, what it adds to the metrics, and its spans."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import structlog

from pageroles.errors import PagerolesError, Status
from pageroles.store.call import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from google.protobuf.message import Message

    from pageroles.incoming import Origin
    from pageroles.store.call import Query
    from pageroles.telemetry.methods import Rpc
    from pageroles.telemetry.metrics import Metrics
    from pageroles.telemetry.traces import RequestSpan, Traces

_log = structlog.get_logger(__name__)

_OK = "OK"
_HANDLER_AND_CALL = 2
# A value of a question is cut here; what a caller sends may be long.
_LONGEST_VALUE = 200
# What is contained in values may be a part of a URL.
_URLS = frozenset({"conversion_page", "landing_page", "url", "contains"})
_LEFT_OUT = "…"


@dataclasses.dataclass(frozen=True, slots=True)
class Telemetry:
    """What requests are told to, beside the log.

    Attributes:
        metrics: The metrics; None: nobody asks for them.
        traces: Takes spans; None: nobody does.
    """

    metrics: Metrics | None = None
    traces: Traces | None = None

    def request(
        self, origin: Origin, question: Message | None = None, *, forwarded: Rpc | None = None
    ) -> RequestRecord:
        """Return the record of a request that begins with the block.

        Args:
            origin: Where it comes from.
            question: What is asked; None where that is no question.
            forwarded: The RPC by which another server answers it; None: this one does.
        """
        return RequestRecord(origin, question, self, forwarded=forwarded)

    @contextlib.contextmanager
    def reading(self, origin: Origin) -> Iterator[None]:
        """Record a request that the block can't read, and so refuses."""
        try:
            yield
        except PagerolesError as error:
            with contextlib.suppress(PagerolesError), self.request(origin):
                raise error from None
            raise

    def rpc(self, called: Rpc) -> RpcRecord | None:
        """Return the record of an RPC that begins now; None where nobody asks for metrics."""
        return None if self.metrics is None else RpcRecord(called, self.metrics)


class RpcRecord:
    """The record of an RPC, from its begin until both its handler and the call itself have ended, in either order.

    The call ends when its caller has been sent all of the answer, or is gone.
    """

    def __init__(self, called: Rpc, metrics: Metrics) -> None:
        """Begin."""
        self._rpc = called
        self._metrics = metrics
        self._began = time.perf_counter()
        self._status = ""
        self._lock = threading.Lock()
        self._ended = 0
        metrics.rpc_started(called)

    def handled(self, status: str) -> None:
        """Take the name of the gRPC status that the handler has ended with."""
        self._status = status
        self.ended()

    def ended(self) -> None:
        """Take that the call has ended."""
        with self._lock:
            self._ended += 1
            if self._ended == _HANDLER_AND_CALL:
                self._metrics.rpc_handled(self._rpc, self._status, time.perf_counter() - self._began)


class RequestRecord:
    """The record of a request, from its begin to its end: the block. It watches the request's call.

    Attributes:
        key_id: The id of the caller's key; None until it is known.
        domain: The domain that the caller asks about; None until it is known.
        sessions: The number of included sessions; None until there is a report.
        source: What the report is made from, `memory` or `store`; None until there is a plan. Of a request that
            writes, `caller`.
        stored: Of a request that writes, the number of sessions that it stored.
        rejected: Of a request that writes, the number of sessions that it rejected.
    """

    def __init__(
        self, origin: Origin, question: Message | None, telemetry: Telemetry, *, forwarded: Rpc | None = None
    ) -> None:
        """Prepare the record; `Telemetry.request` has the arguments."""
        self._origin = origin
        self._question = question
        self._metrics = telemetry.metrics
        self._traces = telemetry.traces
        self._forwarded = forwarded
        self._span: RequestSpan | None = None
        self._began = 0.0
        # Until the end, since the source is not known before.
        self._stages: list[tuple[str, float]] | None = []
        self._rows = 0
        self._refused: str | None = None
        self.key_id: str | None = None
        self.domain: str | None = None
        self.sessions: int | None = None
        self.source: str | None = None
        self.stored: int | None = None
        self.rejected: int | None = None

    def __enter__(self) -> Self:
        """Begin: the time of the request counts from now."""
        self._began = time.perf_counter()
        if self._traces:
            self._span = self._traces.request(self._origin, forwarded=self._forwarded)
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Write the line, and end the span: who asked what, how the request ended, and how long it took.

        Internal errors come with their traceback.
        """
        seconds = time.perf_counter() - self._began
        fault = error if isinstance(error, PagerolesError) else None
        status = self._refused or _status(error)
        if self._metrics:
            self._measure(self._metrics)
        self._write(fault, status, seconds)
        if self._span:
            self._span.end(status, fault, self._fields())

    @property
    def trace(self) -> Mapping[str, str]:
        """What a request that is forwarded has to carry of the trace, by the names of headers."""
        return self._span.carrier() if self._span else self._origin.trace

    def refuse(self, status: str) -> None:
        """Take the status that another server has refused the request with."""
        self._refused = status

    # ---- the watcher of a call ----

    def planned(self, source: str) -> None:
        """Take what the report is made from."""
        self.source = source

    def stage(self, name: str) -> contextlib.AbstractContextManager[object]:
        """Watch the block, a stage of the request. Stages do not overlap."""
        if self._metrics is None and self._span is None:
            return NOBODY.stage(name)
        return _Stage(self, name)

    def took(self, name: str, seconds: float, ago: float = 0.0) -> None:
        """Take a stage that is over, how many seconds it took, and how many ago it ended."""
        self._add(name, seconds)
        if self._span:
            self._span.over(name, seconds, ago)

    def read(self, rows: int) -> None:
        """Take how many rows the counts were made of."""
        self._rows += rows

    def query(self, text: str, tag: str) -> contextlib.AbstractContextManager[Query]:
        """Watch the block, which runs a query and reads its result; `tag` marks it in ClickHouse."""
        return self._span.query(text, tag) if self._span else NOBODY.query(text, tag)

    def begin(self, name: str) -> None:
        """Begin a stage."""
        if self._span:
            self._span.begin(name)

    def finish(self, name: str, seconds: float, error: BaseException | None) -> None:
        """End the stage that was begun."""
        self._add(name, seconds)
        if self._span:
            self._span.finish(error)

    def _add(self, name: str, seconds: float) -> None:
        if self._stages is not None:
            self._stages.append((name, seconds))
        elif self._metrics:
            self._metrics.stage(name, self.source, seconds)

    def _measure(self, metrics: Metrics) -> None:
        stages, self._stages = self._stages or [], None
        for name, took in stages:
            metrics.stage(name, self.source, took)
        if self._rows and self.source:
            metrics.rows(self.source, self._rows)

    def _fields(self) -> dict[str, object]:
        of_all: dict[str, object] = {"key_id": self.key_id, "domain": self.domain}
        if self.stored is None:
            return of_all | {"sessions": self.sessions, "source": self.source}
        return of_all | {"stored": self.stored, "rejected": self.rejected}

    def _write(self, fault: PagerolesError | None, status: str, seconds: float) -> None:
        ours = fault is not None and fault.ours
        question = self._question
        (_log.error if ours else _log.info)(
            "request",
            request_id=self._origin.request_id,
            method=self._origin.method,
            address=self._origin.address,
            status=status,
            **self._fields(),
            **({} if question is None else {"question": shown(question)}),
            milliseconds=round(seconds * 1000, 1),
            **({"trace_id": self._span.trace_id} if self._span else {}),
            **({"error": str(fault)} if fault else {}),
            **({"exc_info": fault} if ours else {}),
        )


def _status(error: BaseException | None) -> str:
    if isinstance(error, PagerolesError):
        return error.status.name
    if isinstance(error, asyncio.CancelledError):
        return Status.CANCELLED.name
    return _OK if error is None else Status.INTERNAL.name


class _Stage:
    """One stage of a request."""

    __slots__ = ("_began", "_name", "_record")

    def __init__(self, record: RequestRecord, name: str) -> None:
        self._record = record
        self._name = name

    def __enter__(self) -> None:
        self._record.begin(self._name)
        self._began = time.perf_counter()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._record.finish(self._name, time.perf_counter() - self._began, error)


def shown(question: Message) -> dict[str, Any]:
    """Return the fields of a question that are set, as a log may have them.

    A URL may have a secret of the site's users: what stands before its host and after its path is left out. Long values
    are cut.
    """
    found: dict[str, Any] = {}
    for field, value in question.ListFields():
        if field.message_type is not None:
            # A question within another one.
            found |= shown(value)
        else:
            found[field.name] = [_shown(field, each) for each in value] if field.is_repeated else _shown(field, value)
    return found


def _shown(field: Any, value: Any) -> Any:
    if isinstance(value, str):
        if field.name in _URLS:
            value = _without_secrets(value)
        return value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + _LEFT_OUT
    if field.enum_type is not None and (named := field.enum_type.values_by_number.get(value)):
        return named.name
    return value


def _without_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return _LEFT_OUT
    host = parts.netloc.rpartition("@")
    netloc = f"{_LEFT_OUT}@{host[2]}" if host[1] else parts.netloc
    query, fragment = (_LEFT_OUT if part else "" for part in (parts.query, parts.fragment))
    return parts._replace(netloc=netloc, query=query, fragment=fragment).geturl()
