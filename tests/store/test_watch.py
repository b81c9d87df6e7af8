"""Ready and live: health follows the store over gRPC and REST, whatever becomes of it, and tells each change once."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from pageroles import serving
from pageroles.access.keys import KeyStore
from pageroles.errors import SettingError
from pageroles.settings import ServerSettings
from pageroles.store.faults import NOT_ANSWERED, NOT_REACHED
from pageroles.store.store import Store
from pageroles.store.watch import Watch
from pageroles.transport.backends import LocalBackend
from pageroles.transport.grpc_server import SERVICE
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer
from support.clickhouse_standin import StandIn
from support.endless import PATIENCE, until
from support.served import serving_with
from support.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.served import Served

DOMAIN = "watched.example.com"
OK = (200, {"status": "ok"})
OFTEN = 0.05


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with StandIn.start(tmp_path_factory.mktemp("watch")) as started:
        yield started


@pytest.fixture(scope="module")
def remote(standin: StandIn) -> Iterator[Store]:
    with Store.open(standin.dsn) as opened:
        opened.apply_schema()
        yield opened


@pytest.fixture(autouse=True)
def whole(standin: StandIn) -> Iterator[None]:
    """Remove the server's faults after each test."""
    yield
    standin.faults(None)


class Health:
    """What a server and a gateway in front of it say of their health."""

    def __init__(self, target: str, *rest: str) -> None:
        self.rest = rest
        self.target = target

    def get(self, path: str) -> list[tuple[int, Any]]:
        responses = [requests.get(f"http://{address}{path}", timeout=PATIENCE) for address in self.rest]
        assert {response.headers["cache-control"] for response in responses} <= {"no-store"}
        return [(response.status_code, response.json()) for response in responses]

    def statuses(self) -> set[str]:
        with grpc.insecure_channel(self.target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            asked = [stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5) for name in ("", SERVICE)]
        return {health_pb2.HealthCheckResponse.ServingStatus.Name(response.status) for response in asked}

    def is_ready(self) -> bool:
        return self.get("/readyz") == [OK] * len(self.rest)

    def is_refused(self) -> bool:
        return all(status == 503 for status, _ in self.get("/readyz"))

    def check_ready(self) -> None:
        assert until(self.is_ready), self.get("/readyz")
        assert self.get("/healthz") == self.get("/livez") == [OK] * len(self.rest)
        assert self.statuses() == {"SERVING"}

    def check_refused(self, says: str) -> None:
        """Check that all refuse, the server with a sentence; the gateway only knows that it does."""
        assert until(self.is_refused), self.get("/readyz")
        assert until(lambda: self.statuses() == {"NOT_SERVING"})
        assert until(lambda: says in self.get("/readyz")[0][1]["error"]), self.get("/readyz")
        for path in ("/readyz", "/healthz"):
            for status, body in self.get(path):
                assert status == 503
                assert set(body) == {"error", "code"}
                assert "127.0.0.1" not in body["error"]
                assert "FROM" not in body["error"]
        assert [body["error"] for _, body in self.get("/readyz")[1:]] == [
            "the server behind this gateway is not ready; its log says why"
        ] * (len(self.rest) - 1)
        assert self.get("/livez") == [OK] * len(self.rest)


