"""A cluster: its schema, and the counts of its shards, which add up to the whole."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pageroles.errors import InvalidArgumentError
from pageroles.question.request import to_query
from pageroles.report.answers import Report
from pageroles.report.names import feed
from pageroles.report.plan import Streamed
from pageroles.report.run import Reporter
from pageroles.report.statements import Reading, key_ranges, page_names
from pageroles.store import schema
from pageroles.store.store import Store
from support import worlds
from support.clickhouse_standin import StandIn
from support.reports import answered
from support.wire import message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pageroles.question.model import PagesQuery

WORLDS = 20
REQUESTS = 3
NOW = datetime(2025, 8, 1, tzinfo=UTC)


def test_every_table_is_replicated_and_distributed_by_the_user() -> None:
    statements = schema.statements("prod")
    tables = [
        name
        for statement in schema.statements()
        for name in re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+)", statement, re.MULTILINE)
    ]
    assert {
        "sessions",
        "converting_sessions",
        "users",
        "pages",
        "api_keys",
        "quotas",
        "quota_usage",
        "writes",
        "key_uses",
        "audit_log",
        "schema_versions",
        "places",
        "departures",
    } == set(tables)
    for name in tables:
        (local,) = [text for text in statements if f"TABLE IF NOT EXISTS {name}_local ON CLUSTER prod\n" in text]
        *_, whole = [text for text in statements if f"TABLE IF NOT EXISTS {name} ON CLUSTER prod AS" in text]
        assert "ENGINE = Replicated" in local
        assert f"Distributed(prod, currentDatabase(), {name}_local, " in whole
    views = [text for text in statements if "MATERIALIZED VIEW" in text]
    names = {found[1] for view in views if (found := re.search(r"VIEW IF NOT EXISTS (\w+)_feed ON", view))}
    assert names == {"converting_sessions", "users", "pages", "places", "departures"}
    for view in views:
        assert " ON CLUSTER prod TO " in view
        assert "FROM sessions_local" in view
        assert not re.search(r"FROM sessions\b(?!_local)", view)
    # Rows are sent over the tables of all servers; all else is done on each.
    sent = [text for text in statements if re.search(r"^INSERT INTO \w+(?<!_local)[ \n]", text, re.MULTILINE)]
    assert all(" ON CLUSTER prod" in text for text in statements if text not in sent)


@pytest.mark.parametrize("name", ["", "a b", "x; DROP TABLE sessions", "a-b"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no name of a cluster"):
        schema.statements(name)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    """Two shards, each a server of its own with the cluster's local tables.

    The engine of the tests has no cluster: in place of a distributed table, each shard merges its own local one.
    """
    folders: list[Path] = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    started = [StandIn.start(folder) for folder in folders]
    stores = [Store.open(standin.dsn) for standin in started]
    for store in stores:
        for statement in schema.statements("prod"):
            alone = statement.replace(" ON CLUSTER prod", "").replace("ENGINE = Replicated", "ENGINE = ")
            alone = re.sub(r"^INSERT INTO (\w+)", r"INSERT INTO \1_local", alone, flags=re.MULTILINE)
            store.command(
                re.sub(
                    r"Distributed\(prod, currentDatabase\(\), (\w+), .*\)", r"Merge(currentDatabase(), '^\1$')", alone
                )
            )
    yield stores
    for store in stores:
        store.close()
    for standin in started:
        standin.stop()


def test_shards_add_up_to_the_whole(store: Store, shards: list[Store]) -> None:
    """Sessions are on shards by their user; the counts of all shards together are those of one store."""
    all_worlds = [worlds.world(random.Random(f"shard {seed}"), NOW).renamed(f"shard{seed}") for seed in range(WORLDS)]
    for sessions in worlds.rounds(session for world in all_worlds for session in world.deliveries):
        store.insert("sessions", worlds.to_store_rows(sessions))
        for number, shard in enumerate(shards):
            part = [session for session in sessions if place(session["user_id"]) == number]
            if part:
                shard.insert("sessions_local", worlds.to_store_rows(part))
    reporters = [Reporter(shard) for shard in shards]
    whole = Reporter(store)
    filled = 0
    for seed, world in enumerate(all_worlds):
        rng = random.Random(f"asked of {seed}")
        for _ in range(REQUESTS):
            asked, domain = worlds.request(rng, world), worlds.domain(rng, world)
            try:
                query = to_query(message(asked), domain, NOW)
            except InvalidArgumentError:
                continue
            expected = answered(whole, store, query)
            assert added_up(reporters, shards, query) == expected, f"world {seed}: {query}"
            filled += len(expected) > 60
    assert filled > WORLDS * REQUESTS / 4
    for reporter in (whole, *reporters):
        reporter.close()


def place(user: str) -> int:
    """Return the shard of a user; any function of the user will do."""
    return sum(user.encode()) % 2


def added_up(reporters: list[Reporter], shards: list[Store], query: PagesQuery) -> bytes:
    tallies = []
    for reporter, shard in zip(reporters, shards, strict=True):
        for versions in (True, False):
            plan = Streamed(tuple(key_ranges(3)), 2, Reading(versions=versions))
            tally = reporter._tally(query, plan, shard.call(60))
        tallies.append(tally)
    total = tallies[0]
    total.merge(tallies[1])
    counted = total.take()
    for shard in shards:
        feed(counted.feed_pages, shard, page_names(query.domain, None, whole_keys=False), shard.call(60))
    return Report(query, plan, counted).message()
