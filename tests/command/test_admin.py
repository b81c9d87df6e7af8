"""The commands that look after a store: keys, quotas, status and configuration; and what is no store."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner, Result

from pageroles import serving
from pageroles.access.keys import KeyStore
from pageroles.command import config
from pageroles.command.app import app
from pageroles.errors import SettingError
from pageroles.settings import KEEP_DAYS_BOUNDS, ServerSettings
from pageroles.store.store import Store
from support.clickhouse_standin import StandIn
from support.endless import PATIENCE, until
from support.made import session
from support.wire import Asked
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDE = {"COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A store with sessions of two domains."""
    with StandIn.start(tmp_path_factory.mktemp("admin")) as started, Store.open(started.dsn) as store:
        store.apply_schema()
        shop = [{**session(f"s{number}", f"u{number % 2}"), "domain": "shop.example"} for number in range(3)]
        write(store, [*shop, {**session("s1"), "domain": "münchen.de"}])  # type: ignore[list-item]
        yield started


def run(standin: StandIn, *args: str) -> Result:
    return CliRunner().invoke(app, [*args, "--store", standin.dsn], env=WIDE)


def pageroles(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [str(Path(sys.executable).with_name("pageroles")), *args]
    return subprocess.run(command, env=os.environ | WIDE, capture_output=True, text=True, check=False)


# ---- keys ----


def test_keys_have_a_name_an_end_and_permissions(standin: StandIn) -> None:
    ends = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"
    made = run(
        standin, "keys", "create", "--domain", "shop.example", "--allow", "write,report", "--name", "[b]robot",
        "--expires", ends,
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    assert "no sessions" not in made.stderr
    listed = run(standin, "keys", "list").stdout
    (line,) = (line for line in listed.splitlines() if "[b]robot" in line)
    assert "report, write" in line
    assert f"{ends} 00:00" in line


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--allow", "everything"], 2, "'everything' is no list of permissions; give one or more of report, sessions"),
        (["--allow", ""], 2, "is no list of permissions"),
        (["--expires", "2020-01-01"], 1, "expires: it has passed"),
        (["--expires", "soon"], 1, "expires: can't read 'soon' as a date"),
    ],
)
def test_a_key_that_could_not_work_is_not_made(standin: StandIn, args: list[str], code: int, says: str) -> None:
    refused = run(standin, "keys", "create", "--domain", "shop.example", *args)
    assert refused.exit_code == code
    assert says in " ".join((refused.stderr.replace("│", " ") + str(refused.exception)).split())


@pytest.mark.parametrize(
    ("domain", "says"),
    [
        ("https://Shop.example/", "no sessions of https://Shop.example/ are stored; did you mean shop.example?"),
        ("SHOP.EXAMPLE", "did you mean shop.example?"),
        ("www.shop.example", "did you mean shop.example?"),
        ("shop.exmaple", "did you mean shop.example?"),
        ("munchen.de", "did you mean münchen.de?"),
        ("quite.other", "no sessions of quite.other are stored"),
        ("[b]quite.other", "no sessions of [b]quite.other are stored"),
        ("xn--mnchen-3ya.de", ""),
        ("shop.example", ""),
    ],
)
def test_a_domain_without_sessions_is_told(standin: StandIn, domain: str, says: str) -> None:
    for args in (["keys", "create", "--domain", domain], ["domains", "quota", domain, "--limit", "5"]):
        done = run(standin, *args)
        assert done.exit_code == 0, done.stderr
        assert says in " ".join(done.stderr.split())
        assert says or "no sessions" not in done.stderr
    erased = run(standin, "erase", "--domain", domain, "--session", "none")
    assert erased.stderr.startswith("nothing to erase: ")
    assert says in " ".join(erased.stderr.split())


# ---- status ----


