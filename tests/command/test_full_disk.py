"""A server whose disk is full or turns read-only says so; nothing acknowledged is lost, and reports go on.

The disk is a small one of the test's own, which is there for the server alone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests

from pageroles.ingest import messages
from pageroles.ingest.session import parse_line
from pageroles.transport import rest_app, rest_sessions
from pageroles.v1 import sessions_pb2, sessions_pb2_grpc
from support.commands import PAGEROLES, PATIENCE
from support.wire import Asked, message

if TYPE_CHECKING:
    from collections.abc import Iterator

DOMAIN = "full.com"
JULY = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
DISK = "64m"
ENVIRONMENT = {**os.environ, "PAGEROLES_STORE": "chdb:///mnt/store", "COLUMNS": "300"}
FULL = "the store's disk is full: its operator has to make room there; try again then"
READ_ONLY = "the store's disk or folder is read-only: its operator has to let the store be written to; try again then"
# Root may do what the modes of files forbid; these are the capabilities by which it may.
BOUND_BY_MODES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@functools.cache
def apart() -> tuple[str, ...]:
    """Return what of a process has to be its own, so that it can mount a disk that no other sees; skip where it can't.

    As options of `unshare` and `nsenter`.
    """
    for options in (("--mount",), ("--mount", "--user")):
        mapped = ("--map-root-user",) if "--user" in options else ()
        with contextlib.suppress(FileNotFoundError):
            command = ["unshare", *options, *mapped, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            if subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE).returncode == 0:
                return options
    pytest.skip("this machine does not let a process mount a disk of its own")


def on_disk_of_its_own() -> tuple[str, ...]:
    """Return how to run a command with a small disk at `/mnt` that is there for it alone."""
    mapped = ("--map-root-user",) if "--user" in apart() else ()
    mounted = f'mount -t tmpfs -o size={DISK} tmpfs /mnt && exec "$@"'
    return ("unshare", *apart(), *mapped, "sh", "-c", mounted, "sh")


class Served:
    """A server on a disk of its own, from outside."""

    def __init__(self, process: subprocess.Popen[str], started: dict[str, str], key: str) -> None:
        self.disk = Path(f"/proc/{process.pid}/root/mnt")
        self._pid = process.pid
        self._grpc, self._http, self._key = started["grpc"], started["http"], key

    def write(self, name: str) -> tuple[str, str]:
        """Write a session over gRPC; return the status and its sentence."""
        session = messages.make(parse_line(line(name)))
        with grpc.insecure_channel(self._grpc) as channel:
            stub: Any = sessions_pb2_grpc.SessionServiceStub(channel)  # type: ignore[no-untyped-call]
            sent = stub.WriteSessions.future(
                iter([sessions_pb2.WriteSessionsRequest(sessions=[session])]),
                metadata=[("authentication", self._key)],
                timeout=PATIENCE,
            )
            return sent.code().name, sent.details()

    def post(self, name: str) -> tuple[int, str]:
        """Write a session over REST; return the status and its sentence."""
        answer = requests.post(
            f"http://{self._http}{rest_sessions.PATH}",
            data=line(name),
            headers={"Authentication": self._key, "Content-Type": rest_sessions.MEDIA_TYPE},
            timeout=PATIENCE,
        )
        return answer.status_code, answer.json().get("error", "")

    def sessions(self) -> set[str]:
        """Ask which sessions there are: each is on a page of its own."""
        with Asked(self._grpc, self._key) as asked:
            return {row.url.removeprefix("/") for row in asked.pages(message(JULY)).drop_off_performance}

    def ask(self) -> tuple[int, str]:
        answer = requests.post(
            f"http://{self._http}{rest_app.PATH}", json=JULY, headers={"Authentication": self._key}, timeout=PATIENCE
        )
        return answer.status_code, answer.json().get("error", "")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the server."""
        beside = ["nsenter", "--target", f"{self._pid}", *apart(), "--preserve-credentials"]
        return subprocess.run(
            [*beside, *PAGEROLES, *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip

    def fill(self, left: int = 0) -> None:
        """Fill the disk, but for some KiB."""
        self.make_room()
        free = shutil.disk_usage(self.disk).free
        with contextlib.suppress(OSError), (self.disk / "ballast").open("wb", buffering=0) as file:
            for _ in range((free >> 10) - left):
                file.write(bytes(1024))

    def make_room(self) -> None:
        (self.disk / "ballast").unlink(missing_ok=True)


def line(name: str) -> bytes:
    at = "2025-07-03T10:00:00Z"
    return json.dumps({
        "domain": DOMAIN,
        "session_id": name,
        "user_id": name,
        "started_at": at,
        "page_views": [{"url": f"/{name}", "viewed_at": at}],
    }).encode()  # fmt: skip


START = """
import os, subprocess, sys
key = subprocess.run([*sys.argv[1:], "keys", "create", "--domain", "full.com", "--allow", "write,report"],
                     capture_output=True, text=True, check=True).stdout.strip()
print(key, flush=True)
os.execv(sys.argv[1], [*sys.argv[1:], "serve", "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"])
"""


@contextlib.contextmanager
def serving(*before: str) -> Iterator[Served]:
    """Make a store on a disk of its own, and serve it until the block ends; then it has to end by itself."""
    command = [*on_disk_of_its_own(), *before, sys.executable, "-c", START, *PAGEROLES]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            key = process.stdout.readline().strip()
            started = json.loads(process.stderr.readline())
            assert started["event"] == "serving", started
            told: list[dict[str, Any]] = []
            reading = threading.Thread(target=lambda lines: told.extend(map(json.loads, lines)), args=(process.stderr,))
            reading.start()
            yield Served(process, started, key)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0, "it stops as it should"
            reading.join(PATIENCE)
            assert told[-1]["event"] == "stopped"
            assert not [line for line in told if line["level"] == "error"], "no fault of the server's own"
        finally:
            process.kill()


def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost() -> None:
    with serving() as server:
        assert server.command("domains", "quota", DOMAIN, "--limit", "1000000").returncode == 0
        stored = {"first"}
        assert server.write("first") == ("OK", "")
        assert server.sessions() == stored
        # Room for some of the tables' parts: a write may break off between any two of them.
        for left in (0, 1100, 1500, 2100, 2600):
            server.fill(left)
            for number in range(4):
                over_grpc, over_rest = f"{left}-{number}-grpc", f"{left}-{number}-rest"
                grpc_status, http_status = server.write(over_grpc), server.post(over_rest)
                assert grpc_status in {("OK", ""), ("UNAVAILABLE", FULL)}
                assert http_status in {(200, ""), (503, FULL)}
                stored |= {over_grpc} if grpc_status[0] == "OK" else set()
                stored |= {over_rest} if http_status[0] == 200 else set()
            assert server.post("refused") == (503, FULL)
            assert stored <= server.sessions(), "reports go on, with all that was acknowledged"
        server.fill()
        refused = server.command("keys", "create", "--domain", DOMAIN)
        assert refused.returncode == 1
        assert FULL in refused.stderr
        server.make_room()
        assert server.post("last") == (200, "")
        assert stored | {"last"} <= server.sessions()
        assert server.command("check").returncode == 0
        # Also when it stops: what is reserved of the quota can't be returned then.
        server.fill()


def test_a_request_that_a_full_disk_keeps_from_being_counted_is_refused() -> None:
    with serving() as server:
        assert server.command("domains", "quota", DOMAIN, "--limit", "1000000").returncode == 0
        server.fill()
        assert server.ask() == (503, "the request can't be counted against the domain's quota; try again later")
        server.make_room()
        assert server.ask() == (200, "")


def test_a_folder_that_turns_read_only_is_told() -> None:
    with serving(*BOUND_BY_MODES) as server:
        assert server.post("first") == (200, "")
        folders = [folder for folder, _, _ in os.walk(server.disk / "store")]
        for folder in folders:
            Path(folder).chmod(0o500)
        assert server.write("second") == ("UNAVAILABLE", READ_ONLY)
        assert server.post("second") == (503, READ_ONLY)
        assert server.sessions() == {"first"}
        for folder in folders:
            Path(folder).chmod(0o700)
        assert server.write("second") == ("OK", "")
        assert server.sessions() == {"first", "second"}
        assert server.command("check").returncode == 0
