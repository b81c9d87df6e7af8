"""`pageroles load`: load sessions from files, into a store or through a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from pageroles.client.errors import RequestError
from pageroles.client.sending import SessionSender
from pageroles.command import progress, shown
from pageroles.command.options import (
    EXIT_BAD_ROWS,
    EXIT_FAULT,
    Ca,
    ClientCert,
    ClientKey,
    StoreDsn,
    Tls,
    client_tls,
    from_file,
)
from pageroles.ingest import loader
from pageroles.sentences import counted
from pageroles.sentences import shown as quoted
from pageroles.store.recovery import recover
from pageroles.store.store import Store

if TYPE_CHECKING:
    from pageroles.ingest.loader import LoadSummary
    from pageroles.settings import ClientTls

app = typer.Typer(add_completion=False)

_err = shown.console(stderr=True)

_MOST_PLACEHOLDERS = 10


@app.command()
def load(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="JSON Lines, plain or packed, or Parquet; - for standard input.")
    ],
    store: StoreDsn,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Load rows with unknown fields, without these.")
    ] = False,
    target: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(
            metavar="HOST:PORT",
            help="Address of a gRPC server to send the sessions to; --store is not used then.",
            show_default="none: the sessions go into the store",
        ),
    ] = None,
    key: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(
            envvar="PAGEROLES_KEY",
            callback=from_file,
            help="API key for the server, with the permission to write, or @FILE, a file that holds it.",
        ),
    ] = None,
    tls: Tls = False,
    ca: Ca = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
) -> None:
    """Load sessions; loading them again changes nothing. Bad rows go to FILE.rejected.jsonl; the exit code is 2."""
    with progress.interruptible(_err, "run it again to load the rest"):
        if target is None:
            summary = _load(store, files, ignore_unknown=ignore_unknown)
        else:
            if key is None:
                raise typer.BadParameter("give the API key for the server", param_hint="--key")
            trusted = client_tls(tls, ca, client_cert, client_key)
            summary = _send(target, key, trusted, files, ignore_unknown=ignore_unknown)
    _print_summary(summary)
    if summary.rejected:
        raise typer.Exit(EXIT_BAD_ROWS)


def _load(store: str, files: list[str], *, ignore_unknown: bool) -> LoadSummary:
    with Store.open(store) as opened:
        opened.check()
        recover(opened, before_writing=True)
        with progress.bar(_err) as report:
            return loader.load(opened, files, report=report, ignore_unknown=ignore_unknown)


def _send(target: str, key: str, tls: ClientTls | None, files: list[str], *, ignore_unknown: bool) -> LoadSummary:
    try:
        with SessionSender(target, key, tls) as sender:
            # Before a file is read, and its rejects file is removed.
            sender.write([])
            with progress.bar(_err) as report:
                return loader.send(sender.batch, files, report=report, ignore_unknown=ignore_unknown)
    except RequestError as error:
        shown.say(_err, (error.code.upper(), "red"), f": {error}")
        raise typer.Exit(EXIT_FAULT) from None


def _print_summary(summary: LoadSummary) -> None:
    """Print what became of the rows, and what they tell of their sources."""
    stored = summary.stored
    rate = summary.loaded / summary.seconds if summary.seconds else 0
    # A server does not say what the sessions were before.
    known = "" if stored.elsewhere else f": {stored.new:,} new, {stored.replaced:,} replaced"
    shown.say(
        _err,
        f"{counted(summary.loaded, 'session')} loaded in {summary.seconds:.1f} s ({rate:,.0f} a second){known}",
    )
    blank, ignored = (
        sum(counts) for counts in zip(*((file.blank, file.ignored) for file in summary.files), strict=True)
    )
    sentences = (
        (stored.moved_users, "session moved to another user", "sessions moved to another user"),
        (stored.moved_starts, "session moved to another start", "sessions moved to another start"),
        (
            stored.outdated,
            "session is older than what is stored of it",
            "sessions are older than what is stored of them",
        ),
        (
            summary.repeated,
            "more row gave way to another one of its session",
            "more rows gave way to others of their session",
        ),
        (ignored, "row was loaded without its unknown fields", "rows were loaded without their unknown fields"),
        (blank, "blank line", "blank lines"),
    )
    for count, one, several in sentences:
        if count:
            shown.say(_err, counted(count, one, several))
    for user, count in stored.placeholders.most_common(_MOST_PLACEHOLDERS):
        sessions = f"{counted(count, 'session has', 'sessions have')} the user {quoted(user)}"
        shown.say(_err, (sessions, "yellow"), ", which looks like a placeholder: all of them count as one user's")
    for name in summary.passed_over:
        shown.say(_err, f"{name} passed over: it holds the rejected rows of an earlier load")
    for file in summary.files:
        if file.rejected:
            rows = f"{counted(file.rejected, 'row')} of {file.source} rejected"
            shown.say(_err, (rows, "yellow"), f": see {file.rejects}")
        if file.advice:
            shown.say(_err, f"{file.source}: {file.advice}")
