"""After an erasure, answers are those of a store that never had what was erased, and no table has a row of it."""

from __future__ import annotations

import dataclasses
import random
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import structlog.testing

from pageroles import _core
from pageroles.errors import CancelledError
from pageroles.question.request import to_query
from pageroles.report.run import Reporter
from pageroles.rest_shape import to_answer
from pageroles.store import erasure, schema
from pageroles.store.erasure import Erased, Erasure
from pageroles.store.retention import Retention
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from support import stores, worlds
from support.clickhouse_standin import StandIn
from support.endless import until
from support.erasing import STATEMENTS, KilledError, Mortal, drawn_erasure, to_erasure
from support.made import NOW, conversion, session
from support.reference import SCOPES, Erase, Session, canonical, report, written
from support.reports import answered
from support.wire import message
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FAST_WORLDS = 2
WORLDS = 40
SEGMENTS = 3


@pytest.fixture(scope="module")
def store(standin: StandIn) -> Iterator[Store]:
    """A store of these tests alone: a deletion rewrites all that others have written, too."""
    with stores.empty(standin) as opened:
        yield opened


@pytest.fixture(scope="module")
def reporter(store: Store) -> Iterator[Reporter]:
    opened = Reporter(store)
    yield opened
    opened.close()


@dataclasses.dataclass
class Written:
    """A store with a world, and what the reference knows of it."""

    store: Store
    reporter: Reporter
    now: datetime
    deliveries: list[Session | Erase] = dataclasses.field(default_factory=list)
    # All versions that are stored, by session.
    versions: dict[tuple[str, str], list[Session]] = dataclasses.field(default_factory=dict)

    def write(self, sessions: Sequence[Session], *, past_the_loader: bool = False) -> None:
        if past_the_loader:
            for batch in worlds.rounds(sessions):
                self.store.insert("sessions", worlds.to_store_rows(batch))
        else:
            write(self.store, sessions)
        self.deliveries += sessions
        for one in sessions:
            self.versions.setdefault((one["domain"], one["session_id"]), []).append(one)

    def erase(self, wanted: Erase, store: Any = None) -> Erased:
        done = erasure.erase(store or self.store, to_erasure(wanted))
        self.forget(wanted)
        return done

    def forget(self, wanted: Erase) -> None:
        self.deliveries.append(wanted)
        left = {(one["domain"], one["session_id"]) for one in written(self.deliveries, self.now)}
        self.versions = {key: versions for key, versions in self.versions.items() if key in left}

    def answer(self, domain: str, asked: dict[str, str]) -> dict[str, Any]:
        query = to_query(message(asked), domain, self.now)
        return dict(to_answer([answered(self.reporter, self.store, query)]))

    def agrees(self, domain: str, asked: dict[str, str]) -> None:
        assert self.answer(domain, asked) == report(self.deliveries, domain, asked, self.now), (domain, asked)

    def column(self, table: str, column: str, domain: str) -> set[Any]:
        text = f"SELECT DISTINCT {column} FROM {table} WHERE domain = {{domain:String}}"  # noqa: S608 - constants
        return {value for (value,) in self.store.rows(Statement(text, {"domain": domain}), self.store.call(60))}

    def has_no_trace(self, domain: str) -> None:
        """Check that every table has rows of what is left, and of nothing else."""
        left = [one for (its, _), versions in self.versions.items() if its == domain for one in versions]
        names = {one["session_id"] for one in left}
        users = {one["user_id"] for one in left}
        session_keys, user_keys = set(_core.keys(sorted(names))), set(_core.keys(sorted(users)))
        marks = {""}
        assert self.column("sessions", "session_id", domain) == names
        assert self.column("sessions", "session_key", domain) == session_keys
        assert self.column("sessions", "user_id", domain) <= users | marks
        assert self.column("sessions", "user_key", domain) <= user_keys
        assert self.column("places", "session_key", domain) == session_keys
        assert self.column("places", "user_key", domain) == user_keys
        assert self.column("converting_sessions", "session_key", domain) <= session_keys
        assert self.column("converting_sessions", "session_id", domain) <= names | marks
        assert self.column("converting_sessions", "user_key", domain) <= user_keys
        assert self.column("users", "user_key", domain) <= user_keys
        assert self.column("departures", "user_key", domain) <= user_keys
        stored, counted = (
            urls(left),
            urls([one for one in written(self.deliveries, self.now) if one["domain"] == domain]),
        )
        assert (
            {canonical(url) for url in counted}
            <= self.column("pages", "url", domain)
            <= {canonical(url) for url in stored}
        )
        assert self.column("sessions", "arrayJoin(page_views.url)", domain) <= stored
        assert self.column("sessions", "arrayJoin(conversions.url)", domain) <= stored | {""}
        assert self.column("converting_sessions", "arrayJoin(conversions.url)", domain) <= stored | {""}
        assert "erasing" not in tables(self.store)


