"""Every refusal that a caller can provoke has its code, and is worded for the way it came.

REST has headers, gRPC has metadata.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
import pytest
import requests

import pageroles
from pageroles import sentences, serving
from pageroles.access.keys import KeyStore
from pageroles.access.quotas import QuotaStore
from pageroles.report import statements
from pageroles.settings import ServerSettings
from pageroles.store import faults
from pageroles.transport import faults as faults_of_transport
from pageroles.transport import headers, openapi, rest_app, rest_server
from pageroles.transport.faults import Code
from support.endless import ENDLESS
from support.wire import Asked, details, error_info
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
        admission = self.served.service.admission
        with contextlib.ExitStack() as places:
            for _ in range(admission.places):
                places.enter_context(admission.place())
            yield

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
CODES = {159: Code.DEADLINE_EXCEEDED, 516: Code.UNAVAILABLE, 202: Code.OVERLOADED, 241: Code.OVERLOADED,
         252: Code.OVERLOADED, 439: Code.OVERLOADED, 62: Code.INTERNAL}  # fmt: skip


# ---- over REST ----


def post(rest: str, key: str | None, body: Any = None, query: str = "", **headers: str) -> requests.Response:
    sent = {"Content-Type": "application/json"} | ({} if key is None else {"Authentication": key}) | headers
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return requests.post(
        f"{rest}/api/v1/pages?{query}",
        data=data,
        headers={name.replace("_", "-"): value for name, value in sent.items()},
        timeout=PATIENCE,
    )


def over_rest(rest: str, world: World) -> Iterator[tuple[str, Code, requests.Response]]:
    """Provoke each refusal; give its name, the code that it should have, and the response."""
    key, all_domains_key = world.key, world.served.all_domains_key
    yield "no key", Code.UNAUTHENTICATED, post(rest, None)
    yield "an unknown key", Code.UNAUTHENTICATED, post(rest, UNKNOWN_KEY)
    yield "a key of another form", Code.UNAUTHENTICATED, post(rest, "x")
    yield "a key of other letters", Code.UNAUTHENTICATED, post(rest, "cl\u00e9")
    yield "a revoked key", Code.UNAUTHENTICATED, post(rest, world.revoked_key)
    yield "another domain", Code.PERMISSION_DENIED, post(rest, key, Domain="other.example.com")
    other_letters = "caf\u00e9.example.com"
    yield (
        "a domain of other letters",
        Code.PERMISSION_DENIED,
        post(rest, key, Domain=other_letters.encode().decode("latin-1")),
    )
    yield "a domain that is no UTF-8", Code.INVALID_ARGUMENT, post(rest, key, Domain=other_letters)
    yield "no domain", Code.INVALID_ARGUMENT, post(rest, all_domains_key)
    yield "two keys", Code.INVALID_ARGUMENT, post(rest, key, Authorization=f"Bearer {UNKNOWN_KEY}")
    yield "an unknown bearer", Code.UNAUTHENTICATED, post(rest, None, Authorization=f"Bearer {UNKNOWN_KEY}")
    yield "another scheme", Code.UNAUTHENTICATED, post(rest, None, Authorization=f"Basic {key}")
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
        yield name, Code.INVALID_ARGUMENT, post(rest, key, body)
    queries = {"a name twice": "source=a&source=a", "an unknown name": "sauce=a", "no UTF-8": "source=%ff"}
    for name, query in queries.items():
        yield name, Code.INVALID_ARGUMENT, post(rest, key, query=query)
    yield "a name in both places", Code.INVALID_ARGUMENT, post(rest, key, {"term": "a"}, query="term=a")
    yield "a spent quota", Code.QUOTA_EXCEEDED, post(rest, world.spent_key)
    with world.busy():
        yield "a busy server", Code.OVERLOADED, post(rest, key)
    with world.endless():
        yield "a long report", Code.DEADLINE_EXCEEDED, post(rest, key)
    with world.failing(faults._translated_error(OSError())):
        yield "a store that is away", Code.UNAVAILABLE, post(rest, key)
    with world.failing(RuntimeError("SELECT")):
        yield "an internal error", Code.INTERNAL, post(rest, key)
    for number, code in CODES.items():
        with world.failing(faults._translated_code(number, "SELECT")):
            yield f"code {number} of ClickHouse", code, post(rest, key)
    yield "another path", Code.NOT_FOUND, requests.get(f"{rest}/nowhere", timeout=PATIENCE)
    yield "a slash at the end", Code.NOT_FOUND, requests.post(f"{rest}/api/v1/pages/", timeout=PATIENCE)
    yield "another file", Code.NOT_FOUND, requests.get(f"{rest}/explorer/nowhere.js", timeout=PATIENCE)
    yield "another method", Code.METHOD_NOT_ALLOWED, requests.put(f"{rest}/api/v1/pages", timeout=PATIENCE)
    yield "a large head", Code.HEAD_TOO_LARGE, post(rest, key, X_Large="a" * 20_000)
    yield "a large body", Code.PAYLOAD_TOO_LARGE, post(rest, key, b" " * (64 * 1024 + 1))
    yield (
        "a form",
        Code.UNSUPPORTED_MEDIA_TYPE,
        post(rest, key, b"a=b", Content_Type="application/x-www-form-urlencoded"),
    )


@pytest.mark.usefixtures("streaming")
def test_over_rest_every_refusal_has_its_code_and_none_speaks_of_grpc(rest: str, world: World) -> None:
    seen = []
    for name, code, response in over_rest(rest, world):
        assert response.status_code == code.http, f"{name}: {response.status_code} {response.text}"
        assert response.json()["code"] == code.text, name
        sentence = response.json()["error"]
        assert sentence, name
        assert not GRPC_WORDS.search(response.text), f"{name}: {sentence}"
        seen.append(code)
    assert len(seen) > 30
    assert set(Code) - set(seen) == {Code.CANCELLED, Code.REQUEST_TIMEOUT}, "the one is below, the other has no reader"


def test_over_rest_a_late_body_is_refused_without_words_of_grpc(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_app, "_BODY_SECONDS", 0.2)
    parts = urlsplit(rest)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE) as client:
        client.sendall(b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{")
        head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b" 408 " in head.splitlines()[0]
    fault = json.loads(body)
    assert fault["code"] == "request_timeout"
    assert not GRPC_WORDS.search(fault["error"])


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x00\x01\r\n\r\n", Code.INVALID_ARGUMENT),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 20_000, Code.HEAD_TOO_LARGE),
    ],
)
def test_over_rest_what_is_not_http_is_refused_in_the_same_form(rest: str, sent: bytes, code: Code) -> None:
    parts = urlsplit(rest)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE) as client:
        client.sendall(sent)
        head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    assert f" {code.http} ".encode() in head.splitlines()[0]
    assert b"content-type: application/json" in head
    assert json.loads(body)["code"] == code.text


def test_over_rest_more_connections_than_served_are_refused_in_the_same_form(
    rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_server, "_MOST_CONNECTIONS", 0)
    response = requests.post(f"{rest}/api/v1/pages", timeout=PATIENCE)
    assert (response.status_code, response.json()["code"]) == (429, "overloaded")
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-request-id"]
    monkeypatch.undo()
    assert requests.post(f"{rest}/api/v1/pages", timeout=PATIENCE).status_code == 401


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
    codes = ["unavailable", "deadline_exceeded", "unavailable"]
    assert [response.json()["code"] for response in (health, late, away)] == codes
    for response in (health, late, away):
        assert response.json()["error"]
        assert not GRPC_WORDS.search(response.text)


# ---- over gRPC ----


def over_grpc(world: World) -> Iterator[tuple[str, Code | str, grpc.RpcError]]:
    """Provoke each refusal; give its name, the code that it should have, and the error.

    What grpc refuses by itself has a status alone.
    """
    key = world.key

    def refused(
        asking_key: str | None, domain: str | None = None, *more: tuple[str, str], **fields: Any
    ) -> grpc.RpcError:
        with Asked(world.served.target, asking_key, domain) as asked:
            asked.metadata += more
            with pytest.raises(grpc.RpcError) as caught:
                asked.pages(**fields)
        return caught.value

    yield "no key", Code.UNAUTHENTICATED, refused(None)
    yield "an unknown key", Code.UNAUTHENTICATED, refused(UNKNOWN_KEY)
    yield "a key of another form", Code.UNAUTHENTICATED, refused("x")
    yield "a revoked key", Code.UNAUTHENTICATED, refused(world.revoked_key)
    yield "another domain", Code.PERMISSION_DENIED, refused(key, "other.example.com")
    yield "no domain", Code.INVALID_ARGUMENT, refused(world.served.all_domains_key)
    yield "two keys", Code.INVALID_ARGUMENT, refused(key, None, ("authentication", UNKNOWN_KEY))
    yield "two domains", Code.INVALID_ARGUMENT, refused(key, DOMAIN, ("domain", "other.example.com"))
    bad: dict[str, dict[str, Any]] = {
        "an unknown scope": {"touch_scope": 6},
        "no date": {"start_date": "soon"},
        "an impossible date": {"end_date": "2025-02-30"},
        "a window that ends before it starts": {"start_date": "2025-07-02", "end_date": "2025-07-01"},
        "a long filter": {"term": "x" * 8193},
    }
    for name, fields in bad.items():
        yield name, Code.INVALID_ARGUMENT, refused(key, **fields)
    with grpc.insecure_channel(world.served.target) as channel:
        raw: Callable[..., bytes] = channel.unary_unary("/pageroles.v1.PageRolesService/Pages")
        with pytest.raises(grpc.RpcError) as unreadable:
            raw(b"\xff", timeout=PATIENCE)
    yield "no message", Code.INVALID_ARGUMENT, unreadable.value
    yield "a spent quota", Code.QUOTA_EXCEEDED, refused(world.spent_key)
    yield "a large message", "RESOURCE_EXHAUSTED", refused(key, term="x" * (5 << 20))
    with world.busy():
        yield "a busy server", Code.OVERLOADED, refused(key)
    with world.endless():
        yield "a long report", Code.DEADLINE_EXCEEDED, refused(key)
        yield "a short deadline", "DEADLINE_EXCEEDED", refused(key, timeout=0.2)
    with world.failing(faults._translated_error(OSError())):
        yield "a store that is away", Code.UNAVAILABLE, refused(key)
    with world.failing(RuntimeError("SELECT")):
        yield "an internal error", Code.INTERNAL, refused(key)
    for number, code in CODES.items():
        with world.failing(faults._translated_code(number, "SELECT")):
            yield f"code {number} of ClickHouse", code, refused(key)
    with grpc.insecure_channel(world.served.target) as channel:
        method: Callable[..., bytes] = channel.unary_unary("/pageroles.v1.PageRolesService/Nothing")
        with pytest.raises(grpc.RpcError) as caught:
            method(b"", timeout=PATIENCE)
    yield "another method", "UNIMPLEMENTED", caught.value


@pytest.mark.usefixtures("streaming")
def test_over_grpc_every_refusal_has_its_code_and_none_speaks_of_headers(world: World) -> None:
    seen = []
    for name, code, error in over_grpc(world):
        call: Any = error
        status = code if isinstance(code, str) else code.status and code.status.name
        assert call.code().name == status, f"{name}: {call.code()} {call.details()}"
        assert call.details(), name
        assert not HTTP_WORDS.search(f"{call.details()} {details(error)}"), f"{name}: {call.details()}"
        if isinstance(code, Code):
            info = error_info(error)
            assert (info.reason, info.domain) == (code.name, "pageroles"), name
            seen.append(code)
    assert len(seen) > 20
    assert set(seen) == {code for code in Code if code.status} - {Code.CANCELLED}


# ---- the words ----


def test_only_the_words_that_rest_replaces_speak_of_metadata() -> None:
    """So no sentence of gRPC's comes over REST, provoked here or not."""
    for place in (value for name, value in vars(sentences).items() if name.endswith("_PLACE")):
        assert not GRPC_WORDS.search(headers.worded_for_http(f"send it in {place}"))
    found = []
    for path in Path(pageroles.__file__).parent.rglob("*.py"):
        if path.name == "sentences.py" or path.parent.name in {"v1", "command"}:
            continue
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [
            f"{path.name}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            if " " in node.value and re.search(r"\b(metadata|rpc)\b", node.value, re.IGNORECASE)
        ]
    assert not found


