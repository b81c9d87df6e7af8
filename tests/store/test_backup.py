"""A backup is of one moment, whoever writes meanwhile; what is not whole is no backup, and is never restored."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pageroles.command.app import app
from pageroles.errors import SettingError
from pageroles.question.request import to_query
from pageroles.report.run import Reporter
from pageroles.rest_shape import to_answer
from pageroles.store import backup, erasure, schema, writes
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from support import worlds
from support.clickhouse_standin import StandIn
from support.commands import PATIENCE, dsn, run, serving
from support.erasing import KilledError, Mortal
from support.made import session
from support.reference import SCOPES, Session, report
from support.reports import answered
from support.stores import faults
from support.wire import message
from support.writing import write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and, in `copy`, a backup of it; do not change it."""
    folder = tmp_path_factory.mktemp("made")
    loaded = run(folder, "load", "-", text="\n".join(json.dumps(session(f"s{number}")) for number in range(5)))
    assert loaded.returncode == 0, loaded.stderr
    backed_up = run(folder, "backup", "copy")
    assert backed_up.returncode == 0, backed_up.stderr
    assert stat.S_IMODE((folder / "copy").stat().st_mode) == 0o700
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A backup of its own for a test, which may spoil it; what it is restored to is the store beside it."""
    return Path(shutil.copytree(made / "copy", tmp_path / "copy"))


def changed(copy: Path, **fields: object) -> None:
    """Change what the list of a backup says."""
    told = json.loads((copy / "backup.json").read_bytes())
    (copy / "backup.json").write_text(json.dumps(told | fields))


def refused(copy: Path) -> str:
    """Return why a backup is not restored; nothing may be left of the try."""
    done = run(copy.parent, "restore", "copy")
    assert done.returncode == 1
    store = copy.parent / "store"
    assert not store.exists() or list(store.iterdir()) == []
    return done.stderr


def stored(folder: Path) -> list[str]:
    """Return the ids of the sessions in the store of a folder."""
    with StandIn.start(folder / "store") as standin, Store.open(standin.dsn) as store:
        store.check()
        found = store.rows(Statement("SELECT session_id FROM sessions FINAL ORDER BY 1"), store.call(PATIENCE))
        assert faults(store) == {}
        return [str(name) for (name,) in found]


# ---- of one moment ----


def test_a_backup_while_a_server_is_written_to(tmp_path: Path) -> None:
    rng = random.Random(31)
    drawn = [worlds.moving(rng, worlds.world(rng)).renamed(f"w{number}") for number in range(6)]
    mixed: list[Session] = [one for world in drawn for one in world.deliveries]
    batches = [mixed[start : start + 40] for start in range(0, len(mixed), 40)]
    begun = ended = 0
    done = threading.Event()

    def feed(store: Store) -> None:
        nonlocal begun, ended
        for batch in batches:
            begun += 1
            write(store, batch)
            ended += 1
            if done.is_set():
                break

    with serving(tmp_path), Store.open(dsn(tmp_path)) as store, Store.open(dsn(tmp_path)) as feeding:
        feeder = threading.Thread(target=feed, args=(feeding,))
        feeder.start()
        while ended < 3:
            feeder.join(0.01)
        least = ended
        made = backup.make(store, tmp_path / "copy", lambda _: None)
        most = begun
        done.set()
        feeder.join(PATIENCE)
        assert not list((tmp_path / "store" / "shadow").glob("backup_*")), "the links are gone"
        assert made.bytes == sum(file.stat().st_size for file in (tmp_path / "copy" / "parts").rglob("*.*"))
        restored = run(tmp_path, "restore", "copy", "--store", f"chdb://{tmp_path}/again")
        assert restored.returncode == 0, restored.stderr
        assert f"{made.taken_at:%Y-%m-%d %H:%M:%S}" in restored.stderr
    with StandIn.start(tmp_path / "again") as standin, Store.open(standin.dsn) as again:
        assert faults(again) == {}
        places = again.rows(Statement("SELECT count() FROM places"), again.call(PATIENCE))
        assert places != [(0,)]
        reporter = Reporter(again)
        matching = any(_agrees(again, reporter, drawn, batches[:number]) for number in range(least, most + 1))
        reporter.close()
    assert matching, f"the restored store is of no moment between {least} and {most} of {len(batches)} batches"


def _agrees(store: Store, reporter: Reporter, drawn: list[worlds.World], batches: list[list[Session]]) -> bool:
    """Tell whether all answers of a store are those of the reference after some batches."""
    came = [one for batch in batches for one in batch]
    for world in drawn:
        for domain in world.domains:
            for scope in SCOPES:
                asked = {"start_date": world.start.isoformat(), "end_date": world.end.isoformat(), "touch_scope": scope}
                query = to_query(message(asked), domain, world.now)
                answer = dict(to_answer([answered(reporter, store, query)]))
                if answer != report(came, domain, asked, world.now):
                    return False
    return True


def test_writers_wait_while_tables_are_frozen(store: Store) -> None:
    written = threading.Event()

    def late() -> None:
        write(store, [{**session("late"), "domain": "late.example.com"}])
        written.set()

    with store.paused() as client:
        writer = threading.Thread(target=late)
        writer.start()
        assert not written.wait(0.3)
        ((count,),) = client.query("SELECT count() FROM sessions WHERE domain = 'late.example.com'").result_rows
        assert count == 0
    writer.join(PATIENCE)
    assert written.is_set()
    assert store.changes is not None
    with pytest.raises(SettingError), store.paused() as client:
        client.command("ALTER TABLE nowhere FREEZE")
    store.insert("quotas", b'{"domain": "after.example.com", "monthly_limit": 1}')


def test_what_was_half_done_is_finished(tmp_path: Path) -> None:
    """A backup has what a kill at its moment would have left."""
    with serving(tmp_path), Store.open(dsn(tmp_path)) as store:
        write(store, [session("s1"), {**session("s2"), "domain": "erased.com"}])
        row = {"domain": "a.com", "session_id": "s3", "user_id": "u1", "started_at": "2025-07-03T10:00:00Z"}
        rows = json.dumps(row | {"written_at": "2025-07-05 00:00:00"}).encode()
        with pytest.raises(KilledError):
            erasure.erase(Mortal(store, 4), erasure.Erasure("erased.com"))  # type: ignore[arg-type]
        assert erasure.is_cut_short(store, 0)
        store.insert("writes", writes._in_row_binary(7, rows), "RowBinary", ("id", "sessions"))
        backup.make(store, tmp_path / "copy", lambda _: None)
    restored = run(tmp_path, "restore", "copy", "--store", f"chdb://{tmp_path}/again/store")
    assert restored.returncode == 0, restored.stderr
    assert "writes finished that were cut short" in restored.stderr
    assert "erasure finished that was cut short" in restored.stderr
    assert stored(tmp_path / "again") == ["s1", "s3"]


# ---- what is not whole ----


def test_a_store_is_restored_with_all_that_it_had(copy: Path) -> None:
    folder = copy.parent
    (folder / "store").mkdir()
    assert "the store is restored as it was at" in run(folder, "restore", "copy").stderr
    assert stored(folder) == [f"s{number}" for number in range(5)]
    again = run(folder, "restore", "copy")
    assert again.returncode == 1
    assert f"{folder}/store is not empty: give the restore a new folder" in again.stderr
    with serving(folder):
        assert "is not empty" in run(folder, "restore", "copy").stderr


def test_a_backup_without_its_list_is_none(copy: Path) -> None:
    (copy / "backup.json").unlink()
    assert "there is no backup in copy, only one that was cut short" in refused(copy)
    shutil.rmtree(copy)
    assert "there is no backup in copy: give the folder of a whole one" in refused(copy)
    copy.mkdir()
    (copy / "backup.json").write_text('{"taken_at": 1}')
    assert "is no list of one" in refused(copy)


@pytest.mark.parametrize("fault", ["missing", "shorter", "other"])
def test_a_backup_with_other_files_than_it_lists_is_not_restored(copy: Path, fault: str) -> None:
    victim = max((copy / "parts").rglob("*.bin"), key=lambda file: file.stat().st_size)
    whole = victim.read_bytes()
    victim.unlink()
    if fault == "shorter":
        victim.write_bytes(whole[:-1])
    elif fault == "other":
        victim.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert f"is damaged: {victim.relative_to(copy)} is missing, or is not the file that was written" in refused(copy)


def test_a_list_that_leads_elsewhere_is_refused(copy: Path) -> None:
    told = json.loads((copy / "backup.json").read_bytes())
    for path in ("sessions/../../../../away", "nowhere/all_1_1_0/count.txt"):
        changed(copy, files=[{**told["files"][0], "path": path}])
        assert "is damaged" in refused(copy)


def test_a_backup_that_fails_leaves_nothing(made: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").touch()
    assert "is not empty: give the backup a new folder" in run(made, "backup", str(full)).stderr
    assert [entry.name for entry in full.iterdir()] == ["notes.txt"]
    assert "can't use /proc/nowhere for the backup" in run(made, "backup", "/proc/nowhere").stderr


_FAILING = """
import sys
from pathlib import Path
from pageroles.store import backup
from pageroles.store.store import Store
folder = Path(sys.argv[1])
with Store.open(f"chdb://{folder}/store") as store:
    def fail(size):
        raise OSError(28, "No space left on device") if sys.argv[2] == "full" else KeyboardInterrupt
    try:
        backup.make(store, folder / "copy", fail)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}")
    print([path.name for path in (folder / "copy").iterdir()], list((folder / "store" / "shadow").glob("backup_*")))
