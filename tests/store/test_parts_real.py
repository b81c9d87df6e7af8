"""A kept copy of a real table, beside what FINAL returns, while writers and operators do all they may."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING

import pytest

from pageroles.store.parts import Looks, Lost, New
from pageroles.store.store import Store
from support.clickhouse_standin import FOLDER, StandIn
from support.kept import Kept
from support.kept_life import LIGHT_UPDATES, Life, RealTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pageroles.store.call import Call
    from pageroles.store.statement import Statement

# They look at parts, and could see what others have left of theirs.
pytestmark = pytest.mark.schema_made_anew

# Each life takes five seconds or ten. One is lived again with `pytest -m "" -k "NAME and [SEED]"`.
SEEDS, SLOW_SEEDS = range(1), range(1, 40)
STEPS = 20
AS_A_SERVER = "old_parts_lifetime = 480"


def seeds() -> list[object]:
    return [*SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SLOW_SEEDS)]


@pytest.fixture
def other(standin: StandIn, empty_store: Store) -> Iterator[Store]:
    """Another client of the server of `empty_store`, whose table keeps old parts as a server does."""
    empty_store.command(f"ALTER TABLE sessions MODIFY SETTING {AS_A_SERVER}")
    with Store.open(standin.dsn) as opened:
        yield opened


@pytest.mark.parametrize("seed", seeds())
def test_a_copy_of_a_server_is_kept(empty_store: Store, other: Store, seed: int) -> None:
    life = Life(other, Kept(RealTable(empty_store, Looks(empty_store))), Random(f"server {seed}"))
    life.live(STEPS if seed in SEEDS else 3 * STEPS)
    assert life.seen["compared"] > 2, life.kept.lost
    assert life.kept.read > 0


@pytest.mark.parametrize("seed", seeds())
def test_a_copy_of_an_embedded_store_is_kept(tmp_path: Path, seed: int) -> None:
    """In a process of its own: this one has its store."""
    steps = str(STEPS if seed in SEEDS else 3 * STEPS)
    command = [sys.executable, "-m", "support.kept_life", str(tmp_path / "store"), steps, str(seed)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = Counter(json.loads(done.stdout))
    assert min(seen["compared"], seen["read"]) > 2, seen


def test_what_many_write_at_once_is_never_lost(empty_store: Store, other: Store, standin: StandIn) -> None:
    """Numbers grow, whoever writes: a part never comes among those that were read."""
    table = RealTable(empty_store, Looks(empty_store))
    kept = Kept(table)
    Life(other, kept, Random(0)).insert()

    def write(number: int) -> None:
        with Store.open(standin.dsn) as store:
            life = Life(store, kept, Random(f"writer {number}"))
            for _ in range(6):
                life.insert()
            if not number:
                life.merge()

    for _ in range(2):
        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(write, number) for number in range(3)]
            while not all(writer.done() for writer in writers):
                kept.refresh()
            for writer in writers:
                writer.result()
        kept.refresh()
        assert kept.rows == table.all()
    assert kept.lost == []
    assert kept.read > 1


# ---- what ClickHouse does, one by one ----

KEPT, READ = "kept", "read"


def inserts(life: Life) -> None:
    life.insert()


def merges(life: Life) -> None:
    life.writer.command("OPTIMIZE TABLE sessions FINAL")


def freezes(life: Life) -> None:
    life.freeze()


def alters(change: str) -> Callable[[Life], None]:
    def event(life: Life) -> None:
        life.writer.command(f"ALTER TABLE sessions {change} SETTINGS mutations_sync = 2")

    return event


def runs(*statements: str) -> Callable[[Life], None]:
    def event(life: Life) -> None:
        for statement in statements:
            life.writer.command(statement)

    return event


def removes_one_part_and_merges(verb: str) -> Callable[[Life], None]:
    """Take a part from among others; old parts go at once, so that a merge may span its numbers."""

    def event(life: Life) -> None:
        first = min(life.kept.known.parts, key=lambda part: part.first)  # type: ignore[union-attr]
        within = [part for part in life.kept.known.parts if part.partition == first.partition]  # type: ignore[union-attr]
        middle = sorted(within)[1]
        life.writer.command(f"ALTER TABLE sessions {verb} PART '{middle.name}'")
        life.writer.command("OPTIMIZE TABLE sessions FINAL")

    return event


TAKEN, CHANGED = "rows were taken away", "rows were changed"
EVENTS = {
    "insert": (inserts, READ),
    "merge": (merges, KEPT),
    "freeze": (freezes, KEPT),
    "delete": (alters("DELETE WHERE source = 'x1'"), CHANGED),
    "delete nothing": (alters("DELETE WHERE 0"), CHANGED),
    "update": (alters("UPDATE source = 'y' WHERE source = 'x1'"), CHANGED),
    "materialize column": (alters("MATERIALIZE COLUMN referrer_domain"), CHANGED),
    "clear column": (alters("CLEAR COLUMN source"), CHANGED),
    "lightweight delete": (runs("DELETE FROM sessions WHERE source = 'x1'"), CHANGED),
    "lightweight update": (
        runs(
            f"ALTER TABLE sessions MODIFY SETTING {LIGHT_UPDATES}",
            "UPDATE sessions SET source = 'z' WHERE source LIKE 'x%'",
        ),
        "the table has lightweight updates",
    ),
    "detach and attach the table": (runs("DETACH TABLE sessions", "ATTACH TABLE sessions"), KEPT),
    "drop part": (removes_one_part_and_merges("DROP"), TAKEN),
    "detach part": (removes_one_part_and_merges("DETACH"), TAKEN),
    "drop partition": (runs("ALTER TABLE sessions DROP PARTITION 202507"), TAKEN),
    "detach and attach a partition": (
        runs("ALTER TABLE sessions DETACH PARTITION 202507", "ALTER TABLE sessions ATTACH PARTITION 202507"),
        TAKEN,
    ),
    "replace partition": (
        runs(
            "CREATE TABLE other AS sessions",
            "ALTER TABLE other ATTACH PARTITION 202507 FROM sessions",
            "ALTER TABLE sessions REPLACE PARTITION 202507 FROM other",
            "DROP TABLE other SYNC",
        ),
        TAKEN,
    ),
    "attach partition from": (
        runs(
            "CREATE TABLE other AS sessions",
            "ALTER TABLE other ATTACH PARTITION 202507 FROM sessions",
            "ALTER TABLE sessions ATTACH PARTITION 202507 FROM other",
            "DROP TABLE other SYNC",
        ),
        READ,
    ),
    "move partition": (
        runs(
            "CREATE TABLE other AS sessions",
            "ALTER TABLE sessions MOVE PARTITION 202507 TO TABLE other",
            "DROP TABLE other SYNC",
        ),
        TAKEN,
    ),
    "truncate": (runs("TRUNCATE TABLE sessions"), "the table is empty"),
    "drop and create": (
        runs(
            "CREATE TABLE other AS sessions",
            "DROP TABLE sessions SYNC",
            "CREATE TABLE sessions AS other",
            "DROP TABLE other SYNC",
        ),
        "the table is empty",
    ),
    "expire": (
        runs(
            "ALTER TABLE sessions MODIFY TTL toDateTime(started_at) + INTERVAL 1 MONTH DELETE WHERE source = 'x1'",
            "OPTIMIZE TABLE sessions FINAL",
        ),
        "the rows of the table expire",
    ),
}


@pytest.mark.parametrize("name", EVENTS)
def test_what_an_event_does_to_a_copy(empty_store: Store, other: Store, name: str) -> None:
    event, outcome = EVENTS[name]
    other.command("SYSTEM STOP MERGES sessions")
    life = Life(other, Kept(RealTable(empty_store, Looks(empty_store))), Random(7))
    for _ in range(6):
        life.insert()
    life.compare()
    other.command("SYSTEM START MERGES sessions")
    read = life.kept.read
    event(life)
    life.compare()
    happened = KEPT if life.kept.read == read else READ
    assert [outcome] == (life.kept.lost[:1] or [happened])


def test_numbers_that_are_given_again_prove_nothing(tmp_path: Path) -> None:
    """A server that is started anew numbers on from the parts that it finds."""
    begun = time.monotonic()
    with StandIn.start(tmp_path) as standin, Store.open(standin.dsn) as store:
        store.apply_schema()
        kept = Kept(RealTable(store, Looks(store)))
        life = Life(store, kept, Random(3))
        life.insert()
        life.compare()
        known = kept.known
        store.command("TRUNCATE TABLE sessions")
        # Starts are told in seconds.
        time.sleep(max(0.0, 4 - (time.monotonic() - begun)))
        standin.stop()
        with StandIn.start(tmp_path, port=standin.port):
            life.insert()
            life.insert()
            names = {part.name for part in kept.table.look().parts}
            life.compare()
    assert known is not None
    assert names >= {part.name for part in known.parts}
    assert kept.lost[:1] == ["the server was started anew"]


# ---- the embedded store of this process, in a month of its own ----


@pytest.fixture
def month(store: Store) -> Iterator[Life]:
    life = Life(store, Kept(RealTable(store, Looks(store))), Random(5), months=("2031-05",))
    store.command("SYSTEM STOP MERGES sessions")
    for _ in range(3):
        life.insert()
    life.compare()
    store.command("SYSTEM START MERGES sessions")
    yield life
    store.command("ALTER TABLE sessions DROP PARTITION 203105")


def looked(life: Life, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each statement that reads the store from now on."""
    texts: list[str] = []
    store = life.writer
    rows = store.rows

    def noted(statement: Statement, call: Call) -> object:
        texts.append(statement.text)
        return rows(statement, call)

    monkeypatch.setattr(store, "rows", noted)
    return texts


