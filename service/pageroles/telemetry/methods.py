"""The RPCs that are watched, by the names of the contract."""

from __future__ import annotations

from typing import NamedTuple


class Rpc(NamedTuple):
    """A method of the contract.

    Attributes:
        service: The name of its service.
        name: Its name.
        kind: What of it is a stream, as gRPC's metrics name it.
    """

    service: str
    name: str
    kind: str

    @property
    def path(self) -> str:
        """Its whole name."""
        return f"{self.service}/{self.name}"


_PAGES = "pageroles.v1.PageRolesService"
PAGES = Rpc(_PAGES, "Pages", "unary")
STREAM_PAGES = Rpc(_PAGES, "StreamPages", "server_stream")
PAGE_SESSIONS = Rpc(_PAGES, "PageSessions", "server_stream")
PAGE_DAYS = Rpc(_PAGES, "PageDays", "unary")
FILTER_VALUES = Rpc(_PAGES, "FilterValues", "unary")
WRITE_SESSIONS = Rpc("pageroles.v1.SessionService", "WriteSessions", "client_stream")
_RPCS = {
    rpc.name: rpc
    for rpc in (
        PAGES,
        STREAM_PAGES,
        PAGE_SESSIONS,
        PAGE_DAYS,
        FILTER_VALUES,
        WRITE_SESSIONS,
    )
}


def rpc(method: str) -> Rpc | None:
    """Return the RPC of a name; None where it is no RPC of the contract, but HTTP's method and path."""
    return _RPCS.get(method)
