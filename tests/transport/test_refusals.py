"""Every refusal that a caller can provoke is worded for the way it came: REST has headers, gRPC has metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import pytest
import requests

from pageroles import serving
from pageroles.access.keys import KeyStore
from pageroles.access.quotas import QuotaStore
from pageroles.report import statements
from pageroles.settings import ServerSettings
from pageroles.store import faults
from pageroles.transport import rest_app
from support.endless import ENDLESS
from support.wire import Asked, details
from support.worked import DOMAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.served import Served

PATIENCE = 30
UNKNOWN_KEY = f"pr_{'0' * 12}_{'A' * 43}"
GRPC_WORDS = re.compile(r"metadata|rpc", re.IGNORECASE)
HTTP_WORDS = re.compile(r"header", re.IGNORECASE)


@dataclasses.dataclass
class World:
    """What a refusal is provoked with."""

    served: Served
    key: str
    spent_key: str
    revoked_key: str
    monkeypatch: pytest.MonkeyPatch

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Take all places of the server."""
        places = 0
        while self.served.service._places.acquire(blocking=False):
            places += 1
        try:
            yield
        finally:
            self.served.service._places.release(places)

    @contextlib.contextmanager
    def endless(self) -> Iterator[None]:
        """Make reports endless, and the server impatient."""
        with self.monkeypatch.context() as patched:
            patched.setattr(statements, "sessions", lambda *_: ENDLESS)
            patched.setattr(self.served.service, "max_seconds", 0.3)
            yield

    @contextlib.contextmanager
    def failing(self, error: Exception) -> Iterator[None]:
        """Make reports fail."""

        def fail(*_: object) -> None:
            raise error

        with self.monkeypatch.context() as patched:
            patched.setattr(statements, "conversions", fail)
            yield


@pytest.fixture
def world(served: Served, key: str, monkeypatch: pytest.MonkeyPatch) -> World:
    domain = f"refusals-{time.monotonic_ns()}.example.com"
    QuotaStore(served.store).set(domain, 0)
    spent_key = served.key(domain)
    revoked_key, record = KeyStore(served.store).create(DOMAIN)
    KeyStore(served.store).revoke(record.id)
    served.service._keys.forget()
    served.service._quotas._limits.forget()
    return World(served, key, spent_key, revoked_key, monkeypatch)


# ClickHouse's codes that mean something to a caller, and one that does not.
CODES = {159: (504, "DEADLINE_EXCEEDED"), 516: (503, "UNAVAILABLE"), 202: (429, "RESOURCE_EXHAUSTED"),
         241: (429, "RESOURCE_EXHAUSTED"), 439: (429, "RESOURCE_EXHAUSTED"), 62: (500, "INTERNAL")}  # fmt: skip


# ---- over REST ----


def post(rest: str, key: str | None, body: Any = None, **headers: str) -> requests.Response:
    sent = {"Content-Type": "application/json"} | ({} if key is None else {"Authentication": key}) | headers
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return requests.post(
        f"{rest}/api/v1/pages",
        data=data,
        headers={name.replace("_", "-"): value for name, value in sent.items()},
        timeout=PATIENCE,
    )


def over_rest(rest: str, world: World) -> Iterator[tuple[str, int, requests.Response]]:
    """Provoke each refusal; give its name, the status that it should have, and the response."""
    key, all_domains_key = world.key, world.served.all_domains_key
    yield "no key", 401, post(rest, None)
    yield "an unknown key", 401, post(rest, UNKNOWN_KEY)
    yield "a key of another form", 401, post(rest, "x")
    yield "a key of other letters", 401, post(rest, "cl\u00e9")
    yield "a revoked key", 401, post(rest, world.revoked_key)
    yield "another domain", 403, post(rest, key, Domain="other.example.com")
    other_letters = "caf\u00e9.example.com"
    yield "a domain of other letters", 403, post(rest, key, Domain=other_letters.encode().decode("latin-1"))
    yield "a domain that is no UTF-8", 400, post(rest, key, Domain=other_letters)
    yield "no domain", 400, post(rest, all_domains_key)
    bodies: dict[str, Any] = {
        "an unknown parameter": {"utm_source": "x"},
        "a wrong type": {"source": 5},
        "null": {"source": None},
        "an unknown scope": {"touch_scope": "last"},
        "no date": {"start_date": "soon"},
        "an impossible date": {"end_date": "2025-02-30"},
        "a window that ends before it starts": {"start_date": "2025-07-02", "end_date": "2025-07-01"},
        "a long filter": {"term": "x" * 8193},
        "a list": b"[1]",
        "no JSON": b"{",
        "deep JSON": b"[" * 60_000,
    }
    for name, body in bodies.items():
        yield name, 400, post(rest, key, body)
    yield "a spent quota", 429, post(rest, world.spent_key)
    with world.busy():
        yield "a busy server", 429, post(rest, key)
    with world.endless():
        yield "a long report", 504, post(rest, key)
    with world.failing(faults._translated_error(OSError())):
        yield "a store that is away", 503, post(rest, key)
    with world.failing(RuntimeError("SELECT")):
        yield "an internal error", 500, post(rest, key)
    for code, (status, _) in CODES.items():
        with world.failing(faults._translated_code(code, "SELECT")):
            yield f"code {code} of ClickHouse", status, post(rest, key)
    yield "another path", 404, requests.get(f"{rest}/nowhere", timeout=PATIENCE)
    yield "another file", 404, requests.get(f"{rest}/explorer/nowhere.js", timeout=PATIENCE)
    yield "another method", 405, requests.get(f"{rest}/api/v1/pages", timeout=PATIENCE)
    yield "a large body", 413, post(rest, key, b" " * (64 * 1024 + 1))
    yield "a form", 415, post(rest, key, b"a=b", Content_Type="application/x-www-form-urlencoded")


