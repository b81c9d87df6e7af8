"""`pageroles status`: what the store holds, and what the server that holds it keeps in memory."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import msgspec
import typer

from pageroles.command import shown, tables
from pageroles.command.options import StoreDsn
from pageroles.report.residents import Memory
from pageroles.sentences import escaped_json
from pageroles.store.contents import Contents, contents
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)

_out = shown.console()
_ROWS = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What a store holds, and a server keeps of it.

    Attributes:
        store: What the store holds.
        memory: The domains in memory; None where no server says.
    """

    store: Contents
    memory: Memory | None = None


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
    with Store.open(dsn, create=False) as opened:
        opened.check()
        told = opened.ask_holder("/memory")
        return Status(contents(opened), None if told is None else msgspec.json.decode(told, type=Memory))
