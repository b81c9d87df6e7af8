"""`pageroles backup`: copy an embedded store, also while a server holds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import filesize

from pageroles.command import progress, shown
from pageroles.command.options import StoreDsn
from pageroles.sentences import counted
from pageroles.store import backup as backups
from pageroles.store.store import Store

if TYPE_CHECKING:
    from pageroles.store.backup import Backup

app = typer.Typer(add_completion=False)

_err = shown.console(stderr=True)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the backup.")],
    store: StoreDsn,
) -> None:
    """Back up an embedded store as it is at one moment, also while it is served and written to."""
    with progress.interruptible(_err, "no backup was made"), Store.open(store, create=False) as opened:
        opened.check()
        with _err.status("freezing") as status:
            made = backups.make(opened, folder, lambda size: status.update(f"copying: {filesize.decimal(size)}"))
    shown.say(_err, f"backup of {moment(made)} in {folder}: {size(made)}")


def moment(backup: Backup) -> str:
    """Return the moment that a backup is of."""
    return f"{backup.taken_at:%Y-%m-%d %H:%M:%S} UTC"


def size(backup: Backup) -> str:
    """Return how large a backup is."""
    return f"{counted(len(backup.files), 'file')}, {filesize.decimal(backup.bytes)}"
