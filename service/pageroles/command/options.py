"""The options that several commands have, each also an environment variable; defaults are those of `settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from pageroles import settings
from pageroles.settings import ServerSettings

EXIT_FAULT = 1
EXIT_BAD_ROWS = 2

StoreDsn = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="PAGEROLES_STORE",
        help="The ClickHouse to use: chdb:///path/to/folder (embedded) or clickhouse://user:password@host:8123/database.",
        default_factory=lambda: f"chdb://{Path.cwd() / settings.STORE_FOLDER}",
        show_default=f"chdb:///<here>/{settings.STORE_FOLDER}",
    ),
]
GrpcAddress = Annotated[
    str, typer.Option(envvar="PAGEROLES_GRPC_ADDRESS", help="Where to serve gRPC, host:port; port 0: any free one.")
]
HttpAddress = Annotated[
    str, typer.Option(envvar="PAGEROLES_HTTP_ADDRESS", help="Where to serve REST, host:port; port 0: any free one.")
]
MaxSeconds = Annotated[
    float,
    typer.Option(
        envvar="PAGEROLES_MAX_SECONDS",
        min=settings.MAX_SECONDS_BOUNDS[0],
        max=settings.MAX_SECONDS_BOUNDS[1],
        help="The longest that a request may take.",
    ),
]
AllowedOrigins = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads it
    typer.Option(
        "--allow-origin",
        envvar="PAGEROLES_ALLOW_ORIGIN",
        help="An origin whose pages may ask from a browser, such as https://app.example.com; may be repeated.",
    ),
]
Grace = Annotated[
    float, typer.Option(envvar="PAGEROLES_GRACE", min=0, help="Seconds that requests in flight get when stopping.")
]
Target = Annotated[str, typer.Option(envvar="PAGEROLES_TARGET", help="The gRPC server to ask, host:port.")]

DEFAULT_GRPC_ADDRESS = ServerSettings.grpc_address
DEFAULT_HTTP_ADDRESS = ServerSettings.http_address or ""
