"""The options that several commands share, each also an environment variable. Their defaults stand in `settings.py`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Optional

import typer

from pageroles import settings
from pageroles.settings import ServerSettings

EXIT_FAULT = 1
EXIT_BAD_ROWS = 2
EXIT_INTERRUPTED = 130  # as shells say it: 128 and the number of the signal


def _number(value: float) -> float:
    """Refuse what is no number, which is neither too small nor too large."""
    if math.isnan(value):
        raise typer.BadParameter("nan is no number; give a number of seconds")
    return value


StoreDsn = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="PAGEROLES_STORE",
        help="Store of the sessions: chdb:///FOLDER (embedded), or clickhouse://HOST/DATABASE (a server), with "
        "USER:PASSWORD@ before HOST and :PORT after it.",
        default_factory=lambda: f"chdb://{Path.cwd() / settings.STORE_FOLDER}",
        show_default=f"{settings.STORE_FOLDER} in the current folder, embedded",
    ),
]
GrpcAddress = Annotated[
    str,
    typer.Option(
        envvar="PAGEROLES_GRPC_ADDRESS", help="Address to serve gRPC at, host:port; port 0 takes any free port."
    ),
]
HttpAddress = Annotated[
    str,
    typer.Option(
        envvar="PAGEROLES_HTTP_ADDRESS", help="Address to serve REST at, host:port; port 0 takes any free port."
    ),
]
MaxSeconds = Annotated[
    float,
    typer.Option(
        envvar="PAGEROLES_MAX_SECONDS",
        min=settings.MAX_SECONDS_BOUNDS[0],
        max=settings.MAX_SECONDS_BOUNDS[1],
        callback=_number,
        help="Longest time that a request may take, in seconds.",
    ),
]
AllowedOrigins = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads it
    typer.Option(
        "--allow-origin",
        envvar="PAGEROLES_ALLOW_ORIGIN",
        help="Origin whose pages may call REST from a browser, as https://example.com; repeat it for more.",
        show_default="none",
    ),
]
Grace = Annotated[
    float,
    typer.Option(
        envvar="PAGEROLES_GRACE",
        min=settings.GRACE_BOUNDS[0],
        max=settings.GRACE_BOUNDS[1],
        callback=_number,
        help="Time that requests in flight get to finish when the server stops, in seconds.",
    ),
]
Target = Annotated[str, typer.Option(envvar="PAGEROLES_TARGET", help="Address of the gRPC server to ask, host:port.")]

DEFAULT_GRPC_ADDRESS = ServerSettings.grpc_address
DEFAULT_HTTP_ADDRESS = ServerSettings.http_address or ""
