"""What becomes of every line: loaded, replaced, rejected or blank; in bounded memory."""

from __future__ import annotations

import io
import itertools
import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageroles.errors import StoreUnavailableError
from pageroles.ingest import lines, loader
from support.fakes import FakeStore, rejects_of, session

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- good rows, bad rows, blank lines ----


def test_good_rows_are_loaded_and_bad_ones_told(folder: Path) -> None:
    file = folder / "sessions.jsonl"
    lines = [session(1), b"", b"no json", session(2, user_id=""), b" \t\r", session(3)]
    file.write_bytes(b"\r\n".join(lines))
    store = FakeStore()
    summary = loader.load(store, [str(file)])
    assert list(store.content) == ["1", "3"]
    assert (summary.loaded, summary.replaced, summary.rejected) == (2, 0, 2)
    (told,) = summary.files
    assert (told.source, told.lines, told.blank) == (str(file), 6, 2)
    assert told.rejects == Path(f"{file}.rejected.jsonl")
    first, second = rejects_of(file)
    assert first["line"] == 3
    assert first["reason"].startswith("the row is not valid JSON: ")
    assert first["row"] == "no json"
    assert second == {"line": 4, "reason": "user_id must not be empty", "row": lines[3].decode()}


def test_rejects_of_an_earlier_load_go_away(folder: Path) -> None:
    file = folder / "sessions.jsonl"
    rejects = folder / "sessions.jsonl.rejected.jsonl"
    file.write_bytes(b"bad\nworse")
    assert loader.load(FakeStore(), [str(file)]).rejected == 2
    file.write_bytes(b"worse")
    assert loader.load(FakeStore(), [str(file)]).rejected == 1
    assert len(rejects_of(file)) == 1
    file.write_bytes(session(1))
    assert loader.load(FakeStore(), [str(file)]).files[0].rejects is None
    assert not rejects.exists()


def test_a_load_of_nothing_touches_nothing(folder: Path) -> None:
    (folder / "empty.jsonl").touch()
    (folder / "bad.jsonl").write_bytes(b"bad")
    store = FakeStore()
    assert loader.load(store, ["empty.jsonl", "bad.jsonl"]).loaded == 0
    assert not store.batches


def test_the_last_row_of_a_session_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 3)
    names = [1, 2, 1, 3, 2, 4, 4, 4, 1, 5]
    lines = [session(name, source=f"version {version}") for version, name in enumerate(names)]
    store = FakeStore()
    summary = loader.load_chunks(store, [b"\n".join(lines)])
    for batch in store.batches:
        assert len({row["session_id"] for row in batch}) == len(batch)
    assert {name: row["source"] for name, row in store.content.items()} == {
        "1": "version 8", "2": "version 4", "3": "version 3", "4": "version 7", "5": "version 9",
    }  # fmt: skip
    assert summary.loaded + summary.replaced == len(names)
    assert summary.loaded == len(store.rows)


def test_sessions_of_two_domains_do_not_replace_each_other() -> None:
    store = FakeStore()
    lines = [session(1), session(1, domain="example.org")]
    assert loader.load_chunks(store, [b"\n".join(lines)]).loaded == 2


# Not the first bytes of a line: a stream may begin with a byte order mark, or with the mark of gzip or Parquet.
good = st.integers(0, 20).map(lambda name: ("good", session(name)))
noise = st.binary(max_size=30).map(lambda raw: b"x" + raw.replace(b"\n", b"x"))
bad = (noise | st.sampled_from([session("", user_id=""), b'{"domain":"\xff"}'])).map(lambda raw: ("bad", raw))
blank = st.sampled_from([b"", b" ", b"\t\r", b"\r"]).map(lambda raw: ("blank", raw))


@given(st.lists(good | bad | blank, max_size=60), st.integers(1, 8), st.integers(1, 700), st.booleans())
def test_every_line_is_accounted_for(
    lines: list[tuple[str, bytes]], batch_rows: int, cut: int, end_of_line: bool
) -> None:
    kinds = ["blank" if not raw.strip() else kind for kind, raw in lines]
    text = b"".join(raw + b"\n" for _, raw in lines)
    if not end_of_line and kinds and lines[-1][1]:
        text = text[:-1]
    store = FakeStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "BATCH_ROWS", batch_rows)
        summary = loader.load_chunks(store, [text[at : at + cut] for at in range(0, len(text), cut)])
    (file,) = summary.files
    assert file.lines == len(lines)
    assert (file.blank, file.rejected) == (kinds.count("blank"), kinds.count("bad"))
    assert file.loaded + file.replaced == kinds.count("good")
    assert file.loaded == len(store.rows)
    assert set(store.content) == {json.loads(raw)["session_id"] for kind, raw in lines if kind == "good"}
    rejected = rejects_of(Path("chunks")) if file.rejects else []
    assert [row["line"] for row in rejected] == [at for at, kind in enumerate(kinds, 1) if kind == "bad"]
    assert all(len(batch) <= batch_rows for batch in store.batches)


