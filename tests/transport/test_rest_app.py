"""REST at its edge: slow clients, large requests, other origins, and a gateway whose server is away."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from pageroles import serving
from pageroles.errors import SettingError
from pageroles.settings import ServerSettings
from pageroles.transport import rest_app, rest_server
from pageroles.transport.backends import LocalBackend, RemoteBackend
from pageroles.transport.grpc_server import GrpcServer
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer

if TYPE_CHECKING:
    from support.served import Served

PATIENCE = 30


def connected(rest: str) -> socket.socket:
    parts = urlsplit(rest)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE)


def everything(client: socket.socket) -> bytes:
    """Read until the server closes."""
    received = bytearray()
    while chunk := client.recv(65536):
        received += chunk
    return bytes(received)


def test_a_silent_connection_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_server, "_HEAD_SECONDS", 0.2)
    server = HttpServer(application(LocalBackend(served.service), max_seconds=5), "127.0.0.1:0", grace=1)
    try:
        for start in (b"", b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nX-Slow: "):
            with connected(f"http://127.0.0.1:{server.port}") as client:
                client.sendall(start)
                assert everything(client) == b""
    finally:
        server.stop()


def test_a_body_that_does_not_come_is_a_408(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_app, "_BODY_SECONDS", 0.2)
    with connected(rest) as client:
        client.sendall(
            b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        answer = everything(client)
    assert b" 408 " in answer.splitlines()[0]
    assert b"did not arrive in time" in answer


def test_a_head_that_is_too_large_is_refused(rest: str) -> None:
    with connected(rest) as client:
        client.sendall(b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 100_000)
        assert b" 431 " in everything(client).splitlines()[0]


def test_other_origins_ask_only_where_allowed(served: Served, rest: str) -> None:
    origin = "https://app.example.com"
    preflight = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authentication",
    }
    refused = requests.options(f"{rest}/api/v1/pages", headers=preflight, timeout=PATIENCE)
    assert "access-control-allow-origin" not in refused.headers
    app = application(LocalBackend(served.service), max_seconds=5, allowed_origins=[origin])
    server = HttpServer(app, "127.0.0.1:0", grace=1)
    try:
        url = f"http://127.0.0.1:{server.port}/api/v1/pages"
        allowed = requests.options(url, headers=preflight, timeout=PATIENCE)
        assert allowed.headers["access-control-allow-origin"] == origin
        # What scripts may send to ask again for an answer that they have.
        again = {
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authentication,if-none-match",
        }
        assert requests.options(url, headers=preflight | again, timeout=PATIENCE).status_code == 200
        other = requests.options(url, headers={**preflight, "Origin": "https://evil.example"}, timeout=PATIENCE)
        assert "access-control-allow-origin" not in other.headers
        asked = requests.post(url, headers={"Origin": origin}, timeout=PATIENCE)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (401, origin)
        exposed = asked.headers["access-control-expose-headers"].split(", ")
        assert {"X-Request-Id", "X-RateLimit-Used", "X-RateLimit-Reset", "Retry-After"} <= set(exposed)
    finally:
        server.stop()


def test_a_gateway_whose_server_is_away_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
    with serving.gateway(nowhere, ServerSettings(http_address="127.0.0.1:0", max_seconds=5, grace=1)) as address:
        assert requests.get(f"http://{address}/healthz", timeout=PATIENCE).status_code == 503, "at the first look, too"
        response = requests.post(f"http://{address}/api/v1/pages", timeout=PATIENCE)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert set(response.json()) == {"error", "code"}
        assert nowhere not in response.text


def test_a_taken_port_says_so(served: Served) -> None:
    app = application(LocalBackend(served.service), max_seconds=5)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingError, match="--http-address"):
        HttpServer(app, f"127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize(
    "address", ["nonsense", "0.0.0.0:99999", "127.0.0.1:-1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:\uff16"]
)
def test_an_address_without_a_usable_port_is_refused(served: Served, address: str) -> None:
    with pytest.raises(SettingError, match="host:port with a port from 0 to 65535"):
        HttpServer(application(LocalBackend(served.service), max_seconds=5), address)
    with pytest.raises(SettingError, match="host:port with a port from 0 to 65535"):
        GrpcServer(served.service, address)
    with pytest.raises(SettingError, match="host:port with a port from 0 to 65535"):
        RemoteBackend(address)


def test_answers_say_json_and_are_not_kept(rest: str) -> None:
    response = requests.post(f"{rest}/api/v1/pages", timeout=PATIENCE)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert json.loads(response.content)["error"]


def test_answers_are_sent_without_delay(served: Served) -> None:
    """asyncio turns off Nagle's algorithm, which delays by 40 ms, only for a socket whose protocol says TCP."""
    server = HttpServer(application(LocalBackend(served.service), max_seconds=5), "127.0.0.1:0", grace=1)
    try:
        assert server._socket.proto == socket.IPPROTO_TCP
    finally:
        server.stop()
