"""Domains in memory when something goes wrong: a deadline, a fault, a truth that can't be proved."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from pageroles.errors import CancelledError, DeadlineError, PagerolesError
from pageroles.question.request import to_query
from pageroles.report import names, new_parts, residents, statements
from pageroles.report.answers import Report
from pageroles.report.plan import InMemory, Streamed
from pageroles.report.run import Reporter
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from support import stores, worlds
from support.endless import ENDLESS, running, until
from support.residing import expected_answer
from support.wire import message
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.question.model import PagesQuery
    from pageroles.report.plan import Plan
    from support.clickhouse_standin import StandIn
    from support.reference import Session

# They look at parts, and could see what others have left of theirs.
pytestmark = pytest.mark.schema_made_anew

NOW = datetime(2025, 8, 1, tzinfo=UTC)
DOMAIN, OTHER = "kept.example", "other.example"
# What the statements have that bring the places of a domain, and those that parts have.
FILL, CATCH_UP = "AS conversion_url_keys", "s._part IN"
LOOK = "system.parts"
_PART_NAMES = Statement(
    "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'sessions' AND active "
    "ORDER BY max_block_number",
    {},
)


class Kept:
    """A store with two domains of a test's own, a reporter, and what was written."""

    def __init__(self, store: Store, tag: str) -> None:
        self.store = store
        self._tag = tag
        self.came: list[Session] = []
        self.reporter = Reporter(store, workers_per_report=2, memory=1 << 30)
        self.write(session("s1"), session("s2", user="u2"))
        self.write(session("s1", domain=OTHER))

    def write(self, *sessions: Session) -> None:
        own: list[Session] = [{**one, "domain": self.name(one["domain"])} for one in sessions]
        write(self.store, own)
        self.came += own

    def name(self, domain: str) -> str:
        return f"{self._tag}.{domain}"

    def query(self) -> PagesQuery:
        return to_query(message({}), self.name(DOMAIN), NOW)

    def part_names(self) -> list[object]:
        """Return the names of the parts in use, in the order in which they came."""
        return [name for (name,) in self.store.rows(_PART_NAMES, self.store.call(60))]

    def report(self, seconds: float = 60.0) -> Report:
        call = self.store.call(seconds)
        try:
            return self.reporter.report(self.query(), call)
        finally:
            call.finish()

    def is_right(self) -> type[Plan]:
        """Ask, compare with the reference, and return the kind of the plan."""
        return self.compared(self.report())

    def compared(self, report: Report) -> type[Plan]:
        assert report.message() == expected_answer(self.came, self.name(DOMAIN), {}, NOW)
        return type(report.plan)


@pytest.fixture(scope="module")
def patient(standin: StandIn) -> Iterator[Store]:
    """An empty store over connections that end soon where the server sends nothing."""
    with stores.empty(standin), Store.open(standin.dsn, silence=3) as store:
        yield store


@pytest.fixture
def kept(patient: Store, request: pytest.FixtureRequest) -> Iterator[Kept]:
    opened = Kept(patient, f"test{request.session.items.index(request.node)}")
    yield opened
    opened.reporter.close()


