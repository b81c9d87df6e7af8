"""The stand-in for a ClickHouse server, as the real client sees it."""

from __future__ import annotations

import contextlib
import io
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import pytest
import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError, StreamFailureError

from support import clickhouse_standin
from support.clickhouse_standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

USER = "reports"
PASSWORD = "it's a : / @ sécret"
MILLION = "SELECT number, toString(number) AS text, repeat('x', 50) AS pad FROM numbers(1000000)"
ENDLESS = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"
THOUSAND = "SELECT number FROM numbers(1000)"
# In Native: the numbers of columns and rows, name and type, and eight bytes a row.
THOUSAND_BYTES = 1 + 2 + 7 + 7 + 8000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with StandIn.start(tmp_path_factory.mktemp("server"), user=USER, password=PASSWORD) as started:
        yield started


@pytest.fixture
def standin(server: StandIn) -> Iterator[StandIn]:
    yield server
    server.faults(None)


@pytest.fixture
def client(standin: StandIn) -> Iterator[Client]:
    with contextlib.closing(connect(standin)) as opened:
        yield opened


def connect(standin: StandIn, **options: Any) -> Client:
    options = {"autogenerate_session_id": False, "compress": False} | options
    return clickhouse_connect.get_client(dsn=standin.dsn, **options)


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    client.command("CREATE TABLE plain (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    yield "plain"
    client.command("DROP TABLE plain")


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def count(client: Client, table: str) -> int:
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])  # noqa: S608


# ---- the interface ----


def test_client_shakes_hands(standin: StandIn, client: Client) -> None:
    assert str(client.server_version).startswith("26.")
    assert client.database == "default"
    assert client.ping()
    assert client.query("SELECT 1 AS one, 'x' AS two").result_rows == [(1, "x")]
    assert client.query("SELECT 1 AS one LIMIT 0").column_names == ("one",)
    assert client.command("SELECT 7") == 7
    assert standin.stats()["seen"][-1] == "SELECT 7"


@pytest.mark.parametrize(
    "text", ["it's", "two\nlines\r\n", "tab\tand \\ and \x00", "größe 日本 😀", "{x:String}", "", "%41&=+"]
)
def test_text_parameters_come_through(client: Client, text: str) -> None:
    rows = client.query("SELECT {x:String}, {y:Array(String)}", parameters={"x": text, "y": [text, "'"]}).result_rows
    assert rows == [(text, [text, "'"])]


def test_large_parameters_go_in_a_form(client: Client) -> None:
    values = [f"'\r\n--{number}-ü" for number in range(20_000)]
    rows = client.query("SELECT {x:Array(String)}, {n:Int8}", parameters={"x": values, "n": -3}).result_rows
    assert rows == [(values, -3)]


def test_settings_hold_for_their_query(client: Client) -> None:
    settings = {"log_comment": "it's & \\ 1", "max_block_size": 17}
    read = "SELECT getSetting('log_comment'), getSetting('max_block_size')"
    assert client.query(read, settings=settings).result_rows == [("it's & \\ 1", 17)]
    assert client.query(read).result_rows[0][0] == ""


@pytest.mark.parametrize("stream", [False, True])
def test_time_ends_a_query(client: Client, stream: bool) -> None:
    run = client.raw_stream if stream else client.raw_query
    with pytest.raises(DatabaseError, match="TIMEOUT_EXCEEDED") as caught:
        run(ENDLESS, fmt="Native", settings={"max_execution_time": 0.2})
    assert caught.value.code == 159


def test_databases_are_apart(standin: StandIn, client: Client) -> None:
    client.command("CREATE DATABASE other")
    with contextlib.closing(connect(standin, database="other")) as other:
        assert other.query("SELECT currentDatabase()").result_rows == [("other",)]
    with pytest.raises(DatabaseError, match="Code: 81"):
        client.query("SELECT 1", settings={"database": "nowhere"})


@pytest.mark.parametrize(
    ("sql", "settings", "code"),
    [
        ("SELECT * FROM nowhere", {}, 60),
        ("SELEC 1", {}, 62),
        ("1 + 1", {}, 62),
        ("SELECT toUInt8('words')", {}, 6),
        ("SELECT throwIf(number = 9) FROM numbers(10)", {}, 395),
        ("SELECT groupArray(number) FROM numbers(10000000)", {"max_memory_usage": 1_000_000}, 241),
        ("CREATE TABLE t (a UInt8) ENGINE = Memory", {"readonly": 2}, 164),
        ("SELECT 1", {"no_such_setting": 1}, 115),
        ("SELECT 1", {"max_execution_time": "soon"}, 72),
    ],
)
def test_errors_carry_their_code(client: Client, sql: str, settings: dict[str, Any], code: int) -> None:
    with pytest.raises(DatabaseError, match=f"Code: {code}. DB::Exception") as caught:
        client.raw_query(sql, settings=settings)
    assert caught.value.code == code