def test_over_rest_no_sentence_speaks_of_grpc(rest: str, world: World) -> None:
    seen = 0
    for name, status, response in over_rest(rest, world):
        assert response.status_code == status, f"{name}: {response.status_code} {response.text}"
        sentence = response.json()["error"]
        assert sentence, name
        assert not GRPC_WORDS.search(response.text), f"{name}: {sentence}"
        seen += 1
    assert seen > 30


def test_over_rest_a_late_body_is_refused_without_words_of_grpc(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_app, "_BODY_SECONDS", 0.2)
    parts = urlsplit(rest)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE) as client:
        client.sendall(b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{")
        head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b" 408 " in head.splitlines()[0]
    assert not GRPC_WORDS.search(json.loads(body)["error"])


def test_a_gateway_whose_server_is_away_or_silent_does_not_speak_of_grpc() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = ServerSettings(http_address="127.0.0.1:0", max_seconds=0.5, grace=1)
        with serving.gateway(address, settings) as gateway:
            health = requests.get(f"http://{gateway}/healthz", timeout=PATIENCE)
            late = post(f"http://{gateway}", "x")
    with serving.gateway(address, settings) as gateway:
        away = post(f"http://{gateway}", "x")
    assert [response.status_code for response in (health, late, away)] == [503, 504, 503]
    for response in (health, late, away):
        assert response.json()["error"]
        assert not GRPC_WORDS.search(response.text)


# ---- over gRPC ----


def over_grpc(world: World) -> Iterator[tuple[str, str, grpc.RpcError]]:
    """Provoke each refusal; give its name, the status that it should have, and the error."""
    key = world.key

    def refused(asking_key: str | None, domain: str | None = None, **fields: Any) -> grpc.RpcError:
        with Asked(world.served.target, asking_key, domain) as asked, pytest.raises(grpc.RpcError) as caught:
            asked.pages(**fields)
        return caught.value

    yield "no key", "UNAUTHENTICATED", refused(None)
    yield "an unknown key", "UNAUTHENTICATED", refused(UNKNOWN_KEY)
    yield "a key of another form", "UNAUTHENTICATED", refused("x")
    yield "a revoked key", "UNAUTHENTICATED", refused(world.revoked_key)
    yield "another domain", "PERMISSION_DENIED", refused(key, "other.example.com")
    yield "no domain", "INVALID_ARGUMENT", refused(world.served.all_domains_key)
    bad: dict[str, dict[str, Any]] = {
        "an unknown scope": {"touch_scope": 6},
        "no date": {"start_date": "soon"},
        "an impossible date": {"end_date": "2025-02-30"},
        "a window that ends before it starts": {"start_date": "2025-07-02", "end_date": "2025-07-01"},
        "a long filter": {"term": "x" * 8193},
    }
    for name, fields in bad.items():
        yield name, "INVALID_ARGUMENT", refused(key, **fields)
    yield "a spent quota", "RESOURCE_EXHAUSTED", refused(world.spent_key)
    yield "a large message", "RESOURCE_EXHAUSTED", refused(key, term="x" * (5 << 20))
    with world.busy():
        yield "a busy server", "RESOURCE_EXHAUSTED", refused(key)
    with world.endless():
        yield "a long report", "DEADLINE_EXCEEDED", refused(key)
        yield "a short deadline", "DEADLINE_EXCEEDED", refused(key, timeout=0.2)
    with world.failing(faults._translated_error(OSError())):
        yield "a store that is away", "UNAVAILABLE", refused(key)
    with world.failing(RuntimeError("SELECT")):
        yield "an internal error", "INTERNAL", refused(key)
    for code, (_, status) in CODES.items():
        with world.failing(faults._translated_code(code, "SELECT")):
            yield f"code {code} of ClickHouse", status, refused(key)
    with grpc.insecure_channel(world.served.target) as channel:
        method: Callable[..., bytes] = channel.unary_unary("/pageroles.v1.PageRolesService/Nothing")
        with pytest.raises(grpc.RpcError) as caught:
            method(b"", timeout=PATIENCE)
    yield "another method", "UNIMPLEMENTED", caught.value


def test_over_grpc_no_sentence_speaks_of_headers(world: World) -> None:
    seen = 0
    for name, status, error in over_grpc(world):
        call: Any = error
        assert call.code().name == status, f"{name}: {call.code()} {call.details()}"
        assert call.details(), name
        assert not HTTP_WORDS.search(f"{call.details()} {details(error)}"), f"{name}: {call.details()}"
        seen += 1
    assert seen > 20