# ---- bounds ----


def test_batches_are_bounded_by_rows_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 1_000)
    monkeypatch.setattr(loader, "BATCH_BYTES", 40_000)
    store = FakeStore()
    short = b"".join(session(name) + b"\n" for name in range(3_500))
    long = b"".join(session(name, referrer="x" * 8_000) + b"\n" for name in range(30))
    loader.load_chunks(store, [short[at : at + 999] for at in range(0, len(short), 999)])
    loader.load_chunks(store, [long])
    assert max(len(batch) for batch in store.batches) <= 1_000
    assert max(store.sizes) < 40_000 + 9_000
    assert len(store.rows) == 3_530


def test_reading_waits_for_a_slow_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 500)
    given = 0

    def chunks() -> Iterator[bytes]:
        nonlocal given
        for name in range(20_000):
            given += 1
            yield session(name) + b"\n"

    ahead: list[int] = []
    read_ahead = (1 << 16) // len(session(0)) + 1
    store = FakeStore(before_insert=lambda batches: ahead.append(given - batches * 500))
    assert loader.load_chunks(store, chunks()).loaded == 20_000
    # One batch is inserted, one waits, one is being filled; and one buffer of the stream.
    assert max(ahead) <= 3 * 500 + read_ahead


def test_an_endless_line_is_skipped_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1 << 20)
    longest = session(2, source="x")
    longest += b" " * ((1 << 20) - len(longest))
    tail = [b"y" * (1 << 16)] * 512
    chunks = itertools.chain(
        [session(1), b"\n", b'{"domain":"'], tail, [b"\n", longest, b"\n", longest, b" \n", session(3)]
    )
    store = FakeStore()
    tracemalloc.start()
    try:
        summary = loader.load_chunks(store, chunks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20  # of 32 MiB
    assert list(store.content) == ["1", "2", "3"]
    assert summary.files[0].lines == 5
    first, second = rejects_of(Path("chunks"))
    assert (first["line"], second["line"]) == (2, 4)
    assert first["reason"] == "the line has more than 1,048,576 bytes"
    assert first["row"] == '{"domain":"'.ljust(10_000, "y")


def test_the_text_of_a_bad_row_is_cut_and_readable() -> None:
    loader.load_chunks(FakeStore(), ["é".encode() * 30_000 + b"\n", b"\xff\xfe\n"])
    first, second = rejects_of(Path("chunks"))
    assert first["row"] == "é" * 10_000
    assert second["row"] == "\\xff\\xfe"


def test_progress_grows_and_ends_at_the_total(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 3_000)
    size = 0
    for name in ("a.jsonl", "b.jsonl"):
        text = b"".join(session(number) + b"\n" for number in range(12_000)) + b"bad"
        size += (folder / name).write_bytes(text)
    seen: list[loader.Progress] = []
    loader.load(FakeStore(), ["a.jsonl", "b.jsonl"], report=seen.append)
    for before, after in itertools.pairwise(seen):
        assert before.read <= after.read
        assert before.loaded <= after.loaded
    assert seen[-1] == loader.Progress("b.jsonl", size, size, 24_000, 2)
    seen.clear()
    loader.load(FakeStore(), ["a.jsonl", "-"], report=seen.append, stdin=io.BytesIO(b"bad"))
    assert {progress.total for progress in seen} == {None}


# ---- failures ----


def test_a_failing_store_ends_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 10)

    def fail_at_third(batches: int) -> None:
        if batches == 2:
            raise StoreUnavailableError("gone")

    store = FakeStore(fail_at_third)
    with pytest.raises(StoreUnavailableError, match="gone"):
        loader.load_chunks(store, [session(name) + b"\n" for name in range(1_000)])
    assert len(store.batches) == 2


def test_rejects_are_written_before_their_batch_is_inserted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 10)
    seen: list[int] = []
    rejects = Path("chunks.rejected.jsonl")
    # Reading goes on meanwhile, so the last line there may be incomplete.
    store = FakeStore(lambda _: seen.append(rejects.read_bytes().count(b"\n")))
    lines = [b"bad" if number % 2 else session(number) for number in range(100)]
    loader.load_chunks(store, [b"\n".join(lines)])
    assert all(count >= 9 + 10 * batch for batch, count in enumerate(seen))
    assert len(rejects_of(Path("chunks"))) == 50
