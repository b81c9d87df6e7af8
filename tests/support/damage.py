"""Damages the files of an embedded store, and tells what is served of it.

    python -m support.damage FOLDER TABLE/FILE/KIND …

makes a store in FOLDER, and prints a line of JSON for each damage done to a copy of it: its name, the number of damaged
parts that `serve` refuses the store for, and what each question is answered then. The first line is of the whole
store. It belongs in a process of its own: chDB holds one folder for a whole process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import structlog

from pageroles.access.keys import KeyStore
from pageroles.errors import PagerolesError, StoreDamagedError
from pageroles.incoming import Incoming, Origin
from pageroles.service import PagesService
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOMAIN = "damaged.example.com"
SCOPES = ("TOUCH_SCOPE_ANY", "TOUCH_SCOPE_FIRST", "TOUCH_SCOPE_CONVERTING", "TOUCH_SCOPE_ASSIST", "TOUCH_SCOPE_AFTER")
WINDOWS = (("2025-06-01", "2025-06-30"), ("2025-07-01", "2025-07-31"))
# Tables that a report needs, and the keys.
TABLES = ("sessions", "converting_sessions", "users", "pages", "places", "departures", "api_keys")
FILES = ("columns.txt", "data.bin", "checksums.txt", "primary.cidx", "count.txt")
# Of tables with a month to a part.
OF_MONTHS = ("minmax_started_at.idx", "partition.dat")
OTHERS = (
    "columns_substreams.txt", "data.cmrk4", "default_compression_codec.txt", "metadata_version.txt",
    "serialization.json", "statistics.packed",
)  # fmt: skip
KINDS = ("missing", "empty", "cut", "garbage", "zeros", "one bit")


class Outcome(NamedTuple):
    """What is served of a store.

    Attributes:
        damage: What was done to it; empty for the whole store.
        refused: How many damaged parts `serve` refuses it for.
        answers: What each question is answered, a status or the message in hexadecimal; none where it is refused.
    """

    damage: str
    refused: int
    answers: list[str]


def outcomes(folder: Path, damages: Iterable[str]) -> list[Outcome]:
    """Do damage to copies of a store, in another process; give what is served of each, and first of the whole."""
    command = [sys.executable, "-m", "support.damage", str(folder), *damages]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, check=True)
    return [Outcome(*json.loads(line)) for line in done.stdout.splitlines() if line.startswith(b"[")]


def fill(store: Store) -> str:
    """Fill a store so that every table has rows, in one part for each month; give a key."""
    rows = [
        {
            "domain": DOMAIN,
            "session_id": f"s{number}",
            "user_id": f"u{number % 50}",
            "started_at": f"2025-0{6 + number % 2}-{1 + number % 27:02}T10:00:00Z",
            "page_views.url": [f"/{number % 9}", "/last"],
            "page_views.viewed_at": ["2025-07-03T10:00:00Z"] * 2,
            "conversions.url": ["/signup"] * (number % 3 == 0),
            "conversions.type": ["form"] * (number % 3 == 0),
            "conversions.id": ["f1"] * (number % 3 == 0),
            "conversions.occurred_at": ["2025-07-03T10:00:00Z"] * (number % 3 == 0),
        }
        for number in range(400)
    ]
    store.insert("sessions", "\n".join(map(json.dumps, rows)).encode())
    store.command("INSERT INTO departures SELECT domain, user_key, started_at FROM sessions WHERE session_id < 's2'")
    key, _ = KeyStore(store).create(DOMAIN)
    for table in TABLES:
        store.command(f"OPTIMIZE TABLE {table} FINAL")
    return key


def merged_parts(store: Store) -> list[Path]:
    """Return the parts that were merged: ClickHouse takes them again in place of a damaged one while they are there."""
    text = "SELECT path FROM system.parts WHERE database = currentDatabase() AND NOT active"
    return [Path(str(path)) for (path,) in store.rows(Statement(text), store.call(30))]


def part_of(folder: Path, table: str) -> Path:
    """Return the folder of a table's last part."""
    return max(parts_of(folder, table))


def parts_of(folder: Path, table: str) -> list[Path]:
    """Return the folders of a table's parts."""
    return [path for path in (folder / "data" / "default" / table).resolve().iterdir() if (path / "data.bin").exists()]


def spoil(file: Path, kind: str) -> None:
    content = file.read_bytes()
    file.chmod(0o600)
    if kind == "missing":
        file.unlink()
        return
    half = len(content) // 2
    file.write_bytes(
        {
            "empty": b"",
            "cut": content[:half],
            "garbage": bytes((byte * 7 + 13) % 256 for byte in content),
            "zeros": bytes(len(content)),
            "one bit": content[:half] + bytes([content[half] ^ 0x80]) + content[half + 1 :],
        }[kind]
    )


def _answers(store: Store, key: str) -> Iterator[str]:
    with contextlib.closing(PagesService(store)) as service:
        for start, end in WINDOWS:
            for scope in SCOPES:
                request = pages_pb2.PagesRequest(start_date=start, end_date=end, touch_scope=scope)
                incoming = Incoming(Origin("", ""), key, seconds=30)
                try:
                    yield service.answer(incoming, request, lambda _: None).report.message().hex()
                except PagerolesError as error:
                    yield error.status.name


def _outcome(folder: Path, damage: str, key: str) -> Outcome:
    with Store.open(f"chdb://{folder}") as store:
        try:
            return Outcome(damage, 0, list(_answers(store, key)))
        except StoreDamagedError as error:
            return Outcome(damage, len(error.parts), [])


def _main(folder: Path, damages: list[str]) -> None:
    # Nobody reads the log, whose tracebacks take longer than all else.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    whole, copy = folder / "whole", folder / "copy"
    with Store.open(f"chdb://{whole}") as store:
        key = fill(store)
        merged = merged_parts(store)
    for path in merged:
        shutil.rmtree(path, ignore_errors=True)
    for damage in ("", *damages):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy, symlinks=True)
        if damage:
            table, file, kind = damage.split("/")
            spoil(part_of(copy, table) / file, kind)
        sys.stdout.write(json.dumps(_outcome(copy, damage, key)) + "\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]).resolve(), sys.argv[2:])
