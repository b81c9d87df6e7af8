"""Back an embedded store up while it is written to, and make a store of a backup.

ClickHouse freezes a table by hard links to its parts, whose files never change. While all tables are frozen, changes
wait: so a backup is of one moment. The files are copied after that. What was half-done at the moment, a write or an
erasure, is half-done in the backup, too; who opens the restored store finishes it, as after a kill.

The list of all files is written last. Without it, or with other files than it says, a folder is no backup.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pageroles import __version__
from pageroles.errors import InternalError, SettingError
from pageroles.store import lock, schema
from pageroles.store.engine import embedded_folder
from pageroles.store.statement import Statement
from pageroles.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# The address of `freeze` in the server that holds a store.
FREEZE = "/freeze"

_SECONDS = 600.0
_FORM = 1
_LIST, _PARTS = "backup.json", "parts"
# Where ClickHouse links frozen parts, and how the names of ours begin there; it would escape other signs than these.
_SHADOW, _PREFIX = "shadow", "backup_"
_CHUNK_BYTES = 4 << 20
# Partition, first and last block.
_PART = re.compile(r"(.+?)_(\d+)_(\d+)_.*")

_TABLES = (
    "SELECT name, create_table_query, data_paths[1], total_rows FROM system.tables "
    "WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name"
)
_VIEWS = (
    "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%View' "
    "ORDER BY name"
)
_PATHS = Statement("SELECT name, data_paths[1] FROM system.tables WHERE database = currentDatabase()")


class Table(msgspec.Struct, frozen=True):
    """A table of a backup.

    Attributes:
        name: Its name.
        statement: What makes it.
    """

    name: str
    statement: str


class File(msgspec.Struct, frozen=True):
    """A file of a backup.

    Attributes:
        path: The table, the part and the name.
        bytes: Its size.
        sha256: Its digest, in hexadecimal digits.
    """

    path: str
    bytes: int
    sha256: str


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds.

    Attributes:
        taken_at: The moment that it is of.
        schema: The last migration that was applied.
        pageroles: The version that made it.
        clickhouse: The version of ClickHouse.
        tables: The tables.
        views: What makes the views.
        files: All files.
        form: The form of the folder.
    """

    taken_at: datetime
    schema: int
    pageroles: str
    clickhouse: str
    tables: tuple[Table, ...]
    views: tuple[str, ...]
    files: tuple[File, ...] = ()
    form: int = _FORM

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)


class Frozen(msgspec.Struct, frozen=True):
    """A store that is frozen.

    Attributes:
        name: The name under which ClickHouse has linked its parts.
        parts: The folders of the links, within the store's, by table.
        backup: What is frozen, without its files.
    """

    name: str
    parts: dict[str, str]
    backup: Backup


class _Copy(NamedTuple):
    """A file to copy; `path` is that of `File`."""

    path: str
    source: Path
    target: Path


# ---- backing up ----


def freeze(store: Store) -> Frozen:
    """Link the parts of all tables as they are at one moment; changes wait meanwhile.

    Args:
        store: An embedded store, which this process holds.

    Raises:
        PagerolesError: ClickHouse refuses.
    """
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    folder = _held_folder(store)
    call = store.call(_SECONDS)
    # Neither changes while a store is open.
    views = tuple(str(view) for (view,) in store.rows(Statement(_VIEWS), call))
    ((version,),) = store.rows(Statement("SELECT version()"), call)
    with store.paused() as client:
        tables = client.query(_TABLES).result_rows
        for table, *_ in tables:
            client.command(f"ALTER TABLE `{table}` FREEZE WITH NAME '{name}'")
        taken_at = datetime.now(UTC)
    parts = {}
    for table, _, path, rows in tables:
        links = Path(_SHADOW, name, Path(path).relative_to(folder))
        if rows and not _folders(folder / links):
            raise InternalError(f"ClickHouse has frozen nothing of the table {table}")
        parts[table] = str(links)
    made = tuple(Table(table, statement) for table, statement, *_ in tables)
    backup = Backup(taken_at, schema.latest(), __version__, str(version), made, views)
    return Frozen(name, parts, backup)


def make(store: Store, folder: Path, report: Callable[[int], None]) -> Backup:
    """Back a store up; writers wait while its tables are frozen, and not while files are copied.

    Args:
        store: The store, which this process or a server on this machine holds.
        folder: Where to; a folder that is empty or does not exist.
        report: Called with the bytes that were copied so far.

    Raises:
        SettingError: The store is on a ClickHouse server, or the folder can't be used.
        PagerolesError: The store failed.
    """
    held = _held_folder(store)
    with _filling(folder, "backup", mode=0o700), lock.alone(held, "backing-up"):
        # What backups have left that were cut short: none but this one is at work.
        _remove_links(held, f"{_PREFIX}*")
        told = store.ask_holder(FREEZE)
        frozen = freeze(store) if told is None else msgspec.json.decode(told, type=Frozen)
        try:
            files = tuple(_copied(_links(held, frozen, folder / _PARTS), report))
        finally:
            _remove_links(held, frozen.name)
        backup = msgspec.structs.replace(frozen.backup, files=files)
        # Only when all else is on the disk.
        os.sync()
        _write_list(folder, backup)
    return backup


