"""What writing costs in a store that is full: the loader with new and with moved sessions, and plain INSERTs.

Run with `make bench-load`. It fills a store by INSERT … SELECT, one in 25 sessions converting, measures, looks whether
the store is sound, and says how long that took.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from benchmarks import adapter, cases
from pageroles.ingest import loader
from pageroles.store import soundness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.store.store import Store

_BLOCK = 500_000
_DAYS = 90
_START = datetime(2025, 5, 1, tzinfo=UTC)
_INSERT = """
INSERT INTO sessions
(
    domain, session_id, user_id, started_at, source, `page_views.url`, `page_views.viewed_at`,
    `conversions.url`, `conversions.type`, `conversions.id`, `conversions.occurred_at`
)
SELECT
    'big.example',
    concat({prefix:String}, toString(number)),
    concat('u', toString(cityHash64(number, 9) % 4000000)),
    toDateTime64('2025-05-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(cityHash64(number) % 7776000000) AS at,
    'google.com',
    [concat('https://a.com/p', toString(cityHash64(number, 1) % 20000)),
     concat('https://a.com/p', toString(cityHash64(number, 2) % 20000)), 'https://a.com/'],
    [at, at + 1, at + 2],
    if(number % 25 = 0, ['https://a.com/thanks'], []), if(number % 25 = 0, ['custom'], []),
    if(number % 25 = 0, ['f'], []), if(number % 25 = 0, [at + 3], [])
FROM numbers({first:UInt64}, {count:UInt64})
"""


def main(size: str = "10M", rows: int = 400_000) -> None:
    """Fill a store with `size` sessions, and load `rows` of each kind."""
    adapter.refuse_debug_build()
    console, sessions = Console(), cases.number(size)
    with tempfile.TemporaryDirectory(dir="build") as folder, adapter.open_store(Path(folder)) as store:
        for first in range(0, sessions, _BLOCK):
            _insert(store, "s", first, _BLOCK)
        console.print(f"{sessions:,} sessions stored")
        every = sessions // rows
        for what, names, user, later in (
            ("new sessions", lambda at: f"n{at}", "x", timedelta()),
            ("sessions that move to another user and day", lambda at: f"s{at * every}", "y", timedelta(days=1)),
            ("the same once more", lambda at: f"s{at * every}", "y", timedelta(days=1)),
        ):
            lines = list(_lines(rows, names, user, later))
            began = time.perf_counter()
            assert loader.load_chunks(store, lines).loaded == rows
            console.print(f"load, {what}: {rows / (time.perf_counter() - began):,.0f} a second")
        small = [_insert(store, "i", sessions + 1000 * nth, 100) for nth in range(15)]
        large = [_insert(store, "m", sessions + 1_000_000 * nth, 1_000_000) for nth in range(2)]
        console.print(f"INSERT of 100 rows: {1000 * statistics.median(small):.0f} ms (median of {len(small)})")
        console.print(f"INSERT of a million rows: {min(large):.1f} to {max(large):.1f} s")
        began = time.perf_counter()
        found = [finding.name for finding in soundness.look(store) if finding.count]
        console.print(f"check: {time.perf_counter() - began:.1f} s, found: {', '.join(found) or 'nothing'}")


def _insert(store: Store, prefix: str, first: int, count: int) -> float:
    began = time.perf_counter()
    store.command(_INSERT, {"prefix": prefix, "first": first, "count": count})
    return time.perf_counter() - began


def _lines(count: int, name: Callable[[int], str], user: str, later: timedelta) -> Iterator[bytes]:
    for at in range(count):
        start = _START + later + timedelta(milliseconds=at * 7919 * 104_729 % (_DAYS * 86_400_000))
        text = start.isoformat(timespec="milliseconds")
        row = {
            "domain": "big.example",
            "session_id": name(at),
            "user_id": f"{user}{at // 3}",
            "started_at": text,
            "source": "google.com",
            "medium": "organic",
            "referrer": "https://www.google.com/",
            "page_views": [{"url": f"https://a.com/p{at * by % 20000}", "viewed_at": text} for by in (31, 77, 113)],
            "conversions": [{"type": "custom", "id": "f", "occurred_at": text}] if at % 25 == 0 else [],
        }
        yield json.dumps(row).encode() + b"\n"


if __name__ == "__main__":
    typer.run(main)
