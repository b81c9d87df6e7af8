"""The load test: many small requests, big ones at once, and both together. Loopback only, bounded in time.

ghz puts the small requests over gRPC (its settings are in ghz/small.json); what it is compared with is a loop over
the very queries that a report asks, in as many threads, through the same store and without a server.
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

from benchmarks import adapter, data, memory
from benchmarks.cases import ANY, DOMAIN, NOTHING, Traffic
from benchmarks.figures import MIB
from benchmarks.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable

_SETTINGS = Path(__file__).parent / "ghz" / "small.json"
_GHZ = Path("build/bin/ghz")
DOMAINS = 1000
_AT_ONCE = (1, 8)
_BIG_AT_ONCE = 8
# Domains whose queries the bare loop knows: it makes a report of each first.
_LOOPED = 50


class Small(msgspec.Struct):
    """What small requests got.

    Attributes:
        at_once: Requests in flight.
        requests: Answered.
        failed: Not answered well.
        per_second: Answered a second.
        p50_ms: The median of their milliseconds.
        p99_ms: 99 of a hundred took no longer.
    """

    at_once: int
    requests: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float


class Big(msgspec.Struct):
    """What eight big requests took: all together, each on average, and the most memory above idle."""

    seconds: float
    mean_seconds: float
    peak_bytes: int


class Load(msgspec.Struct):
    """All that the load test found."""

    sessions: int
    domains: int
    seconds: int
    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float]
    served: list[Small]
    bare: list[Small]
    at_once: Big
    in_turn: Big
    beside_big: Small
    big_meanwhile: list[float]


def run(sessions: int, seconds: int, tell: Callable[[str], None]) -> Load:
    """Put the loads on, one after another.

    Args:
        sessions: Of the big domain.
        seconds: How long each load of small requests lasts.
        tell: Told what goes on.
    """
    ghz = _ghz()
    load_before = os.getloadavg()
    made = data.make(Traffic(sessions), tell, export=False)
    folder = data.with_small_domains(made, DOMAINS, tell)

    bare: list[Small] = []
    for at_once in _AT_ONCE:
        tell(f"bare loop of the same queries, {at_once} at once")
        bare.append(_bare(folder, at_once, seconds))
    with adapter.Running(folder, merges=False) as server:
        server.ask(adapter.request(NOTHING), DOMAIN)
        idle = memory.resident(server.pid)
        _small(ghz, server, _AT_ONCE[-1], 2)
        served: list[Small] = []
        for at_once in _AT_ONCE:
            tell(f"small requests over gRPC, {at_once} at once")
            served.append(_small(ghz, server, at_once, seconds))
        tell(f"{_BIG_AT_ONCE} big requests in turn")
        in_turn = _big(server, 1, idle)
        tell(f"{_BIG_AT_ONCE} big requests at once")
        together = _big(server, _BIG_AT_ONCE, idle)
        tell("small requests beside a big one that always runs")
        with _AlwaysBig(server) as big:
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
        beside_big=beside,
        big_meanwhile=big.seconds,
    )


# ---- small requests ----


def _small(ghz: Path, server: adapter.Running, at_once: int, seconds: int) -> Small:
    """Have ghz ask for reports of small domains, picked at random."""
    metadata = {"authentication": server.key, "domain": f"site-{{{{randomInt 0 {DOMAINS - 1}}}}}.example"}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        contract = Path(folder) / "contract"
        contract.write_bytes(adapter.contract())
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
    return Small(at_once, good, found["count"] - good, good / (found["total"] / 1e9), times[50], times[99])


def _ghz() -> Path:
    if _GHZ.exists():
        return _GHZ.resolve()
    if found := shutil.which("ghz"):
        return Path(found)
    raise SystemExit("ghz is missing: `make load-test` builds it with Go, or put it on PATH")


def _bare(folder: Path, at_once: int, seconds: int) -> Small:
    """Run the loop in a process of its own: the store is opened by one at a time."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", str(folder), str(at_once), str(seconds)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds + 120,
    )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Small)


def _loop(folder: Path, at_once: int, seconds: int) -> Small:
    chance = random.Random(1)
    times: list[float] = []
    with adapter.opened(folder, merges=False) as store:
        replays = [
            adapter.Replay(store, ANY, data.small_domain(number)) for number in chance.sample(range(DOMAINS), _LOOPED)
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
    return Small(at_once, len(times), 0, len(times) / took, statistics.median(times), times[int(len(times) * 0.99)])


# ---- big requests ----


def _big(server: adapter.Running, at_once: int, idle: int) -> Big:
    question = adapter.request(ANY)
    memory.reset_peak(server.pid)
    each: list[float] = []
    left = list(range(_BIG_AT_ONCE))

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
    return Big(took, statistics.mean(each), memory.peak(server.pid) - idle)


class _AlwaysBig:
    """Asks for a big report again and again while the block runs."""

    def __init__(self, server: adapter.Running) -> None:
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


def tables(load: Load) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return the findings as tables: title, columns, rows."""

    def small(name: str, one: Small) -> list[str]:
        return [name, f"{one.per_second:,.0f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.failed}"]

    rows: list[list[str]] = []
    for served, bare in zip(load.served, load.bare, strict=True):
        rows.append(small(f"served over gRPC, {served.at_once} at once", served))
        rows.append(small(f"the same queries in a bare loop, {bare.at_once} at once", bare))
    rows.append(small(f"served, {load.beside_big.at_once} at once beside a big one", load.beside_big))
    big = [
        [name, f"{one.seconds:.2f}", f"{one.mean_seconds:.2f}", f"{one.peak_bytes / MIB:,.0f}"]
        for name, one in (
            (f"{_BIG_AT_ONCE} in turn", load.in_turn),
            (f"{_BIG_AT_ONCE} at once", load.at_once),
        )
    ]
    if load.big_meanwhile:
        big.append(["one always running, beside small ones", "", f"{statistics.mean(load.big_meanwhile):.2f}", ""])
    return [
        ("Small requests", ["", "a second", "p50 ms", "p99 ms", "failed"], rows),
        ("Big requests", ["", "seconds, all", "seconds, each", "memory above idle MiB"], big),
    ]


if __name__ == "__main__":
    told = _loop(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
