"""`pageroles status`: what the store holds."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from pageroles.command import shown, tables
from pageroles.command.options import StoreDsn
from pageroles.sentences import escaped_json
from pageroles.store import contents
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)

_out = shown.console()
_ROWS = 20


@app.command()
def status(
    store: StoreDsn,
    rows: Annotated[int, typer.Option(min=1, help="Most domains to show.")] = _ROWS,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all domains.")] = False,
) -> None:
    """Show what the store holds: domains, sessions, first and last day, parts and bytes."""
    with Store.open(store, create=False) as opened:
        opened.check()
        held = contents.contents(opened)
    if json:
        sys.stdout.write(escaped_json(msgspec.json.encode(held)).decode() + "\n")
    else:
        _out.print(tables.contents(held, rows=rows))
