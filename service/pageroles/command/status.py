"""`pageroles status`: what the store holds, and what the server that holds it keeps in memory."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from pageroles.command import shown, tables
from pageroles.command.options import StoreDsn
from pageroles.errors import StoreLockedError
from pageroles.sentences import escaped_json
from pageroles.serving import Status
from pageroles.store import contents
from pageroles.store.store import Store
from pageroles.transport import local_socket

app = typer.Typer(add_completion=False)

_out = shown.console()
_ROWS = 20


@app.command()
def status(
    store: StoreDsn,
    rows: Annotated[int, typer.Option(min=1, help="Most domains to show.")] = _ROWS,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all domains.")] = False,
) -> None:
    """Show what the store holds: domains, sessions, first and last day, parts, bytes, and what is kept in memory.

    A server that holds an embedded store is asked.
    """
    found = _status(store)
    if json:
        sys.stdout.write(escaped_json(msgspec.json.encode(found)).decode() + "\n")
    else:
        _out.print(tables.status(found, rows=rows))


def _status(dsn: str) -> Status:
    try:
        with Store.open(dsn, create=False) as opened:
            opened.check()
            return Status(contents.contents(opened))
    except StoreLockedError as error:
        told = local_socket.status(error.folder)
        if told is None:
            raise
        return msgspec.json.decode(told, type=Status)
