"""The soak: a server at work for an hour, whose memory, threads and open files must be flat.

Run with `make soak`. The server is a process of its own, as operators start it, on an embedded store. Its callers are
those of `callers.py`. They are slow on purpose: others can work on the same machine meanwhile.

A figure is flat if it rose by no more than its bound in the second half of what is judged, as a line through that half
says. The first quarter is a warm-up. A cache that fills rises ever less, and a leak as fast in the second half as in
the first.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import requests
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from benchmarks import adapter, memory
from benchmarks.callers import Callers, Server, Site, command
from benchmarks.figures import MIB
from benchmarks.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_EVERY_SECONDS = 10.0
_WARM_UP = 1 / 4
_SMALL_DOMAINS = 10
_MIDDLE_DOMAINS = 2
_MIDDLE_SESSIONS = 20_000
_MOST_FAULTS = 20
_NUMBER = re.compile(r":\[\d+\]")
_GAUGES = (
    "pageroles_resident_bytes",
    "pageroles_resident_sessions",
    "pageroles_unstored_bytes",
    "pageroles_requests_at_work",
    "pageroles_answer_unread_bytes",
)


class Bound(msgspec.Struct, frozen=True):
    """How much a figure may rise in an hour.

    Attributes:
        name: Of the figure, for readers.
        unit: What it is shown in, for readers.
        size: That unit.
        rise: So many units an hour.
    """

    name: str
    unit: str
    size: int
    rise: float


BOUNDS = {
    "resident": Bound("memory", "MiB", MIB, 24),
    "threads": Bound("threads", "", 1, 2),
    "files": Bound("open files", "", 1, 4),
}


class Sample(msgspec.Struct):
    """A look at the server.

    Attributes:
        seconds: Since the first one.
        figures: `resident` bytes, `threads`, `files`, processor seconds (`cpu`), `parts` of the store that count and
            `old_parts` that wait to be removed, `rows` in those that count, and gauges of the server's own.
        kinds: The open files by what they are.
        names: The threads by what they do.
    """

    seconds: float
    figures: dict[str, float]
    kinds: dict[str, int]
    names: dict[str, int]


class Soak(msgspec.Struct):
    """What a soak found.

    Attributes:
        date: Its day.
        cores: Of the machine.
        memory_bytes: Of the machine.
        samples: All looks at the server.
        done: How often its callers did what.
        faults: What went wrong.
    """

    date: str
    cores: int
    memory_bytes: int
    samples: list[Sample]
    done: dict[str, int]
    faults: list[str]

    def judged(self) -> tuple[Sequence[Sample], Sequence[Sample]]:
        """Return the first and the second half of the looks after the warm-up."""
        judged = self.samples[int(len(self.samples) * _WARM_UP) :]
        return judged[: len(judged) // 2], judged[len(judged) // 2 :]

    def rises(self, name: str) -> tuple[float, float]:
        """Return how fast a figure rises in either half, in units of its bound an hour."""
        first, second = (_slope(half, name) * 3600 / BOUNDS[name].size for half in self.judged())
        return first, second

    def is_flat(self, name: str) -> bool:
        """Tell whether a figure is flat."""
        return self.rises(name)[1] <= BOUNDS[name].rise


def _slope(samples: Sequence[Sample], name: str) -> float:
    """Return the slope of a figure by seconds: the median of those between any two looks, so that peaks tell little."""
    return statistics.median(
        (later.figures[name] - earlier.figures[name]) / (later.seconds - earlier.seconds)
        for earlier, later in itertools.combinations(samples, 2)
    )


def run(minutes: float, rate: float, out: Path, progress: Callable[[str], None]) -> Soak:
    """Have a server work for some minutes, and look at it meanwhile."""
    sites = [Site(f"small-{number}.example", number) for number in range(_SMALL_DOMAINS)]
    sites += [
        Site(f"middle-{number}.example", 100 + number, sessions=_MIDDLE_SESSIONS) for number in range(_MIDDLE_DOMAINS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        dsn = f"chdb://{folder}/store"
        lines = "".join(json.dumps(each) + "\n" for site in sites for each in site.deliveries)
        command(dsn, "load", "-", text=lines)
        command(dsn, "domains", "quota", sites[0].name, "--limit", "100000000")
        key = command(dsn, "keys", "create", "--all-domains", "--allow", "report,sessions,write").strip()
        errors: list[str] = []
        with _serving(Path(folder), dsn, key, errors) as (pid, server):
            callers = Callers(server, sites, rate)
            callers.start()
            samples: list[Sample] = []
            began = time.monotonic()
            with contextlib.closing(_Looking(server, pid, folder)) as looking:
                while (passed := time.monotonic() - began) < minutes * 60 and len(callers.faults) < _MOST_FAULTS:
                    samples.append(looking.look(passed))
                    if len(samples) % 6 == 1:
                        progress(_told(samples, callers))
                        out.write_bytes(msgspec.json.encode(samples))
                    time.sleep(_EVERY_SECONDS)
            progress("comparing all domains with the reference")
            callers.stop()
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return Soak(
        day, os.cpu_count() or 0, memory_bytes, samples, dict(sorted(callers.done.items())), [*callers.faults, *errors]
    )


@contextlib.contextmanager
def _serving(folder: Path, dsn: str, key: str, errors: list[str]) -> Iterator[tuple[int, Server]]:
    """Run `pageroles serve` while the block runs, and keep what it logs as an error or a warning."""
    any_port = "127.0.0.1:0"
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("pageroles")), "serve", "--grpc-address", any_port, "--http-address",
         any_port, "--metrics-address", any_port],
        cwd=folder, env={**os.environ, "PAGEROLES_STORE": dsn}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    found: dict[str, str] = {}
    try:
        while "grpc" not in found:
            line = process.stderr.readline()
            if not line:
                raise RuntimeError(f"the server ended with {process.wait()}")
            found |= json.loads(line)
        threading.Thread(target=_keep_errors, args=(process.stderr, errors), daemon=True).start()
        http, metrics = (f"http://{found[each]}" for each in ("http", "metrics"))
        yield process.pid, Server(found["grpc"], http, f"{metrics}/metrics", dsn, key)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _keep_errors(lines: Iterable[str], errors: list[str]) -> None:
    errors.extend(line for line in lines if json.loads(line)["level"] in {"error", "warning"})


class _Looking:
    """Looks at a server from outside."""

    def __init__(self, server: Server, pid: int, folder: str) -> None:
        self._pid, self._folder = pid, folder
        self._metrics = server.metrics
        self._stack = contextlib.ExitStack()
        self._store = self._stack.enter_context(adapter.joined(server.dsn))

    def close(self) -> None:
        self._stack.close()

    def look(self, seconds: float) -> Sample:
        kinds, names = Counter(self._kinds()), Counter(self._threads())
        parts = dict(adapter.rows(self._store, "SELECT toString(active), count() FROM system.parts GROUP BY active"))
        rows = adapter.rows(self._store, "SELECT sum(rows) FROM system.parts WHERE active AND table = 'sessions'")
        families = text_string_to_metric_families(requests.get(self._metrics, timeout=60).text)
        gauges = {each.name: each.value for family in families for each in family.samples if each.name in _GAUGES}
        figures = {
            "resident": memory.resident(self._pid),
            "threads": sum(names.values()),
            "files": sum(kinds.values()),
            "cpu": memory.cpu_seconds(self._pid),
            "parts": parts.get("1", 0),
            "old_parts": parts.get("0", 0),
            "rows": rows[0][0],
            **gauges,
        }
        return Sample(round(seconds, 1), figures, dict(kinds), dict(names))

    def _threads(self) -> Iterator[str]:
        """Give the name of each thread, which says what it does, without its number."""
        for task in Path(f"/proc/{self._pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                yield (task / "comm").read_text().strip().rstrip("0123456789")

    def _kinds(self) -> Iterator[str]:
        """Give what each open file is."""
        for file in Path(f"/proc/{self._pid}/fd").iterdir():
            try:
                target = str(file.readlink())
            except FileNotFoundError:  # closed meanwhile
                continue
            if target.startswith(self._folder):
                yield "removed files of the store" if target.endswith(" (deleted)") else "files of the store"
            elif target.startswith(f"/proc/{self._pid}/task/"):
                yield "statistics of threads"
            elif target.startswith("/"):
                yield "libraries" if ".so" in target or target.endswith(".debug") else "other files"
            else:
                yield _NUMBER.sub("", target.removeprefix("anon_inode:")).strip("[]")


def _told(samples: list[Sample], callers: Callers) -> str:
    figures, minutes = samples[-1].figures, samples[-1].seconds / 60
    cores = (figures["cpu"] - samples[0].figures["cpu"]) / max(samples[-1].seconds, 1)
    return (
        f"{minutes:5.1f} min: {figures['resident'] / MIB:,.0f} MiB, {figures['threads']:.0f} threads, "
        f"{figures['files']:.0f} files, {figures['parts']:.0f} parts, {figures['rows']:,.0f} rows, {cores:.2f} cores, "
        f"{sum(callers.done.values()):,} calls, {len(callers.faults)} faults"
    )


def table(found: Soak) -> Table:
    """Return what was found, and whether it is flat."""
    rows = []
    for name, bound in BOUNDS.items():
        values = [[sample.figures[name] / bound.size for sample in half] for half in found.judged()]
        first, second = found.rises(name)
        rows.append([
            f"{bound.name} {bound.unit}".strip(),
            *(f"{statistics.median(half):,.0f}" for half in values),
            f"{first:+.1f}",
            f"{second:+.1f}",
            f"{bound.rise:g}",
            "yes" if found.is_flat(name) else "**no**",
        ])  # fmt: skip
    return Table("Flat?", ["", "first half", "second half", "rise an hour, first", "second", "at most", "flat"], rows)


def main(minutes: float = 60.0, rate: float = 1.0, out: Path = Path("build/soak.json")) -> None:
    """Have a server work, and end with 1 if it is not flat, or a caller saw what it may not see."""
    console = Console(width=200)
    adapter.refuse_debug_build()
    out.parent.mkdir(parents=True, exist_ok=True)
    found = run(minutes, rate, out, lambda text: console.print(f"[dim]{text}[/]", highlight=False))
    out.write_bytes(msgspec.json.encode(found))
    console.print(table(found).rich())
    console.print(", ".join(f"{what}: {number:,}" for what, number in found.done.items()))
    for fault in found.faults:
        console.print(f"[red]fault[/] {fault}", highlight=False, markup=True)
    if found.faults or not all(map(found.is_flat, BOUNDS)):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
