"""Stores of a test's own, over the stand-in that the tests share."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pageroles.store import soundness
from pageroles.store.statement import Statement
from pageroles.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.clickhouse_standin import StandIn

_TABLES = Statement(
    "SELECT name, create_table_query, ifNull(total_rows, 0) FROM system.tables WHERE database = currentDatabase() "
    "ORDER BY name"
)
# What emptying a table would leave in it.
_LEFT = Statement(
    "SELECT (SELECT count() FROM system.mutations WHERE database = currentDatabase()) + "
    "(SELECT count() FROM system.detached_parts WHERE database = currentDatabase())"
)
_MIGRATIONS = "schema_versions"
# The tables of the latest schema, and what is left of making them, once a test has made them.
_latest: list[object] = []


@contextlib.contextmanager
def bare(standin: StandIn) -> Iterator[Store]:
    """Open the stand-in's store, without any of the tables that others have left in it."""
    with Store.open(standin.dsn) as opened:
        _drop_all(opened)
        yield opened


@contextlib.contextmanager
def anew(standin: StandIn) -> Iterator[Store]:
    """Open the stand-in's store with the latest schema made anew: not even an old part of another test is in it."""
    with bare(standin) as opened:
        opened.apply_schema()
        yield opened


@contextlib.contextmanager
def empty(standin: StandIn) -> Iterator[Store]:
    """Open the stand-in's store with the latest schema and nothing in it.

    To make the schema takes most of a second. Where the last test has left it as it was, its tables are emptied.
    """
    with Store.open(standin.dsn) as opened:
        if _latest and _as_made(opened) == _latest:
            for name, _, rows in opened.rows(_TABLES, opened.call(60)):
                if rows and name != _MIGRATIONS:
                    opened.command(f"TRUNCATE TABLE {name} SYNC")
            opened.command("SYSTEM START MERGES")
        else:
            _drop_all(opened)
            opened.apply_schema()
            _latest[:] = _as_made(opened)
        yield opened


def _as_made(store: Store) -> list[object]:
    """Return what tells a schema that nobody has changed since it was made."""
    tables = [(name, made) for name, made, _ in store.rows(_TABLES, store.call(60))]
    return [*tables, *store.rows(_LEFT, store.call(60))]


def _drop_all(store: Store) -> None:
    for name, *_ in store.rows(_TABLES, store.call(60)):
        store.command(f"DROP TABLE IF EXISTS {name} SYNC")


def faults(store: Store) -> dict[str, int]:
    """Return how many faults of each kind a look at a store finds; kinds without any are left out."""
    return {finding.name: finding.count for finding in soundness.look(store) if finding.count}
