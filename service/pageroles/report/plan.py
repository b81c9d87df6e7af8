"""Facts → the plan of a report: how its work is cut, and how it is read. Pure: a plan is a value.

The work is cut into units, ranges of the user key. All sessions of a user are in one unit, so the counts of the units
add up exactly. Every plan gives the same answer; they differ in speed and memory only.
"""

from __future__ import annotations

import dataclasses
import math

from pageroles.report.facts import SMALL_ROWS, Facts, Parts
from pageroles.report.statements import KeyRange, Reading, key_ranges

# Small enough that two units take far less than 100 MB, large enough that whole granules at the edges of a range cost
# little.
ROWS_PER_UNIT = 1_000_000
# Rows of conversions that one query reads, for several units. A query for each unit took three times as long, most of
# it for planning.
CONVERTING_ROWS_AHEAD = 125_000


@dataclasses.dataclass(frozen=True, slots=True)
class UnitGroup:
    """Adjacent units, whose conversions and users one query reads; one may read their sessions, too.

    Attributes:
        units: The ranges of the units, in ascending order; at least one.
    """

    units: tuple[KeyRange, ...]

    @property
    def keys(self) -> KeyRange:
        """The range of all its units."""
        return joined(self.units)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How a report is made.

    Attributes:
        groups: All units, in groups; a worker counts one group at a time.
        reading: How the streams are read.
        large: Whether the workers for large reports count it.
    """

    groups: tuple[UnitGroup, ...]
    reading: Reading
    large: bool = False

    def with_whole_keys(self) -> Plan:
        """Return the same plan with whole page keys."""
        return dataclasses.replace(self, reading=dataclasses.replace(self.reading, whole_keys=True))


def make(facts: Facts, per_report: int) -> Plan:
    """Return the plan for some facts.

    Args:
        facts: The facts about the domain's data.
        per_report: The most workers for one report.
    """
    large = max(facts.rows, facts.converting_rows) >= SMALL_ROWS
    groups = math.ceil(facts.converting_rows / CONVERTING_ROWS_AHEAD)
    return Plan(
        groups=cut(math.ceil(facts.rows / ROWS_PER_UNIT), max(groups, per_report) if large else groups),
        reading=Reading(
            versions=large and facts.parts is Parts.MANY,
            whole_keys=facts.ambiguous,
            history_apart=large,
            in_order=facts.parts is Parts.ONE,
        ),
        large=large,
    )


def cut(units: int, groups: int) -> tuple[UnitGroup, ...]:
    """Cut all user keys into as many units, or a few more, in about as many groups; at least one of each."""
    ranges = key_ranges(max(units, groups, 1))
    length = max(len(ranges) // max(groups, 1), 1)
    return tuple(UnitGroup(tuple(ranges[start : start + length])) for start in range(0, len(ranges), length))


def joined(units: tuple[KeyRange, ...]) -> KeyRange:
    """Return the range of adjacent units in ascending order."""
    return KeyRange(units[0].first, units[-1].last)
