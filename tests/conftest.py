"""A served store that the tests share: chDB opens one folder per process, so there is one."""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

from pageroles import command, serving
from pageroles.access.keys import KeyStore
from pageroles.report import statements
from pageroles.report.residents import Residents
from pageroles.service import PagesService
from pageroles.settings import ServerSettings
from pageroles.store import erasure, soundness
from pageroles.store.store import Store
from pageroles.transport.backends import LocalBackend
from pageroles.transport.grpc_server import GrpcServer
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer
from support import stores, worked
from support.clickhouse_standin import StandIn
from support.endless import ENDLESS
from support.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["support.browsing"]

# A command's consoles, and typer's, take their width and colours from the environment when they are imported: here, for
# all tests alike, not by whichever test runs a command first.
os.environ |= {"COLUMNS": "200", "NO_COLOR": "1"}
for _name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(_name, None)
for _module in pkgutil.iter_modules(command.__path__, f"{command.__name__}."):
    importlib.import_module(_module.name)
importlib.import_module("typer.rich_utils")

# What tests plant stays wrong, however long one waits.
soundness._LOOK_AGAIN_SECONDS = ()

# No locals in tracebacks: they could show a key, and they hide what failed.
structlog.configure(
    processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)],
)


@pytest.fixture(autouse=True)
def logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a command in this process makes of the logs; a logger that is cached could not be captured later."""
    before, configure = structlog.get_config(), structlog.configure
    monkeypatch.setattr(
        structlog, "configure", lambda **given: configure(**given | {"cache_logger_on_first_use": False})
    )
    yield
    configure(**before)


settings.register_profile("fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("slow", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The one embedded store of this process."""
    with Store.open(f"chdb://{tmp_path_factory.mktemp('store')}") as opened:
        yield opened


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A stand-in for a ClickHouse server, for tests that want a store of their own."""
    with StandIn.start(tmp_path_factory.mktemp("standin")) as started:
        yield started


@pytest.fixture
def empty_store(request: pytest.FixtureRequest, standin: StandIn) -> Iterator[Store]:
    """An empty store, of one test alone."""
    opening = stores.anew if request.node.get_closest_marker("schema_made_anew") else stores.empty
    with opening(standin) as opened:
        yield opened


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let erasures not wait for old parts."""
    monkeypatch.setattr(erasure, "_OLD_PARTS_SECONDS", 0.0)


@pytest.fixture(scope="session")
def rest_in_process(served: Served) -> Iterator[str]:
    """REST in the process of the service, as `pageroles serve` has it."""
    app = application(LocalBackend(served.service), max_seconds=30)
    server = HttpServer(app, "127.0.0.1:0", grace=1)
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture(scope="session")
def rest_in_front(served: Served) -> Iterator[str]:
    """REST in front of a gRPC server, as `pageroles gateway` has it."""
    with serving.gateway(served.target, ServerSettings(http_address="127.0.0.1:0", max_seconds=30, grace=1)) as address:
        yield f"http://{address}"


@pytest.fixture(params=["in process", "in front"])
def rest(request: pytest.FixtureRequest) -> str:
    """Either form of the gateway."""
    form = {"in process": "rest_in_process", "in front": "rest_in_front"}[request.param]
    return str(request.getfixturevalue(form))


@pytest.fixture(scope="session")
def served(store: Store) -> Iterator[Served]:
    """A server on the embedded store, with a key for all domains."""
    all_domains_key, _ = KeyStore(store).create(None)
    service = PagesService(store)
    server = GrpcServer(service, "127.0.0.1:0")
    yield Served(store, service, f"127.0.0.1:{server.port}", all_domains_key)
    server.stop(grace=1)
    service.close()


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every report stream from the store, whatever is kept in memory."""
    monkeypatch.setattr(Residents, "fresh", lambda *_: None)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make every report stream, and run for minutes."""
    request.getfixturevalue("streaming")
    monkeypatch.setattr(statements, "sessions", lambda *_: ENDLESS)


@pytest.fixture(scope="session")
def key(served: Served) -> str:
    """A key for the domain of the worked case, which is stored."""
    served.insert(worked.rows())
    return served.key(worked.DOMAIN)
