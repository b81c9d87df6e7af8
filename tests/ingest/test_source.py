"""Every kind of source gives its rows, or one sentence before anything is loaded."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pageroles.command import traffic
from pageroles.ingest import loader
from support.fakes import FakeStore, rejects_of, session


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_standard_input(folder: Path) -> None:
    store = FakeStore()
    summary = loader.load(store, ["-"], stdin=io.BytesIO(session(1) + b"\nbad\n"))
    assert list(store.content) == ["1"]
    assert summary.files[0].rejects == Path("stdin.rejected.jsonl")
    assert rejects_of(folder / "stdin")[0]["line"] == 2


def test_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with subprocess.Popen(["sh", "-c", "cat > pipe"], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(session(1))
        writer.stdin.close()
        assert loader.load(FakeStore(), ["pipe"]).loaded == 1


@pytest.mark.parametrize("name", ["sessions.jsonl.gz", "sessions.jsonl"])
def test_gzip_is_seen_by_its_content(folder: Path, name: str) -> None:
    packed = gzip.compress(session(1)) + gzip.compress(b"\n" + session(2))
    (folder / name).write_bytes(packed)
    store = FakeStore()
    seen: list[loader.Progress] = []
    loader.load(store, [name], report=seen.append)
    assert list(store.content) == ["1", "2"]
    assert seen[-1] == loader.Progress(name, len(packed), len(packed), 2, 0)
    assert loader.load(FakeStore(), ["-"], stdin=io.BytesIO(packed)).loaded == 2


def test_a_byte_order_mark_is_no_part_of_the_first_row() -> None:
    text = b"\xef\xbb\xbf" + session(1) + b"\n\xef\xbb\xbf" + session(2)
    summary = loader.load_chunks(FakeStore(), [text])
    assert (summary.loaded, summary.rejected) == (1, 1)


def test_a_truncated_gzip_loads_what_can_be_read(folder: Path) -> None:
    text = b"\n".join(session(name, referrer=f"https://example.org/{name**5}") for name in range(2_000))
    (folder / "cut.gz").write_bytes(gzip.compress(text)[:-2_000])
    store = FakeStore()
    with pytest.raises(loader.LoadError, match=r"^cut\.gz broke off after [\d,]+ rows, which are loaded: "):
        loader.load(store, ["cut.gz"])
    assert 0 < len(store.rows) < 2_000


def test_all_sources_are_checked_before_the_first_is_read(folder: Path) -> None:
    (folder / "good.jsonl").write_bytes(session(1))
    (folder / "good.jsonl.rejected.jsonl").write_bytes(session(2))
    (folder / "folder").mkdir()
    (folder / "false.parquet").write_bytes(b"PAR1 and no more")
    (folder / "named.pq").write_bytes(session(1))
    (folder / "again.jsonl").symlink_to(folder / "good.jsonl")
    for names, sentence in (
        (["good.jsonl", "none.jsonl"], r"^none\.jsonl can't be read: No such file or directory$"),
        (["good.jsonl", "folder"], r"^folder can't be read: Is a directory$"),
        (["good.jsonl", "false.parquet"], r"^false\.parquet can't be read as Parquet: "),
        (["good.jsonl", "named.pq"], r"^named\.pq can't be read as Parquet: "),
        (["good.jsonl", "./good.jsonl"], r"^\./good\.jsonl is given twice$"),
        (["good.jsonl", "again.jsonl"], r"^again\.jsonl is given twice$"),
        (["-", "-"], r"^- is given twice$"),
        (["good.jsonl.rejected.jsonl", "good.jsonl"], r"rejected\.jsonl is where rejects of good\.jsonl go"),
    ):
        store = FakeStore()
        with pytest.raises(loader.LoadError, match=sentence):
            loader.load(store, names, stdin=io.BytesIO())
        assert not store.batches
    assert (folder / "good.jsonl.rejected.jsonl").read_bytes() == session(2)


def test_rejects_that_cannot_be_written_stop_the_load(folder: Path) -> None:
    (folder / "bad.jsonl").write_bytes(session(1) + b"\nbad")
    (folder / "bad.jsonl.rejected.jsonl").mkdir()
    store = FakeStore()
    with pytest.raises(loader.LoadError, match=r"^bad\.jsonl\.rejected\.jsonl is of an earlier load"):
        loader.load(store, ["bad.jsonl"])
    with pytest.raises(loader.LoadError, match=r"^rejected rows can't be written to none/"):
        loader.load_chunks(store, [session(1) + b"\nbad"], name="none/chunks")
    assert not store.batches


def test_parquet_gives_the_same_rows_as_json_lines(folder: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    text = b"".join(traffic.sessions(5_000, seed=3, end=datetime(2025, 7, 31, tzinfo=UTC), days=20))
    (folder / "sessions.jsonl").write_bytes(text)
    expected = FakeStore()
    loader.load(expected, ["sessions.jsonl"])

    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        record["started_at"] = datetime.fromisoformat(record["started_at"])
        for view in record["page_views"]:
            view["viewed_at"] = datetime.fromisoformat(view["viewed_at"])
        for conversion in record["conversions"]:
            conversion["occurred_at"] = datetime.fromisoformat(conversion["occurred_at"])
    word = arrow.dictionary(arrow.int32(), arrow.string())
    for at, text_type, word_type, list_of in (
        (arrow.timestamp("ms"), arrow.string(), arrow.string(), arrow.list_),
        (arrow.timestamp("us", "UTC"), arrow.large_string(), word, arrow.large_list),
        (arrow.timestamp("ns", "Europe/Berlin"), arrow.string(), word, arrow.list_),
        (arrow.string(), arrow.string(), arrow.string(), arrow.list_),
    ):
        view = arrow.struct([("viewed_at", at), ("url", text_type)])
        conversion = arrow.struct([("url", text_type), ("type", text_type), ("id", text_type), ("occurred_at", at)])
        schema = arrow.schema(
            [(name, text_type) for name in ("domain", "session_id", "user_id", "referrer")]
            + [(name, word_type) for name in records[0] if name.startswith(("utm", "source", "medium"))]
            + [("started_at", at), ("page_views", list_of(view)), ("conversions", list_of(conversion))]
        )
        given = records if arrow.types.is_timestamp(at) else [json.loads(line) for line in text.splitlines()]
        kept = [{name: value for name, value in record.items() if name in schema.names} for record in given]
        parquet.write_table(arrow.Table.from_pylist(kept, schema=schema), "sessions.parquet")
        store = FakeStore()
        seen: list[loader.Progress] = []
        assert loader.load(store, ["sessions.parquet"], report=seen.append).rejected == 0
        assert seen[-1].read == seen[-1].total == Path("sessions.parquet").stat().st_size
        missing = set(expected.rows[0]) - set(schema.names)
        assert all("." in name for name in missing)
        assert list(map(plain, store.rows)) == [
            plain({name: value for name, value in row.items() if "." in name or name in schema.names})
            for row in expected.rows
        ]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its times as instants, whatever they were written as."""

    def instant(text: str) -> datetime:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    found = dict(row, started_at=instant(row["started_at"]))
    for name in ("page_views.viewed_at", "conversions.occurred_at"):
        found[name] = [instant(text) for text in row.get(name, [])]
    return found


