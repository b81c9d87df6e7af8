"""`pageroles erase`: erase sessions from every table."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from pageroles.access.domains import StoredDomains
from pageroles.command import domains, shown
from pageroles.command.options import StoreDsn
from pageroles.question import window
from pageroles.sentences import counted, escaped
from pageroles.store import erasure
from pageroles.store.erasure import Erased, Erasure
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)

_err = shown.console(stderr=True)


@app.command()
def erase(
    store: StoreDsn,
    domain: Annotated[str, typer.Option(help="Domain whose sessions to erase.")],
    user: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(metavar="ID", help="Erase the sessions of which any stored version is this user's."),
    ] = None,
    session: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(metavar="ID", help="Erase this session."),
    ] = None,
    before: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(metavar="DATE", help="Erase the sessions that started before this date or ISO 8601 date-time."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase all sessions of the domain without asking.")] = False,
) -> None:
    """Erase sessions: answers are then as if they had never been stored. Without a condition, all of the domain."""
    wanted = Erasure(domain, user, session, window.first_instant("before", before) if before is not None else None)
    with Store.open(store, create=False) as opened:
        opened.check()
        existed = erasure.has_sessions(opened, domain)
        whole = wanted == Erasure(domain)
        if existed and whole and not yes and not typer.confirm(f"Erase all sessions of {escaped(domain)}?", err=True):
            shown.say(_err, "nothing was erased")
            raise typer.Exit
        # Also where there is nothing: it finishes an erasure that was cut short.
        erased = erasure.erase(opened, wanted)
        warned = None if existed else domains.warning(StoredDomains(opened), domain)
    _print_erased(domain, erased, warned)


def _print_erased(domain: str, erased: Erased, warned: str | None) -> None:
    """Print what was erased; `warned` says that no sessions of the domain are stored."""
    if erased.sessions:
        shown.say(_err, f"{counted(erased.sessions, 'session')} of {counted(erased.users, 'user')} erased")
    else:
        shown.say(_err, f"nothing to erase: {warned or f'no such session of {domain} is stored'}")
    if erased.old_parts:
        parts = counted(erased.old_parts, "old part is", "old parts are")
        shown.say(_err, f"{parts} still on disk; ClickHouse removes them within eight minutes while the store is open")
