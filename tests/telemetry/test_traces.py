"""Spans: one for a request, one for each stage, one for each query; within the caller's trace, and only if wanted."""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from pageroles import serving
from pageroles.access.keys import KeyStore, Permission
from pageroles.errors import SettingError
from pageroles.settings import ServerSettings
from pageroles.telemetry import tracing
from pageroles.telemetry.record import Telemetry
from pageroles.telemetry.traces import Traces
from pageroles.transport import rest_sessions
from pageroles.transport.backends import RemoteBackend
from pageroles.transport.rest_app import PATH, application
from pageroles.transport.rest_server import HttpServer
from pageroles.v1 import pages_pb2
from support import worked
from support.endless import until
from support.fakes import session
from support.watched import JULY, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.store import Store
    from support.watched import Watched

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
STAGES = ["admission", "line", "facts", "plan", "count", "names"]
RPC = "pageroles.v1.PageRolesService/Pages"


class Spans:
    """The spans that were made."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = Traces(provider)

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def ended(self, name: str) -> ReadableSpan:
        """Return the one span of a name, once it has ended."""
        assert until(lambda: any(span.name == name for span in self.all())), [span.name for span in self.all()]
        (found,) = (span for span in self.all() if span.name == name)
        return found

    def within(self, span: ReadableSpan) -> list[ReadableSpan]:
        """Return the spans right within one, in the order of their begin."""
        found = [each for each in self.all() if each.parent and each.parent.span_id == _id(span)]
        return sorted(found, key=lambda each: each.start_time or 0)


def _id(span: ReadableSpan) -> int:
    return span.get_span_context().span_id  # type: ignore[union-attr]


def _trace(span: ReadableSpan) -> str:
    return f"{span.get_span_context().trace_id:032x}"  # type: ignore[union-attr]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def server(empty_store: Store, spans: Spans) -> Iterator[Watched]:
    with watched(empty_store, Telemetry(traces=spans.traces)) as running:
        yield running


def call(server: Watched, **metadata: str) -> None:
    """Ask over gRPC with metadata of one's own."""
    with grpc.insecure_channel(server.grpc) as channel:
        method: Any = channel.unary_unary(
            "/pageroles.v1.PageRolesService/Pages", request_serializer=pages_pb2.PagesRequest.SerializeToString
        )
        method(pages_pb2.PagesRequest(**JULY), metadata=[("authentication", server.key), *metadata.items()])


def test_an_rpc_is_a_span_with_its_stages_within_the_callers_trace(server: Watched, spans: Spans) -> None:
    with capture_logs() as logs:
        call(server, **PARENT)
    spans.ended("message")
    span = spans.ended(RPC)
    assert span.kind is SpanKind.SERVER
    assert _trace(span) == TRACE
    assert span.parent
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    told = attributes(span)
    assert told["rpc.method"] == RPC
    assert told["rpc.response.status_code"] == "OK"
    assert told["client.address"] == "127.0.0.1"
    assert (told["pageroles.source"], told["pageroles.sessions"]) == ("memory", 4)
    assert [stage.name for stage in spans.within(span)] == [*STAGES, "message"]
    assert span.status.status_code is StatusCode.UNSET
    (line,) = (line for line in logs if line["event"] == "request")
    assert line["trace_id"] == TRACE
    assert server.key not in str([each.to_json() for each in spans.all()])


@pytest.mark.usefixtures("streaming")
def test_each_query_is_a_span_in_its_stage_with_the_id_that_clickhouse_knows_it_by(
    server: Watched, spans: Spans
) -> None:
    call(server)
    count = spans.ended("count")
    queries = spans.within(count)
    assert [query.name for query in queries] == ["SELECT converting_sessions", "SELECT sessions"]
    for query in queries:
        told = attributes(query)
        assert query.kind is SpanKind.CLIENT
        assert told["db.system.name"] == "clickhouse"
        assert told["db.operation.name"] == "SELECT"
        assert told["db.collection.name"] in told["db.query.text"]
        assert "rest.example.com" not in told["db.query.text"], "values are placeholders"
        assert told["clickhouse.query_id"]
    marks = {attributes(query)["clickhouse.log_comment"] for query in queries}
    assert len(marks) == 1
    (names,) = spans.within(spans.ended("names"))
    assert attributes(names)["clickhouse.log_comment"] in marks


@pytest.mark.usefixtures("streaming")
def test_a_query_that_fails_is_marked_and_so_is_its_request(server: Watched, spans: Spans, standin: Any) -> None:
    standin.faults("500", match="converting_sessions", code=47)
    with pytest.raises(grpc.RpcError):
        call(server)
    standin.faults(None)
    span = spans.ended(RPC)
    failed = [each for each in spans.all() if each.status.status_code is StatusCode.ERROR]
    assert {each.name for each in failed} == {RPC, "count", "SELECT converting_sessions"}
    assert attributes(span)["error.type"] == attributes(span)["rpc.response.status_code"] == "INTERNAL"


def test_a_caller_that_is_wrong_is_no_failure_of_the_server(server: Watched, spans: Spans) -> None:
    with pytest.raises(grpc.RpcError):
        server.ask("no key")
    span = spans.ended(RPC)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span)["error.type"] == "UNAUTHENTICATED"


