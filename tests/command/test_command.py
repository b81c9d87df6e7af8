"""The command as a user runs it: mostly real processes, each test on a store of its own."""

from __future__ import annotations

import functools
import json
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

from pageroles.command.app import COMMANDS, app
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from support.clickhouse_standin import StandIn
from support.commands import PAGEROLES, PATIENCE, environment, run, serving
from support.endless import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSION = {
    "domain": "example.com",
    "session_id": "s1",
    "user_id": "u1",
    "started_at": "2025-07-03T10:00:00Z",
    "page_views": [{"url": "https://example.com/pricing?ref=x", "viewed_at": "2025-07-03T10:00:00Z"}],
    "conversions": [
        {
            "url": "https://example.com/signup",
            "type": "hubspot_form",
            "id": "form-1",
            "occurred_at": "2025-07-03T10:02:00Z",
        }
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_load_serve_ask(folder: Path) -> None:
    (folder / "sessions.jsonl").write_text(json.dumps(SESSION) + "\n")
    loaded = run(folder, "load", "sessions.jsonl")
    assert loaded.returncode == 0, loaded.stderr
    assert "1 session loaded" in loaded.stderr
    created = run(folder, "keys", "create", "--domain", "example.com")
    key = created.stdout.strip()
    assert key.startswith("pr_")
    with serving(folder) as (process, target):
        asked = ["report", "--target", target, "--key", key, "--start-date", "2025-07-01", "--end-date", "2025-07-31"]
        answer = json.loads(run(folder, *asked, "--json").stdout)
        tables = run(folder, *asked).stdout
        scoped = run(folder, *asked, "--touch-scope", "after").stdout
        wrong = run(folder, *asked, "--touch-scope", "last")
        refused = run(folder, "report", "--target", target, "--key", "no")
        process.send_signal(signal.SIGTERM)
        _, logs = process.communicate(timeout=PATIENCE)
    assert answer == {
        "time_frame": {"start": "2025-07-01T00:00:00Z", "end": "2025-07-31T23:59:59Z"},
        "summary_totals": {
            "total_sessions": 1,
            "total_users": 1,
            "total_conversion_events": 1,
            "total_conversion_users": 1,
        },
        "conversion_performance": [
            {
                "url": "https://example.com/signup",
                "conversion": {"sessions": 1, "users": 1},
                "conversion_assist": {"sessions": 0, "users": 0},
                "landing_assisted_conversion": {"sessions": 0, "users": 0},
            },
            {
                "url": "https://example.com/pricing",
                "conversion": {"sessions": 0, "users": 0},
                "conversion_assist": {"sessions": 1, "users": 1},
                "landing_assisted_conversion": {"sessions": 1, "users": 1},
            },
        ],
        "drop_off_performance": [],
    }
    assert "https://example.com/signup" in tables
    first, *_, last = scoped.strip().splitlines()
    assert first == "No page data found for the given parameters."
    assert last.startswith("asked for sessions from ")
    assert "any, first, converting, assist, after" in wrong.stderr
    assert (refused.returncode, "UNAUTHENTICATED" in refused.stderr) == (1, True)
    assert process.returncode == 0
    events = [json.loads(line) for line in logs.splitlines()]
    assert [event["event"] for event in events] == ["request"] * 4 + ["stopping", "stopped"]
    assert {event["status"] for event in events[:4]} == {"OK", "UNAUTHENTICATED"}
    assert key not in logs


def test_bad_rows_are_listed_and_the_good_ones_loaded(folder: Path) -> None:
    lines = [json.dumps(SESSION), "{oops", json.dumps({**SESSION, "session_id": 7})]
    result = run(folder, "load", "-", text="\n".join(lines))
    assert result.returncode == 2, result.stderr
    assert "1 session loaded" in result.stderr
    assert "2 rows of - rejected" in result.stderr
    rejects = [json.loads(line) for line in (folder / "stdin.rejected.jsonl").read_text().splitlines()]
    assert [row["line"] for row in rejects] == [2, 3]
    assert "session_id" in rejects[1]["reason"]


def test_the_same_files_load_twice(folder: Path) -> None:
    lines = [
        SESSION,
        {**SESSION, "session_id": "s2", "user_id": "null"},
        {**SESSION, "session_id": "s3", "device": "x"},
    ]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    first = run(folder, "load", "a.jsonl")
    moved = [{**SESSION, "user_id": "u2"}, {**SESSION, "user_id": "u3"}]
    (folder / "b.jsonl").write_text("\n".join(map(json.dumps, moved)))
    again = run(folder, "load", "--ignore-unknown", *sorted(path.name for path in folder.glob("*.jsonl")))

    def said(result: subprocess.CompletedProcess[str]) -> list[str]:
        lines = [re.sub(r"in [\d.]+ s \([\d,]+ a second\)", "in …", line) for line in result.stderr.splitlines()]
        return lines[next(at for at, line in enumerate(lines) if " loaded in " in line) :]

    null = "1 session has the user 'null', which looks like a placeholder: all of them count as one user's"
    assert (first.returncode, again.returncode) == (2, 0)
    assert said(first) == [
        "2 sessions loaded in …: 2 new, 0 replaced",
        "1 blank line",
        null,
        "1 row of a.jsonl rejected: see a.jsonl.rejected.jsonl",
        "a.jsonl: 1 row has unknown fields: --ignore-unknown loads such rows without them",
    ]
    assert said(again) == [
        "4 sessions loaded in …: 1 new, 3 replaced",
        "1 session moved to another user",
        "1 more row gave way to another one of its session",
        "1 row was loaded without its unknown fields",
        "1 blank line",
        null,
        "a.jsonl.rejected.jsonl passed over: it holds the rejected rows of an earlier load",
    ]


def test_a_slow_stream_is_stored_as_it_comes_and_ctrl_c_says_what_is_stored(folder: Path) -> None:
    with StandIn.start(folder / "server") as server, Store.open(server.dsn) as store:
        store.apply_schema()
        command = [*PAGEROLES, "load", "-", "--store", server.dsn]
        with subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            for number in range(1, 4):
                process.stdin.write(json.dumps({**SESSION, "session_id": f"s{number}"}) + "\n")
                process.stdin.flush()
                assert until(functools.partial(holds, store, number))
            process.send_signal(signal.SIGINT)
            _, says = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert says.splitlines()[-1] == "interrupted: 3 sessions are stored; run it again to load the rest"
    assert "Traceback" not in says


def holds(store: Store, sessions: int) -> bool:
    return list(store.rows(Statement("SELECT count() FROM sessions", {}), store.call(PATIENCE))) == [(sessions,)]


def test_ctrl_c_in_the_demo_says_what_is_stored(folder: Path) -> None:
    demo = [
        *PAGEROLES,
        "demo",
        "--sessions",
        "2000000",
        "--grpc-address",
        "127.0.0.1:0",
        "--http-address",
        "127.0.0.1:0",
    ]
    with subprocess.Popen(demo, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True) as process:
        assert until((folder / ".pageroles-demo" / "store" / "status").exists)
        second = run(folder, "demo", "--once")
        process.send_signal(signal.SIGINT)
        says, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert re.fullmatch(
        r"interrupted(: [\d,]+ sessions? (is|are) stored)?; the next demo begins anew", says.splitlines()[-1]
    )
    assert second.returncode == 1
    assert "another process holds the store" in second.stderr
    assert "give another folder with --folder" in second.stderr
    assert "--store" not in second.stderr


def test_urls_and_names_are_shown_as_they_are(folder: Path) -> None:
    urls = ["https://x.example/page[/url]", "/discover/[slug]", "/discover", "/\x1b[31m", "/\u202egpj.exe"]
    views = [{"url": url, "viewed_at": "2025-07-03T10:00:00Z"} for url in urls]
    lines = [{**SESSION, "session_id": url, "page_views": [view]} for url, view in zip(urls, views, strict=True)]
    (folder / "b[.jsonl").write_text("\n".join(map(json.dumps, [*lines, 1])))
    loaded = run(folder, "load", "b[.jsonl")
    assert "1 row of b[.jsonl rejected: see b[.jsonl.rejected.jsonl" in loaded.stderr
    missing = run(folder, "load", "b[/x].jsonl")
    assert missing.stderr.splitlines()[-1] == "pageroles: b[/x].jsonl can't be read: No such file or directory"
    key = run(folder, "keys", "create", "--domain", "example.com").stdout.strip()
    with serving(folder) as (_, target):
        asked = ["report", "--target", target, "--key", key, "--end-date", "2025-07-31"]
        tables = run(folder, *asked).stdout
        answer = run(folder, *asked, "--json").stdout
        refused = run(folder, *asked, "--start-date", "20[/]25")
        cramped = subprocess.run(
            [*PAGEROLES, *asked], cwd=folder, capture_output=True, timeout=PATIENCE, check=True,
            env={**environment(folder), "PYTHONIOENCODING": "ascii:strict", "COLUMNS": "60"},
        )  # fmt: skip
    for url in ("https://x.example/page[/url]", "/discover/[slug]", "/discover", r"/\x1b[31m", r"/\u202egpj.exe"):
        assert f" {url} " in tables
    assert {row["url"] for row in json.loads(answer)["conversion_performance"]} > set(urls)
    assert not {"\x1b", "\u202e"} & set(tables + answer)
    assert "INVALID_ARGUMENT: start_date: can't read '20[/]25' as a date" in refused.stderr
    assert cramped.stdout.isascii()


def test_commands_work_beside_a_server(folder: Path) -> None:
    with serving(folder) as (_, target):
        (folder / "sessions.jsonl").write_text(json.dumps(SESSION) + "\n" + json.dumps(SESSION | {"session_id": "s2"}))
        assert "2 sessions loaded" in run(folder, "load", "sessions.jsonl").stderr
        created = run(folder, "keys", "create", "--domain", "example.com")
        assert "no sessions" not in created.stderr
        key = created.stdout.strip()
        assert key.split("_")[1] in run(folder, "keys", "list").stdout
        asked = ["report", "--target", target, "--key", key, "--start-date", "2025-07-01", "--end-date", "2025-07-31"]

        def sessions() -> int:
            return int(json.loads(run(folder, *asked, "--json").stdout)["summary_totals"]["total_sessions"])

        assert sessions() == 2
        erased = run(folder, "erase", "--domain", "example.com", "--session", "s2")
        assert "1 session of 1 user erased" in erased.stderr
        assert sessions() == 1
        assert run(folder, "load", "-", text=json.dumps(SESSION | {"session_id": "s3"})).returncode == 0
        assert sessions() == 2, "what is loaded is seen by the next question"
        told = json.loads(run(folder, "status", "--json").stdout)
        assert (told["store"]["engine"], told["store"]["domains"][0]["sessions"]) == ("embedded", 2)
        assert [(one["name"], one["sessions"]) for one in told["memory"]["domains"]] == [("example.com", 2)]
        assert "the store is sound" in run(folder, "check").stderr
        assert "2 requests a month" in run(folder, "domains", "quota", "example.com", "--limit", "2").stderr
        assert "example.com" in run(folder, "domains", "list").stdout
        assert "version" in run(folder, "schema").stderr
        assert run(folder, "keys", "revoke", key.split("_")[1]).returncode == 0


def test_a_second_server_on_a_store_says_so(folder: Path) -> None:
    with serving(folder):
        refused = run(folder, "serve", "--grpc-address", "127.0.0.1:0")
    assert refused.returncode == 1
    assert "another process holds the embedded store" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr


def test_a_store_that_no_server_holds_says_so(folder: Path) -> None:
    with subprocess.Popen(
        [*PAGEROLES, "load", "-"], cwd=folder, env=environment(folder), stdin=subprocess.PIPE, text=True
    ) as loading:
        assert until((folder / "store" / "status").exists)
        assert until(lambda: "another process holds" in run(folder, "keys", "list").stderr)
        for command in (["load", "sessions.jsonl"], ["keys", "list"], ["schema"], ["serve"], ["backup", "copy"]):
            result = run(folder, *command)
            assert result.returncode == 1
            assert "another process holds the embedded store" in result.stderr
            assert "stop it first" in result.stderr
            assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        loading.communicate()


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("mysql://u:secret@h/d", "give chdb:///path/to/folder"),
        ("chdb://relative/path", "chdb:///path/to/folder"),
        ("chdb:///proc/nowhere", "can't use /proc/nowhere"),
        ("clickhouse://u:secret@127.0.0.1:1/d", "can't reach ClickHouse at clickhouse://u:…@127.0.0.1:1/d"),
    ],
)
def test_a_store_that_cannot_be_used_says_why(folder: Path, store: str, says: str) -> None:
    result = run(folder, "keys", "create", "--domain", "example.com", "--store", store)
    assert result.returncode == 1
    assert says in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_taken_port_says_so(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run(folder, "serve", "--grpc-address", address)
    assert result.returncode == 1
    assert f"can't serve at {address}" in result.stderr


@pytest.mark.usefixtures("empty_store")
def test_keys_are_made_listed_and_revoked(standin: StandIn) -> None:
    """In this process: eight of their own would take ten seconds."""

    def keys(*args: str) -> Result:
        env = {"PAGEROLES_STORE": standin.dsn, "COLUMNS": "200", "NO_COLOR": "1"}
        return CliRunner().invoke(app, ["keys", *args], env=env)

    assert "give either" in keys("create", "--domain", "a.example", "--all-domains").stderr
    assert "give either" in keys("create").stderr
    key_id = keys("create", "--domain", "a.example").stdout.split("_")[1]
    assert keys("create", "--all-domains").exit_code == 0
    assert (keys("revoke", key_id).exit_code, keys("revoke", key_id).exit_code) == (0, 0)
    listed = keys("list").stdout
    assert key_id in listed
    assert "all domains" in listed
    unknown = keys("revoke", "nope")
    assert unknown.exit_code == 1
    assert "keys list" in str(unknown.exception)


def test_the_schema_is_printed_and_applied(folder: Path) -> None:
    printed = run(folder, "schema", "--print").stdout
    assert "CREATE TABLE IF NOT EXISTS sessions" in printed
    assert not (folder / "store").exists()
    assert run(folder, "schema").returncode == 0
    assert run(folder, "schema").returncode == 0


def test_the_demo_answers_and_ends(folder: Path) -> None:
    demo = ["demo", "--once", "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--sessions", "5000"]
    result = run(folder, *demo)
    assert result.returncode == 0, result.stderr
    assert "5,000 sessions" in result.stdout
    assert "https://example.com" in result.stdout
    assert "curl -X POST http://127.0.0.1:" in result.stdout
    assert "the explorer at http://127.0.0.1:" in result.stdout
    assert run(folder, *demo).returncode == 0
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("dear")
    refused = run(folder, *demo, "--folder", "mine")
    assert refused.returncode == 1
    assert "no demo made" in refused.stderr
    assert (folder / "mine" / "thesis.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (
            "pageroles ",
            set(COMMANDS),
        ),
        ("pageroles ke", {"keys"}),
        ("pageroles keys ", {"create", "list", "revoke"}),
        ("pageroles report --t", {"--target", "--touch-scope", "--timeout", "--term", "--tls"}),
        ("pageroles version --", {"--help"}),
    ],
)
def test_a_shell_completes_commands_and_options(folder: Path, words: str, offers: set[str]) -> None:
    """As the script of `--show-completion` asks for them."""
    completed = complete(
        folder, _PAGEROLES_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )
    assert set(completed.split()) == offers


