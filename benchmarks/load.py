"""The load test: many small requests, large ones at once, and both together. Loopback only, bounded in time.

ghz sends the small requests over gRPC (its settings are in ghz/small.json). They are compared with a bare loop: the
queries of the same reports, in as many threads, from the same store, without a server.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from benchmarks import adapter, data, memory, processes
from benchmarks.cases import ANY, DOMAIN, EMPTY_WINDOW, Traffic
from benchmarks.figures import MIB
from benchmarks.tables import Table
from benchmarks.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable

_SETTINGS = Path(__file__).parent / "ghz" / "small.json"
_GHZ = Path("build/bin/ghz")
DOMAINS = 1000
_AT_ONCE = (1, 8)
_LARGE_AT_ONCE = 8
# The bare loop first makes a report of so many domains, to know its queries.
_LOOPED_DOMAINS = 50


class SmallRequests(msgspec.Struct):
    """What small requests took.

    Attributes:
        at_once: Requests in flight.
        requests: How many were answered.
        failed: How many were not, or with an error.
        per_second: Answered a second.
        p50_ms: Median latency, in milliseconds.
        p99_ms: 99th percentile of the latency, in milliseconds.
    """

    at_once: int
    requests: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float


class LargeRequests(msgspec.Struct):
    """What eight large requests took: all together, each on average, and the most memory above idle."""

    seconds: float
    mean_seconds: float
    peak_bytes: int


class Load(msgspec.Struct):
    """All that the load test measured."""

    sessions: int
    domains: int
    seconds: int
    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float]
    served: list[SmallRequests]
    bare: list[SmallRequests]
    at_once: LargeRequests
    in_turn: LargeRequests
    beside_large: SmallRequests
    large_meanwhile: list[float]


def run(sessions: int, seconds: int, progress: Callable[[str], None]) -> Load:
    """Put each load on a server, one after another.

    Args:
        sessions: Of the large domain.
        seconds: How long each load of small requests lasts.
        progress: Is told what is done.
    """
    ghz = _ghz()
    load_before = os.getloadavg()
    made = data.make(Traffic(sessions), progress, export=False)
    folder = data.with_small_domains(made, DOMAINS, progress)

    bare: list[SmallRequests] = []
    for at_once in _AT_ONCE:
        progress(f"bare loop of the same queries, {at_once} at once")
        bare.append(_bare(folder, at_once, seconds))
    with adapter.ServerProcess(folder, merges=False) as server:
        server.ask(adapter.request(EMPTY_WINDOW), DOMAIN)
        idle = memory.resident(server.pid)
        _small(ghz, server, _AT_ONCE[-1], 2)
        served: list[SmallRequests] = []
        for at_once in _AT_ONCE:
            progress(f"small requests over gRPC, {at_once} at once")
            served.append(_small(ghz, server, at_once, seconds))
        progress(f"{_LARGE_AT_ONCE} large requests in turn")
        in_turn = _large(server, 1, idle)
        progress(f"{_LARGE_AT_ONCE} large requests at once")
        together = _large(server, _LARGE_AT_ONCE, idle)
        progress("small requests beside a large one that always runs")
        with _AlwaysLarge(server) as large:
            beside = _small(ghz, server, _AT_ONCE[-1], seconds)
    return Load(
        sessions=sessions,
        domains=DOMAINS,
        seconds=seconds,
        load_before=load_before,
        load_after=os.getloadavg(),
        served=served,
        bare=bare,
        at_once=together,
        in_turn=in_turn,
        beside_large=beside,
        large_meanwhile=large.seconds,
    )


# ---- small requests ----


def _small(ghz: Path, server: adapter.ServerProcess, at_once: int, seconds: int) -> SmallRequests:
    """Have ghz ask for reports of small domains, picked at random."""
    metadata = {"authentication": server.key, "domain": f"site-{{{{randomInt 0 {DOMAINS - 1}}}}}.example"}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        contract = Path(folder) / "contract"
        contract.write_bytes(adapter.descriptors())
        settings = Path(folder) / "settings.json"
        settings.write_text(json.dumps(json.loads(_SETTINGS.read_text()) | {"metadata": metadata}))
        command = [str(ghz), "--config", str(settings), "--protoset", str(contract)]
        command += ["--concurrency", str(at_once), "--connections", str(min(at_once, 4))]
        command += ["--duration", f"{seconds}s", "--duration-stop", "wait", "--format", "json"]
        command += ["--output", str(output), server.target]
        # It ends by itself; should it hang, `run` ends it, by its process id.
        subprocess.run(command, check=True, timeout=seconds + 60)
        found = json.loads(output.read_text())
    times = {one["percentage"]: one["latency"] / 1e6 for one in found["latencyDistribution"]}
    good = found["statusCodeDistribution"].get("OK", 0)
    return SmallRequests(at_once, good, found["count"] - good, good / (found["total"] / 1e9), times[50], times[99])


def _ghz() -> Path:
    if _GHZ.exists():
        return _GHZ.resolve()
    if found := shutil.which("ghz"):
        return Path(found)
    raise SystemExit("ghz is missing: `make load-test` builds it with Go, or put it on PATH")


def _bare(folder: Path, at_once: int, seconds: int) -> SmallRequests:
    """Run the loop in a process of its own: only one at a time can open the store."""
    return processes.call("load", [str(folder), str(at_once), str(seconds)], SmallRequests, seconds=seconds + 120)


def _loop(folder: Path, at_once: int, seconds: int) -> SmallRequests:
    rng = random.Random(1)
    times: list[float] = []
    with adapter.open_store(folder, merges=False) as store:
        replays = [
            adapter.Replay(store, ANY, data.small_domain(number))
            for number in rng.sample(range(DOMAINS), _LOOPED_DOMAINS)
        ]
        ends = time.perf_counter() + seconds

        def work(seed: int) -> None:
            mine = random.Random(seed)
            while (began := time.perf_counter()) < ends:
                mine.choice(replays).run()
                times.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        in_threads(work, at_once)
        took = time.perf_counter() - began
    times.sort()
    return SmallRequests(
        at_once, len(times), 0, len(times) / took, statistics.median(times), times[int(len(times) * 0.99)]
    )


# ---- large requests ----


def _large(server: adapter.ServerProcess, at_once: int, idle: int) -> LargeRequests:
    question = adapter.request(ANY)
    memory.reset_peak(server.pid)
    each: list[float] = []
    left = list(range(_LARGE_AT_ONCE))

    def work(_: int) -> None:
        while True:
            try:
                left.pop()
            except IndexError:
                return
            began = time.perf_counter()
            server.ask(question, DOMAIN)
            each.append(time.perf_counter() - began)

    began = time.perf_counter()
    in_threads(work, at_once)
    took = time.perf_counter() - began
    return LargeRequests(took, statistics.mean(each), memory.peak(server.pid) - idle)


class _AlwaysLarge:
    """Asks for a large report again and again while the block runs."""

    def __init__(self, server: adapter.ServerProcess) -> None:
        self.seconds: list[float] = []
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            self._server.ask(adapter.request(ANY), DOMAIN)
            self.seconds.append(time.perf_counter() - began)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def tables(load: Load) -> list[Table]:
    """Return the tables of a load test."""

    def small(name: str, one: SmallRequests) -> list[str]:
        return [name, f"{one.per_second:,.0f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.failed}"]

    rows: list[list[str]] = []
    for served, bare in zip(load.served, load.bare, strict=True):
        rows.append(small(f"served over gRPC, {served.at_once} at once", served))
        rows.append(small(f"the same queries in a bare loop, {bare.at_once} at once", bare))
    rows.append(small(f"served, {load.beside_large.at_once} at once beside a large one", load.beside_large))
    large = [
        [name, f"{one.seconds:.2f}", f"{one.mean_seconds:.2f}", f"{one.peak_bytes / MIB:,.0f}"]
        for name, one in (
            (f"{_LARGE_AT_ONCE} in turn", load.in_turn),
            (f"{_LARGE_AT_ONCE} at once", load.at_once),
        )
    ]
    if load.large_meanwhile:
        large.append(["one always running, beside small ones", "", f"{statistics.mean(load.large_meanwhile):.2f}", ""])
    return [
        Table("Small requests", ["", "a second", "p50 ms", "p99 ms", "failed"], rows),
        Table("Large requests", ["", "seconds, all", "seconds, each", "memory above idle MiB"], large),
    ]


if __name__ == "__main__":
    processes.reply(_loop(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
