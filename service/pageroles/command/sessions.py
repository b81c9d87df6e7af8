"""`pageroles sessions`: open a number of a report, and print the sessions behind it."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Optional, cast, get_args

import typer

from pageroles import settings
from pageroles.client.answers import SessionRows
from pageroles.client.questions import Role
from pageroles.command import outputs, shown, tables
from pageroles.command.asking import Asked, asks, refuse_unknown
from pageroles.question.request import MAX_LIMIT

app = typer.Typer(add_completion=False)

ROLES = get_args(Role)

_out = shown.console()


@app.command()
@asks
def sessions(
    asked: Asked,
    *,
    url: Annotated[
        str,
        typer.Option(help="Page, in any form of its URL.", show_default="none: all included sessions"),
    ] = "",
    role: Annotated[
        str,
        typer.Option(help=f"Role of the page: {', '.join(ROLES[:-1])} or {ROLES[-1]}.", show_default="any but landing"),
    ] = "",
    limit: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it
        typer.Option(
            min=0,
            max=MAX_LIMIT,
            help="Most sessions to ask for, the latest ones; 0: all.",
            show_default=f"{settings.REPORT_ROWS} in a table, else all",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON, in the shape of REST.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print them as CSV; pages and conversions as JSON.")] = False,
) -> None:
    """Ask a server for the sessions behind a number of a report; the key must have the permission `sessions`."""
    if role:
        refuse_unknown("--role", "role", role, ROLES)
        if not url:
            raise typer.BadParameter("a role is that of a page; give --url, too", param_hint="--role")
    if json and csv:
        raise typer.BadParameter("give either --json or --csv", param_hint="--csv")
    if limit is None:
        limit = 0 if json or csv else settings.REPORT_ROWS
    with (
        asked.client() as client,
        client.sessions(url=url, role=cast("Role", role) if role else None, limit=limit, **asked.question) as found,
    ):
        if json:
            outputs.print_value({"total": found.total, "sessions": list(found)})
        elif csv:
            # Written as they come, some at a time.
            names = [each.name for each in SessionRows([]).columns()]
            given = (each for each in found)
            rows = (row for some in iter(lambda: list(islice(given, 1000)), []) for row in SessionRows(some).rows())
            outputs.print_csv(names, rows)
        else:
            _out.print(tables.sessions(found.total, list(found)))
