"""`pageroles report`: ask a server and print the answer. Each filter of `question/filters.py` is an option."""

from __future__ import annotations

import inspect
import re
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Optional

import msgspec
import typer

from pageroles import client, sentences, settings
from pageroles.command import shown, tables
from pageroles.command.options import (
    DEFAULT_GRPC_ADDRESS,
    EXIT_FAULT,
    Ca,
    ClientCert,
    ClientKey,
    Target,
    Tls,
    client_tls,
    from_file,
)
from pageroles.errors import InvalidArgumentError
from pageroles.question.filters import FILTERS
from pageroles.question.request import MAX_LIMIT, SCOPES, to_request
from pageroles.question.window import MAX_SPAN
from pageroles.sentences import escaped_json

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(add_completion=False)

_DAYS_OF_UNIT = {"d": 1, "w": 7}
_LAST = re.compile(r"(?P<number>\d{1,4})(?P<unit>[dw])", re.ASCII)

_out = shown.console()
_err = shown.console(stderr=True)


def _with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the `**filters` of a command by an option for each filter; typer reads options from the signature."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default="",
            annotation=Annotated[str, typer.Option(help=each.help.replace("`", ""))],
        )
        for each in FILTERS
    ]
    command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in (*own, *options)}
    return command


@app.command()
@_with_filters
def report(
    *,
    key: Annotated[
        str, typer.Option(envvar="PAGEROLES_KEY", callback=from_file, help="API key, or @FILE, a file that holds it.")
    ],
    target: Target = DEFAULT_GRPC_ADDRESS,
    tls: Tls = False,
    ca: Ca = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    domain: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(
            help="Domain to read, in its own letters or in ASCII (xn--…); only with a key for all domains.",
            show_default="the key's",
        ),
    ] = None,
    start_date: Annotated[
        str,
        typer.Option(
            help="Start of the window: 2025-07-01 or 2025-07-01T09:30:00Z.",
            show_default="30 days before now, or before an earlier end",
        ),
    ] = "",
    end_date: Annotated[
        str,
        typer.Option(help="End of the window, in the same forms; a date covers its whole day.", show_default="now"),
    ] = "",
    last: Annotated[
        str,
        typer.Option(
            metavar="DAYS",
            help=f"Window of whole days (UTC) that ends with today, instead of the two dates: 30d, 4w; at most "
            f"{MAX_SPAN.days}d.",
            show_default="none",
        ),
    ] = "",
    touch_scope: Annotated[
        str,
        typer.Option(help=f"Sessions of a user's journey to include: {', '.join(SCOPES[:-1])} or {SCOPES[-1]}."),
    ] = SCOPES[0],
    limit: Annotated[
        int,
        typer.Option(min=0, max=MAX_LIMIT, help="Most pages of each list to ask for.", show_default="all"),
    ] = 0,
    balance: Annotated[bool, typer.Option("--balance", help="Also ask how the sessions add up.")] = False,
    landing: Annotated[bool, typer.Option("--landing", help="Also ask how many sessions landed on each page.")] = False,
    rows: Annotated[int, typer.Option(min=1, help="Most pages to print in each table.")] = settings.REPORT_ROWS,
    json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON, in the shape of REST.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Also say how the server made the report.")] = False,
    timeout: Annotated[
        Optional[float],  # noqa: UP045 - typer reads it
        typer.Option(
            min=0.001, help="Longest time to wait for the answer, in seconds.", show_default="the server's limit"
        ),
    ] = None,
    **filters: Any,
) -> None:
    """Ask a server for a report and print its tables."""
    if last:
        if start_date or end_date:
            raise typer.BadParameter("give either --last, or --start-date and --end-date", param_hint="--last")
        start_date, end_date = _last(last, datetime.now(UTC).date())
    try:
        asked_for = {"start_date": start_date, "end_date": end_date, "touch_scope": touch_scope, "limit": limit}
        include = [name for name, is_asked in (("balance", balance), ("landing", landing)) if is_asked]
        request = to_request({**asked_for, "include": include, **filters})
    except InvalidArgumentError as error:
        raise typer.BadParameter(error.description, param_hint=f"--{error.field.replace('_', '-')}") from None
    trusted = client_tls(tls, ca, client_cert, client_key)
    try:
        asked = client.ask(target, key, request, domain=domain, seconds=timeout, plan=plan, tls=trusted)
    except client.AskError as error:
        shown.say(_err, (error.status, "red"), f": {error}")
        raise typer.Exit(EXIT_FAULT) from None
    if json:
        sys.stdout.buffer.write(escaped_json(msgspec.json.format(asked.body)) + b"\n")
    else:
        _out.print(tables.answer(client.read(asked.body), rows=rows))
    if plan:
        # Beside the answer, which another program may read.
        shown.say(_err, ("plan", "bold"), f": {asked.plan or 'the server does not say'}")


def _last(text: str, today: date) -> tuple[str, str]:
    """Return the first and the last day of the days that end with today.

    Args:
        text: A number of days or weeks, as `30d` or `4w`.
        today: The day that is the last one.

    Raises:
        typer.BadParameter: It can't be read, or is no day, or more than a window may cover.
    """
    match = _LAST.fullmatch(text)
    days = int(match["number"]) * _DAYS_OF_UNIT[match["unit"]] if match else 0
    if not 1 <= days <= MAX_SPAN.days:
        raise typer.BadParameter(
            f"can't take {sentences.shown(text)} as a window; give a number of days or weeks, as 30d or 4w, from 1d to "
            f"{MAX_SPAN.days}d",
            param_hint="--last",
        )
    return f"{today - timedelta(days=days - 1)}", f"{today}"
