"""Open ClickHouse in either form: embedded in this process, or a server.

Both forms have the same clients, those of clickhouse-connect. They differ in how many queries a client runs at once,
and in what can fail when they are opened.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from pageroles.errors import SettingError, StoreLockedError, StoreUnavailableError
from pageroles.store.held import Held
from pageroles.store.lock import RESTORING, refuse_if_locked
from pageroles.store.server import Server, without_password

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

    from pageroles.store.changes import Changes
    from pageroles.store.interface import Interface

# The driver logs failures and raises them as well; we report what is raised.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


class Engine(Protocol):
    """Lends clients to readers and writers; safe to use from many threads.

    Attributes:
        embedded: Whether the engine runs in this process.
    """

    embedded: bool

    @property
    def changes(self) -> Changes | None:
        """What counts the changes of an embedded store; None where other processes change it past this one."""

    @property
    def folder(self) -> Path | None:
        """The folder of an embedded store; None for a server."""

    @property
    def connections(self) -> int:
        """How many connections to a server were made so far; a server that was restarted is reached by a new one."""

    def reader(self, seconds: float = math.inf) -> contextlib.AbstractContextManager[Client]:
        """Lend a client for one query; wait while all are lent.

        Args:
            seconds: The time that a server may stay silent; at most what it may by the way it was opened.
        """

    def control(self, seconds: float = math.inf) -> contextlib.AbstractContextManager[Client]:
        """Lend the client that stops queries and reads the schema; reports never hold it."""

    def writer(self, seconds: float = math.inf) -> contextlib.AbstractContextManager[Client]:
        """Lend the client that changes the store; wait while it is lent."""

    def apart(self, seconds: float) -> Engine:
        """Return an engine of the same store whose one client nothing else holds, and which waits for `seconds`.

        Raises:
            StoreUnavailableError: The store can't be reached.
        """

    def interface(self) -> Interface | None:
        """Return what answers other processes on this machine; None where this process does not hold the store."""

    def in_place(self) -> bool:
        """Return whether the store is still where it was opened; True for a server, which only a query can tell."""

    def close(self) -> None:
        """Close all clients."""


def connect(dsn: str, readers: int, silence: float, *, create: bool = True, alone: bool = False) -> Engine:
    """Open the engine that a DSN names.

    Args:
        dsn: `chdb:///path/to/folder`, or `clickhouse://user:password@host:8123/database`.
        readers: The most streams that may be open at once.
        silence: Seconds after which the connection to a server that sends nothing is closed.
        create: Make an embedded store where there is none.
        alone: Refuse an embedded store that a server holds, which otherwise is reached through that server.

    Raises:
        SettingError: The DSN can't be used, the embedded engine isn't installed, or there is no store and none may be
            made; or the server that holds the embedded store is of another version of pageroles.
        StoreLockedError: Another process holds the embedded store, and is no server or may not be one.
        StoreUnavailableError: The server can't be reached or refuses the connection.
    """
    parts = _parts(dsn)
    if parts.scheme == "chdb":
        path = _embedded_path(dsn, parts)
        _refuse_folder(path, create=create)
        try:
            refuse_if_locked(path)
        except StoreLockedError:
            if alone or (held := _held(path)) is None:
                raise
            return held
        return open_embedded(path, readers)
    if parts.scheme in {"clickhouse", "clickhouses", "http", "https"}:
        return Server(dsn, readers, silence)
    raise SettingError(f"can't use the store {without_password(dsn)!r}: give {_FORMS}")


_FORMS = "chdb:///path/to/folder for an embedded store or clickhouse://user:password@host:8123/database for a server"
# What the engine makes in the folder of a store, before anything else.
_MADE_BY_ENGINE = ("status", "metadata", "store", "data")


def _parts(dsn: str) -> SplitResult:
    """Take a DSN apart.

    Raises:
        SettingError: It is no address; the sentence does not show it, since a password may be anywhere in it.
    """
    try:
        parts = urlsplit(dsn)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is None or (parts.scheme != "chdb" and parts.scheme and not parts.hostname):
        raise SettingError(
            f"can't read the address of the store: give {_FORMS}; the port is a number up to 65535, an IPv6 address "
            "stands in brackets, and of a user or a password the characters / ? # @ : % are written as %2F %3F %23 %40 "
            "%3A %25"
        )
    return parts


def embedded_folder(dsn: str) -> Path | None:
    """Return the folder of the embedded store that a DSN names; None where it names a server.

    Raises:
        SettingError: The DSN can't be used.
    """
    parts = _parts(dsn)
    return _embedded_path(dsn, parts) if parts.scheme == "chdb" else None


def open_embedded(path: Path, readers: int) -> Engine:
    """Open the embedded engine on a folder, whatever is there.

    Raises:
        SettingError: The embedded engine isn't installed, or the folder can't be created.
        StoreLockedError: Another process holds the store.
        StoreUnavailableError: The engine can't open it.
    """
    return _embedded_engine()(path, readers)


def _held(path: Path) -> Held | None:
    """Return the store in a folder as the server has it that holds it; None where no server does."""
    try:
        return Held(path)
    except StoreUnavailableError:
        return None


def _embedded_engine() -> Callable[[Path, int], Engine]:
    """Import the embedded engine, which is optional and slow to load."""
    try:
        module = importlib.import_module("pageroles.store.embedded")
    except ModuleNotFoundError as error:
        if error.name != "chdb":
            raise
        raise SettingError(
            'the embedded engine is not installed: run pip install "pageroles[embedded]", or give a ClickHouse server '
            "with --store"
        ) from None
    engine: Callable[[Path, int], Engine] = module.Embedded
    return engine


def _embedded_path(dsn: str, parts: SplitResult) -> Path:
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or path == "/":
        raise SettingError(
            f"can't use the store {dsn!r}: give the whole path of the folder of an embedded store, "
            "chdb:///path/to/folder"
        )
    if os.fsencode(path).decode(errors="replace") != path:
        raise SettingError(f"can't use the store {dsn!r}: the engine takes the names of folders in UTF-8 only")
    return Path(path).resolve()


def _refuse_folder(path: Path, *, create: bool) -> None:
    """Refuse a folder that can't be that of an embedded store.

    Raises:
        SettingError: It has other files, can't be written to, was not restored to its end, or has no store where none
            may be made.
    """
    try:
        entries = {entry.name: entry for entry in path.iterdir()} if path.exists() else {}
    except OSError as error:
        raise SettingError(f"can't use {path} as the folder of an embedded store: {error.strerror}") from None
    if RESTORING in entries:
        raise SettingError(
            f"the store in {path} was not restored to its end: remove the folder, and run `pageroles restore` again"
        )
    # A folder of that name may also be that of a whole store within this one.
    own = [name for name in _MADE_BY_ENGINE if name in entries and not (entries[name] / "metadata").is_dir()]
    if not own:
        within = sorted(name for name, entry in entries.items() if (entry / "metadata").is_dir())
        hint = f"; {path / within[0]} has one" if within else ""
        if entries:
            raise SettingError(
                f"there is no store in {path}, but other files{hint}: give the folder of a store, or a new one, with "
                "--store"
            )
        if not create:
            raise SettingError(
                f"there is no store in {path}: give its folder with --store; `pageroles load` makes a new one"
            )
    written = next((at for at in (path, *path.parents) if at.exists()), path)
    if not os.access(written, os.W_OK | os.X_OK):
        raise SettingError(
            f"can't write to {written}: the folder of an embedded store must be writable, also for those who only read"
        )
