"""Measurements, and the targets that they are compared with."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MIB = 1 << 20
_TIMES = "×"  # noqa: RUF001 - this sign is meant


@dataclasses.dataclass(slots=True)
class Measurement:
    """What a contestant took for questions about some traffic.

    Attributes:
        traffic: The name of the traffic.
        state: Of the store: `loaded` or `merged`.
        contestant: One of `contestants.NAMES`.
        form: Of its query.
        seconds: Of each question, every time it was asked.
        cpu: Processor seconds of all its threads, of each question in each round.
        peaks: The most bytes above idle while the first question was asked, in each round.
        idle: Bytes resident before.
        facts: Versions, threads, and the like.
    """

    traffic: str
    state: str
    contestant: str
    form: str
    seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    cpu: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    peaks: list[int] = dataclasses.field(default_factory=list)
    idle: int = 0
    facts: dict[str, object] = dataclasses.field(default_factory=dict)

    def median(self, question: str = "any") -> float:
        """Return the median of the seconds."""
        return statistics.median(self.seconds[question])

    @property
    def peak(self) -> int:
        """Return the most bytes above idle, of all rounds."""
        return max(self.peaks)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A target, and whether it is met."""

    what: str
    limit: str
    measured: str
    met: bool


@dataclasses.dataclass(slots=True)
class Sizes:
    """The names of the traffics of a run."""

    small: str
    large: str
    many_pages: str


def find(
    measured: Iterable[Measurement], traffic: str, state: str, contestant: str, *, arrays: bool = False
) -> Measurement:
    """Return one of the measurements.

    Raises:
        LookupError: It was not made.
    """
    for one in measured:
        if (one.traffic, one.state, one.contestant) == (traffic, state, contestant) and arrays == (
            "arrays" in one.form
        ):
            return one
    raise LookupError(f"{contestant} was not measured on {traffic}, {state}")


def targets(measured: list[Measurement], sizes: Sizes) -> list[Target]:
    """Return the targets, and whether the measurements meet them."""
    found: list[Target] = []
    for state in ("merged", "loaded"):
        found += _against_others(measured, sizes.large, state)
    ours = find(measured, sizes.large, "merged", "pageroles")
    small = find(measured, sizes.small, "merged", "pageroles")
    asked = {name: ours.median(name) for name in ours.seconds if name != "any" and "," not in name}
    slowest = max(asked, key=asked.__getitem__)
    found.append(
        _at_most(f"slowest other question ({slowest}) over any", asked[slowest] / ours.median(), 1, _TIMES, digits=2)
    )
    many = find(measured, sizes.many_pages, "merged", "pageroles")
    found.append(_at_most(f"time with {sizes.many_pages} over {sizes.large}", many.median() / ours.median(), 2, _TIMES))
    found.append(_at_most("time with ten times the sessions", ours.median() / small.median(), 11, _TIMES))
    found.append(_at_most("memory above idle", ours.peak / MIB, 400, " MiB", digits=0))
    found.append(_at_most("memory with ten times the sessions", ours.peak / small.peak, 1.5, _TIMES, digits=2))
    return found


def _against_others(measured: list[Measurement], traffic: str, state: str) -> list[Target]:
    ours = find(measured, traffic, state, "pageroles").median()
    sql = find(measured, traffic, state, "sql").median()
    floor = find(measured, traffic, state, "floor").median()
    found = [_at_least(f"faster than the best SQL, {state}", sql / ours, 4)]
    if state == "merged":
        for name, shown in (("duckdb", "DuckDB"), ("polars", "Polars")):
            ready = find(measured, traffic, state, name).median()
            arrays = find(measured, traffic, state, name, arrays=True).median()
            found.append(_at_least(f"faster than {shown} with our ready columns", ready / ours, 8))
            found.append(_at_least(f"faster than {shown} from page arrays", arrays / ours, 8))
    found.append(_at_most(f"over the floor, {state}", ours / floor, 2.5, _TIMES))
    return found


def _at_least(what: str, ratio: float, limit: float) -> Target:
    return Target(what, f"≥ {limit:g}{_TIMES}", f"{ratio:.1f}{_TIMES}", ratio >= limit)


def _at_most(what: str, value: float, limit: float, unit: str, *, digits: int = 1) -> Target:
    return Target(what, f"≤ {limit:g}{unit}", f"{value:.{digits}f}{unit}", value <= limit)
