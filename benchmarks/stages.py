"""Where the time of a report goes, in the process that makes it: `any` is asked, stage by stage.

Takes the folder of a store and `memory` or `store` for its arguments, and writes `Stages` as the last line of standard
output.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from benchmarks import adapter, processes
from benchmarks.cases import ANY, DOMAIN

if TYPE_CHECKING:
    from collections.abc import Callable

_REPEATS = 20
_T = TypeVar("_T")


class Stages(msgspec.Struct):
    """What each stage took: median seconds, and median processor seconds of all threads.

    Attributes:
        traffic: The name of the traffic.
        source: `memory` or `store`.
        seconds: Of each stage.
        cpu: Of each stage.
    """

    traffic: str
    source: str
    seconds: dict[str, float]
    cpu: dict[str, float]


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    def time(self, stage: str, work: Callable[[], _T]) -> _T:
        began, cpu = time.perf_counter(), time.process_time()
        found = work()
        self.cpu.setdefault(stage, []).append(time.process_time() - cpu)
        self.seconds.setdefault(stage, []).append(time.perf_counter() - began)
        return found


def measure(traffic: str, store: Path, source: str) -> Stages:
    """Measure in a process of its own."""
    return processes.call("stages", [traffic, str(store), source], Stages)


def _measure(traffic: str, folder: Path, source: str) -> Stages:
    clock = _Clock()
    with adapter.open_store(folder, merges=False) as store, adapter.asking(store, DOMAIN, source) as asking:
        for nth in range(_REPEATS + 1):
            plan = clock.time("facts and plan", lambda: asking.plan(ANY))
            report = clock.time("counting and names", lambda plan=plan: asking.run(ANY, plan))  # type: ignore[misc]
            clock.time("message", report.message)
            if nth == 0:  # the warm-up
                clock = _Clock()
    return Stages(traffic, source, *({name: statistics.median(times) for name, times in found.items()}
                                     for found in (clock.seconds, clock.cpu)))  # fmt: skip


if __name__ == "__main__":
    processes.reply(_measure(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)