def urls(sessions: Sequence[Session]) -> set[str]:
    views = {view["url"] or "?" for one in sessions for view in one.get("page_views", [])}
    raw = {view["url"] for one in sessions for view in one.get("page_views", [])}
    return views | raw | {it["url"] for one in sessions for it in one.get("conversions", []) if it.get("url")}


def tables(store: Store) -> set[str]:
    found = store.rows(Statement("SELECT name FROM system.tables WHERE database = currentDatabase()"), store.call(60))
    return {str(name) for (name,) in found}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "seed", [*range(FAST_WORLDS), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(FAST_WORLDS, WORLDS))]
)
def test_answers_are_as_if_it_had_never_been_stored(store: Store, reporter: Reporter, seed: int) -> None:
    rng = random.Random(f"erasure {seed}")
    past_the_loader = seed % 3 == 0
    drawn = worlds.world(rng)
    drawn = (drawn if past_the_loader else worlds.moving(rng, drawn)).renamed(f"erasure{seed}")
    its = Written(store, reporter, drawn.now)
    size = len(drawn.deliveries) // SEGMENTS + 1
    for at in range(0, len(drawn.deliveries), size):
        its.write(drawn.deliveries[at : at + size], past_the_loader=past_the_loader)
        before = len(its.versions)
        done = its.erase(drawn_erasure(rng, drawn.deliveries))
        assert done.sessions == before - len(its.versions)
        assert (done.users > 0) == (done.sessions > 0)
        for domain in drawn.domains:
            its.has_no_trace(domain)
            for scope in SCOPES:
                window = {"start_date": drawn.start.isoformat(), "end_date": drawn.end.isoformat()}
                its.agrees(domain, {**window, "touch_scope": scope})
    # What was erased is stored anew.
    its.write(drawn.deliveries, past_the_loader=past_the_loader)
    for domain in drawn.domains:
        its.has_no_trace(domain)
        for scope in SCOPES:
            its.agrees(domain, {"start_date": drawn.start.isoformat(), "touch_scope": scope})


def small(tag: str) -> list[Session]:
    """Return a user whose first session moved to them, one who converted, and one who stays."""
    sessions = [
        session("s1", "anonymous", "2025-07-01T10:00:00Z", ["/a"]),
        session("s2", "ada", "2025-07-02T10:00:00Z", ["/a", "/secret"]),
        session("s1", "ada", "2025-07-01T09:00:00Z", ["/a", "/of-s1"]),
        session("s3", "ada", "2025-07-03T10:00:00Z", ["/b"], [conversion("/thanks")]),
        session("s4", "ada", "2025-07-04T10:00:00Z", ["/c"]),
        session("s5", "bob", "2025-07-05T10:00:00Z", ["/c"], [conversion("/thanks")]),
    ]
    return [{**one, "domain": tag} for one in sessions]


JULY = {"start_date": "2025-07-02", "end_date": "2025-07-31"}


# Kills that `make test` tries: before it is written down, among the first deletions, after the last, and at the end.
TRIED = {1, 5, 10, STATEMENTS}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(number, marks=[pytest.mark.slow] if number not in TRIED else [])
        for number in range(1, STATEMENTS + 1)
    ],
)
def test_one_that_was_killed_is_finished_by_running_it_again(store: Store, reporter: Reporter, statements: int) -> None:
    tag = f"killed{statements}.com"
    its = Written(store, reporter, NOW)
    its.write(small(tag))
    wanted = Erase(tag, user_id="anonymous")
    with pytest.raises(KilledError):
        its.erase(wanted, Mortal(store, statements))
    again = its.erase(wanted)
    # Only the last statement forgets what was erased.
    assert (again.sessions, again.users) == ((1, 2) if statements < STATEMENTS else (0, 0))
    assert its.erase(wanted).sessions == 0
    its.has_no_trace(tag)
    for scope in SCOPES:
        for start in ("2025-07-01", "2025-07-02", "2025-07-03"):
            its.agrees(tag, {"start_date": start, "end_date": "2025-07-31", "touch_scope": scope})