@pytest.mark.parametrize("dsn", [{USER: "nobody"}, {"cret": "guess"}])
def test_strangers_stay_out(standin: StandIn, dsn: dict[str, str]) -> None:
    ((old, new),) = dsn.items()
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED") as caught:
        clickhouse_connect.get_client(dsn=standin.dsn.replace(old, new))
    assert caught.value.code == 516


def test_login_may_be_in_headers(standin: StandIn) -> None:
    login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD.encode()}
    url = f"http://127.0.0.1:{standin.port}/?query=SELECT+1"
    with urllib3.PoolManager() as pool:
        assert pool.request("GET", url, headers=login).data == b"1\n"  # type: ignore[arg-type]
        assert pool.request("GET", url).status == 403


# ---- inserts ----


def test_view_and_final_see_an_insert(client: Client) -> None:
    client.command("CREATE TABLE latest (a UInt64, s String) ENGINE = ReplacingMergeTree ORDER BY a")
    client.command("CREATE TABLE doubled (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.command("CREATE MATERIALIZED VIEW doubling TO doubled AS SELECT a * 2 AS n FROM latest")
    for text in ("first", "it's\nlast"):
        client.raw_insert("latest", insert_block=b'{"a":1,"s":"other"}\n', fmt="JSONEachRow")
        client.insert("latest", [[5, text]], column_names=["a", "s"])
    assert client.query("SELECT a, s FROM latest FINAL ORDER BY a").result_rows == [(1, "other"), (5, "it's\nlast")]
    assert client.query("SELECT n FROM doubled ORDER BY n").result_rows == [(2,), (2,), (10,), (10,)]


@pytest.mark.parametrize("compress", [False, "gzip", "zstd", "lz4"])
def test_packed_inserts_arrive_whole(standin: StandIn, table: str, compress: str | bool) -> None:
    # More than one block, so that more than one pack.
    rows = [[number, f"text {number}"] for number in range(150_000)]
    with contextlib.closing(connect(standin, compress=compress)) as client:
        summary = client.insert(table, rows, column_names=["a", "s"])
        assert summary.written_rows == len(rows)
        assert client.query(f"SELECT count(), uniqExact(a, s) FROM {table}").result_rows == [(len(rows), len(rows))]  # noqa: S608


@pytest.mark.parametrize("fmt", ["JSONEachRow", "Native", "Parquet", "TabSeparated", "Values"])
def test_what_is_read_can_be_inserted(client: Client, table: str, fmt: str) -> None:
    made = "SELECT number AS a, concat('\n\t\\\\', toString(number)) AS s FROM numbers(70000)"
    data = client.raw_query(made, fmt=fmt)
    assert isinstance(data, bytes)
    client.raw_insert(table, ["a", "s"], insert_block=data, fmt=fmt)
    # From a file it is sent in chunks, with the statement in the URL.
    client.raw_insert(table, ["a", "s"], insert_block=io.BytesIO(data), fmt=fmt)
    once = client.query(f"SELECT sum(sipHash64(a, s)) FROM ({made})").result_rows[0][0]  # noqa: S608
    rows = client.query(f"SELECT count(), sum(sipHash64(a, s)) FROM {table}").result_rows  # noqa: S608
    assert rows == [(140_000, 2 * once % 2**64)]


@pytest.mark.parametrize("refusing", ["guarded", "copied"])
def test_an_insert_that_fails_within_is_refused(client: Client, refusing: str) -> None:
    for name in ("guarded", "copied"):
        client.command(f"CREATE TABLE {name} (a UInt64) ENGINE = MergeTree ORDER BY a")
    client.command("CREATE MATERIALIZED VIEW copying TO copied AS SELECT a FROM guarded")
    client.command(f"ALTER TABLE {refusing} ADD CONSTRAINT small CHECK a < 5")
    with pytest.raises(DatabaseError, match="Constraint"):
        client.raw_insert("guarded", insert_block=b'{"a":7}', fmt="JSONEachRow")
    client.raw_insert("guarded", insert_block=b'{"a":4}', fmt="JSONEachRow")
    assert client.query("SELECT a FROM copied WHERE a = 4").result_rows == [(4,)]
    for name in ("copying", "guarded", "copied"):
        client.command(f"DROP TABLE {name} SYNC")


def test_rows_that_do_not_fit_are_refused(client: Client, table: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert(table, insert_block=b'{"a":1,"s":"x"}\n{"a":"one"}\n', fmt="JSONEachRow")
    assert caught.value.code == 27
    assert count(client, table) == 0


# ---- streams ----


def test_stream_starts_early_and_is_whole(standin: StandIn, client: Client) -> None:
    stream: Any = client.raw_stream(MILLION, fmt="Native")
    with contextlib.closing(stream):
        assert stream.headers["X-ClickHouse-Format"] == "Native"
        start = stream.read(100)
        # The sockets hold a part of it only: the query goes on while its start is here.
        assert [query["sql"].split("\n")[0] for query in standin.stats()["running"]] == [MILLION]
        rest = stream.read()
    assert start + rest == client.raw_query(MILLION, fmt="Native")
    assert len(start + rest) > 60_000_000
    wait_until(lambda: standin.stats()["running"] == [])


def test_streams_run_side_by_side(client: Client) -> None:
    def read(number: int) -> int:
        stream: Any = client.raw_stream("SELECT {n:Int8} FROM numbers(200000)", {"n": number}, fmt="TabSeparated")
        with contextlib.closing(stream):
            return len(set(stream.read().split()))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(16))) == [1] * 16