"""


@pytest.mark.parametrize(("fault", "says"), [("full", "No space left on device"), ("stop", "KeyboardInterrupt")])
def test_a_backup_that_breaks_off_leaves_nothing(made: Path, tmp_path: Path, fault: str, says: str) -> None:
    shutil.copytree(made / "store", tmp_path / "store", symlinks=True)
    links = tmp_path / "store" / "shadow" / "backup_of_a_killed_process"
    links.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", _FAILING, str(tmp_path), fault], stdout=subprocess.PIPE, text=True, check=True
    )
    assert says in done.stdout
    assert done.stdout.splitlines()[-1] == "[] []"


def test_a_store_that_was_not_restored_to_its_end_is_none(copy: Path) -> None:
    assert run(copy.parent, "restore", "copy").returncode == 0
    (copy.parent / "store" / "restoring").touch()
    for command in ("serve", "status"):
        assert "was not restored to its end: remove the folder" in run(copy.parent, command).stderr


# ---- other versions, and servers ----


def test_a_backup_of_a_later_schema_is_refused(copy: Path) -> None:
    changed(copy, schema=99, pageroles="7.1")
    says = refused(copy)
    assert f"has version 99 of the schema, and this pageroles only knows {schema.latest()}" in says
    assert "restore it with pageroles 7.1, or update pageroles" in says


_OLDER = """
import sys
from pathlib import Path
from pageroles.store import backup, schema
from pageroles.store.store import Store
steps = schema.migrations()[:2]
schema.migrations = lambda: steps
folder = Path(sys.argv[1])
with Store.open(f"chdb://{folder}/older") as store:
    store.insert("sessions", sys.stdin.buffer.read())
    backup.make(store, folder / "copy", lambda _: None)
"""


def test_a_backup_of_an_earlier_schema_is_migrated(tmp_path: Path) -> None:
    rows = [{"domain": "a.com", "session_id": f"s{number}", "user_id": "u", "started_at": "2025-07-03T10:00:00Z"}
            for number in range(3)]  # fmt: skip
    text = "\n".join(map(json.dumps, rows)).encode()
    subprocess.run([sys.executable, "-c", _OLDER, str(tmp_path)], input=text, check=True, env=os.environ)
    assert json.loads((tmp_path / "copy" / "backup.json").read_bytes())["schema"] == 2
    done = run(tmp_path, "restore", "copy")
    assert done.returncode == 0, done.stderr
    assert stored(tmp_path) == ["s0", "s1", "s2"]


def test_a_store_on_a_server_has_a_way_of_its_own(standin: StandIn, empty_store: Store, copy: Path) -> None:
    empty_store.check()
    for command in (["backup", str(copy.parent / "other")], ["restore", str(copy)]):
        done = CliRunner().invoke(app, [*command, "--store", standin.dsn])
        assert isinstance(done.exception, SettingError)
        assert "with its own BACKUP and RESTORE, as docs/operating.md says" in str(done.exception)
