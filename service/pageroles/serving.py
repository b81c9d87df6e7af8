"""Puts the pieces together: a store served over gRPC and REST, or a gateway alone."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from pageroles.service import MAX_REQUEST_SECONDS, MAX_REQUESTS, PagesService
from pageroles.transport.backends import LocalBackend, RemoteBackend
from pageroles.transport.grpc_server import Server
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pageroles.store.store import Store


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """Where a store is served.

    Attributes:
        grpc: `host:port`.
        http: `host:port`; None where REST is not served.
        service: What both share.
    """

    grpc: str
    http: str | None
    service: PagesService


@contextlib.contextmanager
def serving(
    store: Store,
    *,
    grpc_address: str,
    http_address: str | None,
    allowed_origins: Sequence[str] = (),
    max_seconds: float = MAX_REQUEST_SECONDS,
    max_requests: int = MAX_REQUESTS,
    grace: float = 30.0,
) -> Iterator[Served]:
    """Serve a store while the block runs; then let requests in flight finish for up to `grace` seconds.

    Raises:
        SettingError: An address can't be used, or the store lacks the schema.
        StoreUnavailableError: The store can't be reached.
    """
    service = PagesService(store, max_seconds=max_seconds, max_requests=max_requests)
    with contextlib.ExitStack() as stack:
        stack.callback(service.close)
        server = Server(service, grpc_address)
        stack.callback(server.stop, grace)
        http = None
        if http_address is not None:
            app = application(LocalBackend(service), max_seconds=max_seconds, allowed_origins=allowed_origins)
            http = HttpServer(app, http_address, grace=grace)
            stack.callback(http.stop)
        yield Served(
            grpc=_place(grpc_address, server.port),
            http=_place(http_address, http.port) if http_address is not None and http is not None else None,
            service=service,
        )


@contextlib.contextmanager
def gateway(
    target: str,
    *,
    http_address: str,
    allowed_origins: Sequence[str] = (),
    max_seconds: float = MAX_REQUEST_SECONDS,
    grace: float = 30.0,
) -> Iterator[str]:
    """Serve REST in front of a gRPC server while the block runs; give the address, `host:port`.

    Raises:
        SettingError: The address can't be used.
    """
    app = application(RemoteBackend(target), max_seconds=max_seconds, allowed_origins=allowed_origins)
    server = HttpServer(app, http_address, grace=grace)
    try:
        yield _place(http_address, server.port)
    finally:
        server.stop()


def _place(address: str, port: int) -> str:
    """Return an address with the port that was really taken."""
    return f"{address.rpartition(':')[0]}:{port}"
