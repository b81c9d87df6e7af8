"""`pageroles keys`: create, list and revoke API keys."""

from __future__ import annotations

import sys
from typing import Annotated, Optional

import typer
from rich.console import Console

from pageroles.access.keys import KeyStore
from pageroles.command import tables
from pageroles.command.options import StoreDsn
from pageroles.store.store import Store

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True, add_completion=False)

_out = Console()
_err = Console(stderr=True)


@app.command("create")
def create_key(
    store: StoreDsn,
    domain: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(help="Domain whose sessions the key may read."),
    ] = None,
    all_domains: Annotated[
        bool,
        typer.Option(
            "--all-domains", help="Let the key read any domain, named at each request; for internal services."
        ),
    ] = False,
) -> None:
    """Create a key and print it. It is not shown again: the store keeps only its hash."""
    if all_domains == (domain is not None):
        raise typer.BadParameter("give either --domain DOMAIN or --all-domains")
    with Store.open(store) as opened:
        opened.check()
        key, record = KeyStore(opened).create(domain)
    readable = "all domains" if record.all_domains else record.domain
    _err.print(f"key {record.id} for {readable}; it is not shown again:", highlight=False)
    sys.stdout.write(f"{key}\n")


@app.command("list")
def list_keys(store: StoreDsn) -> None:
    """List all keys, revoked ones included."""
    with Store.open(store) as opened:
        opened.check()
        _out.print(tables.keys(KeyStore(opened).list()))


@app.command("revoke")
def revoke_key(
    store: StoreDsn, key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, from `keys list`.")]
) -> None:
    """Revoke a key; every server refuses it within 30 seconds."""
    with Store.open(store) as opened:
        opened.check()
        record = KeyStore(opened).revoke(key_id)
    _err.print(f"key {record.id} is revoked", highlight=False)