@pytest.mark.usefixtures("at_once")
def test_the_statements_are_as_many_as_are_killed(store: Store, reporter: Reporter) -> None:
    its = Written(store, reporter, NOW)
    its.write(small("counted.com"))
    mortal = Mortal(store, 1000)
    its.erase(Erase("counted.com"), mortal)
    assert 1000 - mortal.statements == STATEMENTS


@pytest.mark.usefixtures("at_once")
def test_another_erasure_finishes_one_that_was_killed(store: Store, reporter: Reporter) -> None:
    its = Written(store, reporter, NOW)
    its.write(small("unfinished.com"))
    its.write(small("other.com"))
    with pytest.raises(KilledError):
        erasure.erase(Mortal(store, 5), Erasure("unfinished.com"))  # type: ignore[arg-type]
    assert its.erase(Erase("other.com", session_id="s2")).sessions == 6
    its.forget(Erase("unfinished.com"))
    for domain in ("unfinished.com", "other.com"):
        its.has_no_trace(domain)
        its.agrees(domain, JULY)


@pytest.mark.usefixtures("at_once")
def test_journeys_are_right_while_users_are_worked_out(store: Store, reporter: Reporter) -> None:
    """From the deletion of sessions on: whoever asks before `users` is right has the answer of afterwards."""
    its = Written(store, reporter, NOW)
    its.write(small("midway.com"))
    done = 0

    class Watched(Mortal):
        def command(self, text: str, parameters: dict[str, object] | None = None) -> None:
            nonlocal done
            if text.startswith(("INSERT INTO users", "ALTER TABLE departures")):
                for scope in ("first", "assist"):
                    its.agrees("midway.com", {"start_date": "2025-07-03", "touch_scope": scope})
                    done += 1
            self.store.command(text, parameters)

    # Ada has an earlier session that is left, and keeps being seen before the window.
    its.forget(Erase("midway.com", session_id="s2"))
    erasure.erase(Watched(store, 0), Erasure("midway.com", session_id="s2"))  # type: ignore[arg-type]
    assert done > 2


@pytest.mark.usefixtures("at_once")
def test_one_that_is_stopped_breaks_off_and_is_finished(store: Store, reporter: Reporter) -> None:
    its = Written(store, reporter, NOW)
    its.write(small("stopped.com"))
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(CancelledError, match="which finishes it"):
        erasure.erase(store, Erasure("stopped.com"), stopping=stopping)
    its.erase(Erase("stopped.com"))
    its.has_no_trace("stopped.com")


@pytest.mark.usefixtures("at_once")
def test_a_date_takes_what_started_before_it_by_the_version_that_counts(store: Store, reporter: Reporter) -> None:
    its = Written(store, reporter, NOW)
    starts = {"later": ("01", "10"), "earlier": ("10", "01"), "at": ("05", "05")}
    for turn in range(2):
        moved = [session(name, started_at=f"2025-07-{days[turn]}T00:00:00Z") for name, days in starts.items()]
        its.write([{**one, "domain": "dated.com"} for one in moved])
    assert its.erase(Erase("dated.com", before="2025-07-05")).sessions == 1
    its.has_no_trace("dated.com")
    assert its.column("sessions", "session_id", "dated.com") == {"later", "at"}


def test_old_parts_go_and_the_setting_is_as_before(empty_store: Store) -> None:
    store = empty_store
    write(store, small("parts.com"))
    # As a server has it; the embedded engine keeps none.
    for name in erasure.TABLES:
        store.command(f"ALTER TABLE {name} MODIFY SETTING old_parts_lifetime = 480")
    # A part that loses all of its rows goes at once, so some are left.
    assert erasure.erase(store, to_erasure(Erase("parts.com", user_id="ada"))) == Erased(4, 2)
    text = (
        "SELECT count() FROM system.tables WHERE name IN {names:Array(String)} "
        "AND position(create_table_query, 'old_parts_lifetime') > 0"
    )
    assert store.rows(Statement(text, {"names": list(erasure.TABLES)}), store.call(60))[0][0] == 0


