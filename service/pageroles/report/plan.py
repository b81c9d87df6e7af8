"""Facts → the plan of a report: how the work is cut, and how it is read. Pure: a plan is a value.

The work is cut into units, ranges of the user key. A user lies whole within one unit, so the units' counts add up
exactly. Any plan gives the same answer; which one is chosen is a matter of speed and memory alone.
"""

from __future__ import annotations

import dataclasses
import math

from pageroles.report.facts import SMALL_ROWS, Facts, Parts
from pageroles.report.statements import KeyRange, Reading, key_ranges

# Rows of a unit: small enough that two of them stay far below 100 MB, large enough that reading whole granules
# at the edges of a range costs little.
ROWS_PER_UNIT = 1_000_000
# Rows of conversions that are read at once, for some units: a query for each unit took three times as long, most of it
# planning.
CONVERTING_ROWS_AHEAD = 125_000


@dataclasses.dataclass(frozen=True, slots=True)
class UnitGroup:
    """Units next to each other, whose conversions and users are read at once; sessions, too, where that may be."""

    units: tuple[KeyRange, ...]

    @property
    def keys(self) -> KeyRange:
        """Return the range of all its units."""
        return joined(self.units)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How a report is made.

    Attributes:
        groups: The units, in groups that one worker counts at a time.
        reading: How the streams are read.
        large: The report goes to the workers for large reports.
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
        facts: What the store knows of the domain.
        per_report: How many units of one report may be at work at once.
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
    """Cut all user keys into that many units and groups, or a few more."""
    ranges = key_ranges(max(units, groups, 1))
    length = max(len(ranges) // max(groups, 1), 1)
    return tuple(UnitGroup(tuple(ranges[start : start + length])) for start in range(0, len(ranges), length))


def joined(units: tuple[KeyRange, ...]) -> KeyRange:
    """Return the range of units that follow one another."""
    return KeyRange(units[0].first, units[-1].last)
