"""The report beside its slow twin: the same question to the server, and as one SQL query over raw columns.

Run with `make bench-twin`. The twin (tests/support/twin.py) is written to be right, not fast. The comparison shows that
both agree on many sessions, and what a report costs that is made from raw rows.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import typer
from rich.console import Console

from benchmarks import adapter, data, memory
from benchmarks.cases import DOMAIN, Question, Traffic
from pageroles.rest_shape import to_answer

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support.twin import twin


def main(sessions: int = 1_000_000, rounds: int = 3) -> None:
    """Make the store if it isn't there, check that both agree, then time them alternately."""
    console = Console()
    adapter.refuse_debug_build()
    made = data.make(Traffic(sessions=sessions), console.print, export=False)
    question = Question("any")
    ours: list[float] = []
    theirs: list[float] = []
    above: list[int] = []
    for nth in range(rounds + 1):
        with adapter.ServerProcess(made.store(data.LOADED), merges=False, memory=0) as server:
            request = adapter.request(question)
            server.ask(request, DOMAIN)  # opens files, as any first request does
            idle = memory.resident(server.pid)
            memory.reset_peak(server.pid)
            began = time.perf_counter()
            message = server.ask(request, DOMAIN)
            ours.append(time.perf_counter() - began)
            above.append(memory.peak(server.pid) - idle)
        with adapter.open_store(made.store(data.LOADED), merges=False) as store, store._engine.writer() as client:  # noqa: SLF001
            began = time.perf_counter()
            expected = twin(client, DOMAIN, question.start_ms, question.end_ms, {}, "any")
            theirs.append(time.perf_counter() - began)
        answer = dict(to_answer([message]))
        answer.pop("time_frame")
        if answer != expected:
            raise SystemExit("the twin gives another answer")
        if nth == 0:  # the warm-up
            ours.clear()
            theirs.clear()
    console.print(
        f"{sessions:,} sessions, as loaded: pageroles, streamed, over gRPC {statistics.median(ours):.3f} s "
        f"({min(ours):.3f} to {max(ours):.3f}), the SQL twin {statistics.median(theirs):.2f} s "
        f"({min(theirs):.2f} to {max(theirs):.2f}), {statistics.median(theirs) / statistics.median(ours):.1f} times; "
        f"the server's peak {max(above) / 1e6:.0f} MB above idle"
    )


if __name__ == "__main__":
    typer.run(main)