def test_whether_a_domain_has_sessions(store: Store, reporter: Reporter) -> None:
    Written(store, reporter, NOW).write(small("present.com"))
    assert erasure.has_sessions(store, "present.com")
    assert not erasure.has_sessions(store, "absent.com")


def test_the_ids_of_the_erased_are_in_no_statement() -> None:
    text, parameters = erasure._filling(Erasure("a.com", "ada@a.com", "s-ada"))
    assert "ada" not in text + str(parameters)


def test_on_a_cluster_every_deletion_is_of_own_tables_on_every_server() -> None:
    template = erasure._DELETE_SESSIONS + erasure._DELETE_DERIVED + erasure._HURRY_OLD_PARTS + erasure._AS_BEFORE
    statements = schema.statements_of(template, "prod")
    assert len(statements) == 6 + 2 * len(erasure.TABLES)
    for statement in statements:
        name = statement.split()[2]
        assert statement.startswith(f"ALTER TABLE {name} ON CLUSTER prod")
        assert name.removesuffix("_local") in erasure.TABLES
        assert name.endswith("_local")
    created = schema.statements_of(erasure._CREATE, "prod")
    assert [text.split()[5] for text in created] == ["erasing_local", "erasing"]
    assert "clusterAllReplicas(prod, system.mutations)" in schema.statements_of(erasure._MUTATIONS, "prod")[0]


def test_a_domain_may_have_days_of_its_own(store: Store, reporter: Reporter) -> None:
    for name in ("short.com", "long.com", "other.com"):
        Written(store, reporter, NOW).write(small(name))
    now = datetime(2025, 7, 5, tzinfo=UTC)
    kept = Retention(store, {"short.com": 1, None: 2, "long.com": 4}, now=lambda: now)
    erasure.erase(store, *kept._erasures())
    found = store.rows(
        Statement(
            "SELECT domain, arraySort(groupArray(session_id)) FROM sessions FINAL "
            "WHERE gone = 0 AND domain IN ('short.com', 'long.com', 'other.com') GROUP BY domain ORDER BY domain"
        ),
        store.call(60),
    )
    assert [tuple(row) for row in found] == [
        ("long.com", ["s1", "s2", "s3", "s4", "s5"]),
        ("other.com", ["s3", "s4", "s5"]),
        ("short.com", ["s4", "s5"]),
    ]
    erasure.erase(store, *Retention(store, {"other.com": 1}, now=lambda: now)._erasures())
    left = store.rows(
        Statement(
            "SELECT uniqExact(domain, session_id) FROM sessions WHERE domain IN ('short.com', 'long.com', 'other.com')"
        ),
        store.call(60),
    )
    assert left[0][0] == 9, "the others are kept"


def test_a_server_keeps_sessions_for_some_days(tmp_path: Path) -> None:
    """Every round erases what has become too old; one that fails is logged, and the next one succeeds."""
    clock = [datetime(2025, 7, 5, tzinfo=UTC), None, datetime(2025, 7, 6, tzinfo=UTC)]
    with (
        StandIn.start(tmp_path) as standin,
        Store.open(standin.dsn) as store,
        structlog.testing.capture_logs() as logs,
    ):
        store.apply_schema()
        write(store, small("kept.com"))

        def now() -> datetime:
            at = clock.pop(0) if len(clock) > 1 else clock[0]
            if at is None:
                raise RuntimeError("no clock")
            return at

        with Retention(store, {None: 2}, every_seconds=0.2, now=now):
            until(lambda: len(logs) >= 4)
        left = store.rows(
            Statement("SELECT session_id FROM sessions FINAL WHERE gone = 0 ORDER BY session_id"), store.call(9)
        )
    assert [name for (name,) in left] == ["s4", "s5"]
    assert [(line["event"], line.get("sessions")) for line in logs[:4]] == [
        ("old sessions erased", 2),
        ("old sessions not erased", None),
        ("old sessions erased", 1),
        ("old sessions erased", 0),
    ]
