"""`pageroles domains`: monthly quotas of requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Optional

import typer
from rich.console import Console

from pageroles.access.quotas import QuotaStore
from pageroles.command import tables
from pageroles.command.options import StoreDsn
from pageroles.store.store import Store

app = typer.Typer(help="Monthly quotas of requests per domain.", no_args_is_help=True)

_out = Console()
_err = Console(stderr=True)


@app.command("quota")
def set_quota(
    store: StoreDsn,
    domain: Annotated[str, typer.Argument(help="The domain.")],
    limit: Annotated[Optional[int], typer.Option(min=0, help="Requests a month.")] = None,  # noqa: UP045
    unlimited: Annotated[bool, typer.Option("--unlimited", help="As many as it likes.")] = False,
) -> None:
    """Set how many requests a domain may make in a month; servers follow within 10 seconds."""
    if unlimited == (limit is not None):
        raise typer.BadParameter("give either --limit NUMBER or --unlimited")
    with Store.open(store) as opened:
        opened.check()
        QuotaStore(opened).set(domain, limit)
    _err.print(f"{domain}: {'no quota' if limit is None else f'{limit:,} requests a month'}", highlight=False)


@app.command("list")
def list_quotas(store: StoreDsn) -> None:
    """List the domains that have a quota, with this month's count."""
    with Store.open(store) as opened:
        opened.check()
        _out.print(tables.quotas(QuotaStore(opened).all(f"{datetime.now(UTC):%Y-%m}")))
