"""The metrics: what is asked, refused and kept shows in them, under the names that others use."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from typing import TYPE_CHECKING, NoReturn

import grpc
import pytest
import requests
from structlog.testing import capture_logs

from pageroles.access.keys import KeyStore, Permission
from pageroles.access.quotas import QuotaStore
from pageroles.errors import OverloadedError, SettingError
from pageroles.incoming import Incoming, Origin
from pageroles.ingest.session import parse_line
from pageroles.report.answers import Report
from pageroles.store import faults
from pageroles.store.statement import Statement
from pageroles.telemetry import methods
from pageroles.telemetry.log import LogWriter
from pageroles.telemetry.metrics import Metrics
from pageroles.telemetry.record import Telemetry
from pageroles.transport import metrics_server, rest_sessions
from pageroles.v1 import pages_pb2
from support import worked
from support.endless import PATIENCE, until
from support.fakes import session
from support.watched import JULY, SECONDS, watched
from support.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.store.store import Store
    from support.clickhouse_standin import StandIn
    from support.watched import Watched

PAGES = {"grpc_service": "pageroles.v1.PageRolesService", "grpc_method": "Pages", "grpc_type": "unary"}
STAGES = ["admission", "facts", "plan", "count", "names", "message"]


@pytest.fixture
def server(empty_store: Store) -> Iterator[Watched]:
    with watched(empty_store, Telemetry(Metrics())) as running:
        yield running


def test_rpcs_count_by_method_and_status(server: Watched) -> None:
    server.ask()
    server.stream()
    with pytest.raises(grpc.RpcError):
        server.ask("no key")
    with pytest.raises(grpc.RpcError):
        server.ask(start_date="never")
    with Asked(server.grpc, server.key) as asked:
        asked.metadata.append(("authentication", "another"))
        with pytest.raises(grpc.RpcError):
            asked.pages()
    streamed = {"grpc_method": "StreamPages", "grpc_type": "server_stream"}
    # A caller may have its answer a moment before its call has ended here.
    assert until(lambda: server.value("grpc_server_handled_total") == 5)
    for code, number in (("OK", 1), ("UNAUTHENTICATED", 1), ("INVALID_ARGUMENT", 2)):
        assert server.value("grpc_server_handled_total", grpc_code=code, **PAGES) == number, code
    assert server.value("grpc_server_started_total", **PAGES) == 4
    assert server.value("grpc_server_handling_seconds_count", **PAGES) == 4
    assert 0 < server.value("grpc_server_handling_seconds_sum", **PAGES) < SECONDS
    assert server.value("grpc_server_handled_total", grpc_code="OK", **streamed) == 1


def test_an_rpc_ends_when_its_answer_is_sent(server: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    message = pages_pb2.PagesResponse(message="x" * (1 << 20)).SerializeToString()
    further = threading.Event()

    def in_parts() -> Iterator[bytes]:
        yield message
        assert further.wait(PATIENCE)
        yield from [message] * 3

    # How much lies between a server and a caller who does not read grows with the delay: the second has no end.
    answers = iter([in_parts(), itertools.repeat(message)])
    monkeypatch.setattr(Report, "messages", lambda _: next(answers))
    with Asked(server.grpc, server.key) as asked:
        reading = asked.stream_call()
        assert len(next(reading).message) == 1 << 20
        leaving = asked.stream_call()
        assert len(next(leaving).message) == 1 << 20
        assert server.value("grpc_server_started_total") == 2
        assert server.value("grpc_server_handled_total") == 0, "both reports are made, and neither is sent"
        further.set()
        assert sum(1 for _ in reading) == 3
        assert until(lambda: server.value("grpc_server_handled_total", grpc_code="OK") == 1)
        leaving.cancel()
        assert until(lambda: server.value("grpc_server_handled_total", grpc_code="CANCELLED") == 1)
    assert server.value("grpc_server_handling_seconds_count") == 2


def test_an_rpc_ends_with_the_status_that_its_caller_gets(server: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise OverloadedError("too many large answers are on their way; try again", 1)

    monkeypatch.setattr(server.service.admission, "answer", full)
    with pytest.raises(grpc.RpcError):
        server.stream()
    assert until(lambda: server.value("grpc_server_handled_total") == 1)
    assert server.value("grpc_server_handled_total", grpc_code="RESOURCE_EXHAUSTED") == 1


@pytest.mark.parametrize("first", ["handler", "call"])
def test_an_rpc_is_measured_once_whatever_ends_first(first: str) -> None:
    metrics = Metrics()
    record = Telemetry(metrics).rpc(methods.PAGES)
    assert record

    def handled() -> float:
        found = (each for family in metrics.families() for each in family.samples)
        return sum(each.value for each in found if each.name == "grpc_server_handled_total")

    ends: list[Callable[[], None]] = [lambda: record.handled("OK"), record.ended]
    for number, end in enumerate(ends if first == "handler" else reversed(ends)):
        assert handled() == 0, number
        end()
    assert handled() == 1


def test_http_requests_count_by_route_and_status_and_no_caller_makes_series(server: Watched) -> None:
    assert server.post().status_code == requests.codes.ok
    assert server.post(body={"no_such_field": 1}).status_code == requests.codes.bad_request
    for path in ("/livez", "/nowhere", "/explorer/explorer.js", "/explorer/nowhere", "/docs/", "/%20"):
        requests.get(server.http + path, timeout=SECONDS)
    requests.request("BREW", server.http + "/livez", timeout=SECONDS)
    name = "http_server_request_duration_seconds"
    for method, route, status in (
        ("POST", "/api/v1/pages", "200"), ("POST", "/api/v1/pages", "400"), ("GET", "/livez", "200"),
        ("GET", "/explorer", "200"), ("GET", "/explorer", "404"), ("_OTHER", "/livez", "405"),
    ):  # fmt: skip
        labels = {"http_request_method": method, "http_route": route, "http_response_status_code": status}
        assert server.value(f"{name}_count", **labels) == 1, labels
    assert server.value(f"{name}_count", http_route="") == 3
    assert server.value("http_server_active_requests") == 0
    assert server.value("grpc_server_started_total") == 0, "REST is no RPC"


@pytest.mark.parametrize("over", ["grpc", "stream", "rest"])
def test_each_stage_of_a_report_is_measured_by_what_it_is_made_from(
    server: Watched, over: str, request: pytest.FixtureRequest
) -> None:
    ways: dict[str, Callable[[], object]] = {"grpc": server.ask, "stream": server.stream, "rest": server.post}
    ask = ways[over]
    ask()
    for stage in STAGES:
        assert server.value("pageroles_stage_seconds_count", stage=stage, source="memory") == 1, stage
    assert server.value("pageroles_rows_total", source="memory") == len(worked.WORKED)
    request.getfixturevalue("streaming")
    ask()
    for stage in STAGES:
        assert server.value("pageroles_stage_seconds_count", stage=stage, source="store") == 1, stage
    # One stream has all sessions, another those that convert.
    converting = [session for *_, session in worked.WORKED if session]
    assert server.value("pageroles_rows_total", source="store") == len(worked.WORKED) + len(converting)


def test_a_request_that_is_refused_has_no_source(server: Watched) -> None:
    with pytest.raises(grpc.RpcError):
        server.ask("no key")
    assert server.value("pageroles_stage_seconds_count", stage="admission", source="none") == 1
    assert server.value("pageroles_stage_seconds_count") == 1


def test_what_is_kept_in_memory_and_looked_at_shows(server: Watched) -> None:
    assert server.value("pageroles_resident_domains") == 0
    assert server.value("pageroles_resident_budget_bytes") == server.service.memory.budget > 0
    server.ask()
    assert server.value("pageroles_resident_domains") == server.value("pageroles_resident_domains_kept_total") == 1
    assert server.value("pageroles_resident_sessions") == len(worked.WORKED)
    assert server.value("pageroles_resident_bytes") == server.service.memory.domains[0].bytes
    looks = server.value("pageroles_part_looks_total", outcome="taken")
    assert looks > 0
    server.store.command("TRUNCATE TABLE sessions")
    server.ask()
    assert server.value("pageroles_resident_domains_forgotten_total", reason="lost") == 1
    assert server.value("pageroles_resident_domains_forgotten_total", reason="room") == 0
    assert server.value("pageroles_part_looks_total", outcome="taken") > looks


def test_room_is_a_reason_to_forget(empty_store: Store) -> None:
    with watched(empty_store, Telemetry(Metrics()), memory=25_000) as server:
        server.ask()
        kept = server.service._reporter.residents
        for number in range(3):
            domain = f"room{number}.example.com"
            rows = worked.rows().replace(worked.DOMAIN.encode(), domain.encode())
            empty_store.insert("sessions", rows)
            for _ in range(number + 2):
                kept.fresh(domain, empty_store.call(SECONDS))
        assert server.value("pageroles_resident_domains_forgotten_total", reason="room") >= 1


def test_quotas_count_what_is_spent_refused_and_returned(server: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    QuotaStore(server.store).set(worked.DOMAIN, 1)
    server.service.reread()
    with monkeypatch.context() as broken:
        broken.setattr(type(server.service._answerer), "answer", _fail)
        with pytest.raises(grpc.RpcError):
            server.ask()
    server.ask()
    with pytest.raises(grpc.RpcError):
        server.ask()
    for outcome, number in (("spent", 2), ("returned", 1), ("refused", 1)):
        assert server.value("pageroles_quota_requests_total", outcome=outcome) == number, outcome


def _fail(*_: object) -> None:
    raise SettingError("broken for the test")


def test_places_that_are_taken_show_and_so_does_what_finds_none(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    with watched(empty_store, Telemetry(Metrics()), max_requests=1) as server:
        report = server.service._answerer.answer

        def held(*args: object) -> object:
            begun.set()
            assert goes_on.wait(SECONDS)
            return report(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(server.service._answerer, "answer", held)
        asking = threading.Thread(target=server.ask)
        asking.start()
        assert begun.wait(SECONDS)
        assert server.value("pageroles_requests_at_work") == server.value("pageroles_places") == 1
        with pytest.raises(grpc.RpcError):
            server.ask()
        goes_on.set()
        asking.join(SECONDS)
        assert server.value("pageroles_requests_at_work") == 0
        assert server.value("pageroles_requests_shed_total", reason="places") == 1


def incoming(key: str, number: int = 0) -> Incoming:
    return Incoming(Origin("WriteSessions", f"request {number}"), key, None, SECONDS)


def test_writers_who_find_no_room_count_by_what_was_wanting(server: Watched) -> None:
    writing = server.service.sessions
    keys = [KeyStore(server.store).create(worked.DOMAIN, permissions=[Permission.WRITE])[0] for _ in range(2)]
    writing.admission.places = 4
    with contextlib.ExitStack() as held:
        for number in range(3):
            held.enter_context(writing.delivery(incoming(keys[0], number)))
        with pytest.raises(OverloadedError, match="this key"), writing.delivery(incoming(keys[0])):
            pass
        assert server.value("pageroles_requests_shed_total", reason="writes_of_key") == 1
        held.enter_context(writing.delivery(incoming(keys[1])))
        for _ in range(2):
            with pytest.raises(OverloadedError, match="busy"), writing.delivery(incoming(keys[1])):
                pass
    assert server.value("pageroles_requests_shed_total", reason="writes") == 2
    assert server.value("pageroles_requests_shed_total", reason="unstored") == 0
    assert server.value("pageroles_requests_shed_total") == 3


def test_each_stage_of_writing_is_measured(server: Watched) -> None:
    key, _ = KeyStore(server.store).create(worked.DOMAIN, permissions=[Permission.WRITE])
    row = parse_line(session("w1", domain=worked.DOMAIN))
    with server.service.sessions.delivery(incoming(key)) as delivery:
        for _ in range(2):
            delivery.add([row])
            delivery.wait(0)
    for stage, number in (("admission", 1), ("wait", 2), ("prepare", 2), ("insert", 2)):
        assert server.value("pageroles_stage_seconds_count", stage=stage, source="caller") == number, stage
        assert 0 < server.value("pageroles_stage_seconds_sum", stage=stage, source="caller") < SECONDS
    assert server.value("pageroles_stage_seconds_count") == 7


def test_what_callers_write_counts(server: Watched) -> None:
    key, _ = KeyStore(server.store).create(worked.DOMAIN, permissions=[Permission.WRITE])
    session = {"domain": worked.DOMAIN, "session_id": "w1", "user_id": "u1", "started_at": "2025-07-03T10:00:00Z"}
    body = "\n".join([json.dumps(session), json.dumps({**session, "domain": "another.example"})])
    with capture_logs() as logs:
        answer = requests.post(
            f"{server.http}{rest_sessions.PATH}",
            data=body,
            headers={"Authentication": key, "Content-Type": "application/x-ndjson"},
            timeout=SECONDS,
        )
    assert (answer.status_code, answer.json()["stored"]) == (200, 1), answer.text
    for outcome in ("stored", "rejected"):
        assert server.value("pageroles_sessions_written_total", outcome=outcome) == 1
    assert server.value("pageroles_unstored_bytes") == 0
    labels = {"http_route": rest_sessions.PATH, "http_response_status_code": "200"}
    assert server.value("http_server_request_duration_seconds_count", **labels) == 1
    (line,) = (line for line in logs if line["event"] == "request")
    assert (line["stored"], line["rejected"], line["address"]) == (1, 1, "127.0.0.1")
    assert not {"question", "sessions", "source"} & set(line)


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize(("code", "kind"), [(241, "busy"), (159, "deadline"), (60, "schema"), (47, "refused")])
def test_errors_of_clickhouse_count_by_kind(server: Watched, standin: StandIn, code: int, kind: str) -> None:
    server.ask()
    before = server.value("pageroles_clickhouse_errors_total", kind=kind)
    standin.faults("500", match="converting_sessions", code=code)
    with pytest.raises(grpc.RpcError):
        server.ask()
    standin.faults(None)
    assert server.value("pageroles_clickhouse_errors_total", kind=kind) > before
    kinds = {sample.labels["kind"] for sample in server.families()["pageroles_clickhouse_errors"].samples}
    assert kinds == set(faults.KINDS), "each is there before it happens"
    assert server.value("pageroles_clickhouse_streamed_bytes_total") > 0


def test_statements_count_each_once(server: Watched) -> None:
    before = server.value("pageroles_clickhouse_statements_total")
    server.store.rows(Statement("SELECT 1"), server.store.call(SECONDS))
    # The watch may look meanwhile.
    assert server.value("pageroles_clickhouse_statements_total") >= before + 1


def test_readiness_shows(server: Watched) -> None:
    assert server.value("pageroles_store_ready") == 1
    server.service.watch.stop()
    assert server.value("pageroles_store_ready") == 0


def test_lost_lines_of_the_log_show(server: Watched) -> None:
    class Broken:
        def write(self, _: str) -> None:
            raise BrokenPipeError

    before = server.value("pageroles_log_lines_lost_total")
    writer = LogWriter(Broken())  # type: ignore[arg-type]
    writer.write("line\n")
    writer.close(SECONDS)
    assert server.value("pageroles_log_lines_lost_total") == before + 1


def test_no_label_has_what_a_caller_chooses(server: Watched) -> None:
    server.ask(landing_page="https://example.com/secret")
    server.post({"Domain": worked.DOMAIN})
    body = requests.get(server.metrics, timeout=SECONDS).text
    key_id = server.key.split("_")[1]
    assert not [text for text in (worked.DOMAIN, key_id, server.key, "secret", *JULY.values()) if text in body]


def test_two_servers_have_metrics_of_their_own(server: Watched, store: Store) -> None:
    server.ask()
    with watched(store, Telemetry(Metrics())) as other:
        assert other.value("grpc_server_started_total") == 0
    assert server.value("grpc_server_started_total") == 1


def test_openmetrics_is_served_to_who_accepts_it(server: Watched) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = requests.get(server.metrics, headers=accept, timeout=SECONDS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    plain = requests.get(server.metrics, timeout=SECONDS)
    assert plain.headers["content-type"].startswith("text/plain; version=")


def test_the_metrics_are_not_at_the_address_of_callers(server: Watched) -> None:
    assert requests.get(f"{server.http}/metrics", timeout=SECONDS).status_code == requests.codes.not_found
    nowhere = server.metrics.removesuffix("/metrics") + "/api/v1/pages"
    assert requests.post(nowhere, timeout=SECONDS).status_code == requests.codes.not_found


def test_a_wrong_address_is_a_sentence_that_names_the_option() -> None:
    with pytest.raises(SettingError, match="--metrics-address"), metrics_server.serving(Metrics(), "nowhere"):
        pass
    with (
        metrics_server.serving(Metrics(), "127.0.0.1:0") as port,
        pytest.raises(SettingError, match="choose another with --metrics-address"),
        metrics_server.serving(Metrics(), f"127.0.0.1:{port}"),
    ):
        pass