def test_the_completion_script_asks_the_command(folder: Path) -> None:
    assert "_PAGEROLES_COMPLETE=complete_bash" in complete(folder, _PAGEROLES_COMPLETE="source_bash")
    assert "--show-completion" in run(folder, "--help").stdout


def complete(folder: Path, **variables: str) -> str:
    """Run the command as a shell does for its completion; return what it offers."""
    done = subprocess.run(
        PAGEROLES, cwd=folder, env={**environment(folder), **variables},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def options() -> Iterator[tuple[str, Any]]:
    """Yield each option and argument of each command, with the words that lead to it."""
    waiting: list[tuple[str, Any]] = [("pageroles", typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        yield from ((f"{words} {param.opts[0]}", param) for param in command.params)
        if isinstance(command, TyperGroup):
            context = typer.Context(command)
            names = command.list_commands(context)
            waiting += [(f"{words} {name}", command.get_command(context, name)) for name in names]


def test_every_option_says_what_it_is_and_its_default_and_unit_once() -> None:
    seen = list(options())
    assert len(seen) > 40
    for words, option in seen:
        assert option.help, words
        assert "default" not in option.help.lower(), f"{words}: the default is shown beside the help"
    timed = {option.name for _, option in seen if option.help.endswith("in seconds.")}
    assert timed == {"grace", "max_seconds", "timeout", "wait_for_store"}


def settings_of_the_page() -> dict[str, str]:
    """Return the variables and defaults of the table of settings in docs/operating.md."""
    page = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
    (section,) = re.findall(
        r"^## Settings$(.*?)^## ", (page / "docs/operating.md").read_text(), re.DOTALL | re.MULTILINE
    )
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("|` "): row[1].strip() for row in rows}


def test_the_page_has_each_variable_of_an_option_and_no_other() -> None:
    told = settings_of_the_page()
    variables: dict[str, list[tuple[str, Any]]] = {}
    for words, option in options():
        if option.envvar:
            variables.setdefault(option.envvar, []).append((words, option))
            assert option.show_envvar, f"the help of {words} does not name its variable"
            assert option.envvar == f"PAGEROLES_{words.rpartition('--')[2].upper().replace('-', '_')}", words
    assert set(told) == set(variables)
    for variable, named in variables.items():
        for words, option in named:
            # A default that is worked out is described beside the option.
            default = option.show_default if isinstance(option.show_default, str) else option.default
            if default is not None:
                shown = f"{default:g}" if isinstance(default, float) else str(default)
                assert shown in told[variable].replace("`", ""), f"{words}: {shown}"


def test_a_variable_sets_the_option_unless_the_option_is_given(folder: Path) -> None:
    variables = {"PAGEROLES_TARGET": "127.0.0.1:1", "PAGEROLES_KEY": "k", "PAGEROLES_LOG_LEVEL": "none"}
    done = subprocess.run(
        [*PAGEROLES, "report"], cwd=folder, env={**environment(folder), **variables}, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "there is no level 'none'" in done.stderr
    done = subprocess.run(
        [*PAGEROLES, "--log-level", "info", "report"], cwd=folder, env={**environment(folder), **variables},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, "UNAVAILABLE" in done.stderr) == (1, True)


def test_the_demo_logs_what_it_is_told_to(folder: Path) -> None:
    demo = ["demo", "--once", "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--sessions", "1000"]
    quiet, told = run(folder, *demo), run(folder, "--log-level", "info", *demo)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert [json.loads(line)["event"] for line in told.stderr.splitlines()] == ["request"]


def test_help_names_the_commands_and_the_variables(folder: Path) -> None:
    assert {"demo", "load", "serve", "keys", "report", "schema"} <= set(run(folder, "--help").stdout.split())
    assert "PAGEROLES_STORE" in run(folder, "serve", "--help").stdout
    assert run(folder, "--version").stdout.startswith("pageroles ")


def on_disk(folder: Path, text: str) -> bool:
    return any(text.encode() in path.read_bytes() for path in (folder / "store").rglob("*") if path.is_file())


def test_erase_asks_before_it_erases_all_of_a_domain(folder: Path) -> None:
    secret = "q7Zx-9Kfw_2Lmv"  # as ClickHouse's compression leaves it
    view = {"url": f"https://example.com/{secret}", "viewed_at": "2025-07-03T10:00:00Z"}
    lines = [
        {**SESSION, "page_views": [view]},
        {**SESSION, "session_id": "s2", "user_id": "u2", "started_at": "2025-07-04T10:00:00Z"},
        {**SESSION, "session_id": "s3", "user_id": "u3", "started_at": "2025-07-05T10:00:00Z"},
        {**SESSION, "session_id": "s4", "user_id": "u3", "started_at": "2025-07-06T10:00:00Z"},
    ]
    assert run(folder, "load", "-", text="\n".join(map(json.dumps, lines))).returncode == 0
    assert on_disk(folder, secret)

    def erase(*args: str, text: str = "") -> str:
        result = run(folder, "erase", "--domain", "example.com", *args, text=text)
        assert result.returncode == 0, result.stderr
        return result.stderr.removeprefix("Erase all sessions of example.com? [y/N]:").strip()

    assert erase("--user", "u1") == "1 session of 1 user erased"
    assert not on_disk(folder, secret), "ClickHouse's old parts are gone, too"
    assert erase("--user", "u1") == "nothing to erase: no such session of example.com is stored"
    assert erase("--before", "2025-07-05") == "1 session of 1 user erased"
    assert erase("--session", "s3") == "1 session of 1 user erased"
    assert erase(text="n\n") == "nothing was erased"
    assert erase(text="y\n") == "1 session of 1 user erased"
    assert erase() == "nothing to erase: no sessions of example.com are stored"
    assert erase("--yes") == "nothing to erase: no sessions of example.com are stored"


def test_erase_all_without_asking(folder: Path) -> None:
    assert run(folder, "load", "-", text=json.dumps(SESSION)).returncode == 0
    result = run(folder, "erase", "--domain", "example.com", "--yes")
    assert (result.returncode, result.stderr.strip()) == (0, "1 session of 1 user erased")


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--user", "u1"], 2, "--domain"),
        (["--domain", "a.com", "--before", "yesterday"], 1, "before: can't read 'yesterday' as a date"),
        (["--domain", "a.com", "--before", "2025-02-30"], 1, "there is no date"),
    ],
)
def test_erase_refuses_what_it_cannot_read(folder: Path, args: list[str], code: int, says: str) -> None:
    result = run(folder, "erase", *args)
    assert result.returncode == code
    assert says in result.stderr


def test_a_server_erases_what_is_too_old(folder: Path) -> None:
    assert run(folder, "load", "-", text=json.dumps(SESSION)).returncode == 0
    with serving(folder, "--keep-days", "30", "--keep-days", "other.com=3000") as (process, _):
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
    assert (line["event"], line["sessions"], line["level"]) == ("old sessions erased", 1, "info")
    assert "no session" in run(folder, "erase", "--domain", "example.com").stderr


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("0", "'0' is no number of days; give 1 to 36500, alone or as DOMAIN=DAYS"),
        ("a.com=soon", "'a.com=soon' is no number of days"),
        ("=5", "'=5' is no number of days"),
        ("a.com=5 a.com=6", "the days of a.com are given twice"),
        ("5 6", "the days of all other domains are given twice"),
    ],
)
def test_days_that_cannot_be_kept_are_refused(folder: Path, given: str, says: str) -> None:
    result = run(folder, "serve", *(part for text in given.split() for part in ("--keep-days", text)))
    assert result.returncode == 2
    assert says in " ".join(result.stderr.replace("│", " ").split())
