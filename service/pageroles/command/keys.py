"""`pageroles keys`: create, list and revoke API keys."""

from __future__ import annotations

import sys
from typing import Annotated, Optional

import typer

from pageroles.access.domains import StoredDomains
from pageroles.access.keys import KeyStore, Permission
from pageroles.command import domains, shown, tables
from pageroles.command.options import StoreDsn
from pageroles.question import window
from pageroles.store.store import Store

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True, add_completion=False)

_out = shown.console()
_err = shown.console(stderr=True)


@app.command("create")
def create_key(
    store: StoreDsn,
    domain: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(help="Domain whose sessions the key is for."),
    ] = None,
    all_domains: Annotated[
        bool,
        typer.Option(
            "--all-domains", help="Let the key be for any domain, named at each request; for internal services."
        ),
    ] = False,
    allow: Annotated[
        str,
        typer.Option(
            metavar="PERMISSION,…",
            help="What the key may do, separated by commas: report (ask for reports), sessions (see single sessions), "
            "write (write sessions).",
        ),
    ] = Permission.REPORT.value,
    name: Annotated[str, typer.Option(help="Name to know the key by in `keys list`.")] = "",
    expires: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(
            metavar="DATE",
            help="Date or ISO 8601 date-time from when on the key no longer works.",
            show_default="it works until it is revoked",
        ),
    ] = None,
) -> None:
    """Create a key and print it. It is not shown again: the store keeps only its hash."""
    if all_domains == (domain is not None):
        raise typer.BadParameter("give either --domain DOMAIN or --all-domains")
    ends = window.first_instant("expires", expires) if expires is not None else None
    with Store.open(store) as opened:
        opened.check()
        key, record = KeyStore(opened).create(domain, permissions=_permissions(allow), name=name, expires_at=ends)
        warning = None if domain is None else domains.warning(StoredDomains(opened), domain)
    readable = "all domains" if record.all_domains else record.domain
    shown.say(_err, f"key {record.id} for {readable}; it is not shown again:")
    sys.stdout.write(f"{key}\n")
    if warning:
        shown.say(_err, warning)


def _permissions(text: str) -> list[Permission]:
    try:
        return [Permission(part.strip()) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no list of permissions; give one or more of {', '.join(Permission)}", param_hint="--allow"
        ) from None


@app.command("list")
def list_keys(store: StoreDsn) -> None:
    """List all keys, those that no longer work included."""
    with Store.open(store, create=False) as opened:
        opened.check()
        keys = KeyStore(opened)
        _out.print(tables.keys(keys.list(), keys.last_uses()))


@app.command("revoke")
def revoke_key(
    store: StoreDsn, key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, from `keys list`.")]
) -> None:
    """Revoke a key; every server refuses it within 30 seconds."""
    with Store.open(store, create=False) as opened:
        opened.check()
        record = KeyStore(opened).revoke(key_id)
    shown.say(_err, f"key {record.id} is revoked")
