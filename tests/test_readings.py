"""However the work is cut and the sessions are read, the answer is the same."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import worlds
from pageroles import convert, report, sql
from pageroles._core import TieError
from pageroles.errors import InvalidArgumentError
from pageroles.report import Reporter
from pageroles.sql import Statement
from pageroles.v1 import pages_pb2
from test_worlds import message
from worlds import World, rounds, to_store_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.model import PagesQuery
    from pageroles.store import Store

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


def questions(drawn: World, seed: int) -> Iterator[PagesQuery]:
    rng = random.Random(f"questions of {seed}")
    for _ in range(REQUESTS):
        asked, who = worlds.request(rng, drawn), worlds.domain(rng, drawn)
        try:
            yield convert.to_query(message(asked), who, NOW)
        except InvalidArgumentError:
            continue


def answered(reporter: Reporter, store: Store, query: PagesQuery) -> bytes:
    call = store.call(60)
    try:
        return reporter.report(query, call).message()
    finally:
        call.finish()


def test_every_reading_gives_the_same_answer(
    store: Store, reporter: Reporter, peopled: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(seed, query) for seed, drawn in enumerate(peopled) for query in questions(drawn, seed)]
    expected = [answered(reporter, store, query) for _, query in asked]
    assert sum(len(message) > 60 for message in expected) > len(asked) / 4
    cut = report._spans
    readings = [
        (False, False, (1, 1)),
        (False, False, (5, 3)),
        (False, True, (20, 1)),
        (True, False, (5, 3)),
        (True, False, (20, 1)),
        (True, True, (5, 3)),
    ]
    for versions, whole_keys, (units, spans) in readings:
        monkeypatch.setattr(report, "_spans", lambda *_, units=units, spans=spans: cut(units, spans))
        monkeypatch.setattr(report, "_ROWS_WORTH_SPLITTING", 0)
        reporter._small.clear()
        monkeypatch.setattr(Reporter, "_is_unmerged", lambda *_, versions=versions: versions)
        monkeypatch.setattr(Reporter, "_is_ambiguous", lambda *_, whole_keys=whole_keys: whole_keys)
        for (seed, query), answer in zip(asked, expected, strict=True):
            got = answered(reporter, store, query)
            assert got == answer, f"world {seed}, versions {versions}, whole keys {whole_keys}, {units} units: {query}"


def test_pages_with_the_same_leading_bits_are_told_apart(store: Store, reporter: Reporter) -> None:
    """Two URLs whose keys differ after the 42nd bit, found among millions."""
    domain = "c.example"
    urls = [f"https://{domain}/p/578622", f"https://{domain}/p/5708301"]
    keys = store.rows(Statement("SELECT arrayMap(url -> sipHash64(url), {urls:Array(String)})", {"urls": urls}),
                      store.call(10))[0][0]  # fmt: skip
    assert isinstance(keys, list)
    assert keys[0] != keys[1]
    assert keys[0] >> 22 == keys[1] >> 22
    query = convert.to_query(message({"start_date": "2025-07-01", "end_date": "2025-07-31"}), domain, NOW)

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
    assert not reporter._is_ambiguous(domain)
    visit("s2", urls[1])
    visit("s3", urls[1])
    assert exits() == {urls[1]: 2, urls[0]: 1}
    assert reporter._is_ambiguous(domain), "so that the next report does not try"
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
    tied: list[bool] = []
    count_unit = Reporter._count_unit

    def watched(self: Reporter, *args: object) -> None:
        try:
            count_unit(self, *args)  # type: ignore[arg-type]
        except TieError:
            tied.append(True)
            raise

    monkeypatch.setattr(Reporter, "_count_unit", watched)
    query = convert.to_query(
        message({"start_date": "2025-07-01", "end_date": "2025-07-31", "touch_scope": "first"}), domain, NOW
    )
    answer = answered(reporter, store, query)
    assert tied == [True]
    assert b"/a" in answer
    assert b"/b" not in answer


def test_unmerged_parts_are_seen(store: Store) -> None:
    query = convert.to_query(message({"start_date": "2091-03-01", "end_date": "2091-03-31"}), "parts.example.com", NOW)

    def unmerged() -> bool:
        return bool(store.rows(sql.unmerged(query), store.call(10))[0][0])

    assert not unmerged()
    row = (
        '{"domain": "parts.example.com", "session_id": "s", "user_id": "u", "started_at": "2091-03-10T10:00:00Z", '
        '"page_views.url": ["/"], "page_views.viewed_at": ["2091-03-10T10:00:00Z"]}'
    )
    store.insert("sessions", row.encode())
    assert not unmerged(), "one part, in which ClickHouse merged the rows when it was written"
    store.insert("sessions", row.encode())
    assert unmerged()
    store.command("OPTIMIZE TABLE sessions PARTITION 209103 FINAL")
    assert not unmerged()


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
        statement = sql.Statement(
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
