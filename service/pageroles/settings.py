"""Every setting's default and bounds, once. The command's options are made of them (`command/options.py`)."""

from __future__ import annotations

import dataclasses
import os
from typing import Final

STORE_FOLDER: Final = ".pageroles"
DEMO_FOLDER: Final = ".pageroles-demo"
DEMO_SESSIONS: Final = 200_000
LOG_LEVEL: Final = "info"
REPORT_ROWS: Final = 20


def default_readers() -> int:
    """Return how many queries may be at work in ClickHouse at once: one for each core, and two for small ones."""
    return (os.cpu_count() or 1) + 2


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """How a store is served, or a gateway in front of a server.

    Attributes:
        grpc_address: Where gRPC is served, `host:port`; port 0: any free one.
        http_address: Where REST is served; None: nowhere.
        allowed_origins: Origins whose pages may ask from a browser.
        max_seconds: The longest that a request may take.
        max_requests: Requests taken on at once; the others are told to come back.
        grace: Seconds that requests in flight get when the server stops.
    """

    grpc_address: str = "127.0.0.1:50051"
    http_address: str | None = "127.0.0.1:8080"
    allowed_origins: tuple[str, ...] = ()
    max_seconds: float = 60.0
    max_requests: int = 64
    grace: float = 30.0


MAX_SECONDS_BOUNDS: Final = (0.1, 300)
MAX_REQUESTS_BOUNDS: Final = (1, 1000)
READERS_BOUNDS: Final = (2, 256)
DEMO_SESSIONS_BOUNDS: Final = (1000, 10_000_000)
# So much longer than a request may take, a connection to ClickHouse without a sign of life is closed.
SILENCE_BEYOND_REQUEST_SECONDS: Final = 10.0
