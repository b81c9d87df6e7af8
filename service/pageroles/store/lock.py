"""The locks of an embedded store: the engine's, which one process holds at a time, and those of single tasks."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from typing import TYPE_CHECKING

from pageroles.errors import CancelledError, StoreLockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOK_SECONDS = 0.05


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


@contextlib.contextmanager
def alone(path: Path, task: str, stopping: threading.Event | None = None) -> Iterator[None]:
    """Run the block while no other process runs one of the same task on the store in a folder; wait until then.

    Args:
        path: The folder.
        task: The name of the task.
        stopping: When it is set, the waiting ends.

    Raises:
        CancelledError: `stopping` was set.
    """
    stopping = stopping or threading.Event()
    with (path / f"{task}.lock").open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stopping.wait(_LOOK_SECONDS):
                    raise CancelledError(f"another process is still {task}") from None
        yield


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
