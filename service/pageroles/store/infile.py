"""Rows for the embedded engine, which reads them as a file: one that is nowhere but in memory.

A file on a disk would need room there, and outlive a process that is killed: with rows that nobody erases any more.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clickhouse_connect.driver.client import Client


@contextlib.contextmanager
def path_of(rows: bytes) -> Iterator[str]:
    """Give the path of a file with rows, for this process to read while the block runs."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("rows"), "wb") as file:  # noqa: PTH123 - it has no path yet
            file.write(rows)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:  # systems other than Linux
        with tempfile.NamedTemporaryFile() as named:
            named.write(rows)
            named.flush()
            yield named.name


def insert(
    client: Client, table: str, columns: Sequence[str] | None, rows: bytes, form: str, settings: Mapping[str, int | str]
) -> None:
    """Insert rows, as the driver's `raw_insert` does, which would write them into a file on the disk.

    Args:
        client: A client of the embedded engine.
        table: The table.
        columns: The columns of a format without names; None: it has names.
        rows: Rows in `form`.
        form: A format of ClickHouse's.
        settings: Settings of ClickHouse's; texts without quotes.
    """
    named = f" ({', '.join(columns)})" if columns else ""
    clause = ", ".join(f"{name} = {value!r}" for name, value in settings.items())
    with path_of(rows) as path:
        client.command(f"INSERT INTO {table}{named} FROM INFILE '{path}' SETTINGS {clause} FORMAT {form}")