def test_status_tells_what_is_stored(standin: StandIn) -> None:
    told = json.loads(run(standin, "status", "--json").stdout)
    assert told["memory"] is None
    held = told["store"]
    assert held["engine"] == "server"
    assert [(one["name"], one["sessions"], one["users"]) for one in held["domains"]] == [
        ("shop.example", 3, 2),
        ("münchen.de", 1, 1),
    ]
    assert held["domains"][0]["first"] == held["domains"][0]["last"] == "2025-07-03T10:00:00Z"
    tables = {one["name"]: one for one in held["tables"]}
    assert tables["sessions"]["rows"] == 4
    assert tables["sessions"]["bytes"] > 0
    assert (held["cut_short"], held["damaged"]) == (0, [])
    shown = run(standin, "status", "--rows", "1").stdout
    assert "shop.example" in shown
    assert "1 more domain" in shown
    assert "münchen.de" not in shown


def test_status_of_an_empty_store(tmp_path: Path) -> None:
    with StandIn.start(tmp_path) as empty, Store.open(empty.dsn) as store:
        store.apply_schema()
        assert "no sessions are stored" in run(empty, "status").stdout


def test_status_asks_the_server_that_holds_the_store(store: Store) -> None:
    assert store.folder is not None
    domain, command = "held.example.com", ["status", "--store", f"chdb://{store.folder}", "--rows", "100000"]
    row = {"domain": domain, "session_id": "s", "user_id": "u", "started_at": "2025-07-03T10:00:00Z"}
    store.insert("sessions", json.dumps(row).encode())
    settings = ServerSettings(grpc_address="127.0.0.1:0", http_address=None, memory=1 << 30)
    with serving.serving(store, settings) as served, Asked(served.grpc, KeyStore(store).create(domain)[0]) as asked:
        asked.pages(start_date="2025-07-01", end_date="2025-07-31")
        told = json.loads(pageroles(*command, "--json").stdout)
        kept = told["memory"]["domains"]
        assert [(one["name"], one["sessions"]) for one in kept] == [(domain, 1)]
        assert 0 < kept[0]["bytes"] < told["memory"]["budget"] == 1 << 30
        assert (domain, 1) in [(one["name"], one["sessions"]) for one in told["store"]["domains"]]
        assert "of 1.1 GB" in pageroles(*command).stdout
        assert stat.S_IMODE((store.folder / "server.sock").stat().st_mode) == 0o600
    assert not (store.folder / "server.sock").exists()
    assert "another process holds" in pageroles(*command).stderr


# ---- configuration ----


def test_config_shows_each_setting_and_where_it_comes_from() -> None:
    given = {
        **WIDE,
        "PAGEROLES_STORE": "clickhouse://me:my-secret@host/db",
        "PAGEROLES_KEY": "pr_my-secret",
        "PAGEROLES_GRACE": "7",
    }
    done = CliRunner().invoke(app, ["config", "--json"], env=given)
    assert "my-secret" not in done.stdout
    found = {one["variable"]: one for one in json.loads(done.stdout)}
    assert found["PAGEROLES_STORE"]["value"] == "clickhouse://me:…@host/db"
    assert (found["PAGEROLES_GRACE"]["value"], found["PAGEROLES_GRACE"]["source"]) == ("7", "environment")
    assert (found["PAGEROLES_MAX_REQUESTS"]["value"], found["PAGEROLES_MAX_REQUESTS"]["source"]) == ("64", "default")
    assert "serve" in found["PAGEROLES_STORE"]["commands"]
    assert "keys create" in found["PAGEROLES_STORE"]["commands"]
    assert "my-secret" not in CliRunner().invoke(app, ["config"], env=given).stdout
    garbled = {"PAGEROLES_STORE": "clickhouse://me:my-secret@[host/db"}
    assert "my-secret" not in CliRunner().invoke(app, ["config", "--json"], env=garbled).stdout


def test_config_knows_every_option_with_a_variable() -> None:
    root = typer.main.get_command(app)
    variables = {setting.variable for setting in config.settings_in_force(root)}
    assert {"PAGEROLES_STORE", "PAGEROLES_KEY", "PAGEROLES_LOG_LEVEL", "PAGEROLES_KEEP_DAYS"} <= variables
    assert all(variable.startswith("PAGEROLES_") for variable in variables)


# ---- what is no store ----


