"""Three ways to the same figures: the reference, one plain query over raw columns, and the columns of the store."""

from __future__ import annotations

import dataclasses
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from support.reference import (
    InvalidRequestError,
    Session,
    assisting_pages,
    canonical,
    conversion_page,
    effective_medium,
    effective_source,
    moment,
    pages,
    report,
    window,
)
from support.twin import twin
from support.worlds import World, domain, request, rounds, to_store_rows, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

    from pageroles.store.store import Store

WORLDS = 200
# Of them, as many are asked about by `make test`.
FEW = 30
REQUESTS = 2


@dataclasses.dataclass(frozen=True)
class Stored:
    """Worlds in a store, each with the generator that drew it."""

    client: Client
    worlds: list[tuple[int, random.Random, World]]

    @property
    def latest(self) -> dict[tuple[str, str], Session]:
        """The last version of every session."""
        return {
            (session["domain"], session["session_id"]): session
            for _, _, drawn in self.worlds
            for session in drawn.deliveries
        }

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.client.query(query, parameters=parameters).result_rows]


@pytest.fixture(scope="module")
def stored(store: Store) -> Iterator[Stored]:
    drawn = []
    for seed in range(WORLDS):
        rng = random.Random(seed)
        drawn.append((seed, rng, world(rng).renamed(f"twin{seed}")))
    # All worlds share each INSERT: there are as many as a session has versions.
    for sessions in rounds(session for _, _, its_world in drawn for session in its_world.deliveries):
        store.insert("sessions", to_store_rows(sessions))
    with store._engine.control() as client:
        yield Stored(client, drawn)


def _milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@pytest.mark.parametrize("some", [slice(FEW), pytest.param(slice(FEW, None), marks=pytest.mark.slow)])
def test_the_plain_query_agrees_with_the_reference(stored: Stored, some: slice) -> None:
    answered = 0
    for seed, rng, drawn in stored.worlds[some]:
        for _ in range(REQUESTS):
            who, asked = domain(rng, drawn), request(rng, drawn)
            try:
                expected = report(drawn.deliveries, who, asked, drawn.now)
            except InvalidRequestError:
                continue
            answered += expected.pop("time_frame", None) is not None
            start, end, _ = window(asked, drawn.now)
            found = twin(
                stored.client, who, _milliseconds(start), _milliseconds(end), asked, asked.get("touch_scope", "any")
            )
            assert found == expected, f"seed {seed}, domain {who}, request {asked}"
    # The worlds show nothing where hardly any request finds a session.
    assert answered > len(stored.worlds[some]) * REQUESTS / 4


def _hashes(stored: Stored, names: set[str]) -> dict[str | None, int]:
    """Return the keys that the store gives to strings; none has 0."""
    found = stored.rows(
        "SELECT text, sipHash64(text) FROM (SELECT arrayJoin({texts:Array(String)}) AS text)", texts=sorted(names)
    )
    return {None: 0, **dict(found)}


def test_the_columns_worked_out_at_insert_agree_with_the_reference(stored: Stored) -> None:
    latest = stored.latest
    urls = {view["url"] for session in latest.values() for view in session["page_views"]}
    urls |= {conversion["url"] for session in latest.values() for conversion in session["conversions"]}
    key = _hashes(stored, {canonical(url) for url in urls})
    rows = stored.rows(
        "SELECT domain, session_id, page_keys, landing_key, exit_key, before_exit_key, conversion_keys, assist_views,"
        " effective_source, effective_medium, converting FROM sessions FINAL WHERE startsWith(domain, 'twin')"
    )
    assert len(rows) == len(latest)
    for who, name, *columns in rows:
        session = latest[who, name]
        viewed = pages(session)
        others = [page for page in viewed if page != viewed[-1]]
        conversions = session["conversions"]
        expected = [
            [key[page] for page in viewed],
            key[viewed[0]] if viewed else 0,
            key[viewed[-1]] if viewed else 0,
            key[others[-1]] if others else 0,
            [key[conversion_page(session, conversion)] for conversion in conversions],
            [len(assisting_pages(session, conversion)) for conversion in conversions],
            effective_source(session),
            effective_medium(session),
            bool(conversions),
        ]
        assert columns == expected, f"domain {who}, session {session}"


def test_the_converting_sessions_are_those_of_the_last_versions(stored: Stored) -> None:
    columns = "domain, session_id, page_keys, conversion_keys, assist_views, effective_source, landing_key"
    fed = stored.rows(f"SELECT {columns} FROM converting_sessions FINAL WHERE startsWith(domain, 'twin') ORDER BY ALL")  # noqa: S608
    own = stored.rows(
        f"SELECT {columns} FROM sessions FINAL WHERE startsWith(domain, 'twin') AND converting ORDER BY ALL"  # noqa: S608
    )
    assert fed == own
    assert {row[:2] for row in fed} == {who for who, session in stored.latest.items() if session["conversions"]}


def test_users_are_known_since_their_first_session(stored: Stored) -> None:
    first_seen: dict[tuple[str, str], datetime] = {}
    for session in stored.latest.values():
        who, at = (session["domain"], session["user_id"]), moment(session["started_at"])
        first_seen[who] = min(at, first_seen.get(who, at))
    key = _hashes(stored, {user for _, user in first_seen})
    rows = stored.rows(
        "SELECT domain, user_key, toUnixTimestamp64Milli(min(first_seen_at)) FROM users"
        " WHERE startsWith(domain, 'twin') GROUP BY ALL ORDER BY ALL"
    )
    assert rows == sorted((who, key[user], _milliseconds(at)) for (who, user), at in first_seen.items())


def test_every_page_has_its_name(stored: Stored) -> None:
    # Pages of replaced versions keep theirs.
    named = {
        (session["domain"], canonical(url))
        for _, _, drawn in stored.worlds
        for session in drawn.deliveries
        for url in [
            *(view["url"] for view in session["page_views"]),
            *(conversion["url"] for conversion in session["conversions"] if conversion["url"]),
        ]
    }
    rows = stored.rows(
        "SELECT domain, url, page_key = sipHash64(url) FROM pages FINAL WHERE startsWith(domain, 'twin')"
    )
    assert len(rows) == len(named)
    assert {row[:2] for row in rows} == named
    assert all(right for *_, right in rows)
