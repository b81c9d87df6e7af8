"""An embedded store that a server holds, as other processes reach it: as a ClickHouse server would be."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pageroles.errors import (
    CancelledError,
    DeadlineError,
    InternalError,
    SettingError,
    StoreLockedError,
    StoreUnavailableError,
)
from pageroles.store import erasure, held, lock, recovery, socket_file, soundness, writes
from pageroles.store.changes import Changes
from pageroles.store.erasure import Erasure
from pageroles.store.interface import Interface
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from support.commands import dsn, run, serving
from support.endless import ENDLESS, PATIENCE, running, until
from support.made import session
from support.stores import faults
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose store a server holds; its path is longer than that of a socket may be."""
    made = tmp_path_factory.mktemp("held") / ("long" * 30)
    made.mkdir()
    with serving(made):
        yield made


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    """The store, as another process than the server has it."""
    with Store.open(dsn(folder)) as opened:
        yield opened


def rows(store: Store, text: str, **values: object) -> Sequence[Sequence[object]]:
    return store.rows(Statement(text, values), store.call(PATIENCE))


def test_it_is_an_embedded_store_of_another_process(store: Store, folder: Path) -> None:
    assert not store.embedded
    assert store.folder == (folder / "store").resolve()
    store.check()
    assert stat.S_IMODE((folder / "store" / "server.sock").stat().st_mode) == 0o600


def test_what_is_written_is_read(store: Store) -> None:
    domain = "ünïcode 'quoted' \\ .example"
    write(store, [{**session(f"s{number}\n'\\"), "domain": domain} for number in range(3)])
    found = rows(store, "SELECT session_id FROM sessions WHERE domain = {domain:String} ORDER BY 1", domain=domain)
    assert [name for (name,) in found] == [f"s{number}\n'\\" for number in range(3)]
    assert rows(store, "SELECT 1 WHERE 0") == []
    assert rows(store, "SELECT toDateTime64('2025-07-01 00:00:00', 3, 'UTC'), [1, 2], NULL")[0][1:] == ([1, 2], None)


def test_values_that_are_too_long_for_an_address(store: Store) -> None:
    numbers = list(range(50_000))
    text = "SELECT arraySum({numbers:Array(UInt64)}), length({name:String})"
    name = "a=b&c\r\n--x" * 20_000
    assert rows(store, text, numbers=numbers, name=name) == [(sum(numbers), len(name))]
    assert store.places(["none.example"] * 20_000, numbers) == []


def test_bytes_are_kept_as_they_are(store: Store) -> None:
    kept = bytes(range(256)) * 1000
    store.insert("writes", writes._in_row_binary(77, kept), "RowBinary", ("id", "sessions"))
    assert store.value(Statement("SELECT sessions FROM writes WHERE id = 77"), store.call(PATIENCE)) == kept
    writes.forget(store, 77)
    with store.stream(Statement("SELECT toUInt64(7) AS seven"), store.call(PATIENCE)) as chunks:
        assert b"seven" in b"".join(chunks)


def test_what_the_engine_refuses_is_told(store: Store) -> None:
    with pytest.raises(SettingError, match="has no schema"):
        rows(store, "SELECT * FROM nowhere")
    with pytest.raises(InternalError, match=r"ClickHouse refused: .*Unknown expression"):
        rows(store, "SELECT nothing")
    with pytest.raises(InternalError, match="started_at_lies_in_the_years"):
        store.insert("sessions", json.dumps({**session("s"), "started_at": "1950-01-01 00:00:00"}).encode())
    with pytest.raises(InternalError, match="ClickHouse refused"):
        store.insert("sessions", b"{")
    with pytest.raises(InternalError, match="readonly"):
        rows(store, "WITH 1 AS one SELECT one SETTINGS readonly = 0")


def test_a_statement_that_seems_to_read_changes_nothing(store: Store) -> None:
    """What is not counted as a change must be none."""
    with pytest.raises(InternalError, match="readonly"):
        store.command("WITH 'x.com' AS domain INSERT INTO quotas (domain, monthly_limit) SELECT domain, 1")
    assert rows(store, "SELECT count() FROM quotas WHERE domain = 'x.com'") == [(0,)]


