"""A server that is written to is killed, again and again: nothing that was acknowledged is lost, nothing is torn."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from pageroles.v1 import sessions_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60
PAGEROLES = [str(Path(sys.executable).with_name("pageroles"))]
DOMAIN = "killed.com"
JULY = 1_751_500_000
WRITERS = 4
SESSIONS = 60  # of each writer

# Finishes what was cut short, and tells what is wrong with the store and which version it has of each session.
LOOK = """
import json, sys
from pageroles.store import recovery, soundness
from pageroles.store.statement import Statement
from pageroles.store.store import Store
with Store.open(f"chdb://{sys.argv[1]}", readers=1) as store:
    recovery.recover(store)
    found = {finding.name: finding.count for finding in soundness.look(store) if finding.count}
    held = store.rows(Statement("SELECT session_id, utm_term, user_id, length(conversions.url) FROM sessions FINAL "
        "WHERE gone = 0"), store.call(60))
    journeys = store.rows(Statement("SELECT session_id, utm_term FROM converting_sessions FINAL"), store.call(60))
    print(json.dumps([found, held, journeys]))
"""


@dataclasses.dataclass
class Told:
    """Of one session, the last version that was sent and the last that was acknowledged."""

    sent: int = 0
    acknowledged: int = 0


def version(name: str, number: int) -> sessions_pb2.Session:
    """Return a version of a session: each has another user or day, or takes a conversion back, than the one before."""
    start = Timestamp(seconds=JULY + number % 3 * 40 * 86_400)
    return sessions_pb2.Session(
        domain=DOMAIN,
        session_id=name,
        user_id=f"{name}-{number // 2 % 2}",
        started_at=start,
        utm_term=f"{number}",
        page_views=[sessions_pb2.PageView(url="/", viewed_at=start)],
        conversions=[sessions_pb2.Conversion(url="/c", occurred_at=start)] * converts(number),
    )


def converts(number: int) -> int:
    return int(number % 4 < 2)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `serve` until the block ends, by a kill at the latest."""
    environment = {**os.environ, "PAGEROLES_STORE": f"chdb://{folder}/store", "TMPDIR": f"{folder}/temporary"}
    command = [*PAGEROLES, "serve", "--no-http", "--grpc-address", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines = (json.loads(line) for line in process.stderr)
            started = next(line for line in lines if line["event"] != "writes finished that were cut short")
            assert started["event"] == "serving", started
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process, started["grpc"]
        finally:
            process.kill()


def write(target: str, key: str, told: dict[str, Told], seed: int, over: threading.Event) -> None:
    """Write versions of a writer's own sessions, until the server is gone."""
    rng = random.Random(seed)
    with grpc.insecure_channel(target) as channel:
        method: Any = channel.stream_unary(
            "/pageroles.v1.SessionService/WriteSessions",
            sessions_pb2.WriteSessionsRequest.SerializeToString,
            sessions_pb2.WriteSessionsResponse.FromString,
        )
        while not over.is_set():
            names = rng.sample(sorted(told), rng.choice((1, 1, 5, 40)))
            for name in names:
                told[name].sent += 1
            request = sessions_pb2.WriteSessionsRequest(sessions=[version(name, told[name].sent) for name in names])
            try:
                answer = method(iter([request]), metadata=[("authentication", key)], timeout=PATIENCE)
            except grpc.RpcError:
                return
            assert answer.stored == len(names)
            for name in names:
                told[name].acknowledged = told[name].sent


@pytest.mark.parametrize(
    ("seed", "kills"),
    [(11, 3), *(pytest.param(seed, 20, marks=pytest.mark.slow) for seed in range(10))],
)
def test_nothing_acknowledged_is_lost(tmp_path: Path, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    environment = {**os.environ, "PAGEROLES_STORE": f"chdb://{tmp_path}/store"}
    created = subprocess.run(
        [*PAGEROLES, "keys", "create", "--domain", DOMAIN, "--allow", "write"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    key = created.stdout.strip()
    (tmp_path / "temporary").mkdir()
    told = [{f"{writer}-{number}": Told() for number in range(SESSIONS)} for writer in range(WRITERS)]
    for _ in range(kills):
        over = threading.Event()
        with serving(tmp_path) as (process, target):
            threads = [
                threading.Thread(target=write, args=(target, key, told[writer], rng.randrange(1 << 32), over))
                for writer in range(WRITERS)
            ]
            for thread in threads:
                thread.start()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2 + rng.random())
            process.send_signal(signal.SIGKILL)
            over.set()
            for thread in threads:
                thread.join(PATIENCE)
    assert not list((tmp_path / "temporary").iterdir()), "no kill leaves sessions elsewhere than in the store"
    looked = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    found, held, journeys = json.loads(looked.stdout.splitlines()[-1])
    assert found == {}, "the store is sound"
    stored = {name: int(number) for name, number, _, _ in held}
    assert len(stored) == len(held), "a session counts once"
    assert sum(one.acknowledged for each in told for one in each.values()) > 0
    for each in told:
        for name, one in each.items():
            assert one.acknowledged <= stored.get(name, 0) <= one.sent, (name, one, stored.get(name))
    for name, number, user, conversions in held:
        assert (user, conversions) == (f"{name}-{int(number) // 2 % 2}", converts(int(number)))
    assert sorted(journeys) == sorted([name, f"{number}"] for name, number in stored.items() if converts(number))
