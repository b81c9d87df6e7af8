"""`pageroles domains`: set and list the monthly request quotas of domains."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Optional

import typer

from pageroles.access.domains import StoredDomains
from pageroles.access.quotas import QuotaStore
from pageroles.command import shown, tables
from pageroles.command.options import StoreDsn
from pageroles.sentences import counted
from pageroles.store.store import Store

app = typer.Typer(help="Set and list monthly request quotas of domains.", no_args_is_help=True, add_completion=False)

_out = shown.console()
_err = shown.console(stderr=True)


@app.command("quota")
def set_quota(
    store: StoreDsn,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="Domain that the quota is for.")],
    limit: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it
        typer.Option(min=0, help="Requests that the domain may make in a month of UTC."),
    ] = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Remove the quota.")] = False,
) -> None:
    """Set or remove the monthly quota of a domain; servers apply it within 10 seconds."""
    if unlimited == (limit is not None):
        raise typer.BadParameter("give either --limit NUMBER or --unlimited")
    with Store.open(store) as opened:
        opened.check()
        QuotaStore(opened).set(domain, limit)
        warned = warning(StoredDomains(opened), domain)
    quota = "no quota" if limit is None else f"{counted(limit, 'request')} a month"
    shown.say(_err, f"{domain}: {quota}")
    if warned:
        shown.say(_err, warned)


@app.command("list")
def list_quotas(store: StoreDsn) -> None:
    """List the domains with a quota, and their requests of this month."""
    with Store.open(store, create=False) as opened:
        opened.check()
        _out.print(tables.quotas(QuotaStore(opened).all(f"{datetime.now(UTC):%Y-%m}")))


def warning(domains: StoredDomains, domain: str) -> str | None:
    """Return a sentence about a domain that has no sessions; None where it has some."""
    if domains.has_sessions(domain):
        return None
    nearest = domains.nearest(domain)
    meant = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
    return f"no sessions of {domain} are stored{meant}"
