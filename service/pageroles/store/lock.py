"""The lock of an embedded store, which one process holds at a time."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

from pageroles.errors import StoreLockedError

if TYPE_CHECKING:
    from pathlib import Path


def refuse_if_locked(path: Path) -> None:
    """Refuse a folder whose embedded store another process holds.

    The engine checks its lock, too, but writes the reason to standard error only.

    Raises:
        StoreLockedError: Another process holds the store.
    """
    with contextlib.suppress(FileNotFoundError), lock_file(path).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise locked(path) from None


def lock_file(path: Path) -> Path:
    """Return the file that the engine locks while it holds a store."""
    return path / "status"


def locked(path: Path) -> StoreLockedError:
    """Return the error for a store that another process holds."""
    return StoreLockedError(
        f"another process holds the embedded store at {path}, perhaps a running `pageroles serve`, `demo` or `load`: "
        "stop it first, give another folder with --store, or use a ClickHouse server, which many processes can share",
        path,
    )
