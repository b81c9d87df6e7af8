"""The command `pageroles`. Each setting is an option and an environment variable."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import structlog
import typer
from rich.console import Console

from pageroles import __version__
from pageroles.command import keys
from pageroles.command.keys import Store  # noqa: TC001 - typer reads it when it runs
from pageroles.errors import PagerolesError

if TYPE_CHECKING:
    from types import FrameType

    from pageroles.ingest.loader import LoadSummary

app = typer.Typer(
    name="pageroles",
    help="Which role did each page play? The AttributionHub /pages API over ClickHouse.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(keys.keys_app, name="keys")
app.add_typer(keys.domains_app, name="domains")

_out = Console()
_err = Console(stderr=True)

EXIT_FAULT = 1
# So much longer than a request may take, a connection without a sign of life is closed.
_GIVE_UP_SECONDS = 10.0
EXIT_BAD_ROWS = 2

GrpcAddress = Annotated[
    str, typer.Option(envvar="PAGEROLES_GRPC_ADDRESS", help="Where to serve gRPC, host:port; port 0: any free one.")
]
HttpAddress = Annotated[
    str, typer.Option(envvar="PAGEROLES_HTTP_ADDRESS", help="Where to serve REST, host:port; port 0: any free one.")
]
MaxSeconds = Annotated[
    float, typer.Option(envvar="PAGEROLES_MAX_SECONDS", min=0.1, max=300, help="The longest that a request may take.")
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
DEFAULT_GRPC_ADDRESS = "127.0.0.1:50051"
DEFAULT_HTTP_ADDRESS = "127.0.0.1:8080"


def _print_version(given: bool) -> None:
    if given:
        _out.print(f"pageroles {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    log_level: Annotated[
        str, typer.Option(envvar="PAGEROLES_LOG_LEVEL", help="debug, info, warning or error.")
    ] = "info",
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    _set_up_logs(log_level)


@app.command()
def serve(
    store: Store,
    grpc_address: GrpcAddress = DEFAULT_GRPC_ADDRESS,
    http_address: HttpAddress = DEFAULT_HTTP_ADDRESS,
    no_http: Annotated[bool, typer.Option("--no-http", help="Serve gRPC alone.")] = False,
    allow_origin: AllowedOrigins = None,
    max_seconds: MaxSeconds = 60.0,
    max_requests: Annotated[
        int, typer.Option(envvar="PAGEROLES_MAX_REQUESTS", min=1, max=1000, help="Requests taken on at once.")
    ] = 64,
    readers: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it
        typer.Option(
            envvar="PAGEROLES_READERS",
            min=2,
            max=256,
            help="Queries at work in ClickHouse at once, as many of them for large reports as there are cores.",
            show_default="the cores and two more",
        ),
    ] = None,
    grace: Grace = 30.0,
) -> None:
    """Serve the API until SIGTERM or Ctrl-C; requests in flight finish."""
    from pageroles import serving  # noqa: PLC0415 - the engine is imported only where it is used
    from pageroles.store.store import Store as OpenStore  # noqa: PLC0415

    stopping = _on_stop_signals()
    log = structlog.get_logger("pageroles")
    with (
        OpenStore.open(
            store, readers=readers or (os.cpu_count() or 1) + 2, silence=max_seconds + _GIVE_UP_SECONDS
        ) as opened,
        serving.serving(
            opened,
            grpc_address=grpc_address,
            http_address=None if no_http else http_address,
            allowed_origins=allow_origin or (),
            max_seconds=max_seconds,
            max_requests=max_requests,
            grace=grace,
        ) as served,
    ):
        log.info("serving", grpc=served.grpc, http=served.http, version=__version__)
        stopping.wait()
        log.info("stopping", grace_seconds=grace)
    log.info("stopped")


@app.command()
def gateway(
    target: Annotated[str, typer.Option(envvar="PAGEROLES_TARGET", help="The gRPC server, host:port.")],
    http_address: HttpAddress = DEFAULT_HTTP_ADDRESS,
    allow_origin: AllowedOrigins = None,
    max_seconds: MaxSeconds = 60.0,
    grace: Grace = 30.0,
) -> None:
    """Serve REST alone, in front of a gRPC server elsewhere."""
    from pageroles import serving  # noqa: PLC0415

    stopping = _on_stop_signals()
    log = structlog.get_logger("pageroles")
    with serving.gateway(
        target, http_address=http_address, allowed_origins=allow_origin or (), max_seconds=max_seconds, grace=grace
    ) as http:
        log.info("serving", http=http, target=target, version=__version__)
        stopping.wait()
        log.info("stopping", grace_seconds=grace)
    log.info("stopped")


@app.command()
def load(
    files: Annotated[list[str], typer.Argument(help="JSON Lines or Parquet files; - for standard input.")],
    store: Store,
) -> None:
    """Load sessions; loading them again is harmless. Bad rows go to FILE.rejected.jsonl, and the exit code is 2."""
    from pageroles.command import progress  # noqa: PLC0415
    from pageroles.ingest import loader  # noqa: PLC0415
    from pageroles.store.store import Store as OpenStore  # noqa: PLC0415

    with OpenStore.open(store) as opened:
        opened.check()
        with progress.shown(_err) as report:
            summary = loader.load(opened, files, report=report)
    _tell(summary)
    if summary.rejected:
        raise typer.Exit(EXIT_BAD_ROWS)


def _tell(summary: LoadSummary) -> None:
    """Say what became of every row."""
    rate = summary.loaded / summary.seconds if summary.seconds else 0
    _err.print(f"[bold]{summary.loaded:,}[/] sessions loaded in {summary.seconds:.1f} s ({rate:,.0f} a second)")
    if summary.replaced:
        _err.print(f"{summary.replaced:,} more gave way to a later row of the same session")
    for file in summary.files:
        if file.rejected:
            _err.print(f"[yellow]{file.rejected:,} rows of {file.source} rejected[/]: see {file.rejects}")


@app.command()
def report(
    key: Annotated[str, typer.Option(envvar="PAGEROLES_KEY", help="The API key.")],
    target: Annotated[
        str, typer.Option(envvar="PAGEROLES_TARGET", help="The server to ask, host:port.")
    ] = DEFAULT_GRPC_ADDRESS,
    domain: Annotated[Optional[str], typer.Option(help="The domain; with a key for all domains only.")] = None,  # noqa: UP045
    start_date: Annotated[
        str, typer.Option(help="2025-07-01 or 2025-07-01T09:30:00Z; default: 30 days before now.")
    ] = "",
    end_date: Annotated[str, typer.Option(help="The same forms; a date covers its whole day; default: now.")] = "",
    conversion_page: Annotated[str, typer.Option(help="The URL on which a conversion was tracked.")] = "",
    meta_type: Annotated[str, typer.Option(help="The conversion's type, such as hubspot_form.")] = "",
    meta_id: Annotated[str, typer.Option(help="The conversion's id.")] = "",
    source: Annotated[str, typer.Option(help="The effective source, such as google.com.")] = "",
    medium: Annotated[str, typer.Option(help="The effective medium, such as cpc.")] = "",
    campaign: Annotated[str, typer.Option(help="utm_campaign.")] = "",
    content: Annotated[str, typer.Option(help="utm_content.")] = "",
    term: Annotated[str, typer.Option(help="utm_term.")] = "",
    landing_page: Annotated[str, typer.Option(help="The page on which the session began.")] = "",
    touch_scope: Annotated[str, typer.Option(help="any, first, converting, assist or after.")] = "any",
    rows: Annotated[int, typer.Option(min=1, help="Pages shown in each table.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON, in the REST shape.")] = False,
    timeout: Annotated[Optional[float], typer.Option(min=0.001, help="Seconds to wait.")] = None,  # noqa: UP045
) -> None:
    """Ask a server, and print the tables."""
    import grpc  # noqa: PLC0415
    import msgspec  # noqa: PLC0415

    from pageroles import client  # noqa: PLC0415
    from pageroles.command import tables  # noqa: PLC0415
    from pageroles.question.model import TouchScope  # noqa: PLC0415
    from pageroles.v1 import pages_pb2  # noqa: PLC0415

    try:
        scope = TouchScope[touch_scope.upper()]
    except KeyError:
        accepted = ", ".join(scope.name.lower() for scope in TouchScope)
        raise typer.BadParameter(
            f"there is no scope {touch_scope!r}; give one of {accepted}", param_hint="--touch-scope"
        ) from None
    request = pages_pb2.PagesRequest(
        start_date=start_date, end_date=end_date, conversion_page=conversion_page, meta_type=meta_type,
        meta_id=meta_id, source=source, medium=medium, campaign=campaign, content=content, term=term,
        landing_page=landing_page, touch_scope=pages_pb2.TouchScope.Name(scope),
    )  # fmt: skip
    try:
        found = client.ask(target, key, request, domain=domain, seconds=timeout)
    except grpc.RpcError as error:
        _err.print(f"[red]{error.code().name}[/]: {error.details()}", highlight=False)
        raise typer.Exit(EXIT_FAULT) from None
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    else:
        _out.print(tables.answer(found, rows=rows))


@app.command()
def schema(
    store: Store,
    print_: Annotated[bool, typer.Option("--print", help="Print the SQL and change nothing.")] = False,
    cluster: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(help="Make replicated and distributed tables on this cluster of the server's configuration."),
    ] = None,
) -> None:
    """Apply the schema to the store; what is there already stays."""
    from pageroles.store import schema as sql_schema  # noqa: PLC0415
    from pageroles.store.store import Store as OpenStore  # noqa: PLC0415

    if print_:
        made = sql_schema.cluster_statements(cluster) if cluster else []
        sys.stdout.write("".join(f"{statement};\n\n" for statement in made) or sql_schema.script())
        return
    with OpenStore.open(store) as opened:
        opened.apply_schema(cluster)
    _err.print("the store has the schema")


@app.command()
def demo(
    grpc_address: GrpcAddress = DEFAULT_GRPC_ADDRESS,
    http_address: HttpAddress = DEFAULT_HTTP_ADDRESS,
    folder: Annotated[
        Path, typer.Option(help="The folder of the demo's own embedded store; made anew each time.")
    ] = Path(".pageroles-demo"),
    sessions: Annotated[int, typer.Option(min=1000, max=10_000_000, help="How many sessions to make up.")] = 200_000,
    once: Annotated[bool, typer.Option("--once", help="End after the answer.")] = False,
) -> None:
    """Fill a store with made-up traffic, serve it, ask a real question and print the answer."""
    from pageroles.command import demo as demonstration  # noqa: PLC0415

    _set_up_logs("warning")  # the answer shall not drown in the server's lines
    stopping = _on_stop_signals()
    demonstration.run(
        folder=folder,
        grpc_address=grpc_address,
        http_address=http_address,
        sessions=sessions,
        console=_out,
        stopping=None if once else stopping,
    )


def main() -> None:
    """Run the command; a fault is one sentence on standard error and exit code 1."""
    try:
        app()
    except PagerolesError as error:
        _err.print(f"[red]pageroles:[/] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(EXIT_FAULT) from None


def _on_stop_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set; a second signal ends the process as usual."""
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def _set_up_logs(level: str) -> None:
    """Write logs to standard error: for people on a terminal, else one JSON object a line."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise typer.BadParameter(
            f"there is no level {level!r}; give debug, info, warning or error", param_hint="--log-level"
        )
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