def _links(held: Path, frozen: Frozen, target: Path) -> Iterator[_Copy]:
    for table, links in frozen.parts.items():
        root = held / links
        for source in sorted(path for path in root.rglob("*") if path.is_file()):
            path = PurePosixPath(table, source.relative_to(root))
            yield _Copy(str(path), source, target / path)


def _remove_links(held: Path, names: str) -> None:
    for links in (held / _SHADOW).glob(names):
        shutil.rmtree(links)


def _write_list(folder: Path, backup: Backup) -> None:
    written = folder / f"{_LIST}.part"
    written.write_bytes(msgspec.json.encode(backup))
    os.sync()
    written.rename(folder / _LIST)
    os.sync()


# ---- restoring ----


def restore(dsn: str, folder: Path, report: Callable[[int], None]) -> Backup:
    """Make a store of a backup, as it was; who opens it migrates it, and finishes what was half-done.

    Args:
        dsn: An embedded store, whose folder is empty or does not exist.
        folder: The folder of the backup.
        report: Called with the bytes that were copied so far.

    Raises:
        SettingError: There is no whole backup in the folder, or a later version of pageroles made it; or the store is
            on a ClickHouse server, or its folder can't be used.
        PagerolesError: ClickHouse refuses.
    """
    target = embedded_folder(dsn)
    if target is None:
        raise _on_server()
    backup = _read_list(folder)
    with _filling(target, "restore"), lock.restoring(target):
        with Store.bare(target) as store:
            for table in backup.tables:
                store.command(table.statement)
            _attach(store, backup, folder, report)
            # Only now: nothing is to feed what is there already.
            for view in backup.views:
                store.command(view)
        os.sync()
    return backup


def _read_list(folder: Path) -> Backup:
    """Return what a folder holds as a backup.

    Raises:
        SettingError: It holds none, or one that this version can't read.
    """
    try:
        backup = msgspec.json.decode((folder / _LIST).read_bytes(), type=Backup)
    except FileNotFoundError:
        cut_short = ", only one that was cut short" if (folder / _PARTS).is_dir() else ""
        raise SettingError(f"there is no backup in {folder}{cut_short}: give the folder of a whole one") from None
    except OSError as error:
        raise SettingError(f"can't read the backup in {folder}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise SettingError(f"can't read the backup in {folder}: {folder / _LIST} is no list of one: {error}") from None
    if backup.form > _FORM or backup.schema > schema.latest():
        raise SettingError(
            f"the backup in {folder} has version {backup.schema} of the schema, and this pageroles only knows "
            f"{schema.latest()}: restore it with pageroles {backup.pageroles}, or update pageroles"
        )
    return backup


def _attach(store: Store, backup: Backup, folder: Path, report: Callable[[int], None]) -> None:
    """Copy the parts of a backup to where ClickHouse takes them from, and let it take them."""
    paths = {str(name): Path(str(path)) for name, path in store.rows(_PATHS, store.call(_SECONDS))}
    copies = []
    for file in backup.files:
        table, *rest = PurePosixPath(file.path).parts
        if table not in paths or ".." in rest:
            raise _damaged(folder, file)
        copies.append(_Copy(file.path, folder / _PARTS / file.path, paths[table].joinpath("detached", *rest)))
    copied = _copied(copies, report)
    for file in backup.files:
        try:
            whole = next(copied) == file
        except FileNotFoundError:
            whole = False
        if not whole:
            raise _damaged(folder, file)
    parts = {PurePosixPath(file.path).parts[:2] for file in backup.files}
    for table, part in sorted(parts, key=lambda one: (one[0], *_order(one[1]))):
        store.command(f"ALTER TABLE `{table}` ATTACH PART '{part}'")


def _order(part: str) -> tuple[str, int]:
    """Return what puts parts in the order in which they were written: of equal versions, the last one counts."""
    found = _PART.fullmatch(part)
    return (found[1], int(found[2])) if found else (part, 0)


def _damaged(folder: Path, file: File) -> SettingError:
    return SettingError(
        f"the backup in {folder} is damaged: {_PARTS}/{file.path} is missing, or is not the file that was written; "
        "nothing was restored"
    )


# ---- what both do ----


def _held_folder(store: Store) -> Path:
    if store.folder is None:
        raise _on_server()
    return store.folder


def _on_server() -> SettingError:
    return SettingError(
        "this is for embedded stores: back a ClickHouse server up, and restore it, with its own BACKUP and RESTORE, as "
        "docs/operating.md says"
    )


@contextlib.contextmanager
def _filling(folder: Path, task: str, mode: int = 0o777) -> Iterator[None]:
    """Make a folder that the block fills; where the block fails, empty it again.

    Raises:
        SettingError: It is not empty, or can't be used.
    """
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise SettingError(f"can't use {folder} for the {task}: {error.strerror}") from None
    if used:
        raise SettingError(f"{folder} is not empty: give the {task} a new folder")
    try:
        yield
    except BaseException as error:
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if isinstance(error, OSError):
            raise SettingError(f"the {task} failed, and nothing of it is left: {error}") from error
        raise


def _copied(copies: Iterable[_Copy], report: Callable[[int], None]) -> Iterator[File]:
    """Copy files; give each as it was read."""
    total = 0
    for path, source, target in copies:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as read, target.open("xb") as written:
            while chunk := read.read(_CHUNK_BYTES):
                written.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                report(total + size)
        total += size
        yield File(path, size, digest.hexdigest())


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in folder.glob("*") if entry.is_dir()]