def test_the_deadline_stops_a_query(store: Store) -> None:
    with pytest.raises(DeadlineError):
        store.rows(ENDLESS, store.call(0.2))
    assert until(lambda: running(store) == 0)


def test_a_cancel_stops_a_query(store: Store) -> None:
    call = store.call(PATIENCE)
    cancel = threading.Timer(0.3, call.cancel)
    cancel.start()
    with pytest.raises(CancelledError):
        store.rows(ENDLESS, call)
    assert until(lambda: running(store) == 0)


_ENDLESS_COMMAND = """
import sys
from pageroles.store.store import Store
from support.endless import ENDLESS
with Store.open(sys.argv[1]) as store:
    store.rows(ENDLESS, store.call(600))
"""


def test_the_query_of_a_killed_process_stops(store: Store, folder: Path) -> None:
    command = [sys.executable, "-c", _ENDLESS_COMMAND, dsn(folder)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}) as process:
        assert until(lambda: running(store) == 1)
        process.kill()
    assert until(lambda: running(store) == 0)


def test_a_thousand_statements_leave_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _), Store.open(dsn(tmp_path)) as store:

        def held_by_server() -> tuple[int, int]:
            own = Path(f"/proc/{process.pid}")
            return len(list((own / "fd").iterdir())), len(list((own / "task").iterdir()))

        def ask() -> None:
            for _ in range(50):
                rows(store, "SELECT count() FROM sessions")
                store.insert("quotas", b'{"domain": "a.com", "monthly_limit": 1}')
                with contextlib.suppress(SettingError):
                    rows(store, "SELECT * FROM nowhere")

        ask()
        before = held_by_server()
        for _ in range(6):
            ask()
        files, threads = held_by_server()
        # Pools of threads may still grow; of 900 statements nothing is left.
        assert files <= before[0] + 50
        assert threads <= before[1] + 50


