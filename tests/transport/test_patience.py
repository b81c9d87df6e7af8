"""Callers who keep the server waiting lose, and nobody else does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pageroles.errors import OverloadedError
from pageroles.report.answers import Report
from pageroles.transport import grpc_server, grpc_sessions, patience, rest_app, rest_server
from pageroles.transport.addresses import of_peer
from pageroles.transport.backends import LocalBackend
from pageroles.transport.patience import Patience
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer
from pageroles.v1 import pages_pb2
from support.endless import until
from support.served import serving_with
from support.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.service import PagesService
    from support.served import Served

SERVICE = "/pageroles.v1.PageRolesService"
METHOD = f"{SERVICE}/Pages"
SECONDS = 30
LARGE = 8 << 20


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let callers wait for half a second only."""
    monkeypatch.setattr(patience, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(patience, "MESSAGE_SECONDS", 0.5)
    monkeypatch.setattr(patience, "READ_SECONDS", 0.5)
    monkeypatch.setattr(patience, "READ_BYTES_PER_SECOND", 1 << 40)


@pytest.fixture
def large_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every answer a large one, which no connection takes at once."""
    head = pages_pb2.PagesResponse(time_frame={}, summary_totals={"total_sessions": 1}).SerializeToString()
    row = pages_pb2.PagesResponse(drop_off_performance=[{"url": "x" * LARGE}]).SerializeToString()
    made = Report.__init__

    def init(self: Report, *given: Any) -> None:
        made(self, *given)
        self.bytes = LARGE

    monkeypatch.setattr(Report, "__init__", init)
    monkeypatch.setattr(Report, "message", lambda _: head + row)
    monkeypatch.setattr(Report, "messages", lambda _: iter([head, row, row, row]))


@contextlib.contextmanager
def without_message(target: str, calls: int, over: threading.Event) -> Iterator[list[Any]]:
    """Open calls whose message never comes."""

    def nothing() -> Iterator[bytes]:
        over.wait(SECONDS)
        yield from ()

    with grpc.insecure_channel(target) as channel:
        method: Any = channel.stream_unary(METHOD)
        yield [method.future(nothing()) for _ in range(calls)]
        over.set()


# ---- gRPC ----


@pytest.mark.usefixtures("impatient")
def test_calls_without_a_message_take_nothing_from_others(served: Served, key: str) -> None:
    with serving_with(served.store, max_requests=2) as (target, service, _):
        with without_message(target, 100, threading.Event()) as calls, Asked(target, key) as asked:
            for _ in range(5):
                asked.pages(timeout=SECONDS)
            assert service.admission.taken == 0
            codes = {call.exception(timeout=SECONDS).code() for call in calls}
        assert codes <= {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


def test_an_address_holds_no_more_calls_without_a_message_than_it_may(
    served: Served, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_server, "_MOST_WAITING_OF_ADDRESS", 3)
    with serving_with(served.store) as (target, _, _), without_message(target, 8, threading.Event()) as calls:
        assert until(lambda: sum(call.done() for call in calls) == 5)
        refused = [call.exception() for call in calls if call.done()]
        assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert all("wait for their message" in error.details() for error in refused)
        # Even now, health answers.
        with grpc.insecure_channel(target) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS).status
        for call in calls:
            call.cancel()
        with Asked(target, key) as asked:
            assert until(lambda: not calls_are_refused(asked))


def calls_are_refused(asked: Asked) -> bool:
    try:
        asked.pages(timeout=SECONDS)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return False


def test_a_call_that_ends_without_a_message_is_refused(served: Served) -> None:
    with grpc.insecure_channel(served.target) as channel, pytest.raises(grpc.RpcError) as error:
        channel.stream_unary(METHOD)(iter(()), timeout=SECONDS)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no message" in str(error.value.details())


@pytest.mark.usefixtures("impatient", "large_answers")
@pytest.mark.parametrize("method", ["Pages", "StreamPages"])
def test_an_answer_that_is_not_read_is_dropped(served: Served, key: str, method: str) -> None:
    request = pages_pb2.PagesRequest().SerializeToString()
    metadata = [("authentication", key)]
    with serving_with(served.store) as (target, service, _), grpc.insecure_channel(target) as channel:
        slow: Any = channel.unary_stream(f"{SERVICE}/{method}")
        call = slow(request, metadata=metadata, timeout=SECONDS)
        assert until(lambda: service.admission.unread_bytes == LARGE)
        assert until(lambda: service.admission.unread_bytes == 0)
        with pytest.raises(grpc.RpcError) as error:
            list(call)
        assert error.value.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}


@pytest.mark.usefixtures("large_answers")
def test_answers_that_are_not_read_are_bounded_for_each_key(served: Served, key: str) -> None:
    other = served.key("other.example.com")
    request = pages_pb2.PagesRequest().SerializeToString()
    options = [("grpc.max_receive_message_length", -1)]
    with serving_with(served.store) as (target, service, _), grpc.insecure_channel(target, options) as channel:
        service.admission.answer_bytes = LARGE * 3
        method: Any = channel.unary_stream(f"{SERVICE}/StreamPages")
        held = [method(request, metadata=[("authentication", key)], timeout=SECONDS) for _ in range(2)]
        assert until(lambda: service.admission.unread_bytes == 2 * LARGE)
        with pytest.raises(grpc.RpcError) as error:
            list(method(request, metadata=[("authentication", key)], timeout=SECONDS))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "read them" in str(error.value.details())
        assert len(list(method(request, metadata=[("authentication", other)], timeout=SECONDS))) == 4
        for call in held:
            call.cancel()
        assert until(lambda: service.admission.unread_bytes == 0)


@contextlib.contextmanager
def full(service: PagesService, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a service refuse everything because of load; refusals have to be held back meanwhile."""

    def refuse(*_: object) -> NoReturn:
        raise OverloadedError("busy", 1.0)

    monkeypatch.setattr(patience, "REFUSAL_SECONDS", 0.3)
    monkeypatch.setattr(service.admission, "place", refuse)
    monkeypatch.setattr(service.sessions, "delivery", refuse)
    began = time.monotonic()
    yield
    assert time.monotonic() - began >= patience.REFUSAL_SECONDS


@pytest.mark.parametrize(
    "method", [f"{SERVICE}/Pages", f"{SERVICE}/StreamPages", f"/{grpc_sessions.SERVICE}/{grpc_sessions.METHOD}"]
)
def test_refusals_because_of_load_are_held_back(
    served: Served, key: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    with serving_with(served.store) as (target, service, _), grpc.insecure_channel(target) as channel:
        call: Any = channel.stream_stream(method)
        with full(service, monkeypatch), pytest.raises(grpc.RpcError) as error:
            list(call(iter([b""]), metadata=[("authentication", key)], timeout=SECONDS))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


# ---- keys that do not work ----


def test_an_address_that_guesses_keys_is_refused_and_its_good_keys_work(served: Served, key: str) -> None:
    guess = "pr_0123456789ab_" + "x" * 43
    with serving_with(served.store) as (target, service, _), Asked(target, guess) as guessing:
        for _ in range(200):
            with pytest.raises(grpc.RpcError) as error:
                guessing.pages()
            if error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                break
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        else:
            raise AssertionError("never refused")
        read = 0
        records = service._keys._records

        def counting(work: Callable[[], Any] = records._read) -> Any:
            nonlocal read
            read += 1
            return work()

        records._read = counting
        with pytest.raises(grpc.RpcError):
            guessing.pages()
        assert read == 0
        with Asked(target, key) as asked:
            asked.pages()


def test_addresses_of_callers_have_no_port() -> None:
    assert of_peer("ipv4:10.1.2.3:4567") == "10.1.2.3"
    assert of_peer("ipv6:%5B2001:db8::1%5D:4567") == "2001:db8::1"
    assert of_peer("unix:/run/x.sock") == "unix:/run/x.sock"


# ---- REST ----


@pytest.fixture
def http(served: Served) -> Iterator[HttpServer]:
    server = HttpServer(application(LocalBackend(served.service), max_seconds=SECONDS), "127.0.0.1:0", grace=1)
    yield server
    server.stop()


@pytest.mark.parametrize("path", ["pages", "pages/days", "sessions"])
def test_refusals_because_of_load_are_held_back_over_rest(
    served: Served, http: HttpServer, key: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    with full(served.service, monkeypatch):
        answer = requests.post(
            f"http://127.0.0.1:{http.port}/api/v1/{path}", headers={"Authentication": key}, timeout=SECONDS
        )
    assert answer.status_code == requests.codes.too_many_requests


def connected(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)


def is_served(client: socket.socket) -> bool:
    """Read the answer of `/livez`."""
    received = b""
    while not received.endswith(b'{"status":"ok"}'):
        received += client.recv(65536)
    return b" 200 " in received.splitlines()[0]


def is_closed(client: socket.socket) -> bool:
    """Read until the server closes the connection, which it may do by a reset."""
    with contextlib.suppress(ConnectionError):
        while client.recv(65536):
            pass
    return True


def test_each_head_has_its_seconds(http: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the first of a connection."""
    monkeypatch.setattr(rest_server, "_HEAD_SECONDS", 0.3)
    with connected(http) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert is_served(client)
        client.sendall(b"G")
        assert is_closed(client)
    with connected(http) as client:
        # What comes in time is served, however long the connection lives.
        for _ in range(4):
            client.sendall(b"GET /livez HTTP/1.1\r\n")
            time.sleep(0.1)
            client.sendall(b"Host: x\r\n\r\n")
            assert is_served(client)


def test_health_is_reachable_when_connections_are_used_up(http: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_server, "_MOST_CONNECTIONS", 2)
    with connected(http), connected(http):
        url = f"http://127.0.0.1:{http.port}"
        assert requests.post(f"{url}/api/v1/pages", timeout=SECONDS).status_code == 429
        for path in ("livez", "readyz", "healthz"):
            answer = requests.get(f"{url}/{path}", timeout=SECONDS)
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")


@pytest.mark.usefixtures("impatient", "large_answers")
def test_a_reader_who_makes_no_progress_is_cut_off(served: Served, http: HttpServer, key: str) -> None:
    with connected(http) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(f"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nAuthentication: {key}\r\n\r\n".encode())
        assert until(lambda: served.service.admission.unread_bytes == LARGE)
        # What the system has taken may still come; the server keeps none of it.
        assert until(lambda: served.service.admission.unread_bytes == 0)
        assert until(lambda: not http._server.server_state.connections)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b" 400 "),
        (b"X-Large: " + b"a" * 20_000 + b"\r\n", b" 431 "),
        (b"X-Large: " + b"a" * 100_000 + b"\r\n", b" 431 "),
        (b"no header\r\n", b" 400 "),
    ],
)
def test_odd_heads_are_refused_and_closed(http: HttpServer, head: bytes, status: bytes) -> None:
    with connected(http) as client:
        client.sendall(b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n{}GET /livez HTTP/1.1\r\n\r\n")
        received = client.recv(65536)
        with contextlib.suppress(ConnectionError):
            while chunk := client.recv(65536):
                received += chunk
    assert status in received.splitlines()[0]
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in received.lower()


def test_a_body_that_does_not_come_closes_the_connection(http: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_app, "_BODY_SECONDS", 0.2)
    with connected(http) as client:
        client.sendall(b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in client.recv(65536).splitlines()[0]
        assert is_closed(client)


# ---- the thread that looks after all ----


def test_what_ends_in_time_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_LOOK_SECONDS", 0.02)
    ended: list[str] = []
    patient = Patience()
    with patient.bounded(SECONDS, lambda: ended.append("early")):
        pass
    late = threading.Event()
    with patient.bounded(0.05, late.set), contextlib.suppress(TimeoutError):
        assert late.wait(SECONDS)
    patient.close()
    assert not ended
    assert not patient._waiting


def test_large_answers_may_take_longer() -> None:
    assert patience.seconds_to_read(64 << 20) > 2 * patience.seconds_to_read(1 << 20) - patience.READ_SECONDS
