"""The locks of an embedded store: the engine's, which one process holds at a time, and those of single tasks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

from pageroles.errors import CancelledError, StoreLockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOK_SECONDS = 0.05
# In a folder while a store is made there of a backup: it is none before that has ended.
RESTORING = "restoring"


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
    with _opened(path, task) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stopping.wait(_LOOK_SECONDS):
                    raise CancelledError(f"another process is still {task}") from None
        yield


@contextlib.contextmanager
def kept_off(path: Path, task: str) -> Iterator[bool]:
    """Tell whether no process runs a task on the store in a folder; then none begins it while the block runs."""
    with _opened(path, task) as file:
        try:
            # Many may keep it off at once.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextlib.contextmanager
def _opened(path: Path, task: str) -> Iterator[int]:
    # To read is enough for a lock, and works where another user has made the file.
    file = os.open(path / f"{task}.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Mark a folder as no store until the block has ended well."""
    mark = path / RESTORING
    mark.touch()
    yield
    mark.unlink()


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
