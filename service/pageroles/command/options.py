"""The options that several commands share, each also an environment variable. Their defaults stand in `settings.py`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Optional

import typer

from pageroles import settings
from pageroles.settings import ClientTls, ServerSettings, ServerTls

EXIT_FAULT = 1
EXIT_BAD_ROWS = 2
EXIT_INTERRUPTED = 130  # as shells say it: 128 and the number of the signal


def number(value: float) -> float:
    """Refuse what is no number, which is neither too small nor too large."""
    if math.isnan(value):
        raise typer.BadParameter("nan is no number; give a number of seconds")
    return value


def from_file(value: str | None) -> str | None:
    """Return an option's value, or what stands in a file that it names as `@FILE`: `ps` does not show that."""
    if value is None or not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise typer.BadParameter(f"can't read {value[1:]}: {reason}") from None


StoreDsn = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="PAGEROLES_STORE",
        help="Store of the sessions: chdb:///FOLDER (embedded), or clickhouse://HOST/DATABASE (a server), with "
        "USER:PASSWORD@ before HOST and :PORT after it; or @FILE, a file that holds it.",
        callback=from_file,
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
MetricsAddress = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it
    typer.Option(
        envvar="PAGEROLES_METRICS_ADDRESS",
        help="Address to serve metrics at, host:port, for Prometheus to read at /metrics; port 0 takes any free port.",
        show_default="none",
    ),
]
MaxSeconds = Annotated[
    float,
    typer.Option(
        envvar="PAGEROLES_MAX_SECONDS",
        min=settings.MAX_SECONDS_BOUNDS[0],
        max=settings.MAX_SECONDS_BOUNDS[1],
        callback=number,
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
        callback=number,
        help="Time that requests in flight get to finish when the server stops, in seconds.",
    ),
]
TlsCert = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it
    typer.Option(
        "--tls-cert",
        envvar="PAGEROLES_TLS_CERT",
        help="Certificate to serve with, in PEM, with those between it and the root; a renewed file is taken up.",
        show_default="none",
    ),
]
TlsKey = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it
    typer.Option("--tls-key", envvar="PAGEROLES_TLS_KEY", help="Key of the certificate, in PEM, not encrypted."),
]
TlsClientCa = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it
    typer.Option(
        "--tls-client-ca",
        envvar="PAGEROLES_TLS_CLIENT_CA",
        help="Roots of the certificates that clients must show, in PEM.",
        show_default="none",
    ),
]
Tls = Annotated[
    bool, typer.Option("--tls", envvar="PAGEROLES_TLS", help="Ask the server over TLS.", show_default="false")
]
Ca = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it
    typer.Option(
        "--ca",
        envvar="PAGEROLES_CA",
        help="Roots of the server's certificate, in PEM; implies --tls.",
        show_default="the well-known ones",
    ),
]
ClientCert = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it
    typer.Option(
        "--client-cert",
        envvar="PAGEROLES_CLIENT_CERT",
        help="Certificate to show to the server, in PEM; implies --tls.",
        show_default="none",
    ),
]
ClientKey = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it
    typer.Option("--client-key", envvar="PAGEROLES_CLIENT_KEY", help="Key of that certificate, in PEM, not encrypted."),
]


def server_tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> ServerTls | None:
    """Return what a server's options of TLS say.

    Raises:
        typer.BadParameter: One needs another.
    """
    if cert is not None and key is not None:
        return ServerTls(cert, key, client_ca)
    if cert is None and key is None and client_ca is None:
        return None
    raise typer.BadParameter("TLS needs both a certificate and its key", param_hint="--tls-cert, --tls-key")


def client_tls(tls: bool, ca: Path | None, cert: Path | None, key: Path | None) -> ClientTls | None:
    """Return what a client's options of TLS say."""
    return ClientTls(ca, cert, key) if tls or ca or cert or key else None


Target = Annotated[str, typer.Option(envvar="PAGEROLES_TARGET", help="Address of the gRPC server to ask, host:port.")]

DEFAULT_GRPC_ADDRESS = ServerSettings.grpc_address
DEFAULT_HTTP_ADDRESS = ServerSettings.http_address or ""
