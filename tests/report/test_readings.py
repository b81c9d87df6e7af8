"""However the work is cut and the sessions are read, the answer is the same."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pageroles._core import TieError, UnorderedError
from pageroles.errors import InvalidArgumentError
from pageroles.question.model import PagesQuery
from pageroles.question.request import to_query
from pageroles.report import statements
from pageroles.report.facts import Parts
from pageroles.report.plan import Plan, cut
from pageroles.report.run import Reporter
from pageroles.report.statements import Reading
from pageroles.store.statement import Statement
from pageroles.v1 import pages_pb2
from support import worlds
from support.reports import answered
from support.wire import message
from support.worlds import World, rounds, to_store_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.store import Store

Asked = list[tuple[int, PagesQuery, bytes]]

WORLDS = 60
REQUESTS = 3
NOW = datetime(2025, 8, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def reporter(store: Store) -> Iterator[Reporter]:
    opened = Reporter(store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def peopled(store: Store) -> list[World]:
    drawn = [worlds.world(random.Random(f"reading {seed}"), NOW).renamed(f"reading{seed}") for seed in range(WORLDS)]
    for sessions in rounds(session for its_world in drawn for session in its_world.deliveries):
        store.insert("sessions", to_store_rows(sessions))
    return drawn


@pytest.fixture(scope="module")
def asked(store: Store, reporter: Reporter, peopled: list[World]) -> Asked:
    """Questions, each with the seed of its world and the answer by the plan that its facts give."""
    found = [
        (seed, query, answered(reporter, store, query))
        for seed, drawn in enumerate(peopled)
        for query in questions(drawn, seed)
    ]
    assert sum(len(message) > 60 for *_, message in found) > len(found) / 4
    return found


def questions(drawn: World, seed: int) -> Iterator[PagesQuery]:
    rng = random.Random(f"questions of {seed}")
    for _ in range(REQUESTS):
        asked, who = worlds.request(rng, drawn), worlds.domain(rng, drawn)
        try:
            yield to_query(message(asked), who, NOW)
        except InvalidArgumentError:
            continue


PLANS = {
    "one unit": Plan(cut(1, 1), Reading()),
    "whole keys, many units": Plan(cut(20, 1), Reading(history_apart=True, whole_keys=True), large=True),
    # Not so, which is found out where it matters.
    "one stream": Plan(cut(5, 3), Reading(history_apart=True, in_order=True), large=True),
    "all versions": Plan(cut(5, 3), Reading(history_apart=True, versions=True), large=True),
    "all versions, many units": Plan(cut(20, 1), Reading(history_apart=True, versions=True), large=True),
    "all versions, whole keys": Plan(cut(5, 3), Reading(history_apart=True, versions=True, whole_keys=True)),
    "with ids": Plan(cut(3, 2), Reading(ids=True)),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan_gives_the_same_answer(store: Store, reporter: Reporter, asked: Asked, plan: Plan) -> None:
    for seed, query, expected in asked:
        assert answered(reporter, store, query, plan) == expected, f"world {seed}: {query}"


def test_pages_with_the_same_leading_bits_are_told_apart(store: Store, reporter: Reporter) -> None:
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
        answer = pages_pb2.PagesResponse.FromString(answered(reporter, store, query))
        return {row.url: row.drop_off.sessions for row in answer.drop_off_performance}

    visit("s1", urls[0])
    assert exits() == {urls[0]: 1}
    assert not reporter.plan(query, store.call(10)).reading.whole_keys
    visit("s2", urls[1])
    visit("s3", urls[1])
    assert exits() == {urls[1]: 2, urls[0]: 1}
    assert reporter.plan(query, store.call(10)).reading.whole_keys, "so that the next report does not try"
    assert exits() == {urls[1]: 2, urls[0]: 1}


def test_a_tie_is_counted_with_ids(store: Store, reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two first sessions of one user, at the same millisecond: only their ids tell which was first."""
    domain = "tie.example.com"
    rows = [
        f'{{"domain": "{domain}", "session_id": "session-{name}", "user_id": "u", '
        f'"started_at": "2025-07-10T10:00:00.000Z", "page_views.url": ["/{name}"], '
        f'"page_views.viewed_at": ["2025-07-10T10:00:00.000Z"]}}'
        for name in ("b", "a")
    ]
    store.insert("sessions", "\n".join(rows).encode())
    refused = watch_refusals(monkeypatch)
    query = to_query(
        message({"start_date": "2025-07-01", "end_date": "2025-07-31", "touch_scope": "first"}), domain, NOW
    )
    answer = answered(reporter, store, query)
    assert refused == [TieError]
    assert b"/a" in answer
    assert b"/b" not in answer


