"""Put the parts together: a store served over gRPC and REST, or a gateway alone."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any

import structlog

from pageroles.service import PagesService
from pageroles.store import backup
from pageroles.store.recovery import recover
from pageroles.store.retention import Retention
from pageroles.telemetry import tracing
from pageroles.telemetry.metrics import Metrics
from pageroles.telemetry.record import Telemetry
from pageroles.transport import local_socket, metrics_server
from pageroles.transport.backends import LocalBackend, RemoteBackend
from pageroles.transport.grpc_server import GrpcServer
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.settings import ClientTls, ServerSettings
    from pageroles.store.store import Store
    from pageroles.transport.backends import Backend

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """The addresses that a store is served at.

    Attributes:
        grpc: The address of gRPC, `host:port`.
        http: The address of REST, `host:port`; None where REST is not served.
        service: The service behind both.
    """

    grpc: str
    http: str | None
    service: PagesService


@contextlib.contextmanager
def serving(store: Store, settings: ServerSettings) -> Iterator[Served]:
    """Serve a store while the block runs, once what a killed writer left is finished; then let requests finish.

    Args:
        store: The store, which stays open.
        settings: Where and within which limits to serve.

    Yields:
        The addresses.

    Raises:
        SettingError: An address can't be used, the store lacks the schema or has another version of it, or its user may
            not see damage.
        StoreDamagedError: Parts of the store are damaged.
        StoreUnavailableError: The store can't be reached.
    """
    with contextlib.ExitStack() as stack:
        telemetry = stack.enter_context(_telemetry(settings))
        service = PagesService(
            store,
            max_seconds=settings.max_seconds,
            max_requests=settings.max_requests,
            memory=settings.memory,
            telemetry=telemetry,
        )
        stack.callback(service.close)
        # Only now: a store that is damaged or has another schema is refused as it is.
        recover(store)
        server = GrpcServer(service, settings.grpc_address, tls=settings.tls, reflects=settings.reflects)
        stack.callback(server.stop, settings.grace)
        rest = _rest(LocalBackend(service), settings, telemetry)
        http = stack.enter_context(rest) if settings.http_address else None
        # Both stop at the same time, and so have one grace.
        stack.callback(server.refuse_new, settings.grace)
        if store.folder is not None and (interface := store.interface()) is not None:
            told: dict[str, Callable[[], Any]] = {
                "/memory": lambda: service.memory,
                backup.FREEZE: lambda: backup.freeze(store),
            }
            stack.enter_context(local_socket.serving(store.folder, interface, told))
        if settings.keep_days:
            stack.enter_context(Retention(store, settings.keep_days))
        # The first thing at the end: health says so while requests in flight finish.
        stack.callback(service.watch.stop)
        yield Served(grpc=_with_port(settings.grpc_address, server.port), http=http, service=service)


@contextlib.contextmanager
def gateway(target: str, settings: ServerSettings, tls: ClientTls | None = None) -> Iterator[str]:
    """Serve REST in front of a gRPC server while the block runs.

    Args:
        target: The address of the gRPC server, `host:port`.
        settings: Where and within which limits to serve.
        tls: What that server is trusted by; None: it is asked without TLS.

    Yields:
        The address of REST, `host:port`.

    Raises:
        SettingError: An address can't be used.
    """
    with (
        _telemetry(settings) as telemetry,
        _rest(RemoteBackend(target, tls, telemetry), settings, telemetry) as address,
    ):
        yield address


@contextlib.contextmanager
def _telemetry(settings: ServerSettings) -> Iterator[Telemetry]:
    """Serve metrics and send spans while the block runs, where they are asked for."""
    with contextlib.ExitStack() as stack:
        traces, metrics = tracing.from_environment(os.environ), None
        if traces is not None:
            stack.callback(traces.close)
        if settings.metrics_address is not None:
            metrics = Metrics()
            port = stack.enter_context(metrics_server.serving(metrics, settings.metrics_address))
            _log.info("serving metrics", metrics=_with_port(settings.metrics_address, port))
        yield Telemetry(metrics, traces)


@contextlib.contextmanager
def _rest(backend: Backend, settings: ServerSettings, telemetry: Telemetry) -> Iterator[str]:
    address = settings.http_address or ""
    app = application(
        backend, max_seconds=settings.max_seconds, allowed_origins=settings.allowed_origins, telemetry=telemetry
    )
    server = HttpServer(app, address, grace=settings.grace, tls=settings.tls)
    try:
        yield _with_port(address, server.port)
    finally:
        server.stop()


def _with_port(address: str, port: int) -> str:
    """Return an address with the port that is in use."""
    return f"{address.rpartition(':')[0]}:{port}"
