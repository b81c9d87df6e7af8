"""A served store that the tests share: chDB opens one folder per process, so there is one."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from pageroles import serving
from pageroles.backends import LocalBackend
from pageroles.gateway import application
from pageroles.http_server import HttpServer
from pageroles.keys import KeyStore
from pageroles.server import Server
from pageroles.service import PagesService
from pageroles.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

# No locals in tracebacks: they could show a key, and they hide what failed.
structlog.configure(
    processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)],
)

settings.register_profile("fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("slow", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@dataclasses.dataclass(frozen=True)
class Served:
    """A running server and its store."""

    store: Store
    service: PagesService
    target: str
    all_domains_key: str

    def insert(self, rows: bytes) -> None:
        """Write sessions, in ClickHouse's JSONEachRow, as one INSERT."""
        self.store.insert("sessions", rows)

    def key(self, domain: str) -> str:
        """Make a key for one domain."""
        key = KeyStore(self.store).create(domain)[0]
        self.service._keys._read_at = -float("inf")  # known at once, not within a moment
        return key


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The one embedded store of this process."""
    with Store.open(f"chdb://{tmp_path_factory.mktemp('store')}") as opened:
        yield opened


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
    with serving.gateway(served.target, http_address="127.0.0.1:0", max_seconds=30, grace=1) as address:
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
    server = Server(service, "127.0.0.1:0")
    yield Served(store, service, f"127.0.0.1:{server.port}", all_domains_key)
    server.stop(grace=1)
    service.close()


@contextlib.contextmanager
def serving_with(store: Store, **limits: Any) -> Iterator[tuple[str, PagesService, Server]]:
    """Serve a store with limits of the test's own."""
    service = PagesService(store, **limits)
    server = Server(service, "127.0.0.1:0")
    try:
        yield f"127.0.0.1:{server.port}", service, server
    finally:
        server.stop(grace=1)
        service.close()