# ---- the reference ----


def test_the_reference_and_openapi_have_the_table() -> None:
    page = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists()) / "docs/rest.md"
    rows = [line for line in page.read_text().splitlines() if re.match(r"\| `[a-z_]+` \| \d{3} \|", line)]
    statuses = {code: f"`{code.status.name}`" if code.status else "REST alone" for code in Code}
    assert rows == [f"| `{code.text}` | {code.http} | {statuses[code]} | {code.when} |" for code in Code]
    document = json.loads(openapi.document())
    schemas = document["components"]["schemas"]
    assert schemas["ErrorCode"]["enum"] == [code.text for code in Code]
    for model in ("Fault", "QuotaFault"):
        assert schemas[model]["properties"]["code"] == {"$ref": "#/components/schemas/ErrorCode"}
        assert {"error", "code"} <= set(schemas[model]["required"])
    responses = document["paths"]["/api/v1/pages"]["post"]["responses"]
    for code in set(Code) - {Code.NOT_FOUND, Code.CANCELLED}:
        assert f"`{code.text}`: {code.when}" in responses[str(code.http)]["description"]


def test_a_code_of_a_later_server_becomes_that_of_its_status() -> None:
    request = faults_of_transport.Refusal(Code.QUOTA_EXCEEDED, "no")
    status = faults_of_transport.to_grpc(request, "id-1")
    trailing = [(name, value.replace(b"QUOTA_EXCEEDED", b"QUOTA_FROZEN__") if isinstance(value, bytes) else value)
                for name, value in status.trailing_metadata]  # fmt: skip
    for metadata, code in ((status.trailing_metadata, Code.QUOTA_EXCEEDED), (trailing, Code.OVERLOADED)):
        error = grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), status.details)
        assert faults_of_transport.from_grpc(error) == faults_of_transport.Refusal(code, "no")
