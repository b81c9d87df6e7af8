"""`pageroles report`: ask a server and print the answer."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from pageroles import rest_shape, settings
from pageroles.client.questions import Include
from pageroles.command import shown, tables
from pageroles.command.asking import Asked, asks
from pageroles.question.request import MAX_LIMIT
from pageroles.sentences import escaped_json

app = typer.Typer(add_completion=False)

_out = shown.console()
_err = shown.console(stderr=True)


@app.command()
@asks
def report(
    asked: Asked,
    *,
    limit: Annotated[
        int,
        typer.Option(min=0, max=MAX_LIMIT, help="Most pages of each list to ask for.", show_default="all"),
    ] = 0,
    balance: Annotated[bool, typer.Option("--balance", help="Also ask how the sessions add up.")] = False,
    landing: Annotated[bool, typer.Option("--landing", help="Also ask how many sessions landed on each page.")] = False,
    rows: Annotated[int, typer.Option(min=1, help="Most pages to print in each table.")] = settings.REPORT_ROWS,
    json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON, in the shape of REST.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Also say how the server made the report.")] = False,
) -> None:
    """Ask a server for a report and print its tables."""
    include: list[Include] = []
    if balance:
        include.append("balance")
    if landing:
        include.append("landing")
    with asked.client() as client:
        found = client.report(limit=limit, include=include, plan=plan, **asked.question)
    body = rest_shape.to_json([found.response.SerializeToString()])
    if json:
        sys.stdout.buffer.write(escaped_json(msgspec.json.format(body)) + b"\n")
    else:
        _out.print(tables.answer(rest_shape.read(body), rows=rows))
    if plan:
        # Beside the answer, which another program may read.
        shown.say(_err, ("plan", "bold"), f": {found.plan or 'the server does not say'}")
