"""Writes that survive a kill: their rows are kept until every table has them.

ClickHouse stores an INSERT into `sessions` part by part, and the rows of each view by themselves. A kill in between
leaves a session without its journey, or a month without its neighbour. So a write puts its rows into the table `writes`
first, as one value: all of it is there, or none. What is found there later was cut short, and is inserted again, which
is harmless: a row with the same time of writing takes the place of itself.
"""

from __future__ import annotations

import functools
import secrets
import struct
from typing import TYPE_CHECKING

from pageroles.store import schema
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from pageroles.store.store import Store

_SECONDS = 600.0
_UNFINISHED = "SELECT id FROM writes WHERE begun_at <= now64(6) - toIntervalSecond({age:UInt32}) ORDER BY begun_at, id"
_SESSIONS = "SELECT sessions FROM writes WHERE id = {id:UInt64}"
_DROP = 'ALTER TABLE {{ local("writes") }}{{ on_cluster }} DROP PARTITION '


def write(store: Store, rows: bytes) -> None:
    """Insert rows of `sessions`, and keep them in `writes` until all tables have them.

    Args:
        store: The store.
        rows: Rows in ClickHouse's JSONEachRow, each with its `written_at`.

    Raises:
        PagerolesError: ClickHouse can't be reached, or refuses the rows; they are inserted again by `finish`.
    """
    write_id = secrets.randbits(64)
    store.insert("writes", _in_row_binary(write_id, rows), "RowBinary", ("id", "sessions"))
    store.insert("sessions", rows)
    forget(store, write_id)


def unfinished(store: Store, older_than: int = 0) -> list[int]:
    """Return the ids of writes that have begun and not ended, those that began first in front.

    Args:
        store: The store.
        older_than: The least age of a write, in seconds.

    Raises:
        PagerolesError: ClickHouse can't be reached.
    """
    rows = store.rows(Statement(_UNFINISHED, {"age": older_than}), store.call(_SECONDS))
    return [int(str(write_id)) for (write_id,) in rows]


def finish_all(store: Store, older_than: int = 0) -> int:
    """Finish the writes that `unfinished` returns; tell how many they were.

    Raises:
        PagerolesError: ClickHouse can't be reached, or refuses the rows.
    """
    left = unfinished(store, older_than)
    for write_id in left:
        finish(store, write_id)
    return len(left)


def finish(store: Store, write_id: int) -> None:
    """Insert the rows of a write again, and forget it.

    Raises:
        PagerolesError: ClickHouse can't be reached, or refuses the rows.
    """
    rows = store.value(Statement(_SESSIONS, {"id": write_id}), store.call(_SECONDS))
    # Its writer may have ended it since.
    if rows:
        store.insert("sessions", rows)
    forget(store, write_id)


def forget(store: Store, write_id: int) -> None:
    """Drop what is kept of a write.

    Raises:
        PagerolesError: ClickHouse can't be reached.
    """
    store.command(f"{_drop(store.cluster)}{write_id}")


@functools.cache
def _drop(cluster: str | None) -> str:
    # Once: to render a template takes a millisecond, and each batch needs it.
    return schema.rendered(_DROP, cluster)


def _in_row_binary(write_id: int, rows: bytes) -> bytes:
    """Return a row of a UInt64 and a String in ClickHouse's RowBinary: the length of a string is a LEB128 number."""
    digits, rest = bytearray(), len(rows)
    while True:
        rest, digit = divmod(rest, 128)
        digits.append(digit + 128 * bool(rest))
        if not rest:
            return b"".join((struct.pack("<Q", write_id), digits, rows))
