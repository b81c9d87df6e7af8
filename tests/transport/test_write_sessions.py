"""Sessions are written while the server serves: over gRPC and over REST, in both forms of the gateway."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import pytest
import requests
import structlog.testing

from pageroles import serving, writing
from pageroles.access.keys import KeyStore, Permission
from pageroles.errors import StoreUnavailableError
from pageroles.ingest import messages
from pageroles.ingest.session import parse_line
from pageroles.settings import ServerSettings
from pageroles.store import soundness
from pageroles.store.statement import Statement
from pageroles.transport import rest_sessions
from pageroles.transport.backends import LocalBackend
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer
from pageroles.v1 import sessions_pb2
from support.served import serving_with
from support.wire import Asked, details, error_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pageroles.store.store import Store
    from support.served import Served

PATIENCE = 60
UNKNOWN_KEY = f"pr_{'0' * 12}_{'A' * 43}"
NDJSON = "application/x-ndjson"


@pytest.fixture
def domain() -> str:
    return f"written-{time.monotonic_ns()}.example.com"


@pytest.fixture
def key(served: Served, domain: str) -> str:
    """A key that may write sessions of the domain, and ask about them."""
    made, _ = KeyStore(served.store).create(domain, permissions=Permission)
    served.service._keys.forget()
    return made


def session(domain: str, name: object, **more: Any) -> dict[str, Any]:
    return {
        "domain": domain,
        "session_id": str(name),
        "user_id": f"u{name}",
        "started_at": "2025-07-03T10:00:00Z",
        "page_views": [{"url": f"https://{domain}/{name}", "viewed_at": "2025-07-03T10:00:00Z"}],
        **more,
    }


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in rows)


def post(rest: str, key: str | None, body: Any, **headers: str) -> requests.Response:
    sent = {"Content-Type": NDJSON} | ({} if key is None else {"Authentication": key})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"{rest}/api/v1/sessions", data=body, headers=sent | named, timeout=PATIENCE)


def message(row: dict[str, Any]) -> sessions_pb2.Session:
    return messages.make(parse_line(json.dumps(row).encode()))


def call(
    target: str, key: str | None, requests_: Iterable[sessions_pb2.WriteSessionsRequest], *more: tuple[str, str]
) -> sessions_pb2.WriteSessionsResponse:
    with grpc.insecure_channel(target) as channel:
        method: Any = channel.stream_unary(
            "/pageroles.v1.SessionService/WriteSessions",
            sessions_pb2.WriteSessionsRequest.SerializeToString,
            sessions_pb2.WriteSessionsResponse.FromString,
        )
        metadata = [*more] if key is None else [("authentication", key), *more]
        answer: sessions_pb2.WriteSessionsResponse = method(iter(requests_), metadata=metadata, timeout=PATIENCE)
        return answer


def write(target: str, key: str | None, *rows: dict[str, Any]) -> sessions_pb2.WriteSessionsResponse:
    """Write sessions in one message."""
    return call(target, key, [sessions_pb2.WriteSessionsRequest(sessions=map(message, rows))])


def total(target: str, key: str, source: str = "") -> int:
    with Asked(target, key) as asked:
        answer = asked.pages(start_date="2025-07-01", end_date="2025-07-31", source=source)
    return answer.summary_totals.total_sessions


def held(store: Store, domain: str) -> list[str]:
    statement = Statement(
        "SELECT session_id FROM sessions FINAL WHERE gone = 0 AND domain = {domain:String} ORDER BY session_id",
        {"domain": domain},
    )
    return [str(name) for (name,) in store.rows(statement, store.call(PATIENCE))]


# ---- over gRPC ----


def test_what_is_acknowledged_is_in_the_next_answer(served: Served, domain: str, key: str) -> None:
    """Asked again and again, the domain is in memory: so the answers come from there, too."""
    for number in range(1, 6):
        answer = write(served.target, key, session(domain, number))
        assert answer == sessions_pb2.WriteSessionsResponse(stored=1)
        assert total(served.target, key) == number
    kept = {one.name: one.sessions for one in served.service.memory.domains}
    assert kept[domain] == 5
    moved = session(domain, 3, user_id="u1")
    assert write(served.target, key, moved).stored == 1
    with Asked(served.target, key) as asked:
        totals = asked.pages(start_date="2025-07-01", end_date="2025-07-31").summary_totals
    assert (totals.total_sessions, totals.total_users) == (5, 4)


def test_a_session_written_again_replaces_itself(served: Served, domain: str, key: str) -> None:
    rows = [session(domain, number) for number in range(10)]
    for _ in range(3):
        assert write(served.target, key, *rows).stored == 10
        assert total(served.target, key) == 10
    late = session(domain, 3, source="early", written_at="2025-07-03T10:00:00Z")
    assert write(served.target, key, late).stored == 1, "a retry that comes late changes nothing"
    assert total(served.target, key, source="early") == 0
    assert write(served.target, key, session(domain, 3, source="now")).stored == 1
    assert total(served.target, key, source="now") == 1
    assert total(served.target, key) == 10


def test_a_stream_of_many_messages_is_one_answer(served: Served, domain: str, key: str) -> None:
    def sent() -> Iterator[sessions_pb2.WriteSessionsRequest]:
        for start in range(0, 3000, 7):
            rows = [message(session(domain, number)) for number in range(start, min(start + 7, 3000))]
            yield sessions_pb2.WriteSessionsRequest(sessions=rows)
        yield sessions_pb2.WriteSessionsRequest()

    assert call(served.target, key, sent()).stored == 3000
    assert total(served.target, key) == 3000
    assert call(served.target, key, []) == sessions_pb2.WriteSessionsResponse()


def test_what_breaks_a_rule_is_rejected_and_the_rest_is_stored(served: Served, domain: str, key: str) -> None:
    good, other = message(session(domain, 1)), message(session("other.example.com", 2))
    nameless, early = message(session(domain, 3)), message(session(domain, 4))
    nameless.session_id = ""
    early.started_at.seconds = 0
    more = message(session(domain, 5))
    sent = [[good, other], [nameless, early, more]]
    answer = call(served.target, key, [sessions_pb2.WriteSessionsRequest(sessions=each) for each in sent])
    assert (answer.stored, answer.rejected_count) == (2, 3)
    assert [(each.index, each.reason.partition(",")[0]) for each in answer.rejected] == [
        (1, f"domain must be '{domain}'"),
        (2, "session_id must not be empty"),
        (3, "started_at is missing; it must lie in the years 1990 to 2099"),
    ]
    assert held(served.store, domain) == ["1", "5"]
    many = [sessions_pb2.WriteSessionsRequest(sessions=[nameless] * 700)] * 2
    answer = call(served.target, key, many)
    assert (answer.stored, answer.rejected_count, len(answer.rejected)) == (0, 1400, 1000)


def test_a_key_for_all_domains_writes_any_or_the_one_that_it_names(served: Served, domain: str) -> None:
    key, _ = KeyStore(served.store).create(None, permissions=[Permission.WRITE])
    served.service._keys.forget()
    rows = [session(f"{part}.{domain}", 1) for part in "ab"]
    assert write(served.target, key, *rows).stored == 2
    sent = [sessions_pb2.WriteSessionsRequest(sessions=map(message, rows))]
    answer = call(served.target, key, sent, ("domain", f"a.{domain}"))
    assert (answer.stored, [each.index for each in answer.rejected]) == (1, [1])


@pytest.mark.parametrize(
    ("who", "code"),
    [("nobody", "UNAUTHENTICATED"), ("unknown", "UNAUTHENTICATED"), ("reader", "PERMISSION_DENIED"),
     ("elsewhere", "PERMISSION_DENIED")],
)  # fmt: skip
def test_who_may_not_write_is_refused(served: Served, rest: str, domain: str, key: str, who: str, code: str) -> None:
    reader = served.key(domain)
    named = [("domain", "other.example.com")] if who == "elsewhere" else []
    asking = {"nobody": None, "unknown": UNKNOWN_KEY, "reader": reader, "elsewhere": key}[who]
    with pytest.raises(grpc.RpcError) as caught:
        call(served.target, asking, [sessions_pb2.WriteSessionsRequest(sessions=[message(session(domain, 1))])], *named)
    assert error_info(caught.value).reason == code
    response = post(rest, asking, lines([session(domain, 1)]), **dict(named))
    assert (response.status_code, response.json()["code"]) == ({"U": 401, "P": 403}[code[0]], code.lower())
    if who == "reader":
        assert "may not write sessions; use one that may `write`" in response.json()["error"]
    assert held(served.store, domain) == []


def test_a_key_that_may_only_write_may_not_ask(served: Served, domain: str) -> None:
    key, _ = KeyStore(served.store).create(domain, permissions=[Permission.WRITE])
    served.service._keys.forget()
    assert write(served.target, key, session(domain, 1)).stored == 1
    with pytest.raises(grpc.RpcError) as caught:
        total(served.target, key)
    assert error_info(caught.value).reason == "PERMISSION_DENIED"


def test_a_message_that_can_not_be_read_is_refused(served: Served, key: str) -> None:
    with grpc.insecure_channel(served.target) as channel:
        method: Any = channel.stream_unary("/pageroles.v1.SessionService/WriteSessions")
        with pytest.raises(grpc.RpcError) as caught:
            method(iter([b"\xff"]), metadata=[("authentication", key)], timeout=PATIENCE)
    assert error_info(caught.value).reason == "INVALID_ARGUMENT"


def test_each_request_is_one_line_of_the_log(served: Served, domain: str, key: str) -> None:
    nameless = message(session(domain, 2))
    nameless.session_id = ""
    with structlog.testing.capture_logs() as logs:
        sent = sessions_pb2.WriteSessionsRequest(sessions=[message(session(domain, 1)), nameless])
        call(served.target, key, [sent], ("x-request-id", "mine-1"))
        with pytest.raises(grpc.RpcError):
            write(served.target, UNKNOWN_KEY, session(domain, 1))
    (written, refused) = (line for line in logs if line["event"] == "request")
    assert written["request_id"] == "mine-1"
    told = {name: written[name] for name in ("method", "status", "domain", "stored", "rejected")}
    assert told == {"method": "WriteSessions", "status": "OK", "domain": domain, "stored": 1, "rejected": 1}
    assert (refused["status"], refused["key_id"]) == ("UNAUTHENTICATED", None)


# ---- many at once, and too many ----


def test_many_small_writers_make_few_inserts(served: Served, domain: str, key: str) -> None:
    writers, each = 50, 4
    before = served.service.sessions.writer.batches

    def work(number: int) -> None:
        for turn in range(each):
            assert write(served.target, key, session(domain, f"{number}-{turn}")).stored == 1

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(work, range(writers)))
    inserts = served.service.sessions.writer.batches - before
    assert total(served.target, key) == writers * each
    assert inserts <= writers * each / 4, "those who come meanwhile are stored together"


def test_who_comes_beyond_what_may_wait_is_told_when_to_come_back(
    served: Served, rest: str, domain: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_up, let_go = threading.Event(), threading.Event()
    insert = served.store.write_sessions

    def wait(rows: bytes) -> None:
        held_up.set()
        assert let_go.wait(PATIENCE)
        insert(rows)

    with monkeypatch.context() as patched, ThreadPoolExecutor(1) as pool:
        patched.setattr(served.store, "write_sessions", wait)
        patched.setattr(served.service.sessions.writer, "_most_bytes", 1)
        first = pool.submit(write, served.target, key, session(domain, 1))
        assert held_up.wait(PATIENCE)
        with pytest.raises(grpc.RpcError) as caught:
            write(served.target, key, session(domain, 2))
        response = post(rest, key, lines([session(domain, 3)]))
        let_go.set()
        assert first.result(PATIENCE).stored == 1
    assert error_info(caught.value).reason == "OVERLOADED"
    assert details(caught.value)[0].retry_delay.seconds >= 1
    assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (429, "overloaded", "1")
    assert write(served.target, key, session(domain, 2)).stored == 1
    assert held(served.store, domain) == ["1", "2"]


def test_no_more_requests_at_once_than_places(
    served: Served, domain: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.service.sessions, "_places", threading.Semaphore(0))
    with pytest.raises(grpc.RpcError) as caught:
        write(served.target, key, session(domain, 1))
    assert error_info(caught.value).reason == "OVERLOADED"
    assert total(served.target, key) == 0, "reports have places of their own"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(StoreUnavailableError("away"), 503, "unavailable"), (RuntimeError("SELECT secret"), 500, "internal")],
)
def test_if_an_insert_fails_the_caller_is_told_and_may_repeat_it(
    served: Served, rest: str, domain: str, key: str, fault: Exception, status: int, code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(_: bytes) -> None:
        raise fault

    body = lines(session(domain, number) for number in range(5))
    with monkeypatch.context() as patched:
        patched.setattr(served.store, "write_sessions", fail)
        response = post(rest, key, body)
        with pytest.raises(grpc.RpcError) as caught:
            write(served.target, key, session(domain, 1))
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert error_info(caught.value).reason == code.upper()
    assert "secret" not in response.text
    assert post(rest, key, body).json() == {"stored": 5, "rejected": []}


def test_a_large_body_that_is_refused_midway_has_its_status(
    served: Served, rest: str, domain: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise StoreUnavailableError("away")

    body = lines(session(domain, number, referrer="https://r.example/" + "r" * 900) for number in range(20_000))
    with monkeypatch.context() as patched:
        patched.setattr(served.store, "write_sessions", fail)
        response = post(rest, key, body)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert post(rest, key, body).json() == {"stored": 20_000, "rejected": []}


def test_a_gateway_whose_server_is_away_says_so(domain: str, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
    with serving.gateway(nowhere, ServerSettings(http_address="127.0.0.1:0", max_seconds=5, grace=1)) as gateway:
        response = post(f"http://{gateway}", key, lines([session(domain, 1)]))
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert nowhere not in response.text


# ---- over REST ----


def test_lines_are_stored_and_bad_ones_told(served: Served, rest: str, domain: str, key: str) -> None:
    body = b"\r\n".join([
        json.dumps(session(domain, 1)).encode(),
        b"",
        b"{oops",
        json.dumps(session("other.example.com", 2)).encode(),
        b" \t",
        json.dumps({**session(domain, 3), "device": "x"}).encode(),
        b'{"domain": "\xff"}',
        json.dumps(session(domain, 4)).encode(),
    ])  # fmt: skip
    response = post(rest, key, body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert set(answer) == {"stored", "rejected"}
    assert answer["stored"] == 2
    assert [(each["line"], each["reason"][:24]) for each in answer["rejected"]] == [
        (3, "the row is not valid JSO"),
        (4, f"domain must be '{domain}"[:24]),
        (6, "unknown field 'device'; "),
        (7, "not valid UTF-8"),
    ]
    assert held(served.store, domain) == ["1", "4"]
    assert total(served.target, key) == 2
    assert post(rest, key, b"").json() == {"stored": 0, "rejected": []}


def test_over_rest_a_thousand_rejects_are_listed_and_all_are_counted(rest: str, domain: str, key: str) -> None:
    other = [session("other.example.com", number) for number in range(600)]
    mixed = b"".join(b"bad\n" + lines([one]) for one in other)
    answer = post(rest, key, mixed + lines([session(domain, 1)])).json()
    assert (answer["stored"], answer["rejected_count"], len(answer["rejected"])) == (1, 1200, 1000)
    assert [each["line"] for each in answer["rejected"]] == list(range(1, 1001))


def test_a_large_body_in_pieces_is_stored_whole(served: Served, rest: str, domain: str, key: str) -> None:
    body = lines(session(domain, number) for number in range(20_000))
    pieces = (body[start : start + 10_007] for start in range(0, len(body), 10_007))
    assert post(rest, key, pieces).json() == {"stored": 20_000, "rejected": []}
    assert total(served.target, key) == 20_000


def test_a_body_may_be_packed(served: Served, rest: str, domain: str, key: str) -> None:
    rows = [lines([session(domain, number)]) for number in range(500)]
    one = gzip.compress(b"".join(rows[:250]))
    two = one + gzip.compress(b"".join(rows[250:]))
    assert post(rest, key, one, Content_Encoding="gzip").json()["stored"] == 250
    assert post(rest, key, iter([two[:1], two[1:40], two[40:]]), Content_Encoding="gzip").json()["stored"] == 500
    assert total(served.target, key) == 500
    for broken, says in (
        (one[:-4], "cut short"),
        (b"\x1f\x8bnot", "damaged"),
        (b"", "cut short"),
        (one + b"no gzip", "damaged"),
    ):
        response = post(rest, key, broken, Content_Encoding="gzip")
        assert (response.status_code, response.json()["code"]) == (400, "invalid_argument"), broken[:9]
        assert says in response.json()["error"]


def test_what_unpacks_to_more_than_is_read_is_refused(
    rest: str, domain: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_sessions, "MAX_BODY_BYTES", 1 << 20)
    bomb = gzip.compress(b"\n" * (30 << 20))
    assert len(bomb) < 64 << 10
    for response in (post(rest, key, bomb, Content_Encoding="gzip"), post(rest, key, iter([b"\n" * (1 << 20), b"\n"]))):
        assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    announced = post(rest, key, b"\n" * ((1 << 20) + 1))
    assert (announced.status_code, announced.json()["code"]) == (413, "payload_too_large")
    assert post(rest, key, lines([session(domain, 1)])).json()["stored"] == 1


def test_a_line_that_is_too_long_is_rejected_alone(
    served: Served, rest: str, domain: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_sessions, "MAX_LINE_BYTES", 100_000)
    long = b"x" * 100_001
    one, two = lines([session(domain, 1)]), lines([session(domain, 2)])
    for body in (
        b"".join((one, long, b"\n", two, long)),
        iter([one, long[:60_000], long[60_000:], long, b"\n", two[:9], two[9:], long]),
    ):
        answer = post(rest, key, body).json()
        assert answer["stored"] == 2
        reason = "the line has more than 100,000 bytes"
        assert answer["rejected"] == [{"line": 2, "reason": reason}, {"line": 4, "reason": reason}]
    assert held(served.store, domain) == ["1", "2"]


def test_other_types_and_encodings_are_refused(rest: str, domain: str, key: str) -> None:
    body = lines([session(domain, 1)])
    for headers in ({"Content_Type": "application/json"}, {"Content_Encoding": "br"}):
        response = post(rest, key, body, **headers)
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
        assert "application/x-ndjson" in response.json()["error"] or "gzip" in response.json()["error"]
    assert post(rest, key, body, Content_Type=f"{NDJSON}; charset=utf-8").json()["stored"] == 1
    assert requests.get(f"{rest}/api/v1/sessions", timeout=PATIENCE).status_code == 405


def test_a_body_that_does_not_come_is_told(served: Served, key: str) -> None:
    app = application(LocalBackend(served.service), max_seconds=0.3)
    server = HttpServer(app, "127.0.0.1:0", grace=1)
    with structlog.testing.capture_logs() as logs, contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
            client.sendall(
                b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n"
                b"Authentication: " + key.encode() + b"\r\n\r\n{"
            )
            head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b" 408 " in head.splitlines()[0]
    assert json.loads(body)["code"] == "request_timeout"
    assert [line["status"] for line in logs if line["event"] == "request"] == ["DEADLINE_EXCEEDED"]


def test_a_client_that_leaves_ends_its_request(served: Served, rest: str, domain: str, key: str) -> None:
    places = served.service.sessions._places
    parts = urlsplit(rest)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE) as client:
        client.sendall(
            b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Authentication: " + key.encode() + b"\r\n\r\n{"
        )
    ends = time.monotonic() + PATIENCE
    while places._value < writing.MOST_DELIVERIES and time.monotonic() < ends:
        time.sleep(0.01)
    assert places._value == writing.MOST_DELIVERIES
    assert post(rest, key, lines([session(domain, 1)])).json()["stored"] == 1


# ---- over a ClickHouse server ----


def test_over_a_server_the_next_answer_has_it_and_the_store_is_sound(empty_store: Store) -> None:
    key, _ = KeyStore(empty_store).create("a.com", permissions=Permission)
    with serving_with(empty_store) as (target, _, _):
        for number in range(1, 4):
            assert write(target, key, session("a.com", number), session("a.com", 0, user_id=f"v{number}")).stored == 2
            assert total(target, key) == number + 1
        late = session("a.com", 0, user_id="late", written_at="2025-07-03T10:00:00Z")
        assert write(target, key, late).stored == 1
        assert total(target, key) == 4
    assert held(empty_store, "a.com") == ["0", "1", "2", "3"]
    assert [finding.name for finding in soundness.look(empty_store) if finding.count] == []


def test_what_another_writer_left_is_finished_before_the_first_batch(empty_store: Store) -> None:
    key, _ = KeyStore(empty_store).create("a.com", permissions=Permission)
    write_sessions, insert = empty_store.write_sessions, empty_store.insert
    with serving_with(empty_store) as (target, _, _):

        def cut_short(table: str, *args: Any, **more: Any) -> None:
            if table == "sessions":
                raise StoreUnavailableError("killed")
            insert(table, *args, **more)

        empty_store.insert = cut_short  # type: ignore[method-assign]
        row = parse_line(json.dumps(session("a.com", 1, written_at="2025-07-03T10:00:00Z")).encode())
        with pytest.raises(StoreUnavailableError):
            write_sessions(row.line)
        empty_store.insert = insert  # type: ignore[method-assign]
        assert held(empty_store, "a.com") == []
        assert write(target, key, session("a.com", 2)).stored == 1
    assert held(empty_store, "a.com") == ["1", "2"]
