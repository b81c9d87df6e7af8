"""`pageroles audit`: who did what to keys, quotas and sessions."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from pageroles.command import shown, tables
from pageroles.command.options import StoreDsn
from pageroles.sentences import escaped_json
from pageroles.store import audit as log
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)

_out = shown.console()
_ROWS = 20


@app.command()
def audit(
    store: StoreDsn,
    rows: Annotated[int, typer.Option(min=1, help="Most deeds to show, the latest ones.")] = _ROWS,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Show who created and revoked keys, set quotas and erased sessions, and when; the latest first."""
    with Store.open(store, create=False) as opened:
        opened.check()
        found = log.deeds(opened, rows)
    if json:
        sys.stdout.write(escaped_json(msgspec.json.encode([deed._asdict() for deed in found])).decode() + "\n")
    else:
        _out.print(tables.deeds(found))
