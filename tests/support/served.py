"""A store served as the tests need it."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from pageroles.access.keys import KeyStore
from pageroles.service import PagesService
from pageroles.transport.grpc_server import GrpcServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.store import Store


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
        self.service._keys.forget()  # known at once, not within a moment
        return key


@contextlib.contextmanager
def serving_with(store: Store, **limits: Any) -> Iterator[tuple[str, PagesService, GrpcServer]]:
    """Serve a store with limits of the test's own."""
    service = PagesService(store, **limits)
    server = GrpcServer(service, "127.0.0.1:0")
    try:
        yield f"127.0.0.1:{server.port}", service, server
    finally:
        server.stop(grace=1)
        service.close()