def test_a_client_that_leaves_within_its_request_is_no_fault(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _):
        for sent in (b"", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nSELECT"):
            with contextlib.closing(socket_file.connect(tmp_path / "store")) as connection:
                connection.sendall(sent)
        with Store.open(dsn(tmp_path)) as store:
            assert rows(store, "SELECT 1")
        process.send_signal(signal.SIGTERM)
        _, logs = process.communicate(timeout=PATIENCE)
    assert [json.loads(line)["event"] for line in logs.splitlines()] == ["stopping", "stopped"]


# ---- two processes at once ----


def test_a_write_at_work_is_not_taken_for_one_that_was_cut_short(store: Store) -> None:
    store.insert("writes", writes._in_row_binary(78, b""), "RowBinary", ("id", "sessions"))
    recovery.recover(store)
    assert writes.unfinished(store) == [78]
    recovery.recover(store, of_all=True)
    assert writes.unfinished(store) == []


def test_an_erasure_at_work_is_not_taken_for_one_that_was_cut_short(store: Store) -> None:
    assert store.folder is not None
    store.command("CREATE TABLE erasing (domain String, session_key UInt64, user_key UInt64) ENGINE = Log")
    with lock.alone(store.folder, "erasing"):
        assert recovery.finding(store).count == 0
    assert recovery.finding(store).examples == ("an erasure",)
    with lock.kept_off(store.folder, "erasing"):
        assert recovery.finding(store).count == 1, "another process looks for it, too"
    recovery.recover(store, of_all=True)
    assert recovery.finding(store).count == 0


@pytest.mark.parametrize("work", [soundness.look, soundness.mend])
def test_what_an_erasure_at_work_has_not_done_yet_is_no_fault(
    store: Store, work: Callable[[Store], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.folder is not None
    monkeypatch.setattr(soundness, "_LOOK_AGAIN_SECONDS", (0.1,))
    monkeypatch.setattr(recovery, "recover", lambda *_, **__: None)  # it waits, too
    write(store, [{**session("s1"), "domain": "at-work.com"}])
    done: list[object] = []
    with lock.alone(store.folder, "erasing"):
        store.command("ALTER TABLE sessions DELETE WHERE domain = 'at-work.com' SETTINGS mutations_sync = 2")
        thread = threading.Thread(target=lambda: done.append(work(store)))
        thread.start()
        thread.join(1.5)
        assert thread.is_alive()
        for table in ("places", "users", "pages"):
            store.command(f"ALTER TABLE {table} DELETE WHERE domain = 'at-work.com' SETTINGS mutations_sync = 2")
    thread.join(PATIENCE)
    assert len(done) == 1
    assert faults(store) == {}


def test_erasures_of_two_processes_take_turns(store: Store) -> None:
    assert store.folder is not None
    write(store, [{**session("s1"), "domain": "turns.com"}])
    with lock.alone(store.folder, "erasing"):
        stopping = threading.Event()
        erased: list[object] = []

        def erase() -> None:
            try:
                erased.append(erasure.erase(store, Erasure("turns.com"), stopping=stopping))
            except CancelledError as error:
                erased.append(str(error))

        for stop in (True, False):
            thread = threading.Thread(target=erase)
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
            if stop:
                stopping.set()
                thread.join(PATIENCE)
                assert erased == ["another process is still erasing"]
                stopping.clear()
        assert erasure.has_sessions(store, "turns.com")
    thread.join(PATIENCE)
    assert not erasure.has_sessions(store, "turns.com")


# ---- servers that are not there ----


def test_a_server_of_another_version_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "__version__", "99.0")
    with pytest.raises(SettingError, match=r"is pageroles \S+, and this is 99\.0: use the command of that version"):
        Store.open(dsn(folder))


def test_a_server_that_dies_meanwhile_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _), Store.open(dsn(tmp_path)) as store:
        write(store, [session("s1")])
        store.insert("writes", writes._in_row_binary(1, b""), "RowBinary", ("id", "sessions"))
        reading = threading.Timer(0.5, process.kill)
        reading.start()
        with pytest.raises(StoreUnavailableError, match="the server that holds the store does not answer any more"):
            store.rows(ENDLESS, store.call(PATIENCE))
        with pytest.raises(StoreUnavailableError, match="run the command again"):
            write(store, [session("s2")])
    assert (tmp_path / "store" / "server.sock").exists()
    again = run(tmp_path, "load", "-", text=json.dumps(session("s3")))
    assert again.returncode == 0, again.stderr
    assert "writes finished that were cut short" in again.stderr
    with serving(tmp_path), Store.open(dsn(tmp_path)) as store:
        assert rows(store, "SELECT session_id FROM sessions ORDER BY 1") == [("s1",), ("s3",)]


def write_on(store: Store) -> None:
    while True:
        write(store, [session("s1")])


def test_a_server_stops_while_a_command_reads_and_another_writes(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _), Store.open(dsn(tmp_path)) as store:
        failed: list[Exception] = []

        def read() -> None:
            try:
                store.rows(ENDLESS, store.call(PATIENCE))
            except Exception as error:  # noqa: BLE001 - looked at below
                failed.append(error)

        reading = threading.Thread(target=read)
        reading.start()
        assert until(lambda: running(store) == 1)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(StoreUnavailableError):
            write_on(store)
        reading.join(PATIENCE)
        assert [type(error) for error in failed] == [StoreUnavailableError]
        assert process.wait(PATIENCE) == 0
    assert not (tmp_path / "store" / "server.sock").exists()


def test_what_is_stopped_with_the_server_is_no_answer() -> None:
    """The engine may end it as if there were no more rows."""

    class Connection:
        def query(self, text: str, *_: object) -> Any:
            if text.startswith("SELECT"):
                closing.start()
                assert until(killed.is_set)
            elif text.startswith("KILL"):
                killed.set()
            return SimpleNamespace(bytes=lambda: b"")

        def close(self) -> None:
            """Do nothing: nothing is open."""

    killed = threading.Event()
    interface = Interface(Connection, Changes())
    closing = threading.Thread(target=interface.close)
    answer = interface.query({}, "", b"SELECT count() FROM sessions").run()
    closing.join()
    assert answer.status == 503


def test_a_folder_whose_holder_does_not_listen(store: Store, tmp_path: Path) -> None:
    (tmp_path / "status").touch()
    (tmp_path / "metadata").mkdir()
    with (tmp_path / "status").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left in (False, True):
            if left:
                socket_file.listen(tmp_path).close()
            with pytest.raises(StoreLockedError):
                Store.open(f"chdb://{tmp_path}")
    assert store.folder is not None
    with pytest.raises(StoreLockedError):
        Store.open(f"chdb://{store.folder}", alone=True)
