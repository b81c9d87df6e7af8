"""`pageroles erase`: erase sessions from every table."""

from __future__ import annotations

from typing import Annotated, Optional

import typer
from rich.console import Console

from pageroles.access.domains import StoredDomains
from pageroles.command import domains
from pageroles.command.options import StoreDsn
from pageroles.question import window
from pageroles.store import erasure
from pageroles.store.erasure import Erased, Erasure
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)

_err = Console(stderr=True)


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
        if existed and whole and not yes and not typer.confirm(f"Erase all sessions of {domain}?", err=True):
            _err.print("nothing was erased", highlight=False)
            raise typer.Exit
        # Also where there is nothing: it finishes an erasure that was cut short.
        erased = erasure.erase(opened, wanted)
        warned = None if existed else domains.warning(StoredDomains(opened), domain)
    _print_erased(domain, erased, warned)


def _print_erased(domain: str, erased: Erased, warned: str | None) -> None:
    """Print what was erased; `warned` says that no sessions of the domain are stored."""
    if erased.sessions:
        _err.print(f"{erased.sessions:,} sessions of {erased.users:,} users erased", highlight=False)
    else:
        why = warned or f"no such session of {domain} is stored"
        _err.print(f"nothing to erase: {why}", highlight=False, markup=False, soft_wrap=True)
    if erased.old_parts:
        _err.print(
            f"{erased.old_parts:,} old parts are still on disk; ClickHouse removes them within eight minutes while "
            "the store is open",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
