"""Writing to a server while it answers: batches from a few callers, and single sessions from many.

Run with `make bench-write`. The server has a large domain in memory, which one caller asks about ten times a second;
the sessions are written into that domain. Those who write are in a process of their own, on the same cores.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import grpc
import msgspec
import typer
from rich.console import Console

from benchmarks import adapter, cases, data, figures, memory
from benchmarks.cases import ANY, DOMAIN, EMPTY_WINDOW, Traffic
from benchmarks.threads import in_threads
from pageroles.ingest import messages
from pageroles.ingest.session import parse_line
from pageroles.v1 import sessions_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_METHOD = "/pageroles.v1.SessionService/WriteSessions"
# Callers, and sessions a request.
_LOADS = ((8, 1000), (100, 1))
_WARM_UP_SECONDS = 3.0
# How often the one who asks does so.
_EVERY_SECONDS = 0.1


class Writes(msgspec.Struct):
    """What the requests of one load took."""

    callers: int
    sessions_each: int
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


def main(size: str = "1M", seconds: float = 20.0, asking: bool = True) -> None:
    """Write for some seconds in each form, with reports beside unless `--no-asking`, and print what it took."""
    console = Console()
    adapter.refuse_debug_build()
    made = data.make(Traffic(cases.number(size)), console.print, export=False)
    with tempfile.TemporaryDirectory(dir=data.CACHE) as folder:
        data.copy(made.store(data.LOADED), Path(folder) / "store")
        with adapter.ServerProcess(Path(folder) / "store", merges=True) as server:
            server.keep(adapter.request(EMPTY_WINDOW), DOMAIN)
            console.print(f"reports while nobody writes: {_milliseconds(_asked(server, seconds / 4))}")
            for number, (callers, each) in enumerate(_LOADS):
                with _Asking(server, at_work=asking) as reports:
                    cpu = memory.cpu_seconds(server.pid)
                    load = _write(server, number, callers, each, seconds)
                    cpu = memory.cpu_seconds(server.pid) - cpu
                rate = load.requests / load.seconds
                console.print(
                    f"{callers} callers, {each:,} sessions a request: {rate:,.0f} requests and {rate * each:,.0f} "
                    f"sessions a second; a request {load.p50_ms:.0f} ms (median), {load.p99_ms:.0f} ms (99th "
                    f"percentile); the server {cpu / (load.seconds + _WARM_UP_SECONDS):.2f} cores"
                )
                if reports.times:
                    console.print(f"  reports meanwhile: {_milliseconds(reports.times)}")


def _milliseconds(times: list[float]) -> str:
    percentiles = ", ".join(f"p{at} {figures.percentile(times, at):.0f}" for at in (50, 90, 99))
    return f"{len(times):,} reports, milliseconds {percentiles}"


def _asked(server: adapter.ServerProcess, seconds: float) -> list[float]:
    with _Asking(server, at_work=True) as asking:
        time.sleep(seconds)
    return asking.times


class _Asking:
    """Asks about the large domain ten times a second while the block runs."""

    def __init__(self, server: adapter.ServerProcess, *, at_work: bool) -> None:
        self.times: list[float] = []
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work) if at_work else None

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            began = time.perf_counter()
            self._server.ask(adapter.request(ANY), DOMAIN)
            self.times.append((time.perf_counter() - began) * 1000)


# ---- those who write, in a process of their own ----


def _write(server: adapter.ServerProcess, number: int, callers: int, each: int, seconds: float) -> Writes:
    options = {"target": server.target, "key": server.key, "number": number, "callers": callers, "each": each,
               "seconds": seconds}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.writes", "--client", json.dumps(options)],
        check=True, stdout=subprocess.PIPE, timeout=seconds + 120,
    )  # fmt: skip
    return msgspec.json.decode(done.stdout, type=Writes)


def _client(target: str, key: str, number: int, callers: int, each: int, seconds: float) -> None:
    times: list[float] = []
    begins = time.perf_counter() + _WARM_UP_SECONDS
    ends = begins + seconds

    def work(caller: int) -> None:
        requests = _requests(f"{number}-{caller}", each)
        with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            write: Callable[..., Any] = channel.stream_unary(
                _METHOD, response_deserializer=sessions_pb2.WriteSessionsResponse.FromString
            )
            for request in requests:
                began = time.perf_counter()
                if began > ends:
                    return
                answer = write(iter([request]), metadata=(("authentication", key),), timeout=60)
                assert answer.stored == each, answer
                if began > begins:
                    times.append((time.perf_counter() - began) * 1000)

    in_threads(work, callers)
    p50, p99 = (figures.percentile(times, at) for at in (50, 99))
    sys.stdout.buffer.write(msgspec.json.encode(Writes(callers, each, len(times), seconds, p50, p99)))


def _requests(prefix: str, each: int) -> Iterator[bytes]:
    """Give requests with sessions that are new: the same ones again, with other ids, so that making them is cheap."""
    kept = [messages.make(parse_line(adapter.session(DOMAIN, number))) for number in range(max(each, 1000))]
    for nth in itertools.count():
        chosen = kept if each == len(kept) else [kept[nth * 7 % len(kept)]]
        for at, session in enumerate(chosen):
            session.session_id = f"{prefix}-{nth}-{at}"
            session.user_id = f"{prefix}-{nth}-{at // 2}"
        yield sessions_pb2.WriteSessionsRequest(sessions=chosen).SerializeToString()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        _client(**json.loads(sys.argv[2]))
    else:
        typer.run(main)