@pytest.fixture
def server(standin: StandIn) -> Iterator[StandIn]:
    yield standin
    standin.faults(None)


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let domains be read in the background, and all that is written to them."""
    monkeypatch.setattr(residents, "SMALL_ROWS", 0)
    monkeypatch.setattr(residents, "MOST_NEW_ROWS", 0)


def session(name: str, *, domain: str = DOMAIN, user: str = "u1", page: str = "/a", day: int = 10) -> Session:
    at = f"2025-07-{day}T10:00:00Z"
    return {
        "domain": domain,
        "session_id": name,
        "user_id": user,
        "started_at": at,
        "page_views": [{"url": page, "viewed_at": at}],
    }


class Paused:
    """A function that waits where a thread of some name calls it, before or after its work."""

    def __init__(self, work: Callable[..., Any], *, after: bool) -> None:
        self._work = work
        self._after = after
        self.armed = False
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *given: Any, **named: Any) -> Any:
        armed, self.armed = self.armed, False
        if armed and not self._after:
            self._wait()
        result = self._work(*given, **named)
        if armed and self._after:
            self._wait()
        return result

    def _wait(self) -> None:
        self.reached.set()
        assert self.go_on.wait(60)


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Do something in a thread; return it, and what will be the outcome."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except PagerolesError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


# ---- what can't be proved ----


def looks(standin: StandIn) -> int:
    return sum(LOOK in text for text in standin.stats()["seen"])


def test_a_cluster_streams(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept.reporter.residents._looks, "_on_cluster", True)
    assert [kept.is_right() for _ in range(3)] == [Streamed] * 3
    assert not kept.reporter.residents.kept()


@pytest.mark.parametrize("small_rows", [0, 20_000])
def test_a_user_who_may_not_see_parts_gets_streams(
    kept: Kept, server: StandIn, monkeypatch: pytest.MonkeyPatch, small_rows: int
) -> None:
    """And the store is not asked for parts at each question."""
    monkeypatch.setattr(residents, "SMALL_ROWS", small_rows)
    server.faults("500", match=LOOK, code=497)
    for _ in range(12):
        assert kept.is_right() is Streamed
        kept.write(session("s3"))
    # Of what may be kept, and of what an answer was made from.
    assert looks(server) <= 2
    assert not kept.reporter.residents.kept()


def test_what_was_kept_is_forgotten_where_parts_may_not_be_seen_any_more(kept: Kept, server: StandIn) -> None:
    assert kept.is_right() is InMemory
    server.faults("500", match=LOOK, code=497)
    kept.write(session("s3"))
    assert kept.is_right() is Streamed
    assert not kept.reporter.residents.kept()


# ---- deadlines ----


def test_a_deadline_ends_the_wait_for_another_question(kept: Kept, server: StandIn) -> None:
    assert kept.is_right() is InMemory
    kept.write(session("s3"))
    server.faults("hang", match=CATCH_UP, times=1)
    first, outcome = in_thread(lambda: kept.report(seconds=2.0))
    assert until(lambda: any(CATCH_UP in each["sql"] for each in server.stats()["running"]))
    with pytest.raises(DeadlineError):
        kept.report(seconds=0.3)
    first.join()
    assert isinstance(outcome[0], DeadlineError)
    # The worker of the first question still waits for the server.
    assert kept.is_right() is InMemory


def test_a_worker_changes_nothing_when_its_request_has_ended(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    paused = Paused(names.feed, after=True)
    monkeypatch.setattr(new_parts, "feed", paused)
    assert kept.is_right() is InMemory
    kept.write(session("s1", page="/old"))
    paused.armed = True
    with pytest.raises(DeadlineError):
        kept.report(seconds=1.0)
    assert paused.reached.is_set()
    kept.write(session("s1", page="/new"))
    assert kept.is_right() is InMemory
    paused.go_on.set()
    # What it would put there would show with the next change.
    for name in ("s3", "s4", "s5"):
        kept.write(session(name))
        assert kept.is_right() is InMemory


def test_a_question_that_waited_takes_nothing_for_lost(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its look may be older than what another has read since."""
    assert kept.is_right() is InMemory
    (before,) = kept.reporter.residents.kept().values()
    paused = Paused(kept.reporter.residents._looks.now, after=True)
    monkeypatch.setattr(kept.reporter.residents._looks, "now", paused)
    kept.write(session("s3"))
    paused.armed = True
    thread, outcome = in_thread(kept.report)
    assert paused.reached.wait(60)
    kept.write(session("s4"))
    assert kept.is_right() is InMemory
    entry = kept.reporter.residents._kept[kept.name(DOMAIN)]
    paused.go_on.set()
    thread.join()
    assert isinstance(outcome[0], Report)
    assert kept.compared(outcome[0]) is InMemory
    assert kept.reporter.residents._kept[kept.name(DOMAIN)] is entry
    assert before.sessions == 2


def test_a_question_waits_for_what_is_brought_up_without_one(patient: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residents, "_KEEP_UP_SECONDS", 0.05)
    paused = Paused(names.feed, after=False)
    monkeypatch.setattr(new_parts, "feed", paused)
    kept = Kept(patient, "first")
    other = Kept(patient, "second")
    other.reporter.close()
    other.reporter = kept.reporter
    assert [kept.is_right(), other.is_right()] == [InMemory] * 2
    paused.armed = True
    kept.write(session("s3"))
    assert paused.reached.wait(60)
    other.write(session("s3"))
    assert other.is_right() is InMemory
    # A question waits for what is read already.
    thread, outcome = in_thread(kept.is_right)
    paused.go_on.set()
    thread.join()
    assert outcome == [InMemory]
    kept.reporter.close()


