"""What a killed process left half-done is finished before numbers are given: a batch is stored whole or not at all."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog.testing
from typer.testing import CliRunner

from pageroles.command.app import app
from pageroles.errors import CancelledError, InternalError, PagerolesError
from pageroles.question.request import to_query
from pageroles.report.run import Reporter
from pageroles.rest_shape import to_answer
from pageroles.store import erasure, recovery, writes
from pageroles.store.erasure import Erasure
from pageroles.store.statement import Statement
from support import worlds
from support.endless import until
from support.made import NOW, conversion, session
from support.reference import SCOPES, Session, report
from support.reports import answered
from support.stores import faults
from support.wire import message
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pageroles.store.store import Store
    from support.clickhouse_standin import StandIn


@pytest.fixture
def store(empty_store: Store) -> Store:
    return empty_store


def rows(store: Store, text: str) -> Sequence[Sequence[Any]]:
    return store.rows(Statement(text), store.call(60))


# ---- an INSERT that fails in one of the tables ----


@pytest.mark.parametrize(
    "table",
    [
        "sessions",
        "converting_sessions",
        "places",
        *(pytest.param(table, marks=pytest.mark.slow) for table in ("users", "pages", "departures")),
    ],
)
def test_a_write_that_failed_in_one_table_is_finished(store: Store, table: str) -> None:
    rng = random.Random(table)
    drawn = [worlds.moving(rng, worlds.world(rng)).renamed(f"{table}{number}") for number in range(8)]
    deliveries: list[Session] = [one for world in drawn for one in world.deliveries]
    half = len(deliveries) // 2
    write(store, deliveries[:half])
    store.command(f"ALTER TABLE {table} ADD CONSTRAINT none_passes CHECK domain = 'none'")
    with pytest.raises(PagerolesError):
        write(store, deliveries[half:], at_once=len(deliveries))
    store.command(f"ALTER TABLE {table} DROP CONSTRAINT none_passes")
    assert len(writes.unfinished(store)) == 1
    assert bool(faults(store)) == (table != "sessions"), "ClickHouse has stored some of it"

    with structlog.testing.capture_logs() as logs:
        recovery.recover(store)
    assert len(writes.unfinished(store)) == 1, "on a server, its writer may be at work still"
    assert logs == []
    with structlog.testing.capture_logs() as logs:
        recovery.recover(store, of_all=True)
    assert [(line["event"], line["writes"]) for line in logs] == [("writes finished that were cut short", 1)]
    assert writes.unfinished(store) == []
    assert faults(store) == {}
    reporter = Reporter(store)
    for world in drawn:
        for domain in world.domains:
            for scope in SCOPES:
                asked = {"start_date": world.start.isoformat(), "end_date": world.end.isoformat(), "touch_scope": scope}
                query = to_query(message(asked), domain, world.now)
                answer = dict(to_answer([answered(reporter, store, query)]))
                assert answer == report(world.deliveries, domain, asked, world.now), (domain, asked)
    reporter.close()


def test_a_user_that_only_reads_is_told_to_have_it_repaired(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.insert("writes", writes._in_row_binary(5, b""), "RowBinary", ("id", "sessions"))
    monkeypatch.setattr(recovery, "_WORK_SECONDS", 0)

    def refused(*_: object) -> None:
        raise InternalError("Cannot execute query in readonly mode")

    monkeypatch.setattr(store, "command", refused)
    with structlog.testing.capture_logs() as logs:
        recovery.recover(store)
    assert "pageroles check --repair" in logs[0]["event"]
    with pytest.raises(InternalError):
        recovery.recover(store, of_all=True)


def test_a_write_that_has_ended_leaves_nothing(store: Store) -> None:
    write(store, [{**session("s1"), "domain": "ended.com"}])
    assert writes.unfinished(store) == []
    assert rows(store, "SELECT count() FROM system.parts WHERE table = 'writes' AND rows > 0") == [(0,)]


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_what_is_kept_of_a_write_is_all_of_it(store: Store, length: int) -> None:
    kept = random.Random(length).randbytes(length)
    store.insert("writes", writes._in_row_binary(2**64 - 1, kept), "RowBinary", ("id", "sessions"))
    assert writes.unfinished(store) == [2**64 - 1]
    found = store.value(Statement(writes._SESSIONS, {"id": 2**64 - 1}), store.call(60))
    assert found == kept
    writes.forget(store, 2**64 - 1)
    assert writes.unfinished(store) == []


def test_writes_are_finished_in_the_order_of_their_begin(store: Store) -> None:
    for number in (7, 3, 5):
        store.insert("writes", writes._in_row_binary(number, b""), "RowBinary", ("id", "sessions"))
    assert writes.unfinished(store) == [7, 3, 5]
    assert writes.unfinished(store, older_than=60) == []
    for number in (7, 3, 5):
        writes.finish(store, number)
    assert writes.unfinished(store) == []


def test_a_load_that_failed_can_be_run_again_at_once(store: Store, standin: StandIn, tmp_path: Path) -> None:
    """A session moved, which `places` knows and `converting_sessions` does not: at the old place nothing marks it."""
    before, after = (session("s1", user, conversions=[conversion("/a")]) for user in ("anonymous", "ada"))
    write(store, [before])
    store.command("ALTER TABLE converting_sessions ADD CONSTRAINT none_passes CHECK domain = 'none'")
    with pytest.raises(PagerolesError):
        write(store, [after])
    store.command("ALTER TABLE converting_sessions DROP CONSTRAINT none_passes")
    # ClickHouse decides which view is fed first; so it may have been.
    store.command(
        "INSERT INTO places (domain, session_key, user_key, started_at, written_at) "
        "SELECT domain, session_key, user_key, started_at, written_at FROM sessions WHERE gone = 0 AND user_id = 'ada'"
    )
    assert faults(store)
    (tmp_path / "again.jsonl").write_text(json.dumps(after) + "\n")
    loaded = CliRunner().invoke(app, ["load", str(tmp_path / "again.jsonl"), "--store", standin.dsn])
    assert loaded.exit_code == 0, loaded.output
    assert faults(store) == {}


def test_an_erasure_of_another_process_is_at_work_for_ten_minutes_and_while_rows_are_deleted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, [{**session("s1"), "domain": "elsewhere.com"}])
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(CancelledError):
        erasure.erase(store, Erasure("elsewhere.com"), stopping=stopping)
    assert recovery.finding(store).count == 0
    monkeypatch.setattr(recovery, "_WORK_SECONDS", 0)
    assert until(lambda: recovery.finding(store).examples == ("an erasure",))
    store.command("SYSTEM STOP MERGES sessions")
    try:
        store.command(
            "ALTER TABLE sessions DELETE WHERE (domain, session_key) IN (SELECT domain, session_key FROM erasing) "
            "SETTINGS mutations_sync = 0, allow_nondeterministic_mutations = 1"
        )
        assert recovery.finding(store).count == 0
    finally:
        store.command("SYSTEM START MERGES sessions")
    recovery.recover(store, of_all=True)
    assert recovery.finding(store).count == 0


def test_what_was_cut_short_is_erased_as_well(store: Store) -> None:
    """What is kept for a write must not come back after an erasure."""
    store.command("ALTER TABLE users ADD CONSTRAINT none_passes CHECK domain = 'none'")
    with pytest.raises(PagerolesError):
        write(store, [{**session("s1", "ada"), "domain": "half.com"}])
    store.command("ALTER TABLE users DROP CONSTRAINT none_passes")
    erasure.erase(store, Erasure("half.com", user_id="ada"))
    recovery.recover(store, of_all=True)
    assert rows(store, "SELECT count() FROM sessions") == [(0,)]
    assert rows(store, "SELECT count() FROM writes") == [(0,)]


# ---- real kills ----


# Loads files in small batches and tells of each; or finishes what was cut short, and tells what the store holds.
PROCESS = """
import json, sys
from pageroles.ingest import batch, loader
from pageroles.store import recovery, soundness
from pageroles.store.statement import Statement
from pageroles.store.store import Store
batch.MOST_ROWS = 300
folder, *files = sys.argv[1:]
with Store.open(f"chdb://{folder}", readers=1) as store:
    recovery.recover(store)
    print("open", flush=True)
    for file in files:
        loader.load(store, [file], report=lambda state: print("loaded", state.loaded, flush=True))
        print("whole", flush=True)
    found = {finding.name: finding.count for finding in soundness.look(store) if finding.count}
    held = store.rows(Statement("SELECT session_id, user_id, toString(started_at), length(conversions.url) "
        "FROM sessions FINAL WHERE gone = 0 ORDER BY session_id"), store.call(60))
    journeys = store.rows(Statement("SELECT session_id, length(conversions.url) FROM converting_sessions FINAL "
        "ORDER BY session_id"), store.call(60))
    print(json.dumps([found, held, journeys]))
