"""A hundred million sessions in memory: the core alone counts made-up ones. It takes minutes and 5 GB.

Run with `make bench-many`; it adds its figures to docs/benchmarks.md.
"""

from __future__ import annotations

import statistics
import subprocess
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.tables import Table


class Many(msgspec.Struct):
    """What the core measured.

    Attributes:
        sessions: How many there are.
        pages: Distinct pages.
        threads: That count.
        bytes: That the sessions take.
        filling_seconds: From their rows to blocks, on one thread, the making of the rows left out.
        seconds: Of each question, each time.
    """

    sessions: int
    pages: int
    threads: int
    bytes: int
    filling_seconds: float
    seconds: dict[str, list[float]]

    def median(self, question: str) -> float:
        """Return the median of the seconds."""
        return statistics.median(self.seconds[question])


def run(sessions: int, progress: Callable[[str], None]) -> Many:
    """Build and run the core's example."""
    progress(f"{sessions:,} sessions in the core alone")
    command = ["cargo", "run", "--release", "--locked", "--quiet", "--package", "pageroles-core"]
    command += ["--example", "count_many", "--", str(sessions)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=3600)
    return msgspec.json.decode(done.stdout, type=Many)


def table(found: Many) -> Table:
    """Return what each question took."""
    from benchmarks.tables import Table  # noqa: PLC0415 - which imports figures

    rows = [
        [name, f"{found.median(name):.3f}", f"{found.threads * found.median(name) * 1e9 / found.sessions:.1f}"]
        for name in found.seconds
    ]
    return Table(f"{found.sessions:,} sessions in the core", ["", "seconds", "thread ns a session"], rows)
