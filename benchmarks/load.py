"""The load test: many small requests, large ones at once, both together, and far too many. Loopback, bounded in time.

A client of its own (client/main.go) sends the small requests and leaves the answers as bytes: a client that reads them
takes more of the two cores than the server. They are compared with a bare gRPC server whose answers are as large.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from benchmarks import adapter, data, figures, memory
from benchmarks.cases import ANY, DOMAIN, EMPTY_WINDOW, Traffic
from benchmarks.echo import EchoProcess
from benchmarks.figures import MIB
from benchmarks.tables import Table
from benchmarks.threads import in_threads
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

_CLIENT = Path("build/bin/load-client")
DOMAINS = 1000
_AT_ONCE = (1, 8)
_LARGE_AT_ONCE = 8
_WARM_UP_SECONDS = 2
# One caller asks this often, about small domains, beside callers of another key who ask without pause and do not heed
# refusals: as many as the server takes, and ten and fifty times as many.
_ASKS_EVERY = "10ms"
_TAKES = 8
_TIMES = (1, 10, 50)
_SETTLED_SECONDS = 0.5


class SmallRequests(msgspec.Struct):
    """What small requests took.

    Attributes:
        at_once: Requests in flight.
        requests: How many were answered.
        failed: How many were not, or with an error.
        per_second: Answered a second.
        p50_ms: Median latency, in milliseconds.
        p99_ms: 99th percentile of the latency, in milliseconds.
        answer_bytes: Of an answer, on average.
        refused: How many were refused since the server is busy; they count among none of the above.
        max_ms: The longest latency, in milliseconds.
    """

    at_once: int
    requests: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float
    answer_bytes: int
    refused: int = 0
    max_ms: float = 0


class Beside(msgspec.Struct):
    """One caller who asks now and then, beside callers of another key.

    Attributes:
        others: What the others ask about: small domains or the large one; empty: there are none.
        caller: What the caller's requests took.
        theirs: What those of the others took; None where there are none.
    """

    others: str
    caller: SmallRequests
    theirs: SmallRequests | None


class Flood(msgspec.Struct):
    """What one caller sees of others who ask for more than the server takes.

    Attributes:
        beside: The caller beside nobody, beside others, and beside nobody again, a second later.
        peak_bytes: The most memory meanwhile, above what it was before.
        left_bytes: The memory a second later, above what it was before.
    """

    beside: list[Beside]
    peak_bytes: int
    left_bytes: int


class Further(msgspec.Struct):
    """What questions of a kind took that are no reports, and the reports beside them.

    Attributes:
        kind: What was asked.
        small: Requests about small domains, picked at random.
        beside_small: Reports of small domains, by another key, meanwhile.
        large: Requests about the large domain, one at a time.
    """

    kind: str
    small: SmallRequests
    beside_small: SmallRequests
    large: SmallRequests


class LargeRequests(msgspec.Struct):
    """What eight large requests took: all together, each on average, and the most memory above idle."""

    seconds: float
    mean_seconds: float
    peak_bytes: int


class Large(msgspec.Struct):
    """What large requests took, in memory or streamed."""

    in_turn: LargeRequests
    at_once: LargeRequests


class Load(msgspec.Struct):
    """All that the load test measured.

    Attributes:
        sessions: Of the large domain.
        domains: How many small domains there are.
        seconds: How long each load of small requests lasted.
        load_before: The load averages before.
        load_after: The load averages after.
        first: Small requests about domains that are not in memory yet.
        served: Small requests about domains in memory.
        echo: The same, to a bare server.
        beside_large: Small requests while a large one is always running.
        large_meanwhile: Seconds of those.
        in_memory: Large requests about a domain in memory.
        streamed: Large requests where nothing is kept.
        resident_bytes: The memory above idle with all small domains in it, and with the large one as well.
        flood: One caller beside others who ask for too much.
        further: Questions that are no reports, beside reports.
    """

    sessions: int
    domains: int
    seconds: int
    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float]
    first: SmallRequests
    served: list[SmallRequests]
    echo: list[SmallRequests]
    beside_large: SmallRequests
    large_meanwhile: list[float]
    in_memory: Large
    streamed: Large
    resident_bytes: tuple[int, int]
    flood: Flood
    further: list[Further]


def run(sessions: int, seconds: int, progress: Callable[[str], None]) -> Load:
    """Put each load on a server, one after another.

    Args:
        sessions: Of the large domain.
        seconds: How long each load of small requests lasts.
        progress: Is told what is done.
    """
    if not _CLIENT.exists():
        raise SystemExit("the client is missing: `make load-test` builds it with Go")
    load_before = os.getloadavg()
    made = data.make(Traffic(sessions), progress, export=False)
    folder = data.with_small_domains(made, DOMAINS, progress)

    with adapter.ServerProcess(folder, merges=False, memory=0) as server:
        idle = _idle(server)
        progress(f"{_LARGE_AT_ONCE} large requests that stream")
        streamed = Large(_large(server, 1, idle), _large(server, _LARGE_AT_ONCE, idle))
    with adapter.ServerProcess(folder, merges=False) as server:
        idle = _idle(server)
        progress(f"a first question about each of {DOMAINS:,} small domains")
        first = _first(server)
        small_bytes = memory.resident(server.pid) - idle
        _small(server, _AT_ONCE[-1], _WARM_UP_SECONDS)
        served: list[SmallRequests] = []
        for at_once in _AT_ONCE:
            progress(f"small requests in memory, {at_once} at once")
            served.append(_small(server, at_once, seconds))
        progress("reading the large domain")
        server.keep(adapter.request(EMPTY_WINDOW), DOMAIN)
        all_bytes = memory.resident(server.pid) - idle
        progress(f"{_LARGE_AT_ONCE} large requests in memory")
        in_memory = Large(_large(server, 1, idle), _large(server, _LARGE_AT_ONCE, idle))
        progress("small requests beside a large one that always runs")
        with _AlwaysLarge(server) as large:
            beside = _small(server, _AT_ONCE[-1], seconds)
        further = [_further(server, kind, seconds, progress) for kind in _FURTHER]
        flood = _flood(server, seconds, progress)
    echo: list[SmallRequests] = []
    with EchoProcess(served[0].answer_bytes) as bare:
        _small(bare, _AT_ONCE[-1], _WARM_UP_SECONDS)
        for at_once in _AT_ONCE:
            progress(f"a bare server, {at_once} at once")
            echo.append(_small(bare, at_once, seconds))
    return Load(
        sessions=sessions,
        domains=DOMAINS,
        seconds=seconds,
        load_before=load_before,
        load_after=os.getloadavg(),
        first=first,
        served=served,
        echo=echo,
        beside_large=beside,
        large_meanwhile=large.seconds,
        in_memory=in_memory,
        streamed=streamed,
        resident_bytes=(small_bytes, all_bytes),
        flood=flood,
        further=further,
    )


def _idle(server: adapter.ServerProcess) -> int:
    """Return the resident bytes of a server that has opened its files."""
    server.ask(adapter.request(EMPTY_WINDOW), "no-site.example")
    return memory.resident(server.pid)


# ---- small requests ----


def _small(server: adapter.ServerProcess | EchoProcess, at_once: int, seconds: int) -> SmallRequests:
    """Have the client ask for reports of small domains, picked at random."""
    with _Client(server, server.key, at_once, seconds) as client:
        return client.result()


class _Client:
    """The client at work, until the block ends."""

    def __init__(
        self,
        server: adapter.ServerProcess | EchoProcess,
        key: str,
        callers: int,
        seconds: float,
        *,
        kind: str | None = None,
        **more: object,
    ) -> None:
        """Start it.

        Args:
            server: Whom it asks.
            key: The key that it shows.
            callers: How many requests it has in flight.
            seconds: For how long it begins new ones.
            kind: What kind of question it asks; None: for reports.
            more: Its other options.
        """
        self._seconds = seconds
        self._folder = tempfile.TemporaryDirectory()
        request = Path(self._folder.name) / "request"
        question: Message = adapter.request(ANY)
        if kind is not None:
            method, question = _FURTHER[kind](adapter.request(ANY), _PAGE if more.get("domain") == DOMAIN else "")
            more = {"method": adapter.METHOD.rpartition("/")[0] + f"/{method}", **more}
        request.write_bytes(question.SerializeToString())
        options = {
            "target": server.target,
            "method": adapter.METHOD,
            "key": key,
            "request": request,
            "domains": DOMAINS,
            "callers": callers,
            "seconds": seconds,
            **more,
        }
        command = [str(_CLIENT), *(f"-{name}={value}" for name, value in options.items())]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def result(self) -> SmallRequests:
        """Wait until it ends, and return what it saw."""
        told, _ = self._process.communicate(timeout=self._seconds + 90)
        return msgspec.json.decode(told, type=SmallRequests)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # It ends by itself, unless it hangs.
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def _first(server: adapter.ServerProcess) -> SmallRequests:
    """Ask for each small domain once, one after the other."""
    question = adapter.request(ANY)
    times: list[float] = []
    answered = 0
    for number in range(DOMAINS):
        began = time.perf_counter()
        answered += len(server.ask(question, data.small_domain(number)))
        times.append((time.perf_counter() - began) * 1000)
    per_second = len(times) / (sum(times) / 1000)
    p99 = figures.percentile(times, 99)
    return SmallRequests(1, len(times), 0, per_second, statistics.median(times), p99, answered // len(times))


# ---- questions that are no reports ----

# By the name of each kind, its method and its message, of a question and a page. Small domains have pages of their own,
# so that none is given there.
_FURTHER: dict[str, Callable[[pages_pb2.PagesRequest, str], tuple[str, Message]]] = {
    "days": lambda question, page: ("PageDays", pages_pb2.PageDaysRequest(question=question, url=page)),
    "values of the landing page": lambda question, _: (
        "FilterValues",
        pages_pb2.FilterValuesRequest(question=question, field="landing_page"),
    ),
    "the latest 20 sessions": lambda question, page: (
        "PageSessions",
        pages_pb2.PageSessionsRequest(question=question, url=page, limit=20),
    ),
}
_PAGE = f"https://{DOMAIN}/catalogue/page-0"


def _further(server: adapter.ServerProcess, kind: str, seconds: int, progress: Callable[[str], None]) -> Further:
    """Ask questions of a kind: of small domains beside reports of another key, then of the large one."""
    at_once = _AT_ONCE[-1] // 2
    progress(f"{kind}, beside reports")
    with (
        _Client(server, server.key, at_once, seconds, kind=kind) as client,
        _Client(server, server.other_key, at_once, seconds) as others,
    ):
        small, beside = client.result(), others.result()
    progress(f"{kind}, of the large domain")
    with _Client(server, server.key, 1, seconds, kind=kind, domain=DOMAIN) as client:
        return Further(kind, small, beside, client.result())


# ---- far too many ----


def _flood(server: adapter.ServerProcess, seconds: int, progress: Callable[[str], None]) -> Flood:
    """Have one caller ask beside ever more callers of another key."""
    beside: list[Beside] = []

    def alone() -> None:
        with _Client(server, server.key, 1, seconds, every=_ASKS_EVERY) as caller:
            beside.append(Beside("", caller.result(), None))

    alone()
    before = memory.resident(server.pid)
    memory.reset_peak(server.pid)
    for name, domain in (("small domains", ""), ("the large domain", DOMAIN)):
        for times in _TIMES:
            progress(f"one caller beside {times * _TAKES} who ask about {name}")
            with _Client(server, server.other_key, times * _TAKES, seconds + 1, domain=domain) as others:
                # The caller comes when the others are there.
                time.sleep(_SETTLED_SECONDS)
                with _Client(server, server.key, 1, seconds, every=_ASKS_EVERY) as caller:
                    seen = caller.result()
                beside.append(Beside(name, seen, others.result()))
    peak = memory.peak(server.pid)
    time.sleep(1)
    left = memory.resident(server.pid)
    alone()
    return Flood(beside, peak - before, left - before)


# ---- large requests ----


def _large(server: adapter.ServerProcess, at_once: int, idle: int) -> LargeRequests:
    question = adapter.request(ANY)
    server.ask(question, DOMAIN)
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


def flood_memory(flood: Flood) -> tuple[str, str]:
    """Return the most memory of a flood, and what is left of it, in MiB."""
    return _mib(flood.peak_bytes), _mib(flood.left_bytes)


def tables(load: Load) -> list[Table]:
    """Return the tables of a load test."""

    def small(name: str, one: SmallRequests) -> list[str]:
        return [name, f"{one.per_second:,.0f}", f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", f"{one.failed}"]

    rows = [small("first questions, 1 at once", load.first)]
    for served, echo in zip(load.served, load.echo, strict=True):
        rows.append(small(f"in memory, {served.at_once} at once", served))
        rows.append(small(f"a bare server, {echo.at_once} at once", echo))
    rows.append(small(f"in memory, {load.beside_large.at_once} at once beside a large one", load.beside_large))
    large = [
        [f"{name}, {_LARGE_AT_ONCE} {how}", f"{one.seconds:.2f}", f"{one.mean_seconds:.3f}", _mib(one.peak_bytes)]
        for name, kind in (("in memory", load.in_memory), ("streamed", load.streamed))
        for how, one in (("in turn", kind.in_turn), ("at once", kind.at_once))
    ]
    if load.large_meanwhile:
        mean = statistics.mean(load.large_meanwhile)
        large.append(["in memory, one always running, beside small ones", "", f"{mean:.3f}", ""])
    beside = [
        [
            f"beside {one.theirs.at_once} who ask about {one.others}" if one.theirs else "beside nobody",
            f"{one.caller.p50_ms:.1f}",
            f"{one.caller.p99_ms:.1f}",
            f"{one.caller.refused + one.caller.failed}",
            *(
                [
                    f"{one.theirs.per_second:,.0f}",
                    f"{one.theirs.refused * one.theirs.per_second / one.theirs.requests:,.0f}",
                ]
                if one.theirs
                else ["", ""]
            ),
        ]
        for one in load.flood.beside
    ]
    further = [
        [
            f"{one.kind}, {where}",
            f"{asked.per_second:,.0f}",
            f"{asked.p50_ms:.1f}",
            f"{asked.p99_ms:.1f}",
            f"{asked.failed}",
            *(
                [f"{one.beside_small.per_second:,.0f}", f"{one.beside_small.p99_ms:.1f}"]
                if beside_reports
                else ["", ""]
            ),
        ]
        for one in load.further
        for where, asked, beside_reports in (("small domains", one.small, True), ("the large one", one.large, False))
    ]
    return [
        Table("Small requests", ["", "a second", "p50 ms", "p99 ms", "failed"], rows),
        Table("Large requests", ["", "seconds, all", "seconds, each", "memory above idle MiB"], large),
        Table(
            "One caller, every 10 ms, beside callers of another key who ask without pause",
            ["", "p50 ms", "p99 ms", "not answered", "answers to the others, a second", "refusals, a second"],
            beside,
        ),
        Table(
            "Questions that are no reports: of small domains 4 at once, beside 4 reports of another key; of the large "
            "one 1 at once",
            ["", "a second", "p50 ms", "p99 ms", "failed", "reports a second", "their p99 ms"],
            further,
        ),
    ]


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f}"
