"""Faults are planted at random in a store; each is counted, mended, and then answers are what the reference says."""

from __future__ import annotations

import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pageroles.access.keys import KeyStore
from pageroles.rest_shape import to_answer
from pageroles.store import damage, soundness
from pageroles.store.statement import Statement
from support import reference, worlds
from support.served import serving_with
from support.siphash import sip_hash
from support.stores import faults
from support.wire import Asked, message
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pageroles.store.store import Store
    from support.reference import Conversion, Session
    from support.worlds import World

NOW = datetime.now(UTC)
SETTINGS = "SETTINGS max_partitions_per_insert_block = 0"


@pytest.fixture
def store(empty_store: Store) -> Store:
    return empty_store


def rows(store: Store, text: str) -> Sequence[Sequence[Any]]:
    return store.rows(Statement(text), store.call(30))


# ---- what is planted: each in worlds of its own ----


class Field:
    """Worlds in a store, in which one kind of fault is planted."""

    def __init__(self, store: Store, rng: random.Random, planted: list[World]) -> None:
        self.store = store
        self.rng = rng
        self.worlds = planted
        self.sessions = [session for one in planted for session in reference.written(one.deliveries)]
        first: dict[tuple[str, str], datetime] = {}
        for session in self.sessions:
            user, at = (session["domain"], session["user_id"]), reference.moment(session["started_at"])
            first[user] = min(at, first.get(user, at))
        self._first = first

    def is_first(self, session: Session) -> bool:
        at = reference.moment(session["started_at"])
        return self._first[session["domain"], session["user_id"]] == at

    def some(self, passes: Callable[[Session], bool] = lambda _: True) -> list[Session]:
        """Draw half of the sessions that count."""
        fitting = [session for session in self.sessions if passes(session)]
        # A statement of more would be too long for ClickHouse.
        drawn = self.rng.sample(fitting, min((len(fitting) + 1) // 2, 1300))
        assert len(drawn) > 1
        return drawn

    def delete(self, table: str, sessions: list[Session], *columns: str) -> None:
        self.store.command(f"ALTER TABLE {table} DELETE WHERE {among(sessions, *columns)} SETTINGS mutations_sync = 2")

    def insert_late(self, sessions: list[Session], changed: Callable[[Session], Session]) -> None:
        """Insert later versions as other writers do, that do not look places up."""
        versions = {(one["domain"], one["session_id"]): changed(one) for one in sessions}
        self.store.insert("sessions", worlds.to_store_rows(versions.values()))
        for one in self.worlds:
            one.deliveries.extend(version for version in versions.values() if version["domain"] in one.domains)


VALUES: dict[str, Callable[[Session], str]] = {
    "session_key": lambda session: f"sipHash64({quoted(session['session_id'])})",
    "user_key": lambda session: f"sipHash64({quoted(session['user_id'])})",
    "started_at": lambda session: f"toDateTime64({quoted(session['started_at'][:23].replace('T', ' '))}, 3, 'UTC')",
}


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def among(sessions: list[Session], *columns: str) -> str:
    tuples = (
        f"({', '.join([quoted(session['domain']), *(VALUES[name](session) for name in columns)])})"
        for session in sessions
    )
    return f"(domain, {', '.join(columns)}) IN ({', '.join(tuples)})"


def places_deleted(field: Field) -> dict[str, int]:
    drawn = field.some()
    field.delete("places", drawn, "session_key", "user_key", "started_at")
    return {"place unknown": len(drawn)}


def places_outdated(field: Field) -> dict[str, int]:
    drawn = field.some()
    field.delete("places", drawn, "session_key", "user_key", "started_at")
    field.store.command(
        "INSERT INTO places SELECT domain, session_key, user_key, started_at, min(written_at) - INTERVAL 1 YEAR "
        f"FROM sessions WHERE {among(drawn, 'session_key', 'user_key', 'started_at')} AND gone != 2 "
        "GROUP BY domain, session_key, user_key, started_at"
    )
    return {"place unknown": len(drawn)}


def moved_to_users(field: Field) -> dict[str, int]:
    drawn = field.some()
    field.insert_late(
        drawn, lambda session: {**session, "user_id": f"{session['user_id']} elsewhere", "written_at": ""}
    )
    return {"session counts twice": len(drawn)}


def moved_to_days(field: Field) -> dict[str, int]:
    drawn = field.some()
    field.insert_late(drawn, lambda session: {**session, "started_at": later(session, days=1), "written_at": ""})
    return {"session counts twice": len(drawn)}


def moved_within_a_day(field: Field) -> dict[str, int]:
    drawn = field.some(lambda it: bool(it["conversions"]) and not field.is_first(it) and it["started_at"][11:13] < "23")
    field.insert_late(drawn, lambda session: {**session, "started_at": later(session, minutes=30), "written_at": ""})
    return {"journey stale": len(drawn)}


def set_aside(field: Field) -> dict[str, int]:
    drawn = field.some()
    columns = ", ".join(f"`{column}`" for column in soundness.PLAIN_COLUMNS)
    field.store.command(
        f"INSERT INTO sessions ({columns}, gone) SELECT {columns}, 1 FROM sessions FINAL "
        f"WHERE {among(drawn, 'session_key', 'user_key')} AND gone = 0 {SETTINGS}"
    )
    return {"version that counts is set aside": len(drawn)}


def lost(field: Field) -> dict[str, int]:
    drawn = field.some(lambda session: not session["conversions"] and not field.is_first(session))
    field.delete("sessions", drawn, "session_key")
    return {"version that counts is lost": len(drawn)}


def journeys_deleted(field: Field) -> dict[str, int]:
    drawn = field.some(lambda session: bool(session["conversions"]))
    field.delete("converting_sessions", drawn, "session_key")
    return {"journey missing": len(drawn)}


def journeys_taken_back(field: Field) -> dict[str, int]:
    """Insert deletion marks that are later than the sessions: what mends a journey must be as late."""
    drawn = field.some(lambda session: bool(session["conversions"]))
    field.store.command(
        "INSERT INTO converting_sessions (domain, user_key, started_at, session_key, written_at, is_deleted) "
        "SELECT domain, user_key, started_at, session_key, written_at + INTERVAL 1 HOUR, 1 FROM sessions FINAL "
        f"WHERE {among(drawn, 'session_key')} AND gone = 0 {SETTINGS}"
    )
    return {"journey missing": len(drawn)}


def journeys_changed(field: Field) -> dict[str, int]:
    drawn = field.some(lambda session: bool(session["conversions"]))
    change = field.rng.choice(("[sipHash64('/x')] AS page_keys", "'x' AS effective_source", "7 AS exit_key"))
    field.store.command(
        f"INSERT INTO converting_sessions SELECT * REPLACE ({change}) FROM converting_sessions FINAL "
        f"WHERE {among(drawn, 'session_key')} {SETTINGS}"
    )
    return {"journey stale": len(drawn)}


def journeys_outdated(field: Field) -> dict[str, int]:
    drawn = field.some(lambda session: bool(session["conversions"]))
    field.delete("converting_sessions", drawn, "session_key")
    columns = ", ".join(f"`{column}`" for column in soundness.CONTENT_COLUMNS)
    field.store.command(
        f"INSERT INTO converting_sessions (domain, user_key, started_at, session_key, {columns}, written_at, "
        f"is_deleted) SELECT domain, user_key, started_at, session_key, {columns}, written_at - INTERVAL 1 YEAR, 0 "
        f"FROM sessions FINAL WHERE {among(drawn, 'session_key')} AND gone = 0 {SETTINGS}"
    )
    return {"journey stale": len(drawn)}


def journeys_made_up(field: Field) -> dict[str, int]:
    drawn = field.some(lambda session: not session["conversions"])
    field.store.command(
        "INSERT INTO converting_sessions (domain, user_key, started_at, session_key, page_keys, conversion_keys, "
        "assist_views, written_at, is_deleted) SELECT domain, user_key, started_at, session_key, page_keys, "
        "[sipHash64('/x')], [0], written_at + INTERVAL 1 DAY, 0 FROM sessions FINAL "
        f"WHERE {among(drawn, 'session_key')} AND gone = 0 {SETTINGS}"
    )
    return {"journey stale": len(drawn)}


def users_deleted(field: Field) -> dict[str, int]:
    drawn = field.some()
    field.delete("users", drawn, "user_key")
    return {"first seen too late": users_of(drawn)}


def users_seen_later(field: Field) -> dict[str, int]:
    drawn = field.some(field.is_first)
    field.delete("users", drawn, "user_key")
    field.store.command(
        "INSERT INTO users SELECT domain, user_key, min(started_at) + INTERVAL 1 HOUR FROM sessions FINAL "
        f"WHERE {among(drawn, 'user_key')} AND gone = 0 GROUP BY domain, user_key"
    )
    return {"first seen too late": users_of(drawn)}


def users_seen_earlier(field: Field) -> dict[str, int]:
    departed = {tuple(row) for row in rows(field.store, "SELECT toString(domain), user_key FROM departures")}
    keys = {
        (domain, key): user
        for domain, key, user in rows(field.store, "SELECT DISTINCT toString(domain), user_key, user_id FROM sessions")
    }
    left = {(domain, user) for (domain, key), user in keys.items() if (domain, key) in departed}
    drawn = field.some(lambda session: (session["domain"], session["user_id"]) not in left)
    field.store.command(
        "INSERT INTO users SELECT domain, user_key, min(started_at) - INTERVAL 9 DAY FROM sessions FINAL "
        f"WHERE {among(drawn, 'user_key')} AND gone = 0 GROUP BY domain, user_key"
    )
    return {"first seen too early": users_of(drawn)}


def pages_deleted(field: Field) -> dict[str, int]:
    named = sorted({(session["domain"], page) for session in field.sessions for page in reference.pages(session)})
    drawn = field.rng.sample(named, min(len(named) // 3 + 1, 1300))
    pairs = ", ".join(f"({quoted(domain)}, {quoted(page)})" for domain, page in drawn)
    field.store.command(f"ALTER TABLE pages DELETE WHERE (domain, url) IN ({pairs}) SETTINGS mutations_sync = 2")
    return {"page without a name": len(drawn)}


def users_of(sessions: list[Session]) -> int:
    return len({(session["domain"], session["user_id"]) for session in sessions})


def later(session: Session, **by: int) -> str:
    return worlds._iso(reference.moment(session["started_at"]) + timedelta(**by))


PLANTS = (
    places_deleted, places_outdated, moved_to_users, moved_to_days, moved_within_a_day, set_aside, lost,
    journeys_deleted, journeys_taken_back, journeys_changed, journeys_outdated, journeys_made_up, users_deleted,
    users_seen_later, users_seen_earlier, pages_deleted,
)  # fmt: skip


# ---- the tests ----


def fields_of(store: Store, seed: int, worlds_each: int) -> list[Field]:
    """Fill a store with worlds, a field of them for each thing that is planted; 0: one large world each."""
    rng = random.Random(seed)
    drawn = []
    for plant in PLANTS:
        own = [worlds.moving(rng, worlds.world(rng, NOW)) for _ in range(worlds_each)] or [large(rng)]
        drawn.append([one.renamed(f"{plant.__name__}{number}") for number, one in enumerate(own)])
    write(store, (session for own in drawn for one in own for session in one.deliveries), at_once=50_000)
    return [Field(store, rng, own) for own in drawn]


def large(rng: random.Random) -> World:
    """Draw a world in which a thousand of everything can be planted: of the four sessions of a user, two convert."""
    start = NOW - timedelta(days=20)
    deliveries: list[Session] = []
    for number in range(8800):
        at = worlds._iso(start + timedelta(days=number % 4 * 4, minutes=rng.randrange(1440)))
        conversion: list[Conversion] = [{"url": "", "type": "custom", "id": "", "occurred_at": at}]
        made: Session = dict.fromkeys(reference.TEXTS, "")  # type: ignore[assignment]
        deliveries.append(
            {
                **made,
                "domain": "large",
                "session_id": f"s{number}",
                "user_id": f"u{number // 4}",
                "started_at": at,
                "page_views": [{"url": f"/{number % 3900}", "viewed_at": at}],
                "conversions": conversion * (number % 2),
            }
        )
    return worlds.World(deliveries, ["large"], NOW, start, NOW)


def answers_are_right(store: Store, fields: list[Field], seed: int) -> int:
    """Ask about all worlds and compare with the reference; return how many answers had rows."""
    rng, full = random.Random(seed), 0
    key = KeyStore(store).create(None)[0]
    with serving_with(store, max_seconds=60) as (target, _, _):
        for one in (one for field in fields for one in field.worlds for _ in range(2)):
            question = worlds.request(rng, one)
            if not (question.get("start_date") and question.get("end_date")):
                question |= {"end_date": f"{NOW:%Y-%m-%d}", "start_date": f"{NOW - timedelta(days=29):%Y-%m-%d}"}
            domain = worlds.domain(rng, one)
            try:
                expected = reference.report(one.deliveries, domain, question, datetime.now(UTC))
            except reference.InvalidRequestError:
                continue
            with Asked(target, key, domain) as asked:
                answer = dict(to_answer([asked.pages(message(question)).SerializeToString()]))
            assert answer == expected, (domain, question)
            full += "message" not in answer
    return full


@pytest.mark.parametrize(
    ("rows_per_range", "seed", "worlds_each", "of_each"),
    [
        (200, 50, 3, 3),
        pytest.param(1_000_000, 1_000_000, 5, 5, marks=pytest.mark.slow),
        pytest.param(20_000, 20_000, 0, 1000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_what_is_planted_is_counted_and_mended(
    store: Store, monkeypatch: pytest.MonkeyPatch, rows_per_range: int, seed: int, worlds_each: int, of_each: int
) -> None:
    monkeypatch.setattr(soundness, "_ROWS_PER_RANGE", rows_per_range)
    fields = fields_of(store, seed=seed, worlds_each=worlds_each)
    assert faults(store) == {}, "a store that the loader has filled is sound"
    planted: Counter[str] = Counter()
    for plant, field in zip(PLANTS, fields, strict=True):
        for name, count in plant(field).items():
            planted[name] += count
    assert set(planted) == {kind.name for kind in soundness.KINDS}, "each kind is planted"
    assert min(planted.values()) >= of_each, planted
    assert faults(store) == planted

    soundness.mend(store)
    (unmendable,) = (kind for kind in soundness.KINDS if kind.advice)
    assert faults(store) == {unmendable.name: planted[unmendable.name]}
    whole = [field for plant, field in zip(PLANTS, fields, strict=True) if plant is not lost]
    assert answers_are_right(store, whole, seed=1) > len(whole)

    (torn,) = (field for field in fields if field not in whole)
    write(store, torn.sessions)
    assert faults(store) == {}, "what is lost is there again once it is loaded again"
    assert answers_are_right(store, [torn], seed=1)


@pytest.mark.parametrize("plants", [PLANTS[::4], pytest.param(PLANTS, marks=pytest.mark.slow)], ids=["some", "all"])
def test_each_fault_alone_is_named_and_shown(store: Store, plants: Sequence[Callable[[Field], dict[str, int]]]) -> None:
    for plant in plants:
        rng = random.Random(plant.__name__)
        drawn = [worlds.world(rng, NOW).renamed(f"{plant.__name__}{number}") for number in range(6)]
        write(store, (session for one in drawn for session in one.deliveries))
        field = Field(store, rng, drawn)
        ((name, count),) = plant(field).items()
        (finding,) = (finding for finding in soundness.look(store) if finding.count)
        assert (finding.name, finding.count) == (name, count), plant
        assert len(finding.examples) == damage.EXAMPLES
        names = {f"{one['domain']}: {name}" for one in field.sessions for name in (one["session_id"], one["user_id"])}
        pages = re.compile("|".join(re.escape(domain) for one in drawn for domain in one.domains))
        for example in finding.examples:
            # A page without a name, and a session that is not there, have nothing but their key.
            keyed = name in {"page without a name", "version that counts is lost"}
            assert example in names or (keyed and re.fullmatch(rf"({pages.pattern}): the .* key \d+", example)), example
        soundness.mend(store)
        if plant is lost:
            write(store, field.sessions)


def test_what_is_wrong_for_a_moment_is_not_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is on its way is in one table and not yet in the other; here it arrives while `look` waits."""
    rng = random.Random("for a moment")
    drawn = [worlds.world(rng, NOW).renamed(f"moment{number}") for number in range(6)]
    write(store, (session for one in drawn for session in one.deliveries))
    places_deleted(Field(store, rng, drawn))
    assert faults(store)
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if seconds == 2.0:
            soundness.mend(store)

    monkeypatch.setattr(soundness, "_LOOK_AGAIN_SECONDS", (0.5, 2.0))
    monkeypatch.setattr(soundness, "time", SimpleNamespace(sleep=wait))
    assert faults(store) == {}
    assert [each for each in waits if each] == [0.5, 2.0]


def test_of_two_live_rows_the_later_counts_then_the_later_start_then_the_greater_user(store: Store) -> None:
    store.command(
        "INSERT INTO sessions (domain, session_id, user_id, started_at, written_at) VALUES "
        "('a.com', 'late', 'u1', '2025-07-02 10:00:00', '2025-07-09 00:00:00'), "
        "('a.com', 'late', 'u2', '2025-07-03 10:00:00', '2025-07-08 00:00:00'), "
        "('a.com', 'start', 'u1', '2025-07-02 10:00:00', '2025-07-08 00:00:00'), "
        "('a.com', 'start', 'u1', '2025-07-03 10:00:00', '2025-07-08 00:00:00'), "
        "('a.com', 'start', 'u2', '2025-07-02 11:00:00', '2025-07-08 00:00:00'), "
        "('a.com', 'user', 'u1', '2025-07-02 10:00:00', '2025-07-08 00:00:00'), "
        "('a.com', 'user', 'u2', '2025-07-02 10:00:00', '2025-07-08 00:00:00')"
    )
    assert faults(store) == {"session counts twice": 3}
    soundness.mend(store)
    assert faults(store) == {}
    live = rows(
        store,
        "SELECT session_id, user_id, toString(started_at) FROM sessions FINAL WHERE gone = 0 ORDER BY session_id",
    )
    greater = max("u1", "u2", key=sip_hash)
    assert [tuple(row) for row in live] == [
        ("late", "u1", "2025-07-02 10:00:00.000"),
        ("start", "u1", "2025-07-03 10:00:00.000"),
        ("user", greater, "2025-07-02 10:00:00.000"),
    ]


def test_a_part_that_is_put_aside_is_found(store: Store) -> None:
    store.insert("sessions", worlds.to_store_rows(worlds.world(random.Random(1), NOW).deliveries))
    store.command("ALTER TABLE departures DETACH PARTITION tuple()")
    store.command("ALTER TABLE pages DETACH PARTITION tuple()")
    (finding,) = (finding for finding in soundness.look(store) if finding.name == "part detached")
    assert finding.count == 1, "a table without rows has no part"
    assert finding.examples[0].startswith("pages: all_")
    assert "ATTACH PART" in finding.advice


def test_a_part_whose_files_are_damaged_is_found(store: Store) -> None:
    store.insert("sessions", worlds.to_store_rows(worlds.world(random.Random(1), NOW).deliveries))
    ((folder, name),) = rows(
        store, "SELECT path, name FROM system.parts WHERE active AND table = 'places' AND database = currentDatabase()"
    )
    data = next(Path(folder).glob("*.bin"))
    damaged = bytearray(data.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    data.chmod(0o600)
    data.write_bytes(damaged)
    finding, *_ = soundness.look(store)  # what can't be read is not looked into
    assert (finding.name, finding.count) == ("part broken", 1)
    assert finding.examples[0].startswith(f"places: {name}, ")


def test_all_that_writers_fill_is_written_again(store: Store) -> None:
    filled = rows(
        store,
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'sessions' "
        "AND default_kind != 'MATERIALIZED' AND name NOT IN ('gone', 'user_sixteenth')",
    )
    assert sorted(soundness.PLAIN_COLUMNS) == sorted(str(name) for (name,) in filled)


def test_all_of_a_journey_is_compared(store: Store) -> None:
    columns = rows(
        store,
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'converting_sessions' "
        "AND name NOT IN ('domain', 'user_key', 'started_at', 'session_key', 'written_at', 'is_deleted')",
    )
    assert sorted(soundness.CONTENT_COLUMNS) == sorted(str(name) for (name,) in columns)


def test_every_table_with_parts_is_checked(store: Store) -> None:
    tables = rows(
        store, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    )
    assert sorted(damage.TABLES) == sorted(str(name) for (name,) in tables)
