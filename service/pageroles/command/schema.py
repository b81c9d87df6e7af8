"""`pageroles schema`: apply the schema to a store, or print it."""

from __future__ import annotations

import sys
from typing import Annotated, Optional

import typer

from pageroles.command import shown
from pageroles.command.options import StoreDsn
from pageroles.store import schema as steps
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)

_err = shown.console(stderr=True)


@app.command()
def schema(
    store: StoreDsn,
    print_: Annotated[bool, typer.Option("--print", help="Print the SQL; change nothing.")] = False,
    cluster: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(
            help="Name of a cluster in the server's configuration; its tables are replicated and distributed.",
            show_default="the store's, or none",
        ),
    ] = None,
) -> None:
    """Create the tables, or migrate those of an earlier version; stored sessions stay."""
    if print_:
        sys.stdout.write(steps.script(cluster))
        return
    with Store.open(store) as opened:
        opened.apply_schema(cluster)
    shown.say(_err, f"the store has version {steps.latest()} of the schema")