"""

SESSIONS = 3000
KILLS = 24
TRIED = {11}


def versions(seed: int) -> list[list[Session]]:
    """Return sessions over three months, and later versions of them: moved, and with no conversion or a first one."""
    rng = random.Random(seed)
    first, second = [], []
    for number in range(SESSIONS):
        name, at, converts = f"s{number:05}", NOW - timedelta(minutes=rng.randrange(90 * 1440)), rng.random() < 0.4
        first.append(version(name, f"u{number // 3}", at, converts=converts))
        user, moved = rng.choice(((f"u{number // 3}", 0), (f"v{number}", 0), (f"v{number}", 35)))
        second.append(version(name, user, at - timedelta(days=moved), converts=not converts))
    return [first, second]


def version(name: str, user: str, started_at: datetime, *, converts: bool) -> Session:
    at = started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made: Session = {**session(name, user, at, [("/", at)]), "domain": "killed.com"}
    return {**made, "conversions": [conversion("/c") | {"occurred_at": at}] if converts else []}


def state(deliveries: Sequence[Session]) -> list[Any]:
    """Return what a sound store holds once these were delivered."""
    last = {one["session_id"]: one for one in deliveries}
    held = [
        [name, one["user_id"], f"{one['started_at'][:10]} {one['started_at'][11:19]}.000", len(one["conversions"])]
        for name, one in sorted(last.items())
    ]
    return [{}, held, [[name, converted] for name, _, _, converted in held if converted]]


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed not in TRIED else []) for seed in range(KILLS)]
)
def test_a_batch_that_was_killed_is_stored_whole_or_not_at_all(tmp_path: Path, seed: int) -> None:
    files = []
    for number, made in enumerate(both := versions(seed)):
        files.append(tmp_path / f"{number}.jsonl")
        files[-1].write_text("".join(json.dumps(one) + "\n" for one in made))
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "store")]
    rng = random.Random(seed)
    with subprocess.Popen([*command, *map(str, files)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        moment = rng.randrange(SESSIONS // 300)
        for told in process.stdout:
            if told.startswith("whole"):
                break
        done = 0
        for told in process.stdout:
            done = int(told.split()[1])
            if done >= moment * 300:
                break
        # Somewhere within a batch, another place each time.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.random() / 8)
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read()
    acknowledged = max([done, *(int(line.split()[1]) for line in told.splitlines() if line.startswith("loaded "))])
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    held = json.loads(again.stdout.splitlines()[-1])
    first, second = both
    # One batch more may have been written down than was acknowledged, and another that waited.
    possible = [state([*first, *second[: acknowledged + more]]) for more in (0, 300, 600)]
    assert held[0] == {}, "the store is sound"
    assert held in possible


def test_an_erasure_that_was_cut_short_is_finished(store: Store) -> None:
    write(store, [{**session("s1", "ada"), "domain": "cut.com"}, {**session("s2", "bob"), "domain": "cut.com"}])
    run = erasure._Run(store, threading.Event())
    run._commands(erasure._CREATE)
    store.command(*erasure._filling(Erasure("cut.com", user_id="ada")))
    recovery.recover(store)
    assert rows(store, "SELECT count() FROM sessions") == [(2,)], "on a server, another process may be erasing"
    with structlog.testing.capture_logs() as logs:
        recovery.recover(store, of_all=True)
    assert [(line["event"], line["sessions"], line["users"]) for line in logs] == [
        ("erasure finished that was cut short", 1, 1)
    ]
    assert rows(store, "SELECT session_id FROM sessions") == [("s2",)]
