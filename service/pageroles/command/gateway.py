"""`pageroles gateway`: serve REST in front of a gRPC server."""

from __future__ import annotations

import structlog
import typer

from pageroles import __version__, serving
from pageroles.command.options import (
    DEFAULT_HTTP_ADDRESS,
    AllowedOrigins,
    Ca,
    ClientCert,
    ClientKey,
    Grace,
    HttpAddress,
    MaxSeconds,
    MetricsAddress,
    Target,
    Tls,
    TlsCert,
    TlsClientCa,
    TlsKey,
    client_tls,
    server_tls,
)
from pageroles.command.processes import allow_most_files, on_stop_signals, tell_supervisor
from pageroles.settings import ServerSettings

app = typer.Typer(add_completion=False)


@app.command()
def gateway(
    target: Target,
    http_address: HttpAddress = DEFAULT_HTTP_ADDRESS,
    allow_origin: AllowedOrigins = None,
    max_seconds: MaxSeconds = ServerSettings.max_seconds,
    grace: Grace = ServerSettings.grace,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    tls: Tls = False,
    ca: Ca = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    metrics_address: MetricsAddress = None,
) -> None:
    """Serve REST in front of a gRPC server, until SIGTERM or Ctrl-C; requests in flight finish."""
    allow_most_files()
    stopping = on_stop_signals()
    log = structlog.get_logger("pageroles")
    settings = ServerSettings(
        http_address=http_address,
        allowed_origins=tuple(allow_origin or ()),
        max_seconds=max_seconds,
        grace=grace,
        tls=server_tls(tls_cert, tls_key, tls_client_ca),
        metrics_address=metrics_address or None,
    )
    with serving.gateway(target, settings, client_tls(tls, ca, client_cert, client_key)) as http:
        log.info("serving", http=http, target=target, version=__version__)
        tell_supervisor("READY=1")
        stopping.wait()
        tell_supervisor("STOPPING=1")
        log.info("stopping", grace_seconds=grace)
    log.info("stopped")