def test_rest_is_a_span_of_http_with_the_report_within(server: Watched, spans: Spans) -> None:
    assert server.post(PARENT).ok
    http = spans.ended("POST /api/v1/pages")
    assert http.kind is SpanKind.SERVER
    assert _trace(http) == TRACE
    told = attributes(http)
    assert (told["http.request.method"], told["http.route"]) == ("POST", "/api/v1/pages")
    assert (told["http.response.status_code"], told["url.scheme"], told["url.path"]) == (200, "http", PATH)
    (report,) = spans.within(http)
    assert report.name == "answer"
    assert [stage.name for stage in spans.within(report)] == [*STAGES, "message"]


def test_a_gateway_hands_its_trace_on(server: Watched, spans: Spans) -> None:
    front = Spans()
    telemetry = Telemetry(traces=front.traces)
    app = application(RemoteBackend(server.grpc, telemetry=telemetry), max_seconds=30, telemetry=telemetry)
    http = HttpServer(app, "127.0.0.1:0", grace=1)
    try:
        through = type(server)(
            server.store, server.service, server.grpc, f"http://127.0.0.1:{http.port}", "", server.key
        )
        assert through.post(PARENT).ok
    finally:
        http.stop()
    passed = front.ended("pageroles.v1.PageRolesService/StreamPages")
    assert passed.kind is SpanKind.CLIENT
    assert front.within(front.ended("POST /api/v1/pages")) == [passed]
    answered = spans.ended("pageroles.v1.PageRolesService/StreamPages")
    assert answered.parent
    assert answered.parent.span_id == _id(passed)
    assert _trace(answered) == TRACE


def test_writing_is_a_span_with_its_stages_one_after_the_other_also_through_a_gateway(
    server: Watched, spans: Spans
) -> None:
    key, _ = KeyStore(server.store).create(worked.DOMAIN, permissions=[Permission.WRITE])
    front = Spans()
    telemetry = Telemetry(traces=front.traces)
    app = application(RemoteBackend(server.grpc, telemetry=telemetry), max_seconds=30, telemetry=telemetry)
    http = HttpServer(app, "127.0.0.1:0", grace=1)
    try:
        answer = requests.post(
            f"http://127.0.0.1:{http.port}{rest_sessions.PATH}",
            data=session("w1", domain=worked.DOMAIN),
            headers={"Authentication": key, "Content-Type": rest_sessions.MEDIA_TYPE, **PARENT},
            timeout=30,
        )
        assert answer.json()["stored"] == 1
    finally:
        http.stop()
    passed = front.ended("pageroles.v1.SessionService/WriteSessions")
    assert passed.kind is SpanKind.CLIENT
    written = spans.ended("pageroles.v1.SessionService/WriteSessions")
    assert written.kind is SpanKind.SERVER
    assert written.parent
    assert written.parent.span_id == _id(passed)
    stages = spans.within(written)
    assert [stage.name for stage in stages] == ["admission", "wait", "prepare", "insert"]
    for earlier, later in itertools.pairwise(stages):
        assert earlier.end_time
        assert later.start_time
        # Their times are read from another clock, and cut to nanoseconds.
        assert earlier.end_time <= later.start_time + 1_000_000
    assert (attributes(written)["pageroles.stored"], attributes(written)["pageroles.rejected"]) == (1, 0)


def test_a_gateway_without_spans_of_its_own_passes_the_callers_trace_on(server: Watched, spans: Spans) -> None:
    with serving.gateway(server.grpc, ServerSettings(http_address="127.0.0.1:0", grace=1)) as front:
        through = type(server)(server.store, server.service, server.grpc, f"http://{front}", "", server.key)
        assert through.post(PARENT).ok
    assert _trace(spans.ended("pageroles.v1.PageRolesService/StreamPages")) == TRACE


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_the_environment_says_whether_spans_are_made(environment: dict[str, str], wanted: bool) -> None:
    assert tracing.wanted(environment) is wanted


def test_an_exporter_that_is_not_installed_is_named() -> None:
    with pytest.raises(SettingError, match="'no_such' is not installed"):
        tracing.from_environment({"OTEL_TRACES_EXPORTER": "no_such"})


def test_without_the_extra_a_server_warns_and_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError(name="opentelemetry.sdk")

    monkeypatch.setattr(importlib, "import_module", missing)
    with capture_logs() as logs:
        assert tracing.from_environment({"OTEL_TRACES_EXPORTER": "otlp"}) is None
    (line,) = logs
    assert line["log_level"] == "warning"
    assert 'pip install "pageroles[traces]"' in line["advice"]


PROGRAM = """
import sys
from pageroles import serving
from pageroles.telemetry import tracing
traces = tracing.from_environment(__import__("os").environ)
print(traces is not None, any(name.split(".")[0] == "opentelemetry" for name in sys.modules))
if traces:
    from pageroles.v1 import pages_pb2
    from pageroles.incoming import Origin
    from pageroles.telemetry.record import Telemetry
    with Telemetry(traces=traces).request(Origin("Pages", "id"), pages_pb2.PagesRequest()):
        pass
    traces.close()
"""


@pytest.mark.parametrize("exporter", ["", "console"])
def test_nothing_is_loaded_unless_wanted(exporter: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60,
        env={**environment, **({"OTEL_TRACES_EXPORTER": exporter} if exporter else {})},
    )  # fmt: skip
    first, _, rest = done.stdout.partition("\n")
    assert first == ("True True" if exporter else "False False")
    assert ('"service.name": "pageroles"' in rest) is bool(exporter)