# ---- one moment ----


def test_a_count_shows_one_moment(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another question reads: of a session that moves, the old place is gone, and the new one not yet read."""
    assert kept.is_right() is InMemory
    call = kept.store.call(60)
    plan = kept.reporter.plan(kept.query(), call)
    before = kept.reporter.run(kept.query(), plan, call).message()
    paused = Paused(names.feed, after=False)
    monkeypatch.setattr(new_parts, "feed", paused)
    kept.write(session("s1", page="/late"))
    paused.armed = True
    thread, outcome = in_thread(kept.report)
    assert paused.reached.wait(60)
    # The look shows a part with the place of July 10. It is read when the session has moved to July 12.
    kept.write(session("s1", page="/moved", day=12))
    second = Paused(kept.reporter.residents._looks.now, after=False)
    monkeypatch.setattr(kept.reporter.residents._looks, "now", second)
    second.armed = True
    paused.go_on.set()
    assert second.reached.wait(60)
    assert kept.reporter.run(kept.query(), plan, call).message() == before
    second.go_on.set()
    thread.join()
    assert isinstance(outcome[0], Report)
    assert kept.compared(outcome[0]) is InMemory
    assert kept.reporter.run(kept.query(), plan, call).message() == before
    call.finish()


def test_what_is_forgotten_can_be_counted(kept: Kept) -> None:
    call = kept.store.call(60)
    plan = kept.reporter.plan(kept.query(), call)
    assert kept.reporter.residents._make_room(kept.reporter.residents.budget, 1e9)
    assert not kept.reporter.residents.kept()
    assert kept.compared(kept.reporter.run(kept.query(), plan, call)) is InMemory


# ---- faults ----


@pytest.mark.parametrize("mode", ["cut", "exception_midstream", "500", "drop"])
@pytest.mark.parametrize("match", [FILL, LOOK])
def test_a_fault_while_a_domain_is_read_leaves_nothing(kept: Kept, server: StandIn, mode: str, match: str) -> None:
    server.faults(mode, match=match, times=4, after_bytes=200)
    with pytest.raises(PagerolesError):
        kept.report()
    assert not kept.reporter.residents.kept()
    server.faults(None)
    assert kept.is_right() is InMemory


@pytest.mark.parametrize("mode", ["cut", "exception_midstream", "500", "drop"])
@pytest.mark.parametrize("match", [CATCH_UP, FILL, LOOK])
def test_a_fault_while_new_rows_are_read_leaves_what_is_kept(
    kept: Kept, server: StandIn, mode: str, match: str
) -> None:
    assert kept.is_right() is InMemory
    call = kept.store.call(60)
    plan = kept.reporter.plan(kept.query(), call)
    before = kept.reporter.run(kept.query(), plan, call).message()
    states = kept.reporter.residents.kept()
    kept.write(session("s3"), session("s1", page="/new"))
    server.faults(mode, match=match, times=4, after_bytes=200)
    with pytest.raises(PagerolesError):
        kept.report()
    assert kept.reporter.residents.kept() == states
    assert kept.reporter.run(kept.query(), plan, call).message() == before
    server.faults(None)
    assert kept.is_right() is InMemory
    call.finish()


def test_a_fault_after_new_rows_were_read_loses_none(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look that would show whether more was written fails; what was read is shown by the next question."""
    assert kept.is_right() is InMemory
    looks = kept.reporter.residents._looks
    now, calls = looks.now, iter((False, True))

    def failing(call: Any, **named: Any) -> Any:
        if next(calls, False):
            raise DeadlineError("too late")
        return now(call, **named)

    monkeypatch.setattr(looks, "now", failing)
    kept.write(session("s3"))
    with pytest.raises(DeadlineError):
        kept.report()
    kept.write(session("s5", domain=OTHER))
    assert kept.is_right() is InMemory


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("mode", ["cut", "exception_midstream", "500", "drop"])
def test_a_fault_in_the_background_is_tried_again(kept: Kept, server: StandIn, mode: str) -> None:
    server.faults(mode, match=FILL, times=4, after_bytes=200)
    assert [kept.is_right() for _ in range(2)] == [Streamed] * 2
    assert until(lambda: not kept.reporter.residents._filling)
    assert not kept.reporter.residents.kept()
    server.faults(None)
    assert until(lambda: kept.is_right() is InMemory)
    kept.write(session("s3"))
    server.faults(mode, match=FILL, times=4, after_bytes=200)
    assert kept.is_right() is Streamed
    assert until(lambda: not kept.reporter.residents._filling)
    server.faults(None)
    assert until(lambda: kept.is_right() is InMemory)


# ---- the end ----


@pytest.mark.usefixtures("all_large")
def test_a_reporter_closes_while_a_domain_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(store, "closing")
    monkeypatch.setattr(statements, "places", lambda *_, **__: ENDLESS)
    for _ in range(2):
        assert kept.is_right() is Streamed
    assert until(lambda: running(store) > 0)
    kept.reporter.close()
    assert not kept.reporter.residents.kept()
    assert until(lambda: running(store) == 0)


def test_a_question_that_is_cancelled_stops_waiting(kept: Kept) -> None:
    assert kept.is_right() is InMemory
    kept.write(session("s3"))
    entry = kept.reporter.residents._kept[kept.name(DOMAIN)]
    turn, waiting = entry.turn, threading.Event()

    def acquire(*, timeout: float) -> bool:
        waiting.set()
        return turn.acquire(timeout=timeout)

    entry.turn = Mock(acquire=acquire, release=turn.release)
    call = kept.store.call(60)
    with turn:
        thread, outcome = in_thread(lambda: kept.reporter.report(kept.query(), call))
        assert waiting.wait(60)
        call.cancel()
        thread.join()
    assert isinstance(outcome[0], CancelledError)
    assert kept.is_right() is InMemory


# ---- another table ----


def test_a_table_made_anew_has_parts_of_the_same_names(empty_store: Store) -> None:
    """Of these it must not be remembered whose rows they have."""
    kept = Kept(empty_store, "anew")
    assert kept.is_right() is InMemory
    kept.write(session("s2", domain=OTHER))
    assert kept.is_right() is InMemory
    (of_other,) = kept.part_names()[-1:]
    kept.store.command("CREATE TABLE empty AS sessions")
    kept.store.command("DROP TABLE sessions SYNC")
    kept.store.command("CREATE TABLE sessions AS empty")
    kept.store.command("DROP TABLE empty SYNC")
    kept.store.command("SYSTEM STOP MERGES sessions")
    for table in ("converting_sessions", "users", "places", "departures"):
        kept.store.command(f"TRUNCATE TABLE {table}")
    kept.came.clear()
    kept.write(session("s1", domain=OTHER))
    assert kept.is_right() is InMemory
    for number in range(12):
        kept.write(session(f"s{number}"))
        assert kept.is_right() is InMemory
    assert of_other in kept.part_names()
    kept.reporter.close()


# ---- versions ----


@pytest.mark.parametrize("written_at", ["2025-01-01T00:00:00Z", "2100-01-01T00:00:00Z"])
def test_a_version_that_others_insert_counts_if_it_is_the_latest(kept: Kept, written_at: str) -> None:
    kept.write(session("s1", page="/whole"))
    assert kept.is_right() is InMemory
    for _ in range(2):
        other: Session = {
            **session("s1", page="/other"),
            "domain": kept.name(DOMAIN),
            "written_at": written_at,
        }
        kept.store.insert("sessions", worlds.to_store_rows([other], versions=True))
        kept.came.append(other)
        assert kept.is_right() is InMemory


def test_of_parts_that_are_gone_nothing_is_remembered(kept: Kept) -> None:
    assert kept.is_right() is InMemory
    for number in range(6):
        kept.write(session(f"new {number}"))
        assert kept.is_right() is InMemory
    kept.store.command("SYSTEM START MERGES sessions")
    kept.store.command("OPTIMIZE TABLE sessions FINAL")
    kept.write(session("last"))
    assert kept.is_right() is InMemory
    remembered = {name for _, name in kept.reporter.residents._new_parts._written_in}
    assert remembered
    assert remembered <= set(kept.part_names())
