"""`pageroles values`: list the stored values of a filter."""

from __future__ import annotations

from typing import Annotated, cast, get_args

import typer

from pageroles.client.questions import Field
from pageroles.command import outputs, shown, tables
from pageroles.command.asking import Asked, asks, refuse_unknown

app = typer.Typer(add_completion=False)

FIELDS = get_args(Field)
MOST = 1000

_out = shown.console()


@app.command()
@asks
def values(
    asked: Asked,
    *,
    field: Annotated[str, typer.Argument(metavar="FIELD", help=f"Filter: {', '.join(FIELDS[:-1])} or {FIELDS[-1]}.")],
    contains: Annotated[
        str, typer.Option(help="Only values that contain this text, in any case.", show_default="all")
    ] = "",
    limit: Annotated[
        int, typer.Option(min=0, max=MOST, help="Most values to ask for, those with most sessions; 0: 100.")
    ] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON, in the shape of REST.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print them as CSV.")] = False,
) -> None:
    """Ask a server for the values that a filter may have, with the sessions of each; its own option is left aside."""
    refuse_unknown("FIELD", "filter", field, FIELDS)
    if json and csv:
        raise typer.BadParameter("give either --json or --csv", param_hint="--csv")
    with asked.client() as client:
        found = client.values(cast("Field", field), contains=contains, limit=limit, **asked.question)
    if json:
        outputs.print_value({"values": list(found)})
    elif csv:
        outputs.print_table(found)
    else:
        _out.print(tables.values(field, found))
