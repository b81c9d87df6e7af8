"""`pageroles keys`: API keys are made, listed and revoked."""

from __future__ import annotations

import sys
from typing import Annotated, Optional

import typer
from rich.console import Console

from pageroles.access.keys import KeyStore
from pageroles.command import tables
from pageroles.command.options import StoreDsn
from pageroles.store.store import Store

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

_out = Console()
_err = Console(stderr=True)


@app.command("create")
def create_key(
    store: StoreDsn,
    domain: Annotated[Optional[str], typer.Option(help="The domain whose sessions the key reads.")] = None,  # noqa: UP045
    all_domains: Annotated[bool, typer.Option("--all-domains", help="For internal services: any domain.")] = False,
) -> None:
    """Make a key and print it, this once."""
    if all_domains == (domain is not None):
        raise typer.BadParameter("give either --domain DOMAIN or --all-domains")
    with Store.open(store) as opened:
        opened.check()
        key, record = KeyStore(opened).create(domain)
    whose = "all domains" if record.all_domains else record.domain
    _err.print(f"key {record.id} for {whose}; it is shown only now:", highlight=False)
    sys.stdout.write(f"{key}\n")


@app.command("list")
def list_keys(store: StoreDsn) -> None:
    """List all keys, revoked ones too."""
    with Store.open(store) as opened:
        opened.check()
        _out.print(tables.keys(KeyStore(opened).list()))


@app.command("revoke")
def revoke_key(
    store: StoreDsn, key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")]
) -> None:
    """Revoke a key; servers refuse it within 30 seconds."""
    with Store.open(store) as opened:
        opened.check()
        record = KeyStore(opened).revoke(key_id)
    _err.print(f"key {record.id} is revoked", highlight=False)
