"""`pageroles report`: ask a server, and print the answer: pages, days, or what changed since the period before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pageroles import rest_shape, sentences, settings
from pageroles.command import comparing, outputs, shown, tables
from pageroles.command.asking import Asked, asks
from pageroles.errors import InvalidArgumentError
from pageroles.question.request import MAX_LIMIT

if TYPE_CHECKING:
    from pageroles.client import Client, Report
    from pageroles.client.questions import Include
    from pageroles.command.comparing import Dates

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
    days: Annotated[bool, typer.Option("--days", help="Ask for the totals of each day instead of pages.")] = False,
    url: Annotated[
        str,
        typer.Option(help="With --days: the page whose roles to count on each day.", show_default="none"),
    ] = "",
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Also ask for the period directly before, which is as long; show the changes."),
    ] = False,
    rows: Annotated[int, typer.Option(min=1, help="Most pages to print in each table.")] = settings.REPORT_ROWS,
    json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON, in the shape of REST.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Also say how the server made the report.")] = False,
) -> None:
    """Ask a server for a report and print its tables."""
    _refuse_together({"--json": json, "--csv": csv})
    _refuse_together({"--days": days, "--compare": compare})
    of_one_report = {"--limit": bool(limit), "--balance": balance, "--landing": landing, "--plan": plan}
    for option, is_set in of_one_report.items():
        _refuse_together({"--days": days, option: is_set})
        _refuse_together({"--compare": compare, option: is_set})
    if url and not days:
        raise typer.BadParameter("a page is given with --days", param_hint="--url")
    if days:
        _days(asked, url, json=json, csv=csv)
    elif compare:
        _compare(asked, rows, json=json, csv=csv)
    else:
        include: list[Include] = []
        if balance:
            include.append("balance")
        if landing:
            include.append("landing")
        if not json and not csv:
            include.append("hints")
        with asked.client() as client:
            found = client.report(limit=limit, include=include, plan=plan, **asked.question)
        _print(asked, found, rows, json=json, csv=csv)
        if plan:
            # Beside the answer, which another program may read.
            shown.say(_err, ("plan", "bold"), f": {found.plan or 'the server does not say'}")


def _print(asked: Asked, found: Report, rows: int, *, json: bool, csv: bool) -> None:
    if csv:
        outputs.print_rows(found)
        return
    body = outputs.report_json(found)
    if json:
        outputs.print_json(body)
        return
    _out.print(tables.answer(rest_shape.read(body), rows=rows))
    if not found.summary_totals.total_sessions and (covered := asked.window()):
        ends = (sentences.instant(end) for end in (covered.start, covered.shown_end))
        shown.say(_out, "asked for sessions from ", " to ".join(ends))


def _refuse_together(options: dict[str, bool]) -> None:
    if all(options.values()):
        one, other = options
        raise typer.BadParameter(f"give either {one} or {other}", param_hint=other)


def _days(asked: Asked, url: str, *, json: bool, csv: bool) -> None:
    with asked.client() as client:
        found = client.days(url=url, **asked.question)
    if json:
        outputs.print_value({"days": list(found)})
    elif csv:
        outputs.print_table(found)
    else:
        _out.print(tables.days(found, url))


def _compare(asked: Asked, rows: int, *, json: bool, csv: bool) -> None:
    question = asked.question
    try:
        dates = comparing.windows(
            str(question.get("start_date") or ""), str(question.get("end_date") or ""), datetime.now(UTC)
        )
    except InvalidArgumentError as error:
        option = f"--{error.field.replace('_', '-')}"
        raise typer.BadParameter(error.description, param_hint=option) from None
    with asked.client() as client:
        now, before = (_of(client, asked, each) for each in dates)
    if json:
        outputs.print_json(b'{"now":' + outputs.report_json(now) + b',"before":' + outputs.report_json(before) + b"}")
    elif csv:
        outputs.print_compared(now, before)
    else:
        _out.print(tables.comparison(now, before, dates, rows=rows))
        if (covered := asked.window()) and covered.end > datetime.now(UTC):
            shown.say(_err, ("the window is not over", "yellow"), ": what it lacks shows as a loss")


def _of(client: Client, asked: Asked, dates: Dates) -> Report:
    return client.report(**{**asked.question, **dates._asdict()})
