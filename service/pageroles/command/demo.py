"""`pageroles demo`: serve made-up traffic from a store of its own, ask a question over REST, and print the answer."""

from __future__ import annotations

import os
import shutil
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pageroles import serving, settings
from pageroles.access.keys import KeyStore, Permission
from pageroles.command import progress, shown, tables, traffic
from pageroles.command.options import (
    DEFAULT_GRPC_ADDRESS,
    DEFAULT_HTTP_ADDRESS,
    GrpcAddress,
    HttpAddress,
)
from pageroles.command.processes import allow_most_files, on_stop_signals, set_up_logs
from pageroles.errors import SettingError, StoreLockedError
from pageroles.ingest import loader
from pageroles.sentences import counted
from pageroles.settings import ServerSettings
from pageroles.store.store import Store

if TYPE_CHECKING:
    from rich.console import Console

DAYS = 60
SEED = 1
DOMAIN = "example.com"
# A file in the folder that says who made it; a folder without it is not removed.
_MARKER = "made-by-pageroles-demo"
_TABLE_ROWS = 8
_GRACE_SECONDS = 5.0
_GOOGLE = '{"source": "google.com", "touch_scope": "converting"}'

app = typer.Typer(add_completion=False)

_out = shown.console()


@app.command()
def demo(
    context: typer.Context,
    grpc_address: GrpcAddress = DEFAULT_GRPC_ADDRESS,
    http_address: HttpAddress = DEFAULT_HTTP_ADDRESS,
    folder: Annotated[
        Path, typer.Option(help="Folder of the demo's own embedded store; it is made anew at each start.")
    ] = Path(settings.DEMO_FOLDER),
    sessions: Annotated[
        int,
        typer.Option(
            min=settings.DEMO_SESSIONS_BOUNDS[0],
            max=settings.DEMO_SESSIONS_BOUNDS[1],
            help="Number of sessions to make up.",
        ),
    ] = settings.DEMO_SESSIONS,
    once: Annotated[bool, typer.Option("--once", help="End after the answer.")] = False,
) -> None:
    """Serve made-up traffic, ask a question and print the answer."""
    level_source = context.find_root().get_parameter_source("log_level")
    if level_source is None or level_source.name == "DEFAULT":
        set_up_logs("warning")  # at info, the server's lines would bury the answer
    server_settings = ServerSettings(grpc_address=grpc_address, http_address=http_address, grace=_GRACE_SECONDS)
    with progress.interruptible(_out, "the next demo begins anew"):
        _run(folder, sessions, server_settings, _out, once=once)


def _run(folder: Path, sessions: int, server_settings: ServerSettings, console: Console, *, once: bool) -> None:
    """Run the demo.

    Args:
        folder: The folder of the demo's own embedded store, which is made anew.
        sessions: The number of sessions to make up.
        server_settings: Where to serve.
        console: Where to print.
        once: End after the answer; otherwise serve until SIGTERM or Ctrl-C.

    Raises:
        SettingError: The folder holds something that no demo made, or an address can't be used.
    """
    _renew_folder(folder)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with Store.open(f"chdb://{folder.resolve()}/store") as store:
        made_up = traffic.sessions(sessions, seed=SEED, end=today, days=DAYS)
        with progress.bar(console) as report:
            loaded = loader.load_chunks(store, made_up, name="made-up traffic", report=report)
        allow_most_files()
        stopping = None if once else on_stop_signals()
        shown.say(
            console,
            f"{counted(loaded.loaded, 'session')} of {len(traffic.SITES)} made-up domains loaded in "
            f"{loaded.seconds:.1f} s ({loaded.loaded / loaded.seconds:,.0f} a second)",
        )
        # The visitors are made up: whoever looks around may look at them, too.
        key, _ = KeyStore(store).create(DOMAIN, permissions=[Permission.REPORT, Permission.SESSIONS])
        with serving.serving(store, server_settings) as served:
            page = _ask(console, f"http://{served.http}/api/v1/pages", key)
            if stopping is None:
                shown.say(
                    console,
                    f"Without --once the demo keeps serving, with the explorer at http://{served.http}/, and shows "
                    "what to ask next.",
                )
            else:
                _print_next_steps(console, served, key, page)
                stopping.wait()


def _renew_folder(folder: Path) -> None:
    """Make an empty folder in place of an earlier demo's, and of nothing else."""
    marker = folder / _MARKER
    if folder.exists():
        if any(folder.iterdir()) and not marker.exists():
            raise SettingError(f"{folder} holds something that no demo made; give another folder with --folder")
        try:
            Store.refuse_if_held(folder / "store")
        except StoreLockedError:
            raise SettingError(
                f"another process holds the store at {folder / 'store'}, perhaps a running demo: stop it first, or "
                "give another folder with --folder"
            ) from None
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    marker.touch()


def _ask(console: Console, url: str, key: str) -> str:
    """Ask a question over REST, print the answer, and return the page with most conversions."""
    console.print()
    shown.say(console, (f"Which role did each page of {DOMAIN} play in the last 30 days?", "bold"))
    shown.say(console, (f"  {_curl(url, key)}", "cyan"))
    console.print()
    request = urllib.request.Request(  # noqa: S310 - our own address
        url, data=b"{}", headers={"Authentication": key}, method="POST"
    )
    request.add_header("Content-Type", "application/json")
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own address
        answer = msgspec.json.decode(response.read())
    milliseconds = (time.perf_counter() - began) * 1000
    console.print(tables.answer(answer, rows=_TABLE_ROWS))
    shown.say(console, "Asked over REST, answered in ", (f"{milliseconds:,.0f} ms", "bold"), ".")
    return str(answer["conversion_performance"][0]["url"])


def _curl(url: str, key: str) -> str:
    return f"curl -X POST {url} -H 'Authentication: {key}'"


def _print_next_steps(console: Console, served: serving.Served, key: str, page: str) -> None:
    command, where = os.path.relpath(sys.argv[0]), f"--target {served.grpc} --key {key}"
    report = f"{command} report {where}"
    curl = _curl(f"http://{served.http}/api/v1/pages", key)
    lines = [
        ("Sessions from Google that converted:", f"""{curl} -H 'Content-Type: application/json' -d '{_GOOGLE}'"""),
        ("What people read before they converted, over gRPC:", f"{report} --touch-scope assist"),
        ("Conversions by a HubSpot form:", f"{report} --meta-type hubspot_form"),
        ("What changed since the week before:", f"{report} --last 7d --compare --rows 10"),
        ("Each day of a page:", f"{report} --last 7d --days --url {page}"),
        (
            "The sessions behind its conversions:",
            f"{command} sessions {where} --url {page} --role conversion --limit 5",
        ),
        ("Where people come from, to filter by:", f"{command} values source {where}"),
    ]
    console.print()
    shown.say(console, ("Ask more", "bold"), ", from another terminal:")
    for title, command in lines:
        console.print()
        shown.say(console, f"  {title}")
        shown.say(console, (f"  {command}", "cyan"))
    console.print()
    shown.say(console, ("Look around", "bold"), ": enter the key in the explorer, or try the API in its reference.")
    console.print()
    for address in (f"http://{served.http}/", f"http://{served.http}/docs", f"key: {key}"):
        shown.say(console, (f"  {address}", "cyan"))
    console.print()
    shown.say(console, "Serving until Ctrl-C.")
