"""Whatever the order in which versions come, the store ends with the one that counts, at one place."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageroles import _core
from pageroles.ingest import versions
from pageroles.ingest.session import parse_line
from pageroles.ingest.versions import LATE, MARK, Place, Version
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from pageroles.ingest.session import Row

NOW = 1_764_000_000_000_000
START = datetime(2025, 7, 3, 10, tzinfo=UTC)


def row(user: str, minute: int = 0, written: int | None = None, name: str = "") -> Row:
    session: dict[str, Any] = {
        "domain": "a.com",
        "session_id": "s1",
        "user_id": user,
        "started_at": (START + timedelta(minutes=minute)).isoformat(),
        "source": name,
    }
    if written is not None:
        session["written_at"] = (START + timedelta(seconds=written)).isoformat()
    return parse_line(json.dumps(session).encode())


@dataclasses.dataclass
class Store:
    """What ClickHouse keeps: of each user and day the row with the latest time of writing, of equal ones the last."""

    rows: dict[tuple[int, int], dict[str, Any]] = dataclasses.field(default_factory=dict)
    places: dict[Place, int] = dataclasses.field(default_factory=dict)

    def write(self, batch: list[Row], now: int) -> None:
        known = [Version(*item) for item in self.places.items()]
        user_keys = _core.keys([one.user_id for one in batch])
        for line in versions.change(batch, user_keys, known, now).lines:
            stored = json.loads(line)
            user_key = stored.get("user_key", _core.keys([stored.get("user_id", "")])[0])
            at = datetime.fromisoformat(stored["started_at"])
            place = Place(user_key, (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))
            written = microseconds(stored["written_at"])
            if place.row not in self.rows or written >= microseconds(self.rows[place.row]["written_at"]):
                self.rows[place.row] = stored
            if stored.get("gone") != MARK:
                self.places[place] = max(written, self.places.get(place, 0))

    @property
    def counted(self) -> list[str]:
        return [stored["source"] for stored in self.rows.values() if not stored.get("gone")]


def microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def winner(deliveries: list[Row], nows: list[int]) -> Row:
    """Return the version that counts, by the words of docs/semantics.md."""
    last, best = 0, ((0, 0, 0, 0), deliveries[0])
    for number, (given_row, now) in enumerate(zip(deliveries, nows, strict=True)):
        written = max(now, last + 1) if given_row.written_at is None else microseconds(given_row.written_at.isoformat())
        last = max(last, written)
        started = microseconds(given_row.started_at.isoformat()) // 1000
        order = (written, started, _core.keys([given_row.user_id])[0], number)
        if order >= best[0]:
            best = (order, given_row)
    return best[1]


deliveries = st.lists(
    st.tuples(
        st.sampled_from(["anon", "ada", "bob"]),
        st.sampled_from([0, 1, 1440, 1441]),
        st.none() | st.integers(-2, 3) | st.just(400 * 86_400),
    ),
    min_size=1,
    max_size=7,
)


@given(deliveries, st.lists(st.integers(1, 4), min_size=7, max_size=7), st.booleans())
def test_one_version_counts_whatever_the_order_and_the_batches(
    given_rows: list[tuple[str, int, int | None]], sizes: list[int], clock_goes_back: bool
) -> None:
    rows = [row(user, minute, written, name=f"v{number}") for number, (user, minute, written) in enumerate(given_rows)]
    store, nows, at, now = Store(), [], 0, NOW
    for size in sizes:
        batch = rows[at : at + size]
        if batch:
            store.write(batch, now)
        nows += [now] * len(batch)
        at += size
        now += -1_000_000 if clock_goes_back else 1_000_000
    counts = winner(rows, nows)
    assert store.counted == [json.loads(counts.line)["source"]]
    assert set(store.places) == {
        Place(_core.keys([one.user_id])[0], microseconds(one.started_at.isoformat()) // 1000) for one in rows
    }, "every place at which a version was stored is known"


@given(deliveries)
def test_writing_all_again_changes_nothing(given_rows: list[tuple[str, int, int | None]]) -> None:
    dated = [(user, minute, written or 0) for user, minute, written in given_rows]
    rows = [row(user, minute, written, name=f"{user} {minute} {written}") for user, minute, written in dated]
    once, twice = Store(), Store()
    once.write(rows, NOW)
    for _ in range(2):
        for one in rows:
            twice.write([one], NOW)
    assert once.counted == twice.counted


def test_a_visitor_who_logs_in_leaves_a_mark() -> None:
    store = Store()
    store.write([row("anon", name="before")], NOW)
    store.write([row("ada", name="after")], NOW)
    assert store.counted == ["after"]
    assert sorted(one.get("gone", 0) for one in store.rows.values()) == [0, MARK]


def test_a_version_that_comes_late_is_kept_as_gone() -> None:
    store = Store()
    store.write([row("ada", written=100, name="latest")], NOW)
    store.write([row("anon", written=50, name="late")], NOW)
    assert store.counted == ["latest"]
    assert sorted(one.get("gone", 0) for one in store.rows.values()) == [0, LATE]
    assert len(store.places) == 2


def test_a_version_without_a_time_is_later_than_one_of_a_clock_that_was_ahead() -> None:
    store = Store()
    store.write([row("ada", written=10 * 365 * 86_400, name="ahead")], NOW)
    store.write([row("ada", name="later")], NOW)
    assert store.counted == ["later"]


@pytest.mark.parametrize("texts", [["", "/", "s1", "ü", "a" * 1000, "\n\t"]])
def test_keys_are_those_of_the_store(store: Any, texts: list[str]) -> None:
    found = store.rows(
        Statement("SELECT arrayMap(text -> sipHash64(text), {texts:Array(String)})", {"texts": texts}), store.call(30)
    )
    assert _core.keys(texts) == list(found[0][0])
