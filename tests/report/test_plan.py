"""The plan of a report is a value that follows from the facts alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pageroles import _core
from pageroles.question.request import to_query
from pageroles.report.facts import Facts
from pageroles.report.kept import Kept
from pageroles.report.plan import DATED_ROWS_PER_UNIT, ROWS_PER_UNIT, SMALL_ROWS, InMemory, Plan, Streamed, make
from pageroles.report.statements import KeyRange, Reading
from support.wire import message

if TYPE_CHECKING:
    from pageroles.question.model import PagesQuery

NOW = datetime(2025, 8, 1, tzinfo=UTC)
PER_REPORT = 3
LAST = 2**64 - 1
ALL = (KeyRange(0, LAST),)
HALVES = (KeyRange(0, (1 << 63) - 1), KeyRange(1 << 63, LAST))
QUARTERS = tuple(KeyRange(number << 62, ((number + 1) << 62) - 1) for number in range(4))
EIGHTHS = tuple(KeyRange(number << 61, ((number + 1) << 61) - 1) for number in range(8))
SIXTEENTHS = tuple(KeyRange(number << 60, ((number + 1) << 60) - 1) for number in range(16))


def query(scope: str) -> PagesQuery:
    return to_query(message({"touch_scope": scope}), "plan.example", NOW)


def kept(sessions: int) -> Kept:
    return Kept(sessions, 3 << 20, _core.Resident())


FEW, MANY = kept(SMALL_ROWS - 1), kept(SMALL_ROWS)

PLANS = {
    "nothing is known": (Facts(), Streamed(ALL, 1, Reading())),
    "small, two pages that only whole keys tell apart": (
        Facts(ambiguous=True),
        Streamed(ALL, 1, Reading(whole_keys=True)),
    ),
    "one row less than large": (
        Facts(rows=SMALL_ROWS - 1, converting_rows=SMALL_ROWS - 1),
        Streamed(ALL, 1, Reading()),
    ),
    "just large": (
        Facts(rows=SMALL_ROWS),
        Streamed(QUARTERS, PER_REPORT, Reading(versions=True, history_apart=True), large=True),
    ),
    "large by its history": (
        Facts(converting_rows=SMALL_ROWS),
        Streamed(QUARTERS, PER_REPORT, Reading(versions=True, history_apart=True), large=True),
    ),
    "large and merged": (
        Facts(rows=SMALL_ROWS, merged=True),
        Streamed(QUARTERS, PER_REPORT, Reading(history_apart=True), large=True),
    ),
    "small and merged": (Facts(rows=1, merged=True), Streamed(ALL, 1, Reading())),
    "large, merged, two pages that only whole keys tell apart": (
        Facts(rows=SMALL_ROWS, merged=True, ambiguous=True),
        Streamed(QUARTERS, PER_REPORT, Reading(whole_keys=True, history_apart=True), large=True),
    ),
    "as many rows as four units take": (
        Facts(rows=4 * ROWS_PER_UNIT, merged=True),
        Streamed(QUARTERS, PER_REPORT, Reading(history_apart=True), large=True),
    ),
    "one row more than four units take": (
        Facts(rows=4 * ROWS_PER_UNIT + 1, merged=True),
        Streamed(EIGHTHS, PER_REPORT, Reading(history_apart=True), large=True),
    ),
    "as many rows as four units take, with all versions": (
        Facts(rows=4 * DATED_ROWS_PER_UNIT),
        Streamed(QUARTERS, PER_REPORT, Reading(versions=True, history_apart=True), large=True),
    ),
    "one row more than four units take, with all versions": (
        Facts(rows=4 * DATED_ROWS_PER_UNIT + 1),
        Streamed(EIGHTHS, PER_REPORT, Reading(versions=True, history_apart=True), large=True),
    ),
    "more rows than eight units take": (
        Facts(rows=8 * DATED_ROWS_PER_UNIT + 1),
        Streamed(SIXTEENTHS, PER_REPORT, Reading(versions=True, history_apart=True), large=True),
    ),
    "kept, few sessions": (Facts(kept=FEW), InMemory(FEW, threads=1)),
    "kept, many sessions": (Facts(kept=MANY), InMemory(MANY, threads=PER_REPORT, large=True)),
    "kept, whatever else is known": (
        Facts(kept=FEW, rows=SMALL_ROWS, converting_rows=SMALL_ROWS, merged=True, ambiguous=True),
        InMemory(FEW, threads=1),
    ),
}


@pytest.mark.parametrize(("facts", "plan"), PLANS.values(), ids=PLANS)
def test_facts_make_a_plan(facts: Facts, plan: Plan) -> None:
    assert make(query("any"), facts, PER_REPORT) == plan


@pytest.mark.parametrize(
    ("scope", "units"),
    {"any": ALL, "converting": ALL, "first": HALVES, "assist": HALVES, "after": HALVES}.items(),
)
def test_a_scope_that_needs_times_makes_units_of_fewer_rows(scope: str, units: tuple[KeyRange, ...]) -> None:
    facts = Facts(rows=ROWS_PER_UNIT, merged=True)
    assert make(query(scope), facts, 1) == Streamed(units, 1, Reading(history_apart=True), large=True)


def test_one_worker_counts_a_large_report_in_one_range() -> None:
    plan = make(query("any"), Facts(rows=SMALL_ROWS), 1)
    assert plan == Streamed(ALL, 1, Reading(versions=True, history_apart=True), large=True)


def test_whole_keys_change_nothing_else() -> None:
    plan = Streamed(QUARTERS, 2, Reading(versions=True, history_apart=True), large=True)
    whole = Streamed(QUARTERS, 2, Reading(versions=True, whole_keys=True, history_apart=True), large=True)
    assert plan.with_whole_keys() == whole
    assert whole.with_whole_keys() == whole


SENTENCES = {
    InMemory(kept(1), threads=1): "count 1 session in memory (3.0 MiB) on 1 thread",
    InMemory(kept(1234), threads=2): "count 1,234 sessions in memory (3.0 MiB) on 2 threads",
    Streamed(ALL, 1, Reading()): (
        "stream 1 range of users from the store on 1 worker for small reports: "
        "the last version of each session, the first bits of page keys"
    ),
    Streamed(QUARTERS, 3, Reading(versions=True, whole_keys=True, history_apart=True), large=True): (
        "stream 4 ranges of users from the store on 3 workers for large reports: "
        "all versions of each session, whole page keys, conversions outside of the window apart"
    ),
}


@pytest.mark.parametrize(("plan", "sentence"), SENTENCES.items(), ids=SENTENCES.values())
def test_a_plan_prints_itself(plan: Plan, sentence: str) -> None:
    assert str(plan) == sentence