def test_an_embedded_store_that_nobody_changes_is_not_asked(month: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    table = month.kept.table
    first = table.look()
    texts = looked(month, monkeypatch)
    assert table.look() is first
    assert not texts
    month.insert()
    assert isinstance(change := table.look().since(first), New)
    assert list(change.names) == ["203105"]
    with month.writer.apart(60) as apart:
        Life(apart, month.kept, Random(6), months=("2031-05",)).insert()
        second = table.look()
        assert len(texts) == 2
    assert table.look() is second


@pytest.mark.parametrize("verb", ["DROP", "DETACH"])
def test_a_part_that_goes_from_an_embedded_store_is_missed(month: Life, verb: str) -> None:
    """Even when a merge spans its number before anybody looks: old parts go at once there."""
    assert month.kept.known is not None
    first, middle, last = sorted(part for part in month.kept.known.parts if part.partition == "203105")
    month.writer.command(f"ALTER TABLE sessions {verb} PART '{middle.name}'")
    month.writer.command("OPTIMIZE TABLE sessions PARTITION 203105 FINAL")
    now = month.kept.table.look()
    assert any(part.has(first) and part.has(last) for part in now.parts)
    assert isinstance(now.since(month.kept.known), Lost)
    month.compare()


def test_a_mutation_that_goes_on_in_an_embedded_store_is_seen(month: Life) -> None:
    store, table = month.writer, month.kept.table
    store.command("SYSTEM STOP MERGES sessions")
    store.command("ALTER TABLE sessions DELETE WHERE day >= '2031-05-01' AND source = 'x1' SETTINGS mutations_sync = 0")
    assert table.look().unproved == "rows are being changed"
    store.command("SYSTEM START MERGES sessions")
    end = time.monotonic() + 60
    while (now := table.look()).unproved is not None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert month.kept.known is not None
    assert now.since(month.kept.known) == Lost(CHANGED)
    month.compare()
