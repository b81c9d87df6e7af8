"""A question and the facts → the plan of a report. Pure: a plan is a value, which prints itself.

What is kept in memory is counted there. Else the sessions are streamed from the store in units, ranges of the user
key: all sessions of a user are in one unit, so the counts of the units add up exactly. Every plan gives the same
answer; they differ in speed and memory only.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar

from pageroles.report.statements import KeyRange, Reading, is_dated, key_ranges
from pageroles.sentences import counted

if TYPE_CHECKING:
    from pageroles.question.model import PagesQuery
    from pageroles.report.facts import Facts
    from pageroles.report.kept import Kept

# A domain with fewer rows is small: a second worker would cost more time than it saves.
SMALL_ROWS = 100_000
# Small enough that two units take far less than 250 MB, large enough that the queries of a unit cost little beside its
# rows. Rows with their time take more than twice the memory of those without.
ROWS_PER_UNIT = 3_000_000
DATED_ROWS_PER_UNIT = 1_500_000


@dataclasses.dataclass(frozen=True, slots=True)
class InMemory:
    """Count what is kept in memory.

    Attributes:
        kept: What is kept.
        threads: How many threads count.
        large: Whether it takes turns with other large reports.
        source: What the report is made from, for the log.
    """

    source: ClassVar = "memory"
    kept: Kept
    threads: int
    large: bool = False

    def __str__(self) -> str:
        """Return the plan as a sentence."""
        return (
            f"count {counted(self.kept.sessions, 'session')} in memory ({self.kept.bytes / 2**20:.1f} MiB) on "
            f"{counted(self.threads, 'thread')}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Streamed:
    """Stream sessions from the store, unit by unit.

    Attributes:
        units: The ranges of the units, in ascending order.
        workers: How many workers count units, each one after the other.
        reading: How the streams are read.
        large: Whether the workers for large reports count it, which take turns.
        source: What the report is made from, for the log.
    """

    source: ClassVar = "store"
    units: tuple[KeyRange, ...]
    workers: int
    reading: Reading
    large: bool = False

    def with_whole_keys(self) -> Streamed:
        """Return the same plan with whole page keys."""
        return dataclasses.replace(self, reading=dataclasses.replace(self.reading, whole_keys=True))

    def __str__(self) -> str:
        """Return the plan as a sentence."""
        how = [
            "all versions of each session" if self.reading.versions else "the last version of each session",
            "whole page keys" if self.reading.whole_keys else "the first bits of page keys",
            *(["conversions outside of the window apart"] if self.reading.history_apart else []),
        ]
        return (
            f"stream {counted(len(self.units), 'range')} of users from the store on {counted(self.workers, 'worker')} "
            f"{'for large reports' if self.large else 'for small reports'}: {', '.join(how)}"
        )


Plan = InMemory | Streamed


def make(query: PagesQuery, facts: Facts, per_report: int) -> Plan:
    """Return the plan for a question and some facts.

    Args:
        query: The question.
        facts: The facts about the domain's data.
        per_report: The most workers, or threads, for one report.
    """
    if facts.kept is not None:
        large = facts.kept.sessions >= SMALL_ROWS
        return InMemory(facts.kept, per_report if large else 1, large)
    large = max(facts.rows, facts.converting_rows) >= SMALL_ROWS
    reading = Reading(versions=large and not facts.merged, whole_keys=facts.ambiguous, history_apart=large)
    rows = DATED_ROWS_PER_UNIT if is_dated(query, reading) else ROWS_PER_UNIT
    units = key_ranges(max(math.ceil(facts.rows / rows), per_report if large else 1))
    return Streamed(tuple(units), min(len(units), per_report), reading, large)