@pytest.fixture
def health(remote: Store) -> Iterator[Health]:
    settings = ServerSettings(http_address="127.0.0.1:0", max_seconds=5, grace=1)
    with serving_with(remote, watch_seconds=OFTEN) as (target, service, _), serving.gateway(target, settings) as front:
        server = HttpServer(application(LocalBackend(service), max_seconds=5), "127.0.0.1:0", grace=1)
        yield Health(target, f"127.0.0.1:{server.port}", front)
        server.stop()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"mode": "refuse"}, "ClickHouse can't be reached"),
        ({"mode": "drop"}, "ClickHouse can't be reached"),
        ({"mode": "503"}, "ClickHouse can't be reached"),
        ({"mode": "hang"}, "ClickHouse does not answer"),
        ({"mode": "500", "code": 241}, "ClickHouse is busy"),
        ({"mode": "500", "code": 1001}, "the server's log says why"),
        ({"mode": "500", "code": 516}, "refuses the user or the password"),
        ({"mode": "500", "code": 497, "match": "detached_parts"}, "grant it SELECT"),
        # A read of the disk that fails, though all that is in memory is there.
        ({"mode": "500", "code": 107, "match": "FROM schema_versions"}, "the server's log says why"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_health_follows_the_store(standin: StandIn, health: Health, fault: dict[str, Any], says: str) -> None:
    health.check_ready()
    standin.faults(**fault)
    health.check_refused(says)
    standin.faults(None)
    health.check_ready()


def test_a_store_that_hangs_holds_no_end_up(standin: StandIn, remote: Store) -> None:
    with capture_logs() as logs, serving_with(remote, watch_seconds=OFTEN) as (_, service, _):
        standin.faults("hang")
        assert until(lambda: service.watch.reason is not None)
        begun = service.watch._begun
        assert until(lambda: service.watch._begun > begun)
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert {line["event"] for line in warnings} == {"store is not ready"}
    # On a busy machine a connection may take too long to be made, too.
    reasons = [line["reason"] for line in warnings]
    assert set(reasons) <= {NOT_ANSWERED, NOT_REACHED}
    assert all(one != other for one, other in itertools.pairwise(reasons)), "each change is told, and nothing twice"
    assert service.watch._threads[0].is_alive(), "it hangs, and nobody waited for it"


def test_health_needs_no_reader(served: Served) -> None:
    """Reports may hold every reader of an embedded store for a long time."""
    watch = Watch(served.store, every_seconds=OFTEN)
    with contextlib.ExitStack() as held:
        for _ in range(served.store.readers):
            held.enter_context(served.store._engine.reader())
        held.enter_context(served.store._engine.writer())
        held.enter_context(served.store._engine.control())
        watch.start()
        assert until(lambda: watch._ended > 2)
        assert watch.reason is None
    watch.close()


def test_another_version_of_the_schema_is_told(remote: Store, health: Health) -> None:
    health.check_ready()
    remote.insert("schema_versions", b'{"version": 999, "name": "later"}')
    try:
        health.check_refused("update pageroles")
    finally:
        remote.command("ALTER TABLE schema_versions DELETE WHERE version = 999 SETTINGS mutations_sync = 2")
    health.check_ready()


def test_requests_are_tried_while_the_store_is_not_ready(standin: StandIn, remote: Store, health: Health) -> None:
    """Those that what is wrong does not touch are answered."""
    key, _ = KeyStore(remote).create(DOMAIN)
    standin.faults("refuse", match="FROM schema_versions")
    health.check_refused("ClickHouse can't be reached")
    with Asked(health.target, key) as asked:
        assert asked.pages().message


def test_each_change_is_logged_once(standin: StandIn, remote: Store) -> None:
    watch = Watch(remote, every_seconds=OFTEN)
    told: list[bool] = []
    with capture_logs() as logs:
        watch.start()
        watch.on_change(told.append)
        for _ in range(2):
            standin.faults("refuse")
            assert until(lambda: watch.reason is not None)
            looks = watch._ended
            assert until(lambda: watch._ended > looks + 2)  # noqa: B023 - called before the next turn
            standin.faults(None)
            assert until(lambda: watch.reason is None)
        watch.stop()
        assert watch.reason == "the server is stopping; try again"
        watch.close()
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("warning", "store is not ready"), ("info", "store is ready again")
    ] * 2  # fmt: skip
    assert logs[0]["reason"] == "ClickHouse can't be reached; try again"
    assert told == [True, False, True, False, True, False]


def test_a_look_that_never_ends_is_noticed(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the store hangs: here where no time limit of a connection reaches."""
    free = threading.Event()
    watch = Watch(remote, every_seconds=OFTEN, patience_seconds=0.2)
    watch.start()
    monkeypatch.setattr(remote, "in_place", lambda: free.wait(PATIENCE))
    assert until(lambda: watch.reason == "ClickHouse does not answer; try again")
    watch.refuse_damaged()  # waits for no longer than the patience
    free.set()
    assert until(lambda: watch.reason is None)
    free.clear()
    assert until(lambda: watch.reason is not None)
    watch.close()
    assert watch._threads[0].is_alive(), "it hangs, and nobody waits for it"
    free.set()


def test_a_user_who_may_not_see_damage_is_told_what_to_grant(standin: StandIn, remote: Store) -> None:
    standin.faults("500", code=497, match="detached_parts")
    with pytest.raises(SettingError, match=r"system\.detached_parts and system\.parts"), serving_with(remote):
        pass


def test_a_server_that_stops_says_so_first(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches its health learns it while requests in flight finish."""
    order: list[str] = []
    stop = HttpServer.stop

    def stopped(server: HttpServer) -> None:
        order.append("no more requests")
        stop(server)

    monkeypatch.setattr(HttpServer, "stop", stopped)
    settings = ServerSettings(grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", grace=1)
    with serving.serving(remote, settings) as served:
        served.service.watch.on_change(lambda ready: order.append("ready" if ready else "not ready"))
    assert order == ["ready", "not ready", "no more requests"]


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Health]]:
    """Serve the embedded store in a folder in a process of its own."""
    command = Path(sys.executable).with_name("pageroles")
    options = ["--store", f"chdb://{folder}", "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"]
    process = subprocess.Popen([command, "serve", *options], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        yield process, Health(line["grpc"], line["http"])
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("put_back", [False, True])
def test_an_embedded_store_whose_folder_is_gone_is_not_ready(tmp_path: Path, *, put_back: bool) -> None:
    """A copy in its place is another store: nothing holds its lock."""
    with serve(tmp_path / "store") as (process, health):
        health.check_ready()
        shutil.copytree(tmp_path / "store", tmp_path / "copy", symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
        shutil.rmtree(tmp_path / "store")
        if put_back:
            (tmp_path / "copy").rename(tmp_path / "store")
        health.check_refused("the folder of the embedded store is gone")
        process.terminate()
        _, logs = process.communicate(timeout=PATIENCE)
    lines = [json.loads(line) for line in logs.splitlines()]
    assert [line["level"] for line in lines if line["event"] == "store is not ready"] == ["warning"]
    assert process.returncode == 0
