"""`pageroles serve`: serve a store over gRPC and REST."""

from __future__ import annotations

from typing import Annotated, Optional

import structlog
import typer

from pageroles import __version__, serving, settings
from pageroles.command.options import (
    DEFAULT_GRPC_ADDRESS,
    DEFAULT_HTTP_ADDRESS,
    AllowedOrigins,
    Grace,
    GrpcAddress,
    HttpAddress,
    MaxSeconds,
    StoreDsn,
)
from pageroles.command.processes import on_stop_signals
from pageroles.settings import ServerSettings
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    store: StoreDsn,
    grpc_address: GrpcAddress = DEFAULT_GRPC_ADDRESS,
    http_address: HttpAddress = DEFAULT_HTTP_ADDRESS,
    no_http: Annotated[bool, typer.Option("--no-http", help="Serve gRPC only.")] = False,
    allow_origin: AllowedOrigins = None,
    max_seconds: MaxSeconds = ServerSettings.max_seconds,
    max_requests: Annotated[
        int,
        typer.Option(
            envvar="PAGEROLES_MAX_REQUESTS",
            min=settings.MAX_REQUESTS_BOUNDS[0],
            max=settings.MAX_REQUESTS_BOUNDS[1],
            help="Most requests at work at once; the server refuses further ones.",
        ),
    ] = ServerSettings.max_requests,
    readers: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it
        typer.Option(
            envvar="PAGEROLES_READERS",
            min=settings.READERS_BOUNDS[0],
            max=settings.READERS_BOUNDS[1],
            help="Most queries at work in ClickHouse at once; large reports use as many as there are cores.",
            show_default="the number of cores plus 2",
        ),
    ] = None,
    grace: Grace = ServerSettings.grace,
    keep_days: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it
        typer.Option(
            envvar="PAGEROLES_KEEP_DAYS",
            min=settings.KEEP_DAYS_BOUNDS[0],
            max=settings.KEEP_DAYS_BOUNDS[1],
            help="Days that sessions are kept, in every domain; once a day the server erases older ones.",
            show_default="all are kept",
        ),
    ] = ServerSettings.keep_days,
) -> None:
    """Serve gRPC and REST until SIGTERM or Ctrl-C; requests in flight finish."""
    stopping = on_stop_signals()
    log = structlog.get_logger("pageroles")
    server_settings = ServerSettings(
        grpc_address=grpc_address,
        http_address=None if no_http else http_address,
        allowed_origins=tuple(allow_origin or ()),
        max_seconds=max_seconds,
        max_requests=max_requests,
        grace=grace,
        keep_days=keep_days,
    )
    silence = max_seconds + settings.SILENCE_BEYOND_REQUEST_SECONDS
    with (
        Store.open(store, readers=readers or settings.default_readers(), silence=silence) as opened,
        serving.serving(opened, server_settings) as served,
    ):
        log.info("serving", grpc=served.grpc, http=served.http, version=__version__)
        stopping.wait()
        log.info("stopping", grace_seconds=grace)
    log.info("stopped")
