"""The soak: a server at work for an hour, whose memory, threads and open files must be flat.

Run with `make soak`. The server is a process of its own, as operators start it, on an embedded store. Its callers are
those of `callers.py`, slow on purpose: others can work on the same machine meanwhile. `flat.py` says what flat means.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
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

from benchmarks import adapter, flat, memory, page
from benchmarks.callers import Callers, Server, Site, command
from benchmarks.figures import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_EVERY_SECONDS = 10.0
_SMALL_DOMAINS = 10
_MIDDLE_DOMAINS = 2
_MIDDLE_SESSIONS = 20_000
_MOST_FAULTS = 20
# A shorter soak tells little, and nothing of it is written into docs/.
_LEAST_WRITTEN_MINUTES = 30
# The engine has three files open for each of its threads, in which Linux tells what that uses.
_OF_THREADS = "statistics of threads"
_NUMBER = re.compile(r":\[\d+\]")
_GAUGES = (
    "pageroles_resident_bytes",
    "pageroles_resident_sessions",
    "pageroles_unstored_bytes",
    "pageroles_requests_at_work",
    "pageroles_answer_unread_bytes",
)


class Sample(msgspec.Struct):
    """A look at the server.

    Attributes:
        seconds: Since the first one.
        figures: `resident` bytes, and those that are no file's (`anonymous`); `threads`; `files` but those that belong
            to threads; processor seconds (`cpu`); `parts` of the store that count, `old_parts` that wait to be removed,
            and the `rows` of sessions in those that count; gauges of the server's own.
        kinds: The open files by what they are.
        names: The threads by what they do.
    """

    seconds: float
    figures: dict[str, float]
    kinds: dict[str, int]
    names: dict[str, int]


def run(minutes: float, rate: float, out: Path, progress: Callable[[str], None]) -> flat.Soak:
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
            told = 0
            began = time.monotonic()
            with contextlib.closing(_Looking(server, pid, folder)) as looking:
                while (passed := time.monotonic() - began) < minutes * 60 and len(callers.faults) < _MOST_FAULTS:
                    samples.append(looking.look(passed))
                    if len(samples) % 6 == 1:
                        progress(_told(samples, callers))
                        told = _tell_new(callers.faults, told, progress)
                        out.write_bytes(msgspec.json.encode(samples))
                    time.sleep(_EVERY_SECONDS)
            progress("comparing all domains with the reference")
            callers.stop()
    return flat.Soak(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        seconds=[sample.seconds for sample in samples],
        figures={name: [sample.figures.get(name, 0) for sample in samples] for name in samples[-1].figures},
        kinds=samples[-1].kinds,
        done=dict(sorted(callers.done.items())),
        faults=[*callers.faults, *errors],
    )


@contextlib.contextmanager
def _serving(folder: Path, dsn: str, key: str, errors: list[str]) -> Iterator[tuple[int, Server]]:
    """Run `pageroles serve` while the block runs, and keep what it logs as an error, or warns of itself."""
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
    # Warnings of libraries name a logger: what is no HTTP, which some callers send, is one.
    told = ((line, json.loads(line)) for line in lines)
    errors.extend(
        line for line, of in told if of["level"] == "error" or (of["level"] == "warning" and "logger" not in of)
    )


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
            "anonymous": memory.anonymous(self._pid),
            "resident": memory.resident(self._pid),
            "threads": sum(names.values()),
            # Those that belong to threads come and go with these.
            "files": sum(kinds.values()) - kinds[_OF_THREADS],
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
                yield _OF_THREADS
            elif target.startswith("/"):
                yield "libraries" if ".so" in target or target.endswith(".debug") else "other files"
            else:
                yield _NUMBER.sub("", target.removeprefix("anon_inode:")).strip("[]")


def _tell_new(faults: list[str], told: int, progress: Callable[[str], None]) -> int:
    """Tell of the faults that came since; return how many are told."""
    for fault in faults[told:]:
        progress(f"fault: {fault}")
    return len(faults)


def _told(samples: list[Sample], callers: Callers) -> str:
    figures, minutes = samples[-1].figures, samples[-1].seconds / 60
    cores = (figures["cpu"] - samples[0].figures["cpu"]) / max(samples[-1].seconds, 1)
    return (
        f"{minutes:5.1f} min: {figures['anonymous'] / MIB:,.0f} MiB, {figures['threads']:.0f} threads, "
        f"{figures['files']:.0f} files, {figures['parts']:.0f} parts, {figures['rows']:,.0f} rows, {cores:.2f} cores, "
        f"{sum(callers.done.values()):,} calls, {len(callers.faults)} faults"
    )


def main(minutes: float = 60.0, rate: float = 1.0, looks: Path = Path("build/soak.json")) -> None:
    """Have a server work, write what was seen into docs/, and end with 1 unless all is as it should be."""
    console = Console(width=200)
    adapter.refuse_debug_build()
    looks.parent.mkdir(parents=True, exist_ok=True)
    found = run(minutes, rate, looks, lambda text: console.print(text, style="dim", highlight=False, markup=False))
    console.print(flat.table(found).rich())
    console.print(", ".join(f"{what}: {number:,}" for what, number in found.done.items()))
    for fault in found.faults:
        console.print(f"fault: {fault}", highlight=False, markup=False)
    if minutes >= _LEAST_WRITTEN_MINUTES:
        console.print(f"written: {page.write_soak(found)}")
    if found.faults or not all(flat.is_flat(found, name) for name in flat.BOUNDS):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
