"""A real store holds what was loaded, also where the load was killed and run again."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pageroles.command import traffic
from pageroles.ingest import batch, loader
from pageroles.store import soundness
from pageroles.store.statement import Statement
from support.fakes import rejects_of, session

if TYPE_CHECKING:
    from pageroles.store.store import Store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


CONTENT = (
    "SELECT session_id, user_id, toString(started_at), source, page_views.url,"
    " arrayMap(at -> toString(at), page_views.viewed_at),"
    " conversions.url, conversions.type, conversions.id, arrayMap(at -> toString(at), conversions.occurred_at)"
    " FROM sessions FINAL WHERE domain = '{}' ORDER BY session_id"
)


def stored(text: str) -> str:
    return f"{text[:10]} {text[11:23]}"


def expected(lines: list[bytes]) -> list[list[Any]]:
    """Return the rows of CONTENT for lines of which the last of a session counts."""
    last = {row["session_id"]: row for row in map(json.loads, lines)}
    return [
        [
            row["session_id"],
            row["user_id"],
            stored(row["started_at"]),
            row.get("source", ""),
            [view["url"] for view in row["page_views"]],
            [stored(view["viewed_at"]) for view in row["page_views"]],
            *([conversion[name] for conversion in row["conversions"]] for name in ("url", "type", "id")),
            [stored(conversion["occurred_at"]) for conversion in row["conversions"]],
        ]
        for _, row in sorted(last.items())
    ]


def made_up(domain: str, count: int) -> list[bytes]:
    """Return sessions of one domain, some of them in two versions."""
    chance = random.Random(5)
    lines: list[bytes] = []
    for chunk in traffic.sessions(count, seed=5, end=datetime(2025, 7, 31, tzinfo=UTC), days=40):
        for line in chunk.splitlines():
            row = json.loads(line)
            row["domain"] = domain
            lines.append(json.dumps(row).encode())
            if chance.random() < 0.1:
                earlier = json.loads(chance.choice(lines))
                lines.append(json.dumps({**earlier, "source": "again", "conversions": []}).encode())
    return lines


def content(store: Store, domain: str) -> list[list[Any]]:
    with store._engine.control() as client:
        return [list(row) for row in client.query(CONTENT.format(domain)).result_rows]


def test_clickhouse_keeps_what_was_loaded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_ROWS", 700)
    domain = "loading.example"
    lines = made_up(domain, 3_000)
    for _ in range(2):
        loader.load_chunks(store, [b"\n".join(lines)])
        assert content(store, domain) == expected(lines)


def test_clickhouse_cuts_times_to_milliseconds(store: Store) -> None:
    texts = {
        "2025-07-03T10:00:00.123999Z": "2025-07-03 10:00:00.123",
        "2025-07-03T12:00:00.999999999+02:00": "2025-07-03 10:00:00.999",
        "2025-07-03 10:00:00.0005": "2025-07-03 10:00:00.000",
        "1990-01-01T00:00": "1990-01-01 00:00:00.000",
        "2099-12-31T23:59:59.999Z": "2099-12-31 23:59:59.999",
    }
    for at in texts:
        view = {"url": "/", "viewed_at": at}
        line = session(at, domain="times.example", started_at=at, page_views=[view], conversions=[{"occurred_at": at}])
        loader.load_chunks(store, [line])
    found = {row[0]: (row[2], row[5], row[9]) for row in content(store, "times.example")}
    assert found == {at: (text, [text], [text]) for at, text in texts.items()}


def test_a_batch_may_reach_over_any_number_of_months(store: Store) -> None:
    months = [(year, month) for year in range(2000, 2025) for month in range(1, 13)]
    lines = [
        session(number, domain="months.example", started_at=f"{year}-{month:02}-15T12:00:00Z")
        for number, (year, month) in enumerate(months)
    ]
    loader.load_chunks(store, [b"\n".join(lines)])
    assert len(content(store, "months.example")) == len(months)


def test_a_session_that_moved_within_a_day_leaves_no_journey_though_both_versions_come(empty_store: Store) -> None:
    """All were written at one time, so the later start counts; the earlier one, which counted, comes once more."""
    done: dict[str, Any] = {
        "conversions": [{"occurred_at": "2025-07-03T10:00:00Z"}],
        "written_at": "2025-07-09T00:00:00Z",
    }
    earlier, later = (session("s", started_at=f"2025-07-03T{hour}:00:00Z", **done) for hour in ("09", "10"))
    for lines in ([earlier], [earlier, later]):
        loader.load_chunks(empty_store, [b"\n".join(lines)])
    journeys = Statement("SELECT toHour(started_at) FROM converting_sessions FINAL")
    assert empty_store.rows(journeys, empty_store.call(30)) == [(10,)]
    assert not [finding for finding in soundness.look(empty_store) if finding.count]


# Loads a file in small batches and tells of each; then prints what the store holds.
PROCESS = """
import json, sys
from pageroles.ingest import batch, loader
from pageroles.store import soundness
from pageroles.store.statement import Statement
from pageroles.store.store import Store
batch.MOST_ROWS = 400
folder, file, query = sys.argv[1:]
with Store.open(f"chdb://{folder}", readers=1) as store:
    print("open", flush=True)
    summary = loader.load(store, [file], report=lambda state: print("loaded", state.loaded, flush=True))
    with store._engine.control() as client:
        print(json.dumps([summary.loaded, summary.rejected, client.query(query).result_rows]))
"""


@pytest.fixture(scope="module")
def killed_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    lines = made_up("killed.example", 6_000)
    file = tmp_path_factory.mktemp("killed") / "sessions.jsonl"
    with file.open("wb") as written:
        for number, line in enumerate(lines):
            written.write(line + b"\n")
            if number % 50 == 0:
                written.write(b'{"bad": %d}\n' % number)
    return file, lines


@pytest.mark.parametrize(
    "moments",
    [
        ["open"],
        pytest.param(["loaded 400"], marks=pytest.mark.slow),
        ["loaded 2000", "loaded 1200"],
        pytest.param(["loaded 5200"], marks=pytest.mark.slow),
    ],
)
def test_a_killed_load_is_run_again(folder: Path, killed_file: tuple[Path, list[bytes]], moments: list[str]) -> None:
    file, lines = killed_file
    rejected = (len(lines) + 49) // 50
    command = [sys.executable, "-c", PROCESS, str(folder / "store"), str(file), CONTENT.format("killed.example")]
    for moment in moments:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for told in process.stdout:
                if reached(told, moment):
                    break
            # Somewhere within a batch, another place each time.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(random.Random(moment).random() / 50)
            process.send_signal(signal.SIGKILL)
            process.stdout.read()
        assert process.returncode == -signal.SIGKILL
        done = int(told.split()[1]) if told.startswith("loaded") else 0
        with contextlib.suppress(FileNotFoundError):
            whole = Path(f"{file}.rejected.jsonl").read_bytes().rpartition(b"\n")[0]
            # The rejects of all batches acknowledged are there.
            assert len(whole.splitlines()) >= done // 50 - 1
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded, told_rejected, held = json.loads(again.stdout.splitlines()[-1])
    assert held == expected(lines)
    assert loaded <= len(lines)
    assert told_rejected == rejected
    assert [row["line"] for row in rejects_of(file)] == [51 * number + 2 for number in range(rejected)]


def reached(told: str, moment: str) -> bool:
    word, _, count = moment.partition(" ")
    return told.startswith(word) and (not count or int(told.split()[1]) >= int(count))
