"""`pageroles restore`: make an embedded store of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import filesize

from pageroles.command import backup as backups
from pageroles.command import progress, shown
from pageroles.command.options import StoreDsn
from pageroles.store.backup import restore as restored
from pageroles.store.recovery import recover
from pageroles.store.store import Store

app = typer.Typer(add_completion=False)

_err = shown.console(stderr=True)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the backup.")],
    store: StoreDsn,
) -> None:
    """Restore a backup into an embedded store whose folder is empty or new."""
    with progress.interruptible(_err, "run it again, into an empty folder"):
        with _err.status("restoring") as status:
            backup = restored(store, folder, lambda size: status.update(f"copying: {filesize.decimal(size)}"))
        # Migrates it, and finishes what was half-done at the moment of the backup.
        with Store.open(store) as opened:
            recover(opened)
    shown.say(_err, f"the store is restored as it was at {backups.moment(backup)}: {backups.size(backup)}")
