"""Damaged files: the store is not served, or the question fails; no answer ever lacks rows silently."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests

from pageroles.errors import StoreDamagedError
from pageroles.store import soundness
from pageroles.store.damage import damaged_parts
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from pageroles.transport.backends import LocalBackend
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer
from pageroles.v1 import pages_pb2
from support import damage
from support.clickhouse_standin import StandIn
from support.endless import PATIENCE, until
from support.served import serving_with
from support.stores import faults
from support.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each table, each file and each kind of damage; the rest is slow.
SOME = [
    f"{table}/{file}/{kind}"
    for (number, table), (place, file) in itertools.product(enumerate(damage.TABLES), enumerate(damage.FILES))
    for kind in (damage.KINDS[(number + 2 * place) % len(damage.KINDS)],)
    if (number + place) % 3 == 0
] + [
    f"converting_sessions/minmax_started_at.idx/{kind}" for kind in damage.KINDS
]  # fmt: skip


def check_never_less(folder: Path, damages: Sequence[str]) -> tuple[int, int]:
    """Check what is served of damaged stores; give how many were refused, and of how many a question failed."""
    (_, none, whole), *damaged = damage.outcomes(folder, damages)
    assert none == 0
    assert len(set(whole)) == len(whole), "each question has an answer of its own"
    assert [outcome.damage for outcome in damaged] == list(damages)
    refused = failed = 0
    for outcome in damaged:
        if outcome.refused:
            assert outcome.refused == 1, outcome.damage
            refused += 1
            continue
        others = {given for given, right in zip(outcome.answers, whole, strict=True) if given != right}
        assert others <= {"INTERNAL", "UNAVAILABLE"}, outcome.damage
        failed += bool(others)
    return refused, failed


def test_damage_never_makes_an_answer_smaller(tmp_path: Path) -> None:
    refused, failed = check_never_less(tmp_path, SOME)
    assert refused > len(SOME) / 2
    assert failed > 0


@pytest.mark.slow
@pytest.mark.parametrize("table", damage.TABLES)
def test_no_damage_to_any_file_makes_an_answer_smaller(tmp_path: Path, table: str) -> None:
    files = (*damage.FILES, *damage.OTHERS, *(damage.OF_MONTHS if table.endswith("sessions") else ()))
    refused, _ = check_never_less(tmp_path, [f"{table}/{file}/{kind}" for file in files for kind in damage.KINDS])
    assert refused > len(files)


@pytest.mark.parametrize("tables", ["converting_sessions, sessions", "api_keys"])
def test_a_server_that_comes_back_with_damage_is_not_asked(tmp_path: Path, tables: str) -> None:
    """ClickHouse is restarted under a running server, and puts a part aside; then the operator drops it."""
    with StandIn.start(tmp_path) as standin, Store.open(standin.dsn) as store:
        store.apply_schema()
        key = damage.fill(store)
        with serving_with(store) as (target, service, _), Asked(target, key) as asked:
            server = HttpServer(application(LocalBackend(service), max_seconds=5), "127.0.0.1:0", grace=1)
            rest = f"http://127.0.0.1:{server.port}"
            whole = asked.pages(start_date="2025-07-01", end_date="2025-07-31")
            assert whole.summary_totals.total_sessions == 200
            merged = damage.merged_parts(store)
            standin.stop()
            for path in merged:
                shutil.rmtree(path, ignore_errors=True)
            service._keys.forget()
            for table in tables.split(", "):
                damage.spoil(damage.part_of(tmp_path, table) / "columns.txt", "cut")
            with StandIn.start(tmp_path, port=standin.port):
                # Not one answer in between lacks rows, though the store is there again.
                assert until(lambda: _refused(asked, whole) == "the store is damaged")
                response = requests.post(
                    f"{rest}/api/v1/pages", headers={"Authentication": key}, timeout=PATIENCE
                )  # fmt: skip
                assert (response.status_code, response.json().keys()) == (503, {"error", "code"})
                assert "pageroles check" in response.json()["error"]
                assert f"rows of {tables};" in response.json()["error"]
                for word in ("127.0.0.1", "SELECT", str(tmp_path), "broken"):
                    assert word not in response.json()["error"]
                assert requests.get(f"{rest}/readyz", timeout=PATIENCE).json() == response.json()
                with pytest.raises(StoreDamagedError), serving_with(store):
                    pass
                assert faults(store)["part damaged"] >= 1, "`check` tells of the same parts"
                for named in damaged_parts(store, store.call(30)):
                    table, _, name = named.partition(": ")
                    store.command(f"ALTER TABLE {table} DROP DETACHED PART '{name}' SETTINGS allow_drop_detached = 1")
                assert until(lambda: requests.get(f"{rest}/readyz", timeout=PATIENCE).status_code == 200)
                if tables == "api_keys":
                    service._keys.forget()
                    with pytest.raises(grpc.RpcError, match="unknown, revoked or expired"):
                        asked.pages()
                else:
                    assert asked.pages(start_date="2025-07-01", end_date="2025-07-31") != whole
            server.stop()


def _refused(asked: Asked, whole: Any) -> str:
    """Ask; give the start of the refusal."""
    try:
        assert asked.pages(start_date="2025-07-01", end_date="2025-07-31") == whole
    except grpc.RpcError as error:
        call: Any = error
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        return str(call.details()).partition(",")[0]
    return ""


def test_a_part_that_the_operator_put_aside_is_no_damage(tmp_path: Path) -> None:
    with StandIn.start(tmp_path) as standin, Store.open(standin.dsn) as store:
        store.apply_schema()
        damage.fill(store)
        store.command("ALTER TABLE sessions DETACH PARTITION 202507")
        assert damaged_parts(store, store.call(30)) == []
        with serving_with(store) as (_, service, _):
            assert service.watch.reason is None
        assert faults(store)["part detached"] >= 1


def test_sessions_of_all_years_are_no_damage(tmp_path: Path) -> None:
    """ClickHouse tells the times of a part in 32 bits."""
    starts = ["1970-01-01", "2025-07-31T23:59:59.999", "2106-01-31", "2106-02-07T06:28:16", "2148-12-31"]
    lines = [
        {"domain": damage.DOMAIN, "session_id": f"s{start}", "user_id": "u", "started_at": start} for start in starts
    ]
    with StandIn.start(tmp_path) as standin, Store.open(standin.dsn) as store:
        store.apply_schema()
        store.insert("sessions", "\n".join(map(json.dumps, lines)).encode())
        assert damaged_parts(store, store.call(30)) == []


def test_commands_on_a_damaged_store(tmp_path: Path) -> None:
    """`serve` refuses it and says what to run; what looks after the store still works."""
    damage.outcomes(tmp_path, ["sessions/data.bin/cut"])  # the last copy stays
    store = f"chdb://{tmp_path}/copy"

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("pageroles"), *args, "--store", store], cwd=tmp_path,
            input='{"domain": "a.com", "session_id": "s", "user_id": "u", "started_at": "2025-07-03T10:00:00Z"}',
            capture_output=True, text=True, timeout=PATIENCE * 3, check=False,
        )  # fmt: skip

    refused = run("serve", "--grpc-address", "127.0.0.1:0", "--no-http")
    assert refused.returncode == 1
    # The log is written by a thread of its own.
    sentence, log = sorted(refused.stderr.splitlines(), key=lambda line: line.startswith("{"))
    assert json.loads(log)["parts"][0].startswith("sessions: broken-on-start_2025")
    assert sentence.startswith("pageroles: the store is damaged, and answers would lack rows of sessions")
    assert "`pageroles check`" in sentence
    checked = run("check")
    assert checked.returncode == 1
    assert "part damaged" in checked.stdout
    assert "`pageroles check --accept-loss`" in " ".join(checked.stderr.split())
    for command in (["load", "-"], ["keys", "list"], ["schema"], ["erase", "--domain", "a.com", "--yes"]):
        assert run(*command).returncode == 0, command
    mended = run("check", "--accept-loss")
    assert mended.returncode == 0
    assert "given up: sessions: broken-on-start_2025" in mended.stderr
    assert run("check").returncode == 0


@pytest.mark.parametrize(
    ("table", "answers_are_whole"),
    [
        ("sessions", False),
        *(
            pytest.param(table, True, marks=pytest.mark.slow)
            for table in ("places", "converting_sessions", "users", "pages", "departures")
        ),
    ],
)
@pytest.mark.parametrize("file", ["columns.txt", "data.bin", pytest.param("checksums.txt", marks=pytest.mark.slow)])
def test_what_is_lost_can_be_given_up(tmp_path: Path, table: str, file: str, answers_are_whole: bool) -> None:
    """The rest is sound then; what is derived of sessions is there again."""
    window = pages_pb2.PagesRequest(start_date="2025-07-01", end_date="2025-07-31")
    with StandIn.start(tmp_path) as standin, Store.open(standin.dsn) as store:
        store.apply_schema()
        key = damage.fill(store)
        store.command(f"SYSTEM STOP MERGES {table}")
        with serving_with(store) as (target, _, _), Asked(target, key) as asked:
            whole = asked.pages(window)
    for name in damage.parts_of(tmp_path, table):
        damage.spoil(name / file, "garbage")
    with StandIn.start(tmp_path) as standin, Store.open(standin.dsn) as store:
        assert {"part damaged", "part broken"} & set(faults(store))
        given_up = soundness.give_up(store)
        assert {part.partition(":")[0] for part in given_up.parts} == {table}
        soundness.mend(store)
        assert faults(store) == {}
        with serving_with(store) as (target, _, _), Asked(target, key) as asked:
            answer = asked.pages(window)
        assert (answer == whole) == answers_are_whole
        left = store.rows(Statement("SELECT count() FROM places"), store.call(30))[0][0]
        assert given_up.sessions == (0 if answers_are_whole else 400 - int(str(left)))
