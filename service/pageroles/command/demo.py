"""The demo: made-up traffic in a store of its own, a server, a real question over the wire, and its answer."""

from __future__ import annotations

import os
import shutil
import sys
import time
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from rich.text import Text

from pageroles import serving
from pageroles.access.keys import KeyStore
from pageroles.command import progress, tables, traffic
from pageroles.errors import SettingError
from pageroles.ingest import loader
from pageroles.store.store import Store

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from rich.console import Console

DAYS = 60
SEED = 1
DOMAIN = "example.com"
_MARK = "made-by-pageroles-demo"
_ROWS_SHOWN = 8
_GOOGLE = '{"source": "google.com", "touch_scope": "converting"}'


def run(
    *,
    folder: Path,
    grpc_address: str,
    http_address: str,
    sessions: int,
    console: Console,
    stopping: threading.Event | None,
) -> None:
    """Run the demo.

    Args:
        folder: Where the demo's own embedded store is made, anew each time.
        grpc_address: Where to serve gRPC, `host:port`; port 0: any free one.
        http_address: Where to serve REST and the explorer.
        sessions: How many sessions to make up.
        console: Where to print.
        stopping: Serve until this is set; None: end after the answer.

    Raises:
        SettingError: The folder holds something that no demo made, or an address can't be used.
    """
    _make_way(folder)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with Store.open(f"chdb://{folder.resolve()}/store") as store:
        with progress.shown(console) as report:
            made_up = traffic.sessions(sessions, seed=SEED, end=today, days=DAYS)
            loaded = loader.load_chunks(store, made_up, name="made-up traffic", report=report)
        console.print(
            f"[bold]{loaded.loaded:,}[/] sessions of {len(traffic.SITES)} made-up domains loaded in "
            f"{loaded.seconds:.1f} s ({loaded.loaded / loaded.seconds:,.0f} a second)"
        )
        key, _ = KeyStore(store).create(DOMAIN)
        with serving.serving(store, grpc_address=grpc_address, http_address=http_address, grace=5) as served:
            _ask(console, f"http://{served.http}/api/v1/pages", key)
            if stopping is None:
                console.print(
                    f"Without --once the demo goes on serving, with the explorer at http://{served.http}/, and says "
                    "what to ask next.",
                    soft_wrap=True,
                )
            else:
                _tell_more(console, served, key)
                stopping.wait()


def _make_way(folder: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    mark = folder / _MARK
    if folder.exists():
        if any(folder.iterdir()) and not mark.exists():
            raise SettingError(f"{folder} holds something that no demo made; give another folder with --folder")
        Store.refuse_if_held(folder / "store")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    mark.touch()


def _ask(console: Console, url: str, key: str) -> None:
    """Ask a question over REST and print the answer."""
    console.print()
    console.print(f"[bold]Which role did each page of {DOMAIN} play in the last 30 days?[/]")
    console.print(Text(f"  {_curl(url, key)}\n"), soft_wrap=True, style="cyan")
    request = urllib.request.Request(  # noqa: S310 - our own address
        url, data=b"{}", headers={"Authentication": key}, method="POST"
    )
    request.add_header("Content-Type", "application/json")
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own address
        found = msgspec.json.decode(response.read())
    milliseconds = (time.perf_counter() - began) * 1000
    console.print(tables.answer(found, rows=_ROWS_SHOWN))
    console.print(f"Asked over REST, answered in [bold]{milliseconds:,.0f} ms[/].")


def _curl(url: str, key: str) -> str:
    return f"curl -X POST {url} -H 'Authentication: {key}'"


def _tell_more(console: Console, served: serving.Served, key: str) -> None:
    report = f"{os.path.relpath(sys.argv[0])} report --target {served.grpc} --key {key}"
    curl = _curl(f"http://{served.http}/api/v1/pages", key)
    lines = [
        ("Who came by Google and converted:", f"""{curl} -H 'Content-Type: application/json' -d '{_GOOGLE}'"""),
        ("What people read on the way, over gRPC:", f"{report} --touch-scope assist"),
        ("Who filled in a form:", f"{report} --meta-type hubspot_form"),
    ]
    console.print("\n[bold]Ask it more[/], from another terminal:")
    for what, command in lines:
        console.print(f"\n  {what}")
        console.print(Text(f"  {command}"), soft_wrap=True, style="cyan")
    console.print("\n[bold]Look around[/]: enter the key at the explorer, or try the API in its reference.\n")
    console.print(Text(f"  http://{served.http}/\n  http://{served.http}/docs\n  key: {key}"), style="cyan")
    console.print("\nServing until Ctrl-C.")
