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

_TABLES = Statement("SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name")


@contextlib.contextmanager
def bare(standin: StandIn) -> Iterator[Store]:
    """Open the stand-in's store, without any of the tables that others have left in it."""
    with Store.open(standin.dsn) as opened:
        for (name,) in opened.rows(_TABLES, opened.call(60)):
            opened.command(f"DROP TABLE IF EXISTS {name} SYNC")
        yield opened


@contextlib.contextmanager
def empty(standin: StandIn) -> Iterator[Store]:
    """Open the stand-in's store with the latest schema and nothing in it."""
    with bare(standin) as opened:
        opened.apply_schema()
        yield opened


def faults(store: Store) -> dict[str, int]:
    """Return how many faults of each kind a look at a store finds; kinds without any are left out."""
    return {finding.name: finding.count for finding in soundness.look(store) if finding.count}
