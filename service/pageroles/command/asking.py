"""What the commands that ask a server share: whom they ask, which question, and how a refusal is told."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from pageroles import sentences
from pageroles.client import Client, RequestError
from pageroles.command import shown
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
from pageroles.question import window
from pageroles.question.filters import FILTERS
from pageroles.question.request import SCOPES
from pageroles.question.window import MAX_SPAN
from pageroles.transport.tls import client_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pageroles.client import Question
    from pageroles.question.model import Window
    from pageroles.settings import ClientTls

_DAYS_OF_UNIT = {"d": 1, "w": 7}
_LAST = re.compile(r"(?P<number>\d{1,4})(?P<unit>[dw])", re.ASCII)

_err = shown.console(stderr=True)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a command was asked with.

    Attributes:
        question: The question.
    """

    target: str
    key: str
    domain: str | None
    tls: ClientTls | None
    timeout: float | None
    question: Question

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """Give a client of the server; tell a refusal, and exit.

        Raises:
            SettingError: The files of TLS can't be used.
            typer.Exit: The server refused, or can't be reached.
        """
        self._tell_of_shorter_window()
        tls = client_credentials(self.tls) or False
        with Client(self.target, self.key, domain=self.domain, tls=tls, timeout=self.timeout) as opened:
            try:
                yield opened
            except RequestError as error:
                shown.say(_err, (error.code.upper(), "red"), f": {error}")
                raise typer.Exit(EXIT_FAULT) from None

    def window(self) -> Window | None:
        """Return the window that the dates stand for now; None where a server will refuse them."""
        start, end = (str(self.question.get(name) or "") for name in ("start_date", "end_date"))
        try:
            return window.resolve(start, end, datetime.now(UTC))
        except InvalidArgumentError:
            return None

    def _tell_of_shorter_window(self) -> None:
        """Say that the window is shorter than the dates are apart, if it is."""
        start, covered = str(self.question.get("start_date") or ""), self.window()
        if start and covered and covered.start > window.first_instant("start_date", start):
            shown.say(
                _err,
                f"a window covers at most {MAX_SPAN.days} days and an hour: this one starts at "
                f"{sentences.instant(covered.start)}, not at {start}",
            )


def _options(
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
    timeout: Annotated[
        Optional[float],  # noqa: UP045 - typer reads it
        typer.Option(
            min=0.001, help="Longest time to wait for the answer, in seconds.", show_default="the server's limit"
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
    **filters: Any,
) -> Asked:
    """Return what these options say."""
    if last:
        if start_date or end_date:
            raise typer.BadParameter("give either --last, or --start-date and --end-date", param_hint="--last")
        start_date, end_date = last_days(last, datetime.now(UTC).date())
    refuse_unknown("--touch-scope", "scope", touch_scope, SCOPES)
    question: Any = {"start_date": start_date, "end_date": end_date, "touch_scope": touch_scope, **filters}
    return Asked(target, key, domain, client_tls(tls, ca, client_cert, client_key), timeout, question)


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes `asked` the options that stand for it; typer reads options from the signature."""
    shared = [each for each in _parameters(_options) if each.kind is not inspect.Parameter.VAR_KEYWORD]
    own = [each for each in _parameters(command) if each.name != "asked"]
    filters = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default="",
            annotation=Annotated[str, typer.Option(help=each.help.replace("`", ""))],
        )
        for each in FILTERS
    ]
    names = [each.name for each in (*shared, *filters)]

    def asking(**given: Any) -> None:
        command(_options(**{name: given.pop(name) for name in names}), **given)

    asking.__name__, asking.__doc__ = command.__name__, command.__doc__
    asking.__signature__ = inspect.Signature([*shared, *own, *filters])  # type: ignore[attr-defined]
    asking.__annotations__ = {each.name: each.annotation for each in (*shared, *own, *filters)}
    return asking


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    found = inspect.signature(function, eval_str=True).parameters.values()
    # As options all are given by name, and so those without a default may stand anywhere.
    return [
        each if each.kind is inspect.Parameter.VAR_KEYWORD else each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in found
    ]


def refuse_unknown(option: str, what: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value of an option that there is not.

    Raises:
        typer.BadParameter: The value is not among the known ones.
    """
    if value not in known:
        raise typer.BadParameter(
            f"there is no {what} {sentences.shown(value)}; give one of {', '.join(known)}", param_hint=option
        )


def last_days(text: str, today: date) -> tuple[str, str]:
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
