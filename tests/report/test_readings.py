"""However the work is cut and the sessions are read, the answer is the same."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pageroles.errors import InvalidArgumentError
from pageroles.question.model import PagesQuery
from pageroles.question.request import to_query
from pageroles.report.plan import InMemory, Plan, Streamed
from pageroles.report.run import Reporter
from pageroles.report.statements import Reading, key_ranges
from pageroles.store.statement import Statement
from pageroles.v1 import pages_pb2
from support import worlds
from support.reports import answered
from support.wire import message
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.store import Store
    from support.worlds import World

Asked = list[tuple[int, PagesQuery, bytes]]

WORLDS = [12, pytest.param(60, marks=pytest.mark.slow)]
REQUESTS = 3
NOW = datetime(2025, 8, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def reporter(store: Store) -> Iterator[Reporter]:
    opened = Reporter(store)
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=WORLDS)
def peopled(store: Store, request: pytest.FixtureRequest) -> list[World]:
    drawn = []
    for seed in range(request.param):
        rng = random.Random(f"reading {seed}")
        drawn.append(worlds.moving(rng, worlds.world(rng, NOW)).renamed(f"reading{seed}of{request.param}"))
    # Few at once, so that many parts have versions of the same sessions.
    write(store, (session for its_world in drawn for session in its_world.deliveries), at_once=200)
    return drawn


@pytest.fixture(scope="module")
def asked(store: Store, reporter: Reporter, peopled: list[World]) -> Asked:
    """Questions, each with the seed of its world and the answer from one unit."""
    found = [
        (seed, query, answered(reporter, store, query, ONE_UNIT))
        for seed, drawn in enumerate(peopled)
        for query in questions(drawn, seed)
    ]
    assert sum(len(message) > 60 for *_, message in found) > len(found) / 6
    return found


def questions(drawn: World, seed: int) -> Iterator[PagesQuery]:
    rng = random.Random(f"questions of {seed}")
    for _ in range(REQUESTS):
        asked, who = worlds.request(rng, drawn), worlds.domain(rng, drawn)
        try:
            yield to_query(message(asked), who, NOW)
        except InvalidArgumentError:
            continue


def streamed(units: int, reading: Reading, *, large: bool = False) -> Streamed:
    return Streamed(tuple(key_ranges(units)), min(units, 2), reading, large)


ONE_UNIT = streamed(1, Reading())
# More than the store has buckets of users, so that some share one.
MANY_UNITS = streamed(20, Reading(history_apart=True, versions=True), large=True)
# None: the plan that the facts give, which counts in memory.
PLANS: dict[str, Plan | None] = {
    "in memory": None,
    "one unit": ONE_UNIT,
    "whole keys": streamed(4, Reading(history_apart=True, whole_keys=True), large=True),
    "history apart": streamed(4, Reading(history_apart=True), large=True),
    "all versions": streamed(4, Reading(history_apart=True, versions=True), large=True),
    "many units": MANY_UNITS,
    "all versions, whole keys": streamed(4, Reading(history_apart=True, versions=True, whole_keys=True)),
    "three units": streamed(3, Reading()),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan_gives_the_same_answer(store: Store, reporter: Reporter, asked: Asked, plan: Plan | None) -> None:
    # Each unit has queries of its own.
    for seed, query, expected in asked[::8] if plan is MANY_UNITS else asked:
        assert answered(reporter, store, query, plan) == expected, f"world {seed}: {query}"
        assert plan is not None or isinstance(reporter.plan(query, store.call(10)), InMemory)


@pytest.fixture
def streaming(store: Store) -> Iterator[Reporter]:
    """A reporter that keeps nothing in memory."""
    opened = Reporter(store, memory=0)
    yield opened
    opened.close()


def test_pages_with_the_same_leading_bits_are_told_apart(store: Store, streaming: Reporter) -> None:
    """Two URLs whose keys differ after the 42nd bit, found among millions."""
    domain = "c.example"
    urls = [f"https://{domain}/p/578622", f"https://{domain}/p/5708301"]
    keys = store.rows(Statement("SELECT arrayMap(url -> sipHash64(url), {urls:Array(String)})", {"urls": urls}),
                      store.call(10))[0][0]  # fmt: skip
    assert isinstance(keys, list)
    assert keys[0] != keys[1]
    assert keys[0] >> 22 == keys[1] >> 22
    query = to_query(message({"start_date": "2025-07-01", "end_date": "2025-07-31"}), domain, NOW)

    def visit(name: str, url: str) -> None:
        row = (
            f'{{"domain": "{domain}", "session_id": "{name}", "user_id": "{name}", '
            f'"started_at": "2025-07-10T10:00:00.000Z", "page_views.url": ["{url}"], '
            '"page_views.viewed_at": ["2025-07-10T10:00:00.000Z"]}'
        )
        store.insert("sessions", row.encode())

    def exits() -> dict[str, int]:
        answer = pages_pb2.PagesResponse.FromString(answered(streaming, store, query))
        return {row.url: row.drop_off.sessions for row in answer.drop_off_performance}

    def has_whole_keys() -> bool:
        plan = streaming.plan(query, store.call(10))
        return isinstance(plan, Streamed) and plan.reading.whole_keys

    visit("s1", urls[0])
    assert exits() == {urls[0]: 1}
    assert not has_whole_keys()
    visit("s2", urls[1])
    visit("s3", urls[1])
    assert exits() == {urls[1]: 2, urls[0]: 1}
    assert has_whole_keys(), "so that the next report does not try"
    assert exits() == {urls[1]: 2, urls[0]: 1}


def test_pages_with_the_same_leading_bits_are_told_apart_in_memory(store: Store, reporter: Reporter) -> None:
    query = to_query(message({"start_date": "2025-07-01", "end_date": "2025-07-31"}), "c.example", NOW)
    answer = pages_pb2.PagesResponse.FromString(answered(reporter, store, query))
    assert isinstance(reporter.plan(query, store.call(10)), InMemory)
    assert [row.drop_off.sessions for row in answer.drop_off_performance] == [2, 1]


def stored(domain: str, session: str, **fields: object) -> dict[str, object]:
    """Return a row of a session on the pages `/a` and `/b`, started on July 10 at ten, as it is inserted."""
    at = fields.get("started_at", "2025-07-10T10:00:00.000Z")
    row = {
        "domain": domain,
        "session_id": session,
        "user_id": "u",
        "started_at": at,
        "page_views.url": ["/a", "/b"],
        "page_views.viewed_at": [at, at],
        "written_at": "2025-07-20T00:00:00Z",
    }
    return row | fields


def insert(store: Store, *rows: dict[str, object]) -> None:
    store.insert("sessions", "\n".join(json.dumps(row) for row in rows).encode())


def asked_of(domain: str, scope: str = "any", **window: str) -> PagesQuery:
    window = {"start_date": "2025-07-01", "end_date": "2025-07-31"} | window
    return to_query(message({**window, "touch_scope": scope}), domain, NOW)


def totals(reporter: Reporter, store: Store, query: PagesQuery, plan: Plan | None) -> tuple[int, int]:
    """Return the numbers of sessions and of conversions in an answer."""
    found = pages_pb2.PagesResponse.FromString(answered(reporter, store, query, plan)).summary_totals
    return found.total_sessions, found.total_conversion_events


CONVERTED = {
    "conversions.url": ["/done"],
    "conversions.type": ["t"],
    "conversions.id": ["i"],
    "conversions.occurred_at": ["2025-07-10T10:00:00.000Z"],
}


@pytest.fixture(scope="module")
def together(store: Store) -> str:
    """A domain of one user, whose sessions started together; each is on a page of its own, in the order of keys."""
    domain, names = "together.example.com", [f"session-{number}" for number in range(6)]
    keys = store.rows(Statement("SELECT arrayMap(id -> sipHash64(id), {ids:Array(String)})", {"ids": names}),
                      store.call(10))[0][0]  # fmt: skip
    assert isinstance(keys, list)
    by_key = [name for _, name in sorted(zip(keys, names, strict=True))]
    assert by_key != names, "ids and keys differ in their order"
    rows = [stored(domain, name, **{"page_views.url": [f"/{by_key.index(name)}"] * 2}) for name in names]
    insert(store, *(row | CONVERTED if row["session_id"] == by_key[3] else row for row in rows))
    return domain


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_sessions_that_started_together_follow_their_keys(
    store: Store, reporter: Reporter, together: str, plan: Plan
) -> None:
    def exits(scope: str) -> list[str]:
        answer = pages_pb2.PagesResponse.FromString(answered(reporter, store, asked_of(together, scope), plan))
        return [row.url for row in answer.drop_off_performance]

    assert exits("first") == ["/0"]
    assert exits("assist") == ["/1", "/2"]
    assert exits("after") == ["/4", "/5"]


def gone(domain: str, session: str, **fields: object) -> dict[str, object]:
    """Return a row that says that a session is elsewhere."""
    return {**stored(domain, session, **fields), "page_views.url": [], "page_views.viewed_at": [], "gone": 2}


@pytest.fixture(scope="module")
def moved(store: Store) -> str:
    """A domain whose sessions moved; its rows lie in several parts, and some were written at the same time."""
    domain, later, last = "moved.example.com", "2025-07-21T00:00:00Z", "2025-07-22T00:00:00Z"
    elsewhere = "2025-07-12T10:00:00.000Z"
    insert(store, *(stored(domain, name) for name in ("stays", "to another user", "to another day", "and back")))
    insert(store, stored(domain, "converted") | CONVERTED, stored(domain, "filler", user_id="v"))
    for name in ("to another day", "and back"):
        insert(store, gone(domain, name, written_at=later))
        insert(store, stored(domain, name, started_at=elsewhere, written_at=later))
    # The place that is left has the row of the same time, as stored last.
    insert(store, gone(domain, "to another user"), stored(domain, "to another user", user_id="w"))
    insert(store, gone(domain, "converted", written_at=later))
    insert(store, stored(domain, "converted", user_id="w", written_at=later) | CONVERTED)
    insert(store, gone(domain, "and back", started_at=elsewhere, written_at=last))
    insert(store, stored(domain, "and back", written_at=last))
    # An older version that arrives late changes nothing.
    insert(store, stored(domain, "to another day", written_at="2025-07-19T00:00:00Z"))
    return domain


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_session_that_moved_counts_where_it_is(
    store: Store, reporter: Reporter, moved: str, plan: Plan | None
) -> None:
    """Of u: `stays`, `to another day` and `and back`; of v: `filler`; of w: `to another user` and `converted`."""
    assert totals(reporter, store, asked_of(moved), plan) == (6, 1)
    assert totals(reporter, store, asked_of(moved, end_date="2025-07-11"), plan) == (5, 1)
    assert totals(reporter, store, asked_of(moved, start_date="2025-07-12"), plan) == (1, 0)
    assert totals(reporter, store, asked_of(moved, "first"), plan)[0] == 3
    assert totals(reporter, store, asked_of(moved, "converting"), plan) == (1, 1)
    after = asked_of(moved, "after")
    assert answered(reporter, store, after, plan) == answered(reporter, store, after, ONE_UNIT)


@pytest.fixture(scope="module")
def same_time(store: Store) -> str:
    """A domain whose sessions have versions written at the same time, each in a part of its own."""
    domain, users = "same-time.example.com", range(40)
    for version in range(4):
        rows = [
            stored(domain, f"s{user}", user_id=f"u{user}", **{"page_views.url": ["/same", f"/{version}"]})
            for user in users
            if (user + version) % 3 or version == 3
        ]
        insert(store, *rows)
    insert(store, *(gone(domain, f"s{user}", user_id=f"u{user}") for user in users if user % 4 == 0))
    return domain


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("scope", ["any", "first"])
def test_of_versions_written_at_the_same_time_the_one_stored_last_counts(
    store: Store, reporter: Reporter, same_time: str, plan: Plan | None, scope: str
) -> None:
    answer = pages_pb2.PagesResponse.FromString(answered(reporter, store, asked_of(same_time, scope), plan))
    exits = {row.url: row.drop_off.sessions for row in answer.drop_off_performance if row.drop_off.sessions}
    assert exits == {"/3": 30}


@pytest.fixture(scope="module")
def within_a_day(store: Store) -> str:
    """A domain with a session that moved from ten to three; its later version lies in a part of its own."""
    domain = "within-a-day.example.com"
    later = {"started_at": "2025-07-10T15:00:00.000Z", "written_at": "2025-07-21T00:00:00Z"}
    insert(store, stored(domain, "stays", user_id="v"), stored(domain, "moves"))
    insert(store, stored(domain, "moves", **later))
    return domain


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("scope", ["any", "first"])
def test_a_session_that_moved_out_of_the_window_within_a_day_is_not_counted(
    store: Store, reporter: Reporter, within_a_day: str, plan: Plan | None, scope: str
) -> None:
    until_noon = asked_of(within_a_day, scope, end_date="2025-07-10T12:00:00Z")
    assert totals(reporter, store, until_noon, plan) == (1, 0)
    assert totals(reporter, store, asked_of(within_a_day, scope), plan) == (2, 0)


def test_how_sessions_lie_in_parts_is_seen(store: Store, reporter: Reporter) -> None:
    query = to_query(
        message({"start_date": "2091-03-01", "end_date": "2091-04-30"}),
        "parts.example.com",
        datetime(2091, 6, 1, tzinfo=UTC),
    )

    def is_merged() -> bool:
        return reporter._facts._is_merged(query, store.call(10))

    def insert(month: int) -> None:
        at = f"2091-0{month}-10T10:00:00Z"
        row = (
            f'{{"domain": "parts.example.com", "session_id": "s", "user_id": "u", "started_at": "{at}", '
            f'"page_views.url": ["/"], "page_views.viewed_at": ["{at}"]}}'
        )
        store.insert("sessions", row.encode())

    assert is_merged()
    insert(3)
    assert is_merged(), "ClickHouse merged its rows when it was written"
    insert(3)
    assert not is_merged()
    store.command("OPTIMIZE TABLE sessions PARTITION 209103 FINAL")
    assert is_merged()
    insert(4)
    assert is_merged()


def test_marks_stand_only_where_they_take_a_conversion_back(store: Store) -> None:
    when, domain = "2092-05-10T10:00:00Z", "tidy.example.com"

    def insert(session: str, *converted: str) -> None:
        urls = ", ".join(f'"{url}"' for url in converted)
        times = ", ".join(f'"{when}"' for _ in converted)
        store.insert(
            "sessions",
            f'{{"domain": "{domain}", "session_id": "{session}", "user_id": "u", "started_at": "{when}", '
            f'"conversions.url": [{urls}], "conversions.type": [{urls}], "conversions.id": [{urls}], '
            f'"conversions.occurred_at": [{times}]}}'.encode(),
        )

    def kept(final: str = "") -> list[tuple[object, ...]]:
        statement = Statement(
            f"SELECT session_id, is_deleted FROM converting_sessions {final} WHERE domain = {{domain:String}} "  # noqa: S608
            "ORDER BY ALL", {"domain": domain},
        )  # fmt: skip
        return [tuple(row) for row in store.rows(statement, store.call(10))]

    insert("converts", "/a")
    insert("does not")
    insert("takes back", "/a")
    insert("takes back")
    assert kept() == [("", 1), ("converts", 0), ("takes back", 0)]
    assert kept("FINAL") == [("converts", 0)]