def test_bad_rows_of_parquet_are_told_by_their_number(folder: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    count = 10_000
    start = 1_751_500_000_000_000
    times = arrow.array([2**62 if at == 7 else start + at for at in range(count)], arrow.timestamp("us"))
    ids = arrow.array([b"\xff" if at == 9_001 else b"%d" % at for at in range(count)], arrow.binary())
    users = arrow.array([None if at == 5_000 else "" if at == 6_000 else "u" for at in range(count)])
    domains = arrow.array(["example.com"] * count)
    # A binary column seen as text: some writers don't check that it is UTF-8.
    ids = arrow.Array.from_buffers(arrow.string(), count, ids.buffers())
    columns = {"domain": domains, "session_id": ids, "user_id": users, "started_at": times}
    parquet.write_table(arrow.table(columns), "bad.parquet")
    store = FakeStore()
    summary = loader.load(store, ["bad.parquet"])
    assert (summary.loaded, summary.rejected) == (count - 4, 4)
    reasons = {row["line"]: row["reason"] for row in rejects_of(folder / "bad.parquet")}
    assert reasons.pop(8).startswith("started_at must be a time")
    assert reasons == {
        5_001: "user_id must be a non-empty string, not null",
        6_001: "user_id must not be empty",
        9_002: "not valid UTF-8",
    }
    assert json.loads(rejects_of(folder / "bad.parquet")[2]["row"])["session_id"] == "6000"


def test_parquet_with_the_wrong_columns_is_refused_as_a_whole(folder: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    good = {"domain": ["d"], "session_id": ["s"], "user_id": ["u"], "started_at": ["2025-07-03T10:00:00Z"]}
    for change, sentence in (
        ({"user_id": None}, "user_id is missing; it must be a non-empty string"),
        ({"user_id": [1]}, "user_id must hold strings, not int64"),
        ({"started_at": [1751500000]}, "started_at must hold timestamps or strings, not int64"),
        ({"pageviews": ["x"]}, "unknown field 'pageviews'; did you mean page_views?"),
        ({"page_views": ["x"]}, "page_views must be a list of structs, not string"),
        ({"page_views": [[{"url": "/"}]]}, "page_views.viewed_at is missing; it must be a time with"),
        ({"conversions": [[{"occurred_at": 7}]]}, "conversions.occurred_at must hold timestamps or strings, not int64"),
        ({"conversions": [[{"occurred_at": "", "tpye": ""}]]}, "unknown field 'conversions.tpye'; did you mean"),
    ):
        columns = {name: values for name, values in {**good, **change}.items() if values is not None}
        parquet.write_table(arrow.table(columns), "wrong.parquet")
        with pytest.raises(loader.LoadError) as caught:
            loader.load(FakeStore(), ["wrong.parquet"])
        assert str(caught.value).startswith(f"wrong.parquet: {sentence}")
    with pytest.raises(loader.LoadError, match="Parquet is read from a file only"):
        loader.load(FakeStore(), ["-"], stdin=io.BytesIO((folder / "wrong.parquet").read_bytes()))


def test_parquet_without_pyarrow_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sessions.parquet").write_bytes(b"PAR1")
    monkeypatch.delitem(sys.modules, "pageroles.ingest.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(loader.LoadError, match=r"pip install 'pageroles\[parquet\]'"):
        loader.load(FakeStore(), ["sessions.parquet"])


@pytest.mark.parametrize("name", ["sessions.jsonl.zst", "sessions.jsonl"])
def test_other_packings_and_encodings_are_seen_by_their_content(folder: Path, name: str) -> None:
    text = session(1, source="Bücher") + b"\n" + session(2)
    for packed in (bz2.compress(text), lzma.compress(text), text.decode().encode("utf-16")):
        (folder / name).write_bytes(packed)
        store = FakeStore()
        seen: list[loader.Progress] = []
        loader.load(store, [name], report=seen.append)
        assert store.content["1"]["source"] == "Bücher"
        assert seen[-1] == loader.Progress(name, len(packed), len(packed), 2, 0)


def test_rejects_among_the_sources_are_passed_over(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(session(1) + b"\nbad\n")
    (folder / "b.jsonl").write_bytes(session(2))

    def load_all() -> loader.LoadSummary:
        return loader.load(FakeStore(), sorted(str(path) for path in folder.glob("*.jsonl")))

    assert (load_all().loaded, load_all().loaded) == (2, 2)
    assert load_all().passed_over == (str(folder / "a.jsonl.rejected.jsonl"),)
    assert len(rejects_of(folder / "a.jsonl")) == 1
    (folder / "a.jsonl").unlink()
    assert load_all().passed_over == (str(folder / "a.jsonl.rejected.jsonl"),)
    with pytest.raises(
        loader.LoadError, match=r"^a\.jsonl\.rejected\.jsonl holds the rejected rows of an earlier load: "
    ):
        loader.load(FakeStore(), ["a.jsonl.rejected.jsonl"])
    with pytest.raises(loader.LoadError, match=r"^c\.rejected\.jsonl can't be read: No such file"):
        loader.load(FakeStore(), ["c.rejected.jsonl"])


def test_a_parquet_column_of_nulls_is_empty() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    needed = {"domain": ["d"], "session_id": ["s"], "user_id": ["u"], "started_at": ["2025-07-03T10:00:00Z"]}
    nothing = arrow.array([None], arrow.null())
    lists = arrow.array([[]], arrow.list_(arrow.null()))
    view = {"url": "/", "viewed_at": "2025-07-03T10:00:00Z"}
    for more in (
        {"source": nothing, "page_views": nothing, "conversions": nothing, "written_at": nothing},
        {"page_views": lists, "conversions": lists},
        {"conversions": arrow.array([[{"occurred_at": view["viewed_at"], "url": None, "id": None}]])},
    ):
        parquet.write_table(arrow.table({**needed, **more}), "nulls.parquet")
        store = FakeStore()
        assert loader.load(store, ["nulls.parquet"]).rejected == 0
        assert "source" not in store.content["s"]
    parquet.write_table(arrow.table({**needed, "page_views": arrow.array([[None]])}), "nulls.parquet")
    assert loader.load(FakeStore(), ["nulls.parquet"]).rejected == 1
    parquet.write_table(arrow.table({**needed, "started_at": nothing}), "nulls.parquet")
    assert loader.load(FakeStore(), ["nulls.parquet"]).rejected == 1


def test_unknown_columns_of_parquet_are_left_out_on_request() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    view = {"url": "/", "viewed_at": "2025-07-03T10:00:00Z", "title": "Home"}
    table = {
        "domain": ["d"] * 2, "user_id": ["u", ""], "started_at": ["2025-07-03T10:00:00Z"] * 2, "size": [7, 8],
        "session_id": ["s", "t"], "page_views": [[view], [view]],
    }  # fmt: skip
    parquet.write_table(arrow.table(table), "wide.parquet")
    with pytest.raises(loader.LoadError, match=r"unknown field '(size|page_views\.title)'"):
        loader.load(FakeStore(), ["wide.parquet"])
    store = FakeStore()
    summary = loader.load(store, ["wide.parquet"], ignore_unknown=True)
    assert (summary.loaded, summary.rejected, summary.files[0].ignored) == (1, 1, 1)
    assert store.content["s"]["page_views.url"] == ["/"]
