"""Every line that a serving process writes is the log's: what libraries say, too, whatever clients do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60
PAGEROLES = [str(Path(sys.executable).with_name("pageroles"))]
QUESTION = b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
NONSENSE = [
    b"nonsense\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of TLS
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    QUESTION + b"nonsense\r\n\r\n",
    QUESTION[:-1],
]


@contextlib.contextmanager
def running(folder: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a serving command until the block ends; yield the process and its first line."""
    process = subprocess.Popen(
        [*PAGEROLES, *args, "--http-address", "127.0.0.1:0"], cwd=folder, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PAGEROLES_STORE": f"chdb://{folder}/store"},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        yield process, json.loads(process.stderr.readline())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


def connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def reset(client: socket.socket) -> None:
    """Close a connection as one that breaks off."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def disturb(address: str) -> None:
    """Send nonsense, and break off before and in the middle of answers."""
    for sent in NONSENSE:
        with connected(address) as client:
            client.sendall(sent)
            if sent != QUESTION[:-1]:
                assert client.recv(1)
        client = connected(address)
        client.sendall(sent)
        reset(client)


def stopped(process: subprocess.Popen[str], in_flight: socket.socket) -> tuple[bytes, list[dict[str, Any]]]:
    """End a process with a request in flight; return its answer, and the lines of the log."""
    process.send_signal(signal.SIGTERM)
    answer = b"".join(iter(lambda: in_flight.recv(65536), b""))
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return answer, [json.loads(line) for line in log.splitlines()]


def test_every_line_of_serve_and_gateway_is_the_logs(tmp_path: Path) -> None:
    with (
        running(tmp_path, "serve", "--grpc-address", "127.0.0.1:0", "--grace", "1") as (server, served),
        running(tmp_path, "gateway", "--target", served["grpc"], "--grace", "1") as (gateway, front),
    ):
        for address in (served["http"], front["http"]):
            disturb(address)
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100):
            with connected(served["grpc"]) as client:
                client.sendall(sent)
                with contextlib.suppress(ConnectionError):
                    while client.recv(65536):
                        pass
        for process, address in ((gateway, front["http"]), (server, served["http"])):
            with connected(address) as in_flight:
                in_flight.sendall(QUESTION[:-1])
                with connected(address) as later:  # so the one before it has arrived
                    later.sendall(QUESTION)
                    assert later.recv(1)
                answer, lines = stopped(process, in_flight)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b" 503 " in head.splitlines()[0]
            assert json.loads(body) == {"error": "the server is stopping; try again", "code": "unavailable"}
            said = {line["event"] for line in lines}
            assert {"Invalid HTTP request received.", "stopping", "stopped"} <= said
            assert not [line for line in lines if "exception" in line], "what clients do is no fault of ours"
            assert not [line for line in lines if "upgrade" in line["event"].lower() or "WebSocket" in line["event"]]
            assert all({"event", "level", "timestamp"} <= set(line) for line in lines)


LIBRARIES = """
import asyncio, logging, threading, warnings
from pageroles.command.processes import set_up_logs
set_up_logs("{level}")
logging.getLogger("some.library").info("started")
logging.getLogger("some.library").warning("a %s", "warning")
logging.getLogger("some.library").log(35, "between two levels")
try:
    raise ValueError("why")
except ValueError:
    logging.getLogger("some.library").exception("failed")
try:
    raise asyncio.CancelledError
except asyncio.CancelledError:
    logging.getLogger("some.library").exception("cancelled, which is no fault")
warnings.warn("soon gone")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Unraisable:
    def __del__(self):
        raise KeyError("lost")
Unraisable()
"""


@pytest.mark.parametrize(("level", "seen"), [("debug", 6), ("warning", 6), ("error", 3)])
def test_what_libraries_log_has_the_form_of_the_log(level: str, seen: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIBRARIES.format(level=level)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(lines) == seen, lines
    events = {line["event"]: line for line in lines}
    assert "ValueError: why" in events["failed"]["exception"]
    assert events["failed"]["logger"] == "some.library"
    assert [line["error"] for line in lines if line["event"] == "uncaught"] == [
        "ZeroDivisionError('division by zero')", "KeyError('lost')",
    ]  # fmt: skip
    if level != "error":
        assert events["a warning"]["level"] == events["between two levels"]["level"] == "warning"
        assert any("soon gone" in event for event in events)


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    """The core of gRPC would write a line of its own."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*PAGEROLES, "serve", "--store", f"chdb://{tmp_path}/store", "--grpc-address", address],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f"can't serve at {address}" in done.stderr
