"""What the made-up server answers is what ClickHouse answers to the same statements on the same rows."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from pageroles.access.keys import KeyStore
from pageroles.access.quotas import QuotaStore
from pageroles.errors import InvalidArgumentError
from pageroles.question.request import to_query
from pageroles.report import plan, residents
from pageroles.report.run import Reporter
from pageroles.store import erasure
from pageroles.store.store import Store
from support import worlds
from support.erasing import drawn_erasure, to_erasure
from support.simulated.clickhouse import ClickHouse
from support.simulated.compared import Compared
from support.wire import message
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTIONS = 12


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 60))])
def test_the_made_up_server_answers_as_clickhouse(
    empty_store: Store, seed: int, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    rng = Random(f"tables {seed}")
    monkeypatch.setattr(residents, "SMALL_ROWS", rng.choice((0, 20_000)))
    monkeypatch.setattr(plan, "SMALL_ROWS", rng.choice((5, 100_000)))
    monkeypatch.setattr(plan, "ROWS_PER_UNIT", rng.choice((10, 1_500_000)))
    for table in erasure.TABLES:
        # An erasure has merges go on, but for those that are too large.
        empty_store.command(
            f"ALTER TABLE {table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, "
            "max_bytes_to_merge_at_min_space_in_pool = 1"
        )
    compared = Compared(empty_store._engine, ClickHouse(Random(0)))
    store = Store(compared, 2)
    world = worlds.moving(rng, worlds.world(rng))
    KeyStore(store).create(None)
    KeyStore(store).list()
    QuotaStore(store).set(world.domains[0], 100)
    for reporter_memory in (0, 1 << 30):
        reporter = Reporter(store, workers_per_report=2, memory=reporter_memory)
        size = rng.choice((3, 10, 30))
        for at in range(0, len(world.deliveries), size):
            batch = world.deliveries[at : at + size]
            write(store, batch, at_once=size)
            ask(store, reporter, rng, world)
        store._stopper.shutdown()
        reporter.close()
        store = Store(compared, 2)
        erasure.erase(store, to_erasure(drawn_erasure(rng, world.deliveries)))
    QuotaStore(store).count(world.domains[0], "2025-07", 3)
    assert QuotaStore(store).used(world.domains[0], "2025-07") == 3
    assert compared.seen["with rows"] > QUESTIONS
    for kind, times in compared.seen.items():
        record_property(kind, times)


def ask(store: Store, reporter: Reporter, rng: Random, world: worlds.World) -> None:
    for _ in range(QUESTIONS):
        call = store.call(60)
        try:
            query = to_query(message(worlds.request(rng, world)), worlds.domain(rng, world), worlds.NOW)
        except InvalidArgumentError:
            continue
        reporter.report(query, call)
        call.finish()
