"""Who holds an embedded store: one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

from pageroles.errors import StoreLockedError

if TYPE_CHECKING:
    from pathlib import Path


def refuse_if_locked(path: Path) -> None:
    """Make sure that no process holds the embedded store in a folder.

    The engine looks at its lock, too, but tells the reason to standard error only.

    Raises:
        StoreLockedError: One does.
    """
    status = path / "status"
    with contextlib.suppress(FileNotFoundError), status.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise locked(path) from None


def locked(path: Path) -> StoreLockedError:
    """Return the error for a store that another process holds."""
    return StoreLockedError(
        f"another process holds the embedded store at {path} (a running `pageroles serve`, `demo` or `load`?), and "
        "only one can: stop it first, give another folder with --store, or use a ClickHouse server, which many "
        "processes can share"
    )