def test_error_within_a_stream_is_told(client: Client) -> None:
    sql = "SELECT throwIf(number = 900000), number FROM numbers(1000000)"
    with pytest.raises(StreamFailureError, match="FUNCTION_THROW_IF") as caught, client.query_rows_stream(sql) as rows:
        list(rows)
    assert caught.value.code == 395
    body, tag = read_broken(client, sql)
    assert body.count(tag) == 2
    assert body.endswith(tag + b"\r\n__exception__\r\n")
    said = body.split(b"\r\n__exception__\r\n")[1].removeprefix(tag + b"\r\n")
    assert int(said.split()[-2]) == len(said) - len(said.split(b"\n")[-1])
    with pytest.raises(DatabaseError):  # where the client waits for the end, the status says so
        client.raw_query(sql, fmt="Native")


def read_broken(client: Client, sql: str) -> tuple[bytes, bytes]:
    """Read a stream until it breaks; what came of it, and the tag of its exception."""
    stream: Any = client.raw_stream(sql, fmt="Native")
    body = io.BytesIO()
    with contextlib.closing(stream), pytest.raises(urllib3.exceptions.ProtocolError, match="ended prematurely"):
        body.writelines(stream.stream(1000))
    return body.getvalue(), stream.headers["X-ClickHouse-Exception-Tag"].encode()


@pytest.mark.parametrize("where", ["query_id = {id:String}", "Settings['log_comment'] = {id:String}"])
def test_kill_finds_a_query(standin: StandIn, client: Client, where: str) -> None:
    found = "SELECT count() FROM system.processes WHERE query_id = 'ours'"
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(client.query, ENDLESS, settings={"query_id": "ours", "log_comment": "ours"})
        wait_until(lambda: bool(client.query(found).result_rows == [(1,)]))
        assert [query["query_id"] for query in standin.stats()["running"]] == ["ours"]
        client.command(f"KILL QUERY WHERE {where} ASYNC", parameters={"id": "ours"})
        with pytest.raises(DatabaseError, match="QUERY_WAS_CANCELLED") as caught:
            endless.result(20)
    assert caught.value.code == 394


@pytest.mark.parametrize("sql", ["SELECT number FROM numbers(100000000000)", ENDLESS])
def test_query_ends_when_its_client_hangs_up(standin: StandIn, client: Client, sql: str) -> None:
    before = standin.stats()["cancelled"]
    with contextlib.closing(connect(standin, send_receive_timeout=1)) as hasty:
        if sql == ENDLESS:
            with pytest.raises(OperationalError, match="Read timed out"):
                hasty.raw_stream(sql, fmt="Native")
        else:
            stream: Any = hasty.raw_stream(sql, fmt="Native")
            assert len(stream.read(1000)) == 1000
            stream.close()
    wait_until(lambda: standin.stats()["running"] == [])
    assert standin.stats()["cancelled"] == before + 1
    others = "SELECT count() FROM system.processes WHERE query LIKE '%000000000)%' AND query NOT LIKE '%processes%'"
    wait_until(lambda: bool(client.query(others).result_rows == [(0,)]))


# ---- faults ----


@pytest.mark.parametrize("mode", ["refuse", "drop", "503"])
def test_reads_outlive_a_short_fault(standin: StandIn, client: Client, mode: str) -> None:
    before = standin.stats()["queries"]
    standin.faults(mode, match="numbers(1000)", times=2)
    assert client.query(THOUSAND).row_count == 1000
    assert standin.stats()["queries"] == before + 3


