"""`pageroles serve`: serve a store over gRPC and REST."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Annotated, Optional

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
    MetricsAddress,
    StoreDsn,
    TlsCert,
    TlsClientCa,
    TlsKey,
    number,
    server_tls,
)
from pageroles.command.processes import allow_most_files, on_hangup, on_stop_signals, tell_supervisor
from pageroles.errors import StoreUnavailableError
from pageroles.settings import ServerSettings
from pageroles.store.store import Store

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from pageroles.service import PagesService
    from pageroles.serving import Served

app = typer.Typer(add_completion=False)

_TRY_AGAIN_SECONDS = 1.0
_SIZE = re.compile(r"(?P<number>[0-9]{1,9}(\.[0-9]{1,9})?) ?(?P<unit>|[kmgt]?b|[kmgt]ib)", re.ASCII | re.IGNORECASE)
_BYTES = {"": 1, "B": 1} | {
    f"{unit}{form}": base**power
    for power, unit in enumerate("KMGT", start=1)
    for form, base in (("B", 1000), ("IB", 1024))
}


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
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    reflection: Annotated[
        bool,
        typer.Option(
            envvar="PAGEROLES_REFLECTION",
            help="Tell gRPC clients that ask which methods there are.",
            show_default="true",
        ),
    ] = True,
    wait_for_store: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            envvar="PAGEROLES_WAIT_FOR_STORE",
            min=0,
            max=settings.MOST_WAIT_SECONDS,
            callback=number,
            help="Time to wait at the start for a ClickHouse server that can't be reached, in seconds.",
        ),
    ] = 0.0,
    memory: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(
            metavar="SIZE",
            envvar="PAGEROLES_MEMORY",
            help="Most memory for domains that are kept in it, as 512MiB or 8GiB; 0 keeps none.",
            show_default="a quarter of what the server may use",
        ),
    ] = None,
    metrics_address: MetricsAddress = None,
    keep_days: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option(
            metavar="DAYS|DOMAIN=DAYS",
            envvar="PAGEROLES_KEEP_DAYS",
            help="Days that sessions are kept, in one domain or in all others; once a day the server erases older "
            "ones. Repeat it for more domains.",
            show_default="all are kept",
        ),
    ] = None,
) -> None:
    """Serve gRPC and REST until SIGTERM or Ctrl-C; requests in flight finish. SIGHUP has keys and quotas read again."""
    allow_most_files()
    stopping = on_stop_signals()
    log = structlog.get_logger("pageroles")
    server_settings = ServerSettings(
        grpc_address=grpc_address,
        http_address=None if no_http else http_address,
        allowed_origins=tuple(allow_origin or ()),
        max_seconds=max_seconds,
        max_requests=max_requests,
        grace=grace,
        memory=None if memory is None else _bytes(memory),
        metrics_address=metrics_address or None,
        keep_days=_kept(keep_days or ()),
        tls=server_tls(tls_cert, tls_key, tls_client_ca),
        reflects=reflection,
    )
    silence = max_seconds + settings.SILENCE_BEYOND_REQUEST_SECONDS

    def begin(stack: contextlib.ExitStack) -> Served:
        opened = Store.open(store, readers=readers or settings.default_readers(), silence=silence, alone=True)
        return stack.enter_context(serving.serving(stack.enter_context(opened), server_settings))

    with contextlib.ExitStack() as stack:
        served = _begun(begin, stack, wait_for_store, stopping)
        if served is None:
            return
        on_hangup(lambda: _reread(served.service))
        log.info("serving", grpc=served.grpc, http=served.http, version=__version__)
        tell_supervisor("READY=1")
        stopping.wait()
        tell_supervisor("STOPPING=1")
        log.info("stopping", grace_seconds=grace)
    log.info("stopped")


def _begun(
    begin: Callable[[contextlib.ExitStack], Served],
    stack: contextlib.ExitStack,
    seconds: float,
    stopping: threading.Event,
) -> Served | None:
    """Begin to serve; while the store can't be reached, try again for some seconds. None: a signal came meanwhile."""
    ends = time.monotonic() + seconds
    while not stopping.is_set():
        with contextlib.ExitStack() as tried:
            try:
                served = begin(tried)
            except StoreUnavailableError as error:
                if (left := ends - time.monotonic()) <= 0:
                    raise
                structlog.get_logger("pageroles").warning("waiting for the store", reason=str(error))
                stopping.wait(min(left, _TRY_AGAIN_SECONDS))
                continue
            stack.push(tried.pop_all())
            return served
    return None


def _reread(service: PagesService) -> None:
    service.reread()
    structlog.get_logger("pageroles").info("keys and quotas are read again")


def _bytes(text: str) -> int:
    """Read a size of memory."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is no size; give a number with a unit, as 512MiB or 8GiB, or 0", param_hint="--memory"
        )
    return int(float(match["number"]) * _BYTES[match["unit"].upper()])


def _kept(texts: Iterable[str]) -> dict[str | None, int]:
    """Read the days that sessions are kept, by domain; None stands for every other domain."""
    least, most = settings.KEEP_DAYS_BOUNDS
    kept: dict[str | None, int] = {}
    for text in texts:
        domain, equals, days = text.rpartition("=")
        if not (days.isascii() and days.isdecimal() and least <= int(days) <= most) or (equals and not domain):
            raise typer.BadParameter(
                f"{text!r} is no number of days; give {least} to {most}, alone or as DOMAIN=DAYS",
                param_hint="--keep-days",
            )
        if (domain or None) in kept:
            raise typer.BadParameter(
                f"the days of {domain or 'all other domains'} are given twice", param_hint="--keep-days"
            )
        kept[domain or None] = int(days)
    return kept
