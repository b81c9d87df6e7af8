"""How `serve` starts where its store is away, and how it stops while requests are under way."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pageroles import serving
from pageroles.settings import ServerSettings
from pageroles.store.store import Store
from support.clickhouse_standin import StandIn
from support.endless import until
from support.wire import Asked

if TYPE_CHECKING:
    from support.served import Served

PATIENCE = 60
PAGEROLES = str(Path(sys.executable).with_name("pageroles"))


def serve(folder: Path, dsn: str, *args: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    addresses = ("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0")
    return subprocess.Popen(
        [*before, PAGEROLES, "serve", *addresses, *args], cwd=folder, env={**os.environ, "PAGEROLES_STORE": dsn},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def next_event(process: subprocess.Popen[str], *passed_over: str) -> dict[str, Any]:
    assert process.stderr is not None
    while (event := json.loads(process.stderr.readline()))["event"] in passed_over:
        pass
    return dict(event)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_it_may_have_as_many_files_open_as_the_system_allows(tmp_path: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most > 100
    process = serve(tmp_path, f"chdb://{tmp_path}/store", before=("prlimit", "--nofile=100:"))
    try:
        assert next_event(process)["event"] == "serving"
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (most, most)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_it_waits_for_a_store_that_comes(tmp_path: Path) -> None:
    with StandIn.start(tmp_path / "store") as standin, Store.open(standin.dsn) as store:
        store.apply_schema()
        store.close()
    port = free_port()
    process = serve(tmp_path, f"clickhouse://default@127.0.0.1:{port}/default", "--wait-for-store", str(PATIENCE))
    try:
        event = next_event(process)
        assert event["event"] == "waiting for the store"
        assert "can't reach ClickHouse" in event["reason"]
        with StandIn.start(tmp_path / "store", port=port):
            assert next_event(process, "waiting for the store")["event"] == "serving"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("seconds", ["0", "0.5"])
def test_it_says_so_where_the_store_does_not_come(tmp_path: Path, seconds: str) -> None:
    process = serve(tmp_path, f"clickhouse://default@127.0.0.1:{free_port()}/default", "--wait-for-store", seconds)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "can't reach ClickHouse" in told.splitlines()[-1]


def test_a_signal_ends_the_wait(tmp_path: Path) -> None:
    process = serve(tmp_path, f"clickhouse://default@127.0.0.1:{free_port()}/default", "--wait-for-store", "3600")
    next_event(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_all_transports_stop_at_once(served: Served) -> None:
    """While a request over REST is under way, gRPC takes no new ones, and says so."""
    settings = ServerSettings(grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", grace=PATIENCE)
    stopping, addresses = threading.Event(), []

    def run() -> None:
        with serving.serving(served.store, settings) as open_:
            addresses.append(open_)
            assert stopping.wait(PATIENCE)

    server = threading.Thread(target=run)
    server.start()
    assert until(lambda: bool(addresses))
    host, _, port = (addresses[0].http or "").rpartition(":")
    question = b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{"
    with (
        socket.create_connection((host, int(port)), timeout=PATIENCE) as client,
        Asked(addresses[0].grpc, served.all_domains_key) as asked,
        grpc.insecure_channel(addresses[0].grpc) as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        client.sendall(question)
        stopping.set()
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert until(lambda: is_refused(asked))
        watched.cancel()
        client.sendall(b"}")
        assert b" 401 " in client.recv(65536)
    server.join(PATIENCE)
    assert not server.is_alive()


def is_refused(asked: Asked) -> bool:
    try:
        asked.pages(timeout=PATIENCE)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False
