"""The SQL of docs/sources.md fills a store as the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pageroles.store import soundness
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from support.clickhouse_standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
BLOCKS = re.findall(r"^(<!-- not run: .*-->\n)?```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store in which all statements of the page were run in order, those that can be run again twice."""
    with StandIn.start(tmp_path_factory.mktemp("sources")) as standin, Store.open(standin.dsn) as opened:
        opened.apply_schema()
        for mark, statement in BLOCKS:
            if not mark:
                for _ in range(2 if statement.startswith("INSERT INTO sessions") else 1):
                    opened.command(statement)
        yield opened


def sessions(store: Store, names: str) -> list[tuple[Any, ...]]:
    found = store.rows(
        Statement(
            "SELECT session_id, user_id, toString(started_at), effective_source, "
            "arrayMap(view -> view.1, arraySort(view -> view.2, arrayZip(page_views.url, page_views.viewed_at))), "
            "conversions.url, conversions.type, conversions.id, arrayMap(at -> toString(at), conversions.occurred_at) "
            "FROM sessions FINAL WHERE domain = 'shop.example' AND match(session_id, {names:String}) "
            "ORDER BY session_id",
            {"names": names},
        ),
        store.call(30),
    )
    return [tuple(row) for row in found]


def test_most_of_the_page_is_run() -> None:
    assert [mark for mark, _ in BLOCKS if mark] == ["<!-- not run: it needs a Kafka broker -->\n"]
    assert len(BLOCKS) > 8


def test_rows_of_sessions_and_those_that_come_later(store: Store) -> None:
    visit = "00000000-0000-0000-0000-00000000000"
    shop = "https://shop.example"
    assert sessions(store, f"^{visit}") == [
        (f"{visit}1", "ada", "2025-07-03 10:00:00.000", "newsletter", [f"{shop}/", f"{shop}/buy"], [""], ["custom"],
         ["order"], ["2025-07-03 10:06:00.000"]),
        (f"{visit}2", f"visit-{visit}2", "2025-07-03 22:30:00.000", "google.com", [f"{shop}/"], [], [], [], []),
        (f"{visit}3", "ada", "2025-07-05 07:00:00.000", "(direct)", [f"{shop}/help"], [], [], [], []),
    ]  # fmt: skip


def test_events_make_the_sessions_that_began_on_a_day(store: Store) -> None:
    """A gap of 30 minutes is none; a millisecond more begins a session, here of the next day."""
    shop = "https://shop.example"
    assert sessions(store, "^(bob|eve)") == [
        ("bob-1751586600000", "bob", "2025-07-03 23:50:00.000", "google.com", [f"{shop}/a", f"{shop}/b", f"{shop}/c"],
         [f"{shop}/b"], ["html_form"], ["f1"], ["2025-07-04 00:11:00.000"]),
    ]  # fmt: skip
    (of_day,) = (statement for _, statement in BLOCKS if "groupArrayIf" in statement)
    store.command(of_day.replace("2025-07-03", "2025-07-04"))
    assert [(row[0], row[4], row[7]) for row in sessions(store, "^(bob|eve)")][1:] == [
        ("bob-1751591460001", [f"{shop}/d"], []),
        ("eve-1751616000000", [f"{shop}/a"], ["login"]),
    ]


def test_messages_are_taken_apart(store: Store) -> None:
    assert sessions(store, "^m1$") == [
        ("m1", "mia", "2025-07-03 08:00:00.000", "(direct)", ["https://shop.example/a"], [""], ["custom"], [""],
         ["2025-07-03 08:01:00.000"]),
    ]  # fmt: skip
    assert sessions(store, "^$") == [], "what is no session is left out"


def test_the_store_is_sound_then(store: Store) -> None:
    assert [finding for finding in soundness.look(store) if finding.count] == []
