"""Spans of requests in OpenTelemetry: one for the request, one for each stage, one for each query of ClickHouse.

Attributes have the names of OpenTelemetry's semantic conventions where these have one. Importing this module loads
OpenTelemetry, which is an extra: `tracing.py` imports it where traces are wanted.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import time
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv.attributes import (
    client_attributes,
    db_attributes,
    error_attributes,
    http_attributes,
    url_attributes,
)
from opentelemetry.trace import SpanKind, Status, StatusCode

from pageroles import __version__
from pageroles.errors import PagerolesError, SettingError
from pageroles.errors import Status as OurStatus
from pageroles.telemetry.methods import rpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

    from pageroles.incoming import Origin
    from pageroles.telemetry.methods import Rpc

_OK = "OK"
# What says that the server failed, and not its caller; the conventions of gRPC name them.
_FAILURES = {status.name for status in (OurStatus.INTERNAL, OurStatus.UNAVAILABLE, OurStatus.DEADLINE_EXCEEDED)}
# Names of the conventions that are not stable yet.
_RPC_SYSTEM = "rpc.system.name"
_RPC_METHOD = "rpc.method"
_RPC_STATUS = "rpc.response.status_code"
_QUERY_ID = "clickhouse.query_id"
_LOG_COMMENT = "clickhouse.log_comment"
_PREFIX = "pageroles."
# What OpenTelemetry calls a service that the environment does not name.
_NO_NAME = "unknown_service"

_FROM = re.compile(r"\bFROM\s+([A-Za-z_][\w.]*)")
_SERVER_ERROR = 500


class Traces:
    """Makes spans, and sends them to where a provider sends them."""

    def __init__(self, provider: TracerProvider) -> None:
        """Use a provider, which `close` ends."""
        self._provider = provider
        self._tracer = provider.get_tracer("pageroles", __version__)

    def close(self) -> None:
        """Send what waits, and end."""
        self._provider.shutdown()

    def request(self, origin: Origin, *, forwarded: Rpc | None = None) -> RequestSpan:
        """Begin the span of a request, within the trace that the request carries.

        Args:
            origin: The request.
            forwarded: The RPC by which another server answers it; None: this one does.
        """
        name, kind = "answer", SpanKind.INTERNAL
        attributes: dict[str, Any] = {f"{_PREFIX}request_id": origin.request_id}
        called = forwarded or rpc(origin.method)
        if called:
            name, kind = called.path, SpanKind.CLIENT if forwarded else SpanKind.SERVER
            attributes |= {_RPC_SYSTEM: "grpc", _RPC_METHOD: name}
            if origin.address and not forwarded:
                attributes[client_attributes.CLIENT_ADDRESS] = origin.address
        span = self._tracer.start_span(name, context=propagate.extract(origin.trace), kind=kind, attributes=attributes)
        return RequestSpan(self._tracer, span)

    def http(self, method: str, route: str, path: str, scheme: str, carried: Mapping[str, str]) -> HttpSpan:
        """Begin the span of an HTTP request.

        Args:
            method: Its method.
            route: The path that serves it, as it is registered; empty where none does.
            path: Its path.
            scheme: `http` or `https`.
            carried: What it carries of a trace, by the names of its headers.
        """
        attributes = {
            http_attributes.HTTP_REQUEST_METHOD: method,
            url_attributes.URL_PATH: path,
            url_attributes.URL_SCHEME: scheme,
            **({http_attributes.HTTP_ROUTE: route} if route else {}),
        }
        name = f"{method} {route}".strip()
        span = self._tracer.start_span(
            name, context=propagate.extract(carried), kind=SpanKind.SERVER, attributes=attributes
        )
        return HttpSpan(span)


def exported(environment: Mapping[str, str]) -> Traces:
    """Return traces that go where the environment says.

    What an exporter, a sampler or a batch can be told, OpenTelemetry's libraries read from the environment themselves.

    Args:
        environment: The environment's variables.

    Raises:
        SettingError: The exporter that is named is not installed.
    """
    resource = Resource.create({SERVICE_VERSION: __version__})
    if str(resource.attributes[SERVICE_NAME]).startswith(_NO_NAME):
        resource = resource.merge(Resource({SERVICE_NAME: "pageroles"}))
    provider = TracerProvider(resource=resource)
    for name in (environment.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        provider.add_span_processor(BatchSpanProcessor(_exporter(name.strip(), environment)))
    return Traces(provider)


def _exporter(name: str, environment: Mapping[str, str]) -> SpanExporter:
    if name == "otlp":
        given = (environment.get(f"OTEL_EXPORTER_OTLP_{of}PROTOCOL") for of in ("TRACES_", ""))
        name = "otlp_proto_grpc" if next(filter(None, given), None) == "grpc" else "otlp_proto_http"
    found = importlib.metadata.entry_points(group="opentelemetry_traces_exporter", name=name)
    for point in found:
        exporter: SpanExporter = point.load()()
        return exporter
    raise SettingError(
        f"the exporter of traces {name!r} is not installed; install the package of OpenTelemetry that brings it, or "
        "give another one in OTEL_TRACES_EXPORTER, as otlp or console"
    )


class RequestSpan:
    """The span of a request, and those of its stages and queries within it.

    Attributes:
        trace_id: The id of the trace, in hexadecimal.
    """

    def __init__(self, tracer: Tracer, span: Span) -> None:
        """Keep the span, which has begun."""
        self._tracer = tracer
        self._span = span
        # The stage at work, under which its queries stand.
        self._stage: Span | None = None
        self.trace_id = trace.format_trace_id(span.get_span_context().trace_id)

    def carrier(self) -> dict[str, str]:
        """Return what a request to another server has to carry, by the names of headers."""
        return _carrier(self._span)

    def begin(self, name: str) -> None:
        """Begin a stage."""
        self._stage = self._tracer.start_span(name, context=trace.set_span_in_context(self._span))

    def finish(self, error: BaseException | None) -> None:
        """End the stage that has begun."""
        stage, self._stage = self._stage, None
        if stage is not None:
            if error is not None:
                _fail(stage, error)
            stage.end()

    def over(self, name: str, seconds: float, ago: float) -> None:
        """Add a stage that took some seconds, and ended some ago."""
        end = time.time_ns() - int(ago * 1e9)
        context = trace.set_span_in_context(self._span)
        self._tracer.start_span(name, context=context, start_time=end - int(seconds * 1e9)).end(end)

    @contextlib.contextmanager
    def query(self, text: str, tag: str) -> Iterator[QuerySpan]:
        """Make a span of the block, which runs a query and reads its result.

        Args:
            text: Its SQL, in which values are placeholders.
            tag: What marks it in ClickHouse.
        """
        operation = text.split(maxsplit=1)[0].upper()
        table = _FROM.search(text)
        attributes = {
            db_attributes.DB_SYSTEM_NAME: "clickhouse",
            db_attributes.DB_OPERATION_NAME: operation,
            db_attributes.DB_QUERY_TEXT: text,
            _LOG_COMMENT: tag,
        }
        if table:
            attributes[db_attributes.DB_COLLECTION_NAME] = table[1]
        span = self._tracer.start_span(
            f"{operation} {table[1]}" if table else operation,
            context=trace.set_span_in_context(self._stage or self._span),
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )
        try:
            yield QuerySpan(span)
        except BaseException as error:
            _fail(span, error)
            raise
        finally:
            span.end()

    def end(self, status: str, fault: PagerolesError | None, known: Mapping[str, object]) -> None:
        """End the span of the request.

        Args:
            status: The name of the gRPC status that it ended with.
            fault: What ended it; None: it was answered, or refused elsewhere.
            known: What is known of it, by name.
        """
        self._span.set_attribute(_RPC_STATUS, status)
        for name, value in known.items():
            if value is not None:
                self._span.set_attribute(f"{_PREFIX}{name}", str(value) if not isinstance(value, int) else value)
        if status != _OK:
            self._span.set_attribute(error_attributes.ERROR_TYPE, status)
        if status in _FAILURES:
            self._span.set_status(Status(StatusCode.ERROR, str(fault) if fault else None))
        self._span.end()


class QuerySpan:
    """The span of a query."""

    def __init__(self, span: Span) -> None:
        """Keep the span, which has begun."""
        self._span = span

    def identified(self, query_id: str) -> None:
        """Take the id that ClickHouse has given the query; empty where it has given none."""
        if query_id:
            self._span.set_attribute(_QUERY_ID, query_id)


class HttpSpan:
    """The span of an HTTP request."""

    def __init__(self, span: Span) -> None:
        """Keep the span, which has begun."""
        self._span = span

    def carrier(self) -> dict[str, str]:
        """Return what the spans within it have to know, by the names of headers."""
        return _carrier(self._span)

    def end(self, status: int) -> None:
        """End it.

        Args:
            status: The status of the answer.
        """
        self._span.set_attribute(http_attributes.HTTP_RESPONSE_STATUS_CODE, status)
        if status >= _SERVER_ERROR:
            self._span.set_attribute(error_attributes.ERROR_TYPE, str(status))
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _carrier(span: Span) -> dict[str, str]:
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=trace.set_span_in_context(span))
    return carrier


def _fail(span: Span, error: BaseException) -> None:
    name = error.status.name if isinstance(error, PagerolesError) else type(error).__qualname__
    span.set_attribute(error_attributes.ERROR_TYPE, name)
    span.set_status(Status(StatusCode.ERROR, str(error)))