def watch_refusals(monkeypatch: pytest.MonkeyPatch) -> list[type[Exception]]:
    """Note what the core refuses to count in the way that was tried first."""
    refused: list[type[Exception]] = []
    count_units = Reporter._count_units

    def watched(self: Reporter, *args: object) -> None:
        try:
            count_units(self, *args)  # type: ignore[arg-type]
        except (TieError, UnorderedError) as error:
            refused.append(type(error))
            raise

    monkeypatch.setattr(Reporter, "_count_units", watched)
    return refused


def test_sessions_of_many_units_come_in_one_stream(
    store: Store, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, domain = random.Random("one stream"), "stream.example.com"

    def visits(count: int) -> bytes:
        rows = []
        for number in range(count):
            # Minutes apart at most, so that many of a user's sessions start together.
            at = f"2093-05-{rng.randint(10, 12)}T10:0{rng.randint(0, 9)}:00.000Z"
            conversion = f', "conversions.url": ["/done"], "conversions.type": ["t"], "conversions.id": ["i"], \
"conversions.occurred_at": ["{at}"]'
            rows.append(
                f'{{"domain": "{domain}", "session_id": "s{number}", "user_id": "u{rng.randint(1, 200)}", '
                f'"started_at": "{at}", "page_views.url": ["/{rng.randint(1, 9)}", "/{rng.randint(1, 9)}"], '
                f'"page_views.viewed_at": ["{at}", "{at}"]{conversion if number % 10 == 0 else ""}}}'
            )
        return "\n".join(rows).encode()

    def asked(**reading: bool) -> tuple[list[bytes], int]:
        asked_for: list[Statement | None] = []

        def noted(*args: Any) -> Statement | None:
            asked_for.append(sessions(*args))
            return asked_for[-1]

        monkeypatch.setattr(statements, "sessions", noted)
        plan = Plan(cut(16, 2), Reading(history_apart=True, **reading), large=True)
        return [answered(reporter, store, query, plan) for query in queries], len(asked_for)

    sessions = statements.sessions
    queries = [
        to_query(
            message({"start_date": "2093-05-10", "end_date": "2093-05-12", "touch_scope": scope}),
            domain,
            datetime(2093, 6, 1, tzinfo=UTC),
        )
        for scope in ("any", "first", "converting", "assist", "after")
    ]
    store.insert("sessions", visits(1_000))
    store.command("OPTIMIZE TABLE sessions PARTITION 209305 FINAL")
    refused = watch_refusals(monkeypatch)
    apart, statements_apart = asked()
    assert TieError in refused
    refused.clear()
    together, statements_together = asked(in_order=True)
    assert together == apart
    assert len(set(together)) == len(queries)
    assert set(refused) == {TieError}, "one part is read in order"
    assert statements_together < statements_apart / 2

    # A second part, of which the plan does not know.
    store.insert("sessions", visits(30))
    refused.clear()
    assert asked(in_order=True)[0] == asked(versions=True)[0] != together
    assert UnorderedError in refused


def test_how_sessions_lie_in_parts_is_seen(store: Store, reporter: Reporter) -> None:
    query = to_query(
        message({"start_date": "2091-03-01", "end_date": "2091-04-30"}),
        "parts.example.com",
        datetime(2091, 6, 1, tzinfo=UTC),
    )

    def parts() -> Parts:
        return reporter._facts._parts(query, store.call(10))

    def insert(month: int) -> None:
        at = f"2091-0{month}-10T10:00:00Z"
        row = (
            f'{{"domain": "parts.example.com", "session_id": "s", "user_id": "u", "started_at": "{at}", '
            f'"page_views.url": ["/"], "page_views.viewed_at": ["{at}"]}}'
        )
        store.insert("sessions", row.encode())

    assert parts() is Parts.ONE
    insert(3)
    assert parts() is Parts.ONE, "ClickHouse merged its rows when it was written"
    insert(3)
    assert parts() is Parts.MANY
    store.command("OPTIMIZE TABLE sessions PARTITION 209103 FINAL")
    assert parts() is Parts.ONE
    insert(4)
    assert parts() is Parts.MERGED


def test_tidying_drops_the_deletion_marks(store: Store) -> None:
    """Sessions without a conversion leave no row behind, and a conversion that was taken back stays taken back."""
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

    def kept() -> list[str]:
        statement = Statement(
            "SELECT session_id FROM converting_sessions WHERE domain = {domain:String} ORDER BY ALL", {"domain": domain}
        )
        return [str(row[0]) for row in store.rows(statement, store.call(10))]

    insert("converts", "/a")
    insert("does not")
    insert("takes back", "/a")
    insert("takes back")
    assert len(kept()) == 4
    store.tidy()
    assert kept() == ["converts"]
