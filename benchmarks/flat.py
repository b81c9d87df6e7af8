"""What a soak found, and whether memory, threads and open files were flat.

The first quarter is a warm-up; the rest is judged in two halves. A figure is flat if its median rises from one half to
the other by no more than its bound, nor does a line through the second half. What fills a cache rises ever less; what
leaks does not: bit by bit, as the line tells, or now and then, as the medians do.
"""

from __future__ import annotations

import itertools
import statistics
from typing import NamedTuple, TypeVar

import msgspec

from benchmarks.figures import MIB
from benchmarks.tables import Table

_WARM_UP = 1 / 4
_Look = TypeVar("_Look")


class Bound(NamedTuple):
    """How much a figure may rise in an hour.

    Attributes:
        name: Of the figure, for readers.
        size: Of what it is shown in.
        rise: So many of them an hour.
    """

    name: str
    size: int
    rise: float


# A pool has as many threads as were ever at work at once, so there may be some more with time. What leaks with each
# command, the rarest that callers do, makes 90 more an hour; with each check of the store, 13.
BOUNDS = {
    "anonymous": Bound("memory, MiB", MIB, 24),
    "threads": Bound("threads", 1, 12),
    "files": Bound("open files", 1, 6),
}


class Soak(msgspec.Struct):
    """What a soak found.

    Attributes:
        date: Its day.
        cores: Of the machine.
        memory_bytes: Of the machine.
        seconds: When the server was looked at, since the first time.
        figures: What was seen each time, by name: at least those of `BOUNDS`, and `cpu`, the seconds of its processors.
        kinds: The open files at the end, by what they are.
        done: How often its callers did what.
        faults: What went wrong.
    """

    date: str
    cores: int
    memory_bytes: int
    seconds: list[float]
    figures: dict[str, list[float]]
    kinds: dict[str, int]
    done: dict[str, int]
    faults: list[str]

    @property
    def used_cores(self) -> float:
        """How many cores the server used, on average."""
        cpu = self.figures["cpu"]
        return (cpu[-1] - cpu[0]) / (self.seconds[-1] - self.seconds[0])


class Rise(NamedTuple):
    """How a figure rises, in what it is shown in.

    Attributes:
        medians: Of the two halves.
        between: The rise an hour from one to the other.
        within: The rise an hour within the second one.
    """

    medians: tuple[float, float]
    between: float
    within: float


def rise(found: Soak, name: str) -> Rise:
    """Return how a figure rises."""
    size = BOUNDS[name].size
    first, second = _halves([(at, value / size) for at, value in zip(found.seconds, found.figures[name], strict=True)])
    (at_first, of_first), (at_second, of_second) = (
        (statistics.median(at for at, _ in half), statistics.median(value for _, value in half))
        for half in (first, second)
    )
    between = (of_second - of_first) / (at_second - at_first)
    return Rise((of_first, of_second), between * 3600, _slope(second) * 3600)


def is_flat(found: Soak, name: str) -> bool:
    """Tell whether a figure is flat."""
    rises = rise(found, name)
    return max(rises.between, rises.within) <= BOUNDS[name].rise


def table(found: Soak) -> Table:
    """Return what was found, and whether it is flat."""
    rows: list[list[str]] = []
    for name, bound in BOUNDS.items():
        rises = rise(found, name)
        rows.append([
            bound.name,
            *(f"{median:,.0f}" for median in rises.medians),
            f"{rises.between:+.1f}",
            f"{rises.within:+.1f}",
            f"{bound.rise:g}",
            "yes" if is_flat(found, name) else "**no**",
        ])  # fmt: skip
    columns = ["", "first half", "second half", "rise an hour between", "within the second", "at most", "flat"]
    return Table("Flat", columns, rows)


def rows(found: Soak) -> tuple[float, float]:
    """Return how many rows of sessions the store had, the medians of both halves."""
    first, second = _halves(found.figures["rows"])
    return statistics.median(first), statistics.median(second)


def _halves(looks: list[_Look]) -> tuple[list[_Look], list[_Look]]:
    """Return the looks of both halves, without those of the warm-up."""
    judged = looks[int(len(looks) * _WARM_UP) :]
    return judged[: len(judged) // 2], judged[len(judged) // 2 :]


def _slope(looks: list[tuple[float, float]]) -> float:
    """Return the slope of a line: the median of those through any two looks, so that peaks tell little."""
    return statistics.median(
        (later - earlier) / (at_later - at_earlier)
        for (at_earlier, earlier), (at_later, later) in itertools.combinations(looks, 2)
    )
