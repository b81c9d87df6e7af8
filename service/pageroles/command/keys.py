"""The parts of the command that administer a store: API keys and quotas."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

Store = Annotated[
    str,
    typer.Option(
        envvar="PAGEROLES_STORE",
        help="The ClickHouse to use: chdb:///path/to/folder (embedded) or clickhouse://user:password@host:8123/database.",
        default_factory=lambda: f"chdb://{Path.cwd() / '.pageroles'}",
        show_default="chdb:///<here>/.pageroles",
    ),
]
keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
domains_app = typer.Typer(help="Monthly quotas of requests per domain.", no_args_is_help=True)

_out = Console()
_err = Console(stderr=True)


@keys_app.command("create")
def create_key(
    store: Store,
    domain: Annotated[Optional[str], typer.Option(help="The domain whose sessions the key reads.")] = None,  # noqa: UP045
    all_domains: Annotated[bool, typer.Option("--all-domains", help="For internal services: any domain.")] = False,
) -> None:
    """Make a key and print it, this once."""
    from pageroles.access.keys import KeyStore  # noqa: PLC0415
    from pageroles.store.store import Store as OpenStore  # noqa: PLC0415

    if all_domains == (domain is not None):
        raise typer.BadParameter("give either --domain DOMAIN or --all-domains")
    with OpenStore.open(store) as opened:
        opened.check()
        key, record = KeyStore(opened).create(domain)
    whose = "all domains" if record.all_domains else record.domain
    _err.print(f"key {record.id} for {whose}; it is shown only now:", highlight=False)
    sys.stdout.write(f"{key}\n")


@keys_app.command("list")
def list_keys(store: Store) -> None:
    """List all keys, revoked ones too."""
    from pageroles.access.keys import KeyStore  # noqa: PLC0415
    from pageroles.command import tables  # noqa: PLC0415
    from pageroles.store.store import Store as OpenStore  # noqa: PLC0415

    with OpenStore.open(store) as opened:
        opened.check()
        _out.print(tables.keys(KeyStore(opened).list()))


@keys_app.command("revoke")
def revoke_key(
    store: Store, key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")]
) -> None:
    """Revoke a key; servers refuse it within 30 seconds."""
    from pageroles.access.keys import KeyStore  # noqa: PLC0415
    from pageroles.store.store import Store as OpenStore  # noqa: PLC0415

    with OpenStore.open(store) as opened:
        opened.check()
        record = KeyStore(opened).revoke(key_id)
    _err.print(f"key {record.id} is revoked", highlight=False)


@domains_app.command("quota")
def set_quota(
    store: Store,
    domain: Annotated[str, typer.Argument(help="The domain.")],
    limit: Annotated[Optional[int], typer.Option(min=0, help="Requests a month.")] = None,  # noqa: UP045
    unlimited: Annotated[bool, typer.Option("--unlimited", help="As many as it likes.")] = False,
) -> None:
    """Set how many requests a domain may make in a month; servers follow within 10 seconds."""
    from pageroles.access.quotas import QuotaStore  # noqa: PLC0415
    from pageroles.store.store import Store as OpenStore  # noqa: PLC0415

    if unlimited == (limit is not None):
        raise typer.BadParameter("give either --limit NUMBER or --unlimited")
    with OpenStore.open(store) as opened:
        opened.check()
        QuotaStore(opened).set(domain, limit)
    _err.print(f"{domain}: {'no quota' if limit is None else f'{limit:,} requests a month'}", highlight=False)


@domains_app.command("list")
def list_quotas(store: Store) -> None:
    """List the domains that have a quota, with this month's count."""
    from pageroles.access.quotas import QuotaStore  # noqa: PLC0415
    from pageroles.command import tables  # noqa: PLC0415
    from pageroles.store.store import Store as OpenStore  # noqa: PLC0415

    with OpenStore.open(store) as opened:
        opened.check()
        _out.print(tables.quotas(QuotaStore(opened).all(f"{datetime.now(UTC):%Y-%m}")))
