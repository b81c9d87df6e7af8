"""A query that runs until it is stopped, and how to see that it was."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.store import Store

# Runs for minutes unless it is stopped, without sending a row.
ENDLESS = Statement("SELECT toUInt64(number) AS user_key FROM numbers(1000000000000) WHERE sipHash64(number) = 0", {})
PATIENCE = 20.0


def until(holds: Callable[[], bool]) -> bool:
    """Wait for something to hold."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def running(store: Store) -> int:
    """Count the endless queries at work in ClickHouse."""
    with store._engine.control() as client:
        rows = client.query("SELECT count() FROM system.processes WHERE query LIKE '%numbers(1000000000000)%' "
                            "AND query NOT LIKE '%system.processes%'").result_rows  # fmt: skip
    return int(rows[0][0])
