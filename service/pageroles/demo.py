"""The demo: made-up traffic in a store of its own, a server, a real question over the wire, and its answer."""

from __future__ import annotations

import os
import shutil
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from pageroles import client, loading, progress, show, traffic
from pageroles.errors import SettingError
from pageroles.keys import KeyStore
from pageroles.server import Server
from pageroles.service import PagesService
from pageroles.store import Store
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from rich.console import Console

DAYS = 60
SEED = 1
DOMAIN = "example.com"
_MARK = "made-by-pageroles-demo"
_ROWS_SHOWN = 8


def run(*, folder: Path, grpc_address: str, sessions: int, console: Console, stopping: threading.Event | None) -> None:
    """Run the demo.

    Args:
        folder: Where the demo's own embedded store is made, anew each time.
        grpc_address: Where to serve, `host:port`; port 0: any free one.
        sessions: How many sessions to make up.
        console: Where to print.
        stopping: Serve until this is set; None: end after the answer.

    Raises:
        SettingError: The folder holds something that no demo made.
    """
    _make_way(folder)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    dsn = f"chdb://{folder.resolve()}/store"
    with Store.open(dsn) as store:
        with progress.shown(console) as report:
            loaded = loading.load_chunks(
                store,
                traffic.sessions(sessions, seed=SEED, end=today, days=DAYS),
                name="made-up traffic",
                report=report,
            )
        console.print(
            f"[bold]{loaded.loaded:,}[/] sessions of {len(traffic.SITES)} made-up domains loaded in "
            f"{loaded.seconds:.1f} s ({loaded.loaded / loaded.seconds:,.0f} a second)"
        )
        key, record = KeyStore(store).create(DOMAIN)
        service = PagesService(store)
        server = Server(service, grpc_address)
        host = grpc_address.rpartition(":")[0]
        target = f"{host}:{server.port}"
        try:
            _ask(console, target, key)
            if stopping is None:
                console.print("Without --once the demo goes on serving, and says what to ask next.")
            else:
                _tell_more(console, target, key)
                console.print(f"Serving [bold]{target}[/] (gRPC); Ctrl-C ends it.")
                stopping.wait()
            KeyStore(store).revoke(record.id)
        finally:
            server.stop(grace=5)
            service.close()


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


def _ask(console: Console, target: str, key: str) -> None:
    """Ask a question over the wire and print the answer."""
    console.print()
    console.print(f"[bold]Which role did each page of {DOMAIN} play in the last 30 days?[/]")
    began = time.perf_counter()
    found = client.ask(target, key, pages_pb2.PagesRequest(), seconds=30)
    milliseconds = (time.perf_counter() - began) * 1000
    console.print(show.answer(found, rows=_ROWS_SHOWN))
    console.print(f"Asked over gRPC, answered in [bold]{milliseconds:,.0f} ms[/].")


def _tell_more(console: Console, target: str, key: str) -> None:
    command = f"{os.path.relpath(sys.argv[0])} report --target {target} --key {key}"
    lines = [
        ("Sessions in which people who came by a search converted:", "--source google.com --touch-scope converting"),
        ("What they read on the way, before they converted:", "--touch-scope assist"),
        ("Who filled in a form, and where they had landed:", "--meta-type hubspot_form"),
        ("The whole answer, in the JSON of the REST API:", "--json"),
    ]
    console.print("\n[bold]Ask it more[/], from another terminal:")
    for what, options in lines:
        console.print(f"\n  {what}")
        console.print(Text(f"  {command} {options}"), soft_wrap=True, style="cyan")
    console.print()
