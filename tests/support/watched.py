"""A store served with metrics or spans, and what is read of its metrics."""

from __future__ import annotations

import contextlib
import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from pageroles.access.keys import KeyStore
from pageroles.service import PagesService
from pageroles.transport import metrics_server
from pageroles.transport.backends import LocalBackend
from pageroles.transport.grpc_server import GrpcServer
from pageroles.transport.rest_app import PATH, application
from pageroles.transport.rest_server import HttpServer
from support import worked
from support.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from pageroles.store.store import Store
    from pageroles.telemetry.record import Telemetry

JULY: dict[str, Any] = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Watched:
    """A running server, and a key for the domain of the worked case."""

    store: Store
    service: PagesService
    grpc: str
    http: str
    metrics: str
    key: str

    def ask(self, key: str | None = None, **fields: Any) -> Any:
        """Ask over gRPC, the whole July of the worked case unless fields say otherwise."""
        with Asked(self.grpc, key or self.key) as asked:
            return asked.pages(**JULY | fields)

    def stream(self, **fields: Any) -> list[Any]:
        with Asked(self.grpc, self.key) as asked:
            return list(asked.stream(**JULY | fields))

    def post(
        self, headers: Mapping[str, str] = MappingProxyType({}), body: Mapping[str, Any] = JULY
    ) -> requests.Response:
        """Ask over REST."""
        return requests.post(
            self.http + PATH,
            json=dict(body),
            headers={"Authentication": self.key, **headers},
            timeout=SECONDS,
        )

    def families(self) -> dict[str, Metric]:
        """Return the metrics as Prometheus reads them, by name."""
        answer = requests.get(self.metrics, timeout=SECONDS)
        assert answer.status_code == requests.codes.ok
        return {family.name: family for family in text_string_to_metric_families(answer.text)}

    def value(self, sample: str, **labels: str) -> float:
        """Return a value; 0 where there is no such series."""
        found = [
            each.value
            for family in self.families().values()
            for each in family.samples
            if each.name == sample and labels.items() <= each.labels.items()
        ]
        return sum(found)


@contextlib.contextmanager
def watched(store: Store, telemetry: Telemetry, **limits: Any) -> Iterator[Watched]:
    """Serve a store over gRPC and REST."""
    with contextlib.ExitStack() as stack:
        service = PagesService(store, telemetry=telemetry, **limits)
        stack.callback(service.close)
        server = GrpcServer(service, "127.0.0.1:0")
        stack.callback(server.stop, 1)
        app = application(LocalBackend(service), max_seconds=SECONDS, telemetry=telemetry)
        http = HttpServer(app, "127.0.0.1:0", grace=1)
        stack.callback(http.stop)
        port = 0
        if telemetry.metrics:
            port = stack.enter_context(metrics_server.serving(telemetry.metrics, "127.0.0.1:0"))
        store.insert("sessions", worked.rows())
        key, _ = KeyStore(store).create(worked.DOMAIN)
        yield Watched(
            store,
            service,
            f"127.0.0.1:{server.port}",
            f"http://127.0.0.1:{http.port}",
            f"http://127.0.0.1:{port}{metrics_server.PATH}",
            key,
        )
