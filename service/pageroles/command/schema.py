"""`pageroles schema`."""

from __future__ import annotations

import sys
from typing import Annotated, Optional

import typer
from rich.console import Console

from pageroles.command.options import StoreDsn
from pageroles.store import schema as steps
from pageroles.store.store import Store

app = typer.Typer()

_err = Console(stderr=True)


@app.command()
def schema(
    store: StoreDsn,
    print_: Annotated[bool, typer.Option("--print", help="Print the SQL and change nothing.")] = False,
    cluster: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(help="Make replicated and distributed tables on this cluster of the server's configuration."),
    ] = None,
) -> None:
    """Make the tables, or carry those of an earlier version forward; what is there already stays."""
    if print_:
        sys.stdout.write(steps.script(cluster))
        return
    with Store.open(store) as opened:
        opened.apply_schema(cluster)
    _err.print(f"the store has version {steps.latest()} of the schema", highlight=False)