@pytest.mark.parametrize(
    ("mode", "text"), [("refuse", "without response"), ("drop", "without response"), ("503", "503")]
)
def test_reads_fail_under_a_long_fault(standin: StandIn, client: Client, mode: str, text: str) -> None:
    before = standin.stats()["queries"]
    standin.faults(mode, match="numbers")
    for run in (client.query, client.raw_query, client.raw_stream):
        with pytest.raises(OperationalError, match=text):
            run(THOUSAND)
    assert standin.stats()["queries"] == before + 9  # three tries each


@pytest.mark.parametrize("mode", ["refuse", "drop", "503", "500"])
def test_faults_without_a_match_meet_all(standin: StandIn, client: Client, mode: str) -> None:
    standin.faults(mode)
    assert not client.ping()
    with pytest.raises(ClickHouseError):
        connect(standin)
    with pytest.raises(ClickHouseError):
        client.raw_insert("plain", insert_block=b"{}", fmt="JSONEachRow")


def test_drop_runs_the_query(standin: StandIn, client: Client, table: str) -> None:
    # The client sends an insert again when its connection breaks, and can't know that it was done.
    standin.faults("drop", match="INSERT", times=1)
    client.raw_insert(table, insert_block=b'{"a":1,"s":"x"}', fmt="JSONEachRow")
    assert count(client, table) == 2
    standin.faults("refuse", match="INSERT", times=1)
    client.raw_insert(table, insert_block=b'{"a":1,"s":"x"}', fmt="JSONEachRow")
    assert count(client, table) == 3


def test_error_on_demand(standin: StandIn, client: Client) -> None:
    standin.faults("500", match="numbers", times=1, code=202)
    with pytest.raises(DatabaseError, match="FAULT_ON_DEMAND") as caught:
        client.query(THOUSAND)
    assert caught.value.code == 202
    assert client.query(THOUSAND).row_count == 1000


def test_hang_answers_nothing(standin: StandIn) -> None:
    before = standin.stats()["cancelled"]
    with contextlib.closing(connect(standin, send_receive_timeout=1)) as hasty:
        standin.faults("hang", match="numbers")
        with pytest.raises(OperationalError, match="Read timed out"):
            hasty.query(THOUSAND)
    wait_until(lambda: standin.stats()["cancelled"] == before + 1)


@pytest.mark.parametrize("after_bytes", [0, 1000, 100_000])
@pytest.mark.parametrize(
    ("mode", "text", "code"),
    [("cut", "connection closed by server", None), ("exception_midstream", "Code: 159", 159)],
)
def test_answers_break_off(
    standin: StandIn, client: Client, mode: str, text: str, code: int | None, after_bytes: int
) -> None:
    standin.faults(mode, match="numbers", after_bytes=after_bytes, code=159)
    body, tag = read_broken(client, THOUSAND)
    answer, _, said = body.partition(b"\r\n__exception__\r\n" + tag)
    assert (len(answer), bool(said)) == (min(after_bytes, THOUSAND_BYTES), code is not None)
    with pytest.raises(OperationalError, match="IncompleteRead"):
        client.raw_query(THOUSAND, fmt="Native")
    with pytest.raises(StreamFailureError, match=text) as caught:
        _ = client.query(THOUSAND).result_rows  # read no sooner than here
    assert caught.value.code == code


def test_slow_sends_pieces(standin: StandIn, client: Client) -> None:
    whole = client.raw_query(THOUSAND, fmt="Native")
    standin.faults("slow", match="numbers", after_bytes=2000, seconds=0.02)
    stream: Any = client.raw_stream(THOUSAND, fmt="Native")
    with contextlib.closing(stream):
        pieces = list(stream.stream())
    assert [len(piece) for piece in pieces] == [2000] * 4 + [THOUSAND_BYTES - 8000]
    assert b"".join(pieces) == whole


def test_unknown_faults_are_refused(standin: StandIn) -> None:
    with pytest.raises(ValueError, match="no fault 'fire'"):
        standin.faults("fire")


def test_folder_is_held_and_kept(tmp_path: Path) -> None:
    with StandIn.start(tmp_path) as standin, contextlib.closing(connect(standin)) as client:
        client.command("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO kept VALUES (1)")
        with pytest.raises(RuntimeError, match="did not start"):
            StandIn.start(tmp_path)
    with StandIn.start(tmp_path) as standin, contextlib.closing(connect(standin)) as client:
        assert count(client, "kept") == 1


def test_command_serves_until_it_is_ended(tmp_path: Path) -> None:
    command = [*clickhouse_standin.COMMAND, "--path", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, cwd=clickhouse_standin.FOLDER, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, port = process.stdout.readline().split()
        assert word == "READY"
        dsn = f"clickhouse://127.0.0.1:{port}"
        with contextlib.closing(clickhouse_connect.get_client(dsn=dsn, autogenerate_session_id=False)) as client:
            assert client.command("SELECT 1") == 1
        process.terminate()
        assert process.wait(20) == 0