def refusal(dsn: str, *, create: bool = True) -> str:
    with pytest.raises(SettingError) as refused, Store.open(dsn, create=create):
        pass
    return str(refused.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "clickhouse://me:my-secret@host:999999/db",
        "clickhouse://me:my-secret@host:port/db",
        "clickhouse://me:my/secret@host:8123/db",
        "clickhouse://me:my#secret@host:8123/db",
        "clickhouse://me:my-secret@[::1/db",
        "clickhouse://me:my-secret@::1]:8123/db",
        "clickhouse:///my-secret",
        "chdb://[my-secret",
    ],
)
def test_an_address_that_cannot_be_read_is_not_shown(dsn: str) -> None:
    said = refusal(dsn)
    assert said.startswith(("can't read the address of the store: give chdb:///path/to/folder", "can't use the store"))
    assert "secret" not in said


@pytest.mark.parametrize("dsn", ["store", "postgres://me:my-secret@host/db", "chdb://", "chdb:///", "chdb://a/b", ""])
def test_an_address_of_another_form_is_refused(dsn: str) -> None:
    said = refusal(dsn)
    assert "chdb:///path/to/folder" in said
    assert "my-secret" not in said


def test_a_folder_that_is_no_store(tmp_path: Path) -> None:
    empty, others, parent = tmp_path / "empty", tmp_path / "others", tmp_path / "parent"
    empty.mkdir()
    others.mkdir()
    (others / "notes.txt").touch()
    (parent / ".pageroles" / "metadata").mkdir(parents=True)
    for dsn in (f"chdb://{empty}", f"chdb://{tmp_path}/none"):
        assert "there is no store in" in refusal(dsn, create=False)
        assert "`pageroles load` makes a new one" in refusal(dsn, create=False)
    for create in (False, True):
        assert refusal(f"chdb://{others}", create=create).startswith(f"there is no store in {others}, but other files")
        assert f"; {parent}/.pageroles has one:" in refusal(f"chdb://{parent}", create=create)
    assert not (tmp_path / "none").exists()
    assert list(empty.iterdir()) == []
    assert "can't use" in refusal(f"chdb://{others}/notes.txt")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metadata").mkdir()
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)
    assert f"can't write to {tmp_path}" in refusal(f"chdb://{tmp_path}")


@pytest.mark.parametrize(
    "command", [["keys", "list"], ["domains", "list"], ["status"], ["check"], ["keys", "revoke", "x"]]
)
def test_commands_that_look_make_no_store(tmp_path: Path, command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--store", f"chdb://{tmp_path}/none"], env=WIDE)
    assert "there is no store in" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


# ---- settings that can't be right ----


@pytest.mark.parametrize(
    ("option", "value"),
    [("--grace", "inf"), ("--grace", "nan"), ("--grace", "-1"), ("--max-seconds", "nan"), ("--max-seconds", "inf"),
     ("--readers", "0"), ("--max-requests", "1e3"), ("--keep-days", f"{KEEP_DAYS_BOUNDS[1] + 1}")],
)  # fmt: skip
def test_numbers_that_cannot_be_right_are_refused(tmp_path: Path, option: str, value: str) -> None:
    done = CliRunner().invoke(app, ["serve", option, value, "--store", f"chdb://{tmp_path}/none"], env=WIDE)
    assert done.exit_code == 2
    assert option in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_hangup_reads_keys_and_quotas_again(standin: StandIn) -> None:
    key = run(standin, "keys", "create", "--domain", "shop.example").stdout.strip()
    command: list[str | Path] = [
        Path(sys.executable).with_name("pageroles"), "serve", "--grpc-address", "127.0.0.1:0", "--no-http", "--store",
        standin.dsn,
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        target = json.loads(process.stderr.readline())["grpc"]
        try:
            with Asked(target, key) as asked:
                asked.pages()
                assert run(standin, "keys", "revoke", key.split("_")[1]).exit_code == 0
                process.send_signal(signal.SIGHUP)
                events = iter(json.loads(line)["event"] for line in process.stderr)
                assert "keys and quotas are read again" in events
                with pytest.raises(Exception, match="unknown, revoked or expired"):
                    asked.pages()
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
    assert until(lambda: len(run(standin, "keys", "list").stdout) > 0)
