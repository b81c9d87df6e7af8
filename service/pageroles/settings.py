"""The defaults and bounds of all settings. The command's options use them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

STORE_FOLDER: Final = ".pageroles"
DEMO_FOLDER: Final = ".pageroles-demo"
DEMO_SESSIONS: Final = 200_000
LOG_LEVEL: Final = "info"
REPORT_ROWS: Final = 20


def default_readers() -> int:
    """Return the default number of queries at work at once: the number of cores, and 2 more for small reports."""
    return (os.cpu_count() or 1) + 2


# Of the memory that this process may use, what domains in memory may take.
_MEMORY_PART = 0.25
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def usable_memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or less if its control group has less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for line in _lines(Path("/proc/self/cgroup")):
        # Of the second form of control groups there is one line, which names no controllers.
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit = _CONTROL_GROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            root, limit = _CONTROL_GROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Each level has a limit. Within a container the group's own folder is the root.
        group = root / path.lstrip("/")
        levels = {root, *(level for level in (group, *group.parents) if level.is_relative_to(root))}
        limits += [int(line) for level in levels for line in _lines(level / limit) if line.isdigit()]
    return min(limits)


def default_memory() -> int:
    """Return the bytes that domains in memory may take by default: a quarter of what this process may use."""
    return int(usable_memory() * _MEMORY_PART)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


@dataclasses.dataclass(frozen=True, slots=True)
class ServerTls:
    """The files of a server's TLS, in PEM.

    Attributes:
        cert: Its certificate, and those between it and the root.
        key: The certificate's key, not encrypted.
        client_ca: The roots of clients' certificates, which then must have one; None: clients need none.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ClientTls:
    """The files of a client's TLS, in PEM.

    Attributes:
        ca: The roots of servers' certificates; None: those that grpc trusts.
        cert: The certificate that it shows to a server that asks for one; None: it has none.
        key: The certificate's key, not encrypted.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """The settings of a server, or of a gateway, which uses those of REST only.

    Attributes:
        grpc_address: The address to serve gRPC at, `host:port`; port 0 takes any free port.
        http_address: The address to serve REST at, in the same form; None: REST is not served.
        allowed_origins: Origins whose pages may call REST from a browser.
        max_seconds: The longest time that a request may take, in seconds.
        max_requests: The most requests at work at once; further ones are refused.
        grace: The time that requests in flight get to finish when the server stops, in seconds.
        memory: The most bytes of domains in memory; None: a quarter of what the process may use; 0: none is kept.
        metrics_address: The address to serve metrics at, `host:port`; port 0 takes any free port. None: they are not
            served.
        keep_days: The days that sessions are kept, by domain; None: in every other domain, where all are kept without
            it.
        tls: The certificate to serve with, over gRPC and REST; None: without TLS.
        reflects: Whether gRPC tells which methods there are.
    """

    grpc_address: str = "127.0.0.1:50051"
    http_address: str | None = "127.0.0.1:8080"
    allowed_origins: tuple[str, ...] = ()
    max_seconds: float = 60.0
    max_requests: int = 64
    grace: float = 30.0
    memory: int | None = None
    metrics_address: str | None = None
    keep_days: Mapping[str | None, int] = dataclasses.field(default_factory=dict)
    tls: ServerTls | None = None
    reflects: bool = True


MAX_SECONDS_BOUNDS: Final = (0.1, 300)
GRACE_BOUNDS: Final = (0, 3600)
MAX_REQUESTS_BOUNDS: Final = (1, 1000)
KEEP_DAYS_BOUNDS: Final = (1, 36_500)
MOST_WAIT_SECONDS: Final = 3600
READERS_BOUNDS: Final = (2, 256)
DEMO_SESSIONS_BOUNDS: Final = (1000, 10_000_000)
# A connection to ClickHouse that stays silent is closed this long after the longest time of a request.
SILENCE_BEYOND_REQUEST_SECONDS: Final = 10.0
