"""`pageroles load --target` sends files to a server, with the same rejects files and summary."""

from __future__ import annotations

import gzip
import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from pageroles.access.keys import KeyStore, Permission
from pageroles.client import sending
from pageroles.command.app import app
from pageroles.store.statement import Statement
from pageroles.transport import grpc_sessions
from support.fakes import rejects_of

if TYPE_CHECKING:
    from pathlib import Path

    from support.served import Served

DOMAIN = "sent.example.com"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def key(served: Served) -> str:
    made, _ = KeyStore(served.store).create(DOMAIN, permissions=[Permission.WRITE])
    served.service._keys.forget()
    return made


def session(name: object, **more: Any) -> bytes:
    row = {"domain": DOMAIN, "session_id": str(name), "user_id": "u1", "started_at": "2025-07-03T10:00:00Z"}
    return json.dumps(row | more).encode() + b"\n"


def load(target: str, key: str, *args: str) -> Result:
    return CliRunner().invoke(app, ["load", "--target", target, "--key", key, *args])


def held(served: Served) -> dict[str, str]:
    statement = Statement(
        "SELECT session_id, source FROM sessions FINAL WHERE gone = 0 AND domain = {d:String}", {"d": DOMAIN}
    )
    return {str(name): str(source) for name, source in served.store.rows(statement, served.store.call(60))}


def test_files_are_sent_and_bad_rows_told(served: Served, folder: Path, key: str) -> None:
    view = {"url": "/a", "viewed_at": "2025-07-03T10:00:00.000001Z"}
    (folder / "a.jsonl").write_bytes(
        session(1) + b"\nbad\n" + session(2, domain="other.example.com", page_views=[view]) + session(3, user_id="null")
    )
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(session(3, source="mail") + session(4)))
    done = load(served.target, key, "a.jsonl", "b.jsonl.gz")
    assert done.exit_code == 2, done.output
    said = [re.sub(r"in [\d.]+ s \([\d,]+ a second\)", "in …", line) for line in done.stderr.splitlines()]
    assert said[next(at for at, line in enumerate(said) if " loaded in " in line) :] == [
        "4 sessions loaded in …",
        "1 blank line",
        "1 session has the user 'null', which looks like a placeholder: all of them count as one user's",
        "2 rows of a.jsonl rejected: see a.jsonl.rejected.jsonl",
    ]
    here, there = rejects_of(folder / "a.jsonl")
    assert (here["line"], here["row"]) == (3, "bad")
    assert there["line"] == 4
    assert there["reason"].startswith(f"domain must be '{DOMAIN}'")
    written = json.loads(there["row"])
    assert (written["session_id"], written["page_views"][0]["viewed_at"]) == ("2", view["viewed_at"])
    assert held(served) == {"1": "", "3": "mail", "4": ""}
    assert load(served.target, key, "b.jsonl.gz").exit_code == 0, "again is harmless"
    assert held(served) == {"1": "", "3": "mail", "4": ""}


def test_all_rejects_are_told_where_they_are_more_than_a_server_lists(served: Served, folder: Path, key: str) -> None:
    (folder / "many.jsonl").write_bytes(
        b"".join(session(number, domain="other.example.com") for number in range(2500)) + session("last")
    )
    assert load(served.target, key, "many.jsonl").exit_code == 2
    assert [row["line"] for row in rejects_of(folder / "many.jsonl")] == list(range(1, 2501))
    assert "last" in held(served)


def test_a_session_that_no_message_holds_is_rejected_here(
    served: Served, folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_sessions, "MOST_ROW_BYTES", 2000)
    (folder / "long.jsonl").write_bytes(session("long", referrer="https://r.example/" + "r" * 3000) + session("short"))
    assert load(served.target, key, "long.jsonl").exit_code == 2
    (rejected,) = rejects_of(folder / "long.jsonl")
    assert (rejected["line"], rejected["reason"]) == (
        1, "the session has more than 2,000 bytes, which a server does not take",
    )  # fmt: skip
    assert "short" in held(served)


def test_a_server_that_has_no_room_is_tried_again(
    served: Served, folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_PAUSE_SECONDS", 0.01)
    # Each request looks twice: is there a place, and one for its key?
    places = iter([0, 9, 9, 0, 0, 9, 9])
    kind = type(served.service.sessions.admission)
    monkeypatch.setattr(kind, "places", property(lambda _: next(places)), raising=False)
    (folder / "a.jsonl").write_bytes(session("patient"))
    done = load(served.target, key, "a.jsonl")
    assert done.exit_code == 0, done.output
    assert "patient" in held(served)


def test_who_may_not_write_is_told_before_a_file_is_read(served: Served, folder: Path, key: str) -> None:
    (folder / "a.jsonl").write_bytes(b"bad\n" + session(1))
    assert load(served.target, key, "a.jsonl").exit_code == 2
    before = (folder / "a.jsonl.rejected.jsonl").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
    for target, asking, says in (
        (served.target, served.key(DOMAIN), "PERMISSION_DENIED: this key may not write sessions"),
        (served.target, "nothing", "UNAUTHENTICATED: the key is unknown"),
        (nowhere, key, "UNAVAILABLE: "),
    ):
        done = load(target, asking, "a.jsonl")
        assert (done.exit_code, says in done.stderr) == (1, True), done.stderr
        assert (folder / "a.jsonl.rejected.jsonl").read_bytes() == before
    done = CliRunner().invoke(app, ["load", "--target", served.target, "a.jsonl"], env={"PAGEROLES_KEY": None})
    assert (done.exit_code, "--key" in done.stderr) == (2, True)
