"""Measurements, and the targets that they are compared with."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.load import Load
    from benchmarks.many import Many

MIB = 1 << 20
TIMES = "×"  # noqa: RUF001 - this sign is meant
# Some targets compare with 25 November 2026, when nothing was kept in memory: seconds and bytes above idle of `any`.
_STREAMED_SECONDS, _STREAMED_MIB = 0.298, 142


@dataclasses.dataclass(slots=True)
class Measurement:
    """What a contestant took for questions about some traffic.

    Attributes:
        traffic: The name of the traffic.
        state: Of the store: `loaded` or `merged`.
        contestant: One of `contestants.NAMES`.
        forms: Of its query, by question.
        seconds: Of each question, every time it was asked.
        cpu: Processor seconds of all its threads, of each question in each round.
        peaks: The most bytes above idle while the first question was asked, in each round, those included that are
            kept in memory for it.
        idle: Bytes resident before.
        facts: Versions, threads, and the like.
        filling: What filling the memory took in each round, where a domain is kept in it: `sessions`, `bytes`,
            `seconds`, and `resident`, the bytes by which the process grew.
    """

    traffic: str
    state: str
    contestant: str
    forms: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    cpu: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    peaks: list[int] = dataclasses.field(default_factory=list)
    idle: int = 0
    facts: dict[str, object] = dataclasses.field(default_factory=dict)
    filling: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def median(self, question: str = "any") -> float:
        """Return the median of the seconds."""
        return statistics.median(self.seconds[question])

    def work(self, question: str = "any") -> float:
        """Return the median of the processor seconds."""
        return statistics.median(self.cpu[question])

    def filled(self, what: str) -> float:
        """Return the median of one of the figures of filling."""
        return statistics.median(one[what] for one in self.filling)

    @property
    def bytes_per_session(self) -> float:
        """Return the bytes kept in memory for each session."""
        return self.filled("bytes") / self.filled("sessions")

    @property
    def peak(self) -> int:
        """Return the most bytes above idle, of all rounds."""
        return max(self.peaks)


@dataclasses.dataclass(slots=True)
class Fed:
    """What `any` took, in memory, while sessions were written into the same domain.

    Attributes:
        merges: Whether ClickHouse merged what was written meanwhile.
        per_second: How many sessions were to be written a second.
        written: How many were written.
        quiet: Seconds of each question before.
        busy: Seconds of each question meanwhile.
    """

    merges: bool
    per_second: int
    written: int
    quiet: list[float]
    busy: list[float]


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A goal, what must hold at least, and what was measured; None: it was not."""

    what: str
    goal: float
    least: float
    measured: float | None
    unit: str
    digits: int = 0
    more_is_better: bool = False

    @property
    def met(self) -> str:
        """Return which of both is met."""
        if self.measured is None:
            return "not measured"
        if self._reaches(self.goal):
            return "goal"
        return "least" if self._reaches(self.least) else "no"

    def _reaches(self, limit: float) -> bool:
        assert self.measured is not None
        return self.measured >= limit if self.more_is_better else self.measured <= limit

    def row(self) -> list[str]:
        """Return it as a row: what, goal, at least, measured, met."""
        sign = "≥" if self.more_is_better else "≤"
        limits = [f"{sign} {limit:,g}{self.unit}" for limit in (self.goal, self.least)]
        measured = "" if self.measured is None else f"{self.measured:,.{self.digits}f}{self.unit}"
        return [self.what, *limits, measured, self.met]


@dataclasses.dataclass(slots=True)
class Sizes:
    """The names of the traffics of a run."""

    small: str
    large: str
    many_pages: str


def find(measured: Iterable[Measurement], traffic: str, state: str, contestant: str) -> Measurement:
    """Return one of the measurements.

    Raises:
        LookupError: It was not made.
    """
    for one in measured:
        if (one.traffic, one.state, one.contestant) == (traffic, state, contestant):
            return one
    raise LookupError(f"{contestant} was not measured on {traffic}, {state}")


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile of some values."""
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


def slowdown(one: Fed) -> float:
    """Return the 99th percentile while sessions are written over that before."""
    return percentile(one.busy, 99) / percentile(one.quiet, 99)


def targets(
    measured: list[Measurement], fed: list[Fed], sizes: Sizes, load: Load | None, many: Many | None
) -> list[Target]:
    """Return the targets; load and many are those of the other measurements, where there are some."""
    ours = find(measured, sizes.large, "merged", "pageroles")
    streamed = find(measured, sizes.large, "merged", "streamed")
    sql = find(measured, sizes.large, "merged", "sql")
    slowest = max(ours.seconds, key=ours.median)
    alone, together = (load.served[0], load.served[-1]) if load else (None, None)
    return [
        Target(f"in memory, the slowest question ({slowest})", 25, 60, ours.median(slowest) * 1000, " ms"),
        Target("in memory, `any`, against the best SQL", 60, 25, sql.median() / ours.median(), TIMES, 0, True),
        Target(
            f"in memory, `any`, {sizes.many_pages}",
            250,
            450,
            find(measured, sizes.many_pages, "merged", "pageroles").median() * 1000,
            " ms",
        ),
        Target(
            "100 million sessions counted in the process",
            0.3,
            0.6,
            many.median("any") if many else None,
            " s",
            2,
        ),
        Target("small domains, 8 callers", 2000, 1000, together.per_second if together else None, " a second", 0, True),
        Target("small domains, one caller, median", 1.2, 2.5, alone.p50_ms if alone else None, " ms", 2),
        Target("memory a session, everything included", 36, 52, ours.bytes_per_session, " bytes", 1),
        Target(
            "99th percentile while 500 sessions a second are written, over quiet",
            1.5,
            3,
            max(map(slowdown, fed), default=None),
            TIMES,
            1,
        ),
        Target("streamed, `any`, over before", 1, 1.15, streamed.median() / _STREAMED_SECONDS, TIMES, 2),
        Target("streamed, `any`, memory above idle", _STREAMED_MIB, 250, streamed.peak / MIB, " MiB"),
    ]
