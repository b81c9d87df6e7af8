"""The socket in the folder of an embedded store, by which other processes reach the one that holds it.

Only who may read the files of the folder's owner can connect: the socket has the mode 0600.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "server.sock"


def listen(folder: Path) -> socket.socket:
    """Return a socket that listens in a folder, in place of one that a killed process has left there."""
    remove(folder)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _named(folder) as path:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    listener.listen(128)
    return listener


def remove(folder: Path) -> None:
    """Remove the socket of a folder; both may be gone."""
    with contextlib.suppress(FileNotFoundError), _named(folder) as path:
        path.unlink()


def connect(folder: Path) -> socket.socket:
    """Connect to the process that listens in a folder.

    Raises:
        OSError: None does, or this process may not.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _named(folder) as path:
            connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[Path]:
    """Name the socket of a folder by a short path: that of a socket may have 107 bytes."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{opened}/{_NAME}")
    finally:
        os.close(opened)
