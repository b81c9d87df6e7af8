"""What becomes of every line: loaded, replaced, rejected or blank; in bounded memory."""

from __future__ import annotations

import io
import itertools
import json
import os
import threading
import tracemalloc
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageroles import _core
from pageroles.errors import StoreUnavailableError
from pageroles.ingest import batch, lines, loader
from support.fakes import VIEWED, FakeStore, rejects_of, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


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
    assert (summary.loaded, summary.repeated, summary.rejected) == (2, 0, 2)
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
    monkeypatch.setattr(batch, "MOST_ROWS", 3)
    names = [1, 2, 1, 3, 2, 4, 4, 4, 1, 5]
    lines = [session(name, source=f"version {version}") for version, name in enumerate(names)]
    store = FakeStore()
    summary = loader.load_chunks(store, [b"\n".join(lines)])
    for stored in store.batches:
        assert len({row["session_id"] for row in stored}) == len(stored)
    assert {name: row["source"] for name, row in store.content.items()} == {
        "1": "version 8", "2": "version 4", "3": "version 3", "4": "version 7", "5": "version 9",
    }  # fmt: skip
    assert summary.loaded + summary.repeated == len(names)
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
        patch.setattr(batch, "MOST_ROWS", batch_rows)
        summary = loader.load_chunks(store, [text[at : at + cut] for at in range(0, len(text), cut)])
    (file,) = summary.files
    assert file.lines == len(lines)
    assert (file.blank, file.rejected) == (kinds.count("blank"), kinds.count("bad"))
    assert file.loaded + file.repeated == kinds.count("good")
    assert file.loaded == len(store.rows)
    assert set(store.content) == {json.loads(raw)["session_id"] for kind, raw in lines if kind == "good"}
    rejected = rejects_of(Path("chunks")) if file.rejects else []
    assert [row["line"] for row in rejected] == [at for at, kind in enumerate(kinds, 1) if kind == "bad"]
    assert all(len(batch) <= batch_rows for batch in store.batches)


# ---- bounds ----


def test_batches_are_bounded_by_rows_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_ROWS", 1_000)
    monkeypatch.setattr(batch, "MOST_BYTES", 40_000)
    store = FakeStore()
    short = b"".join(session(name) + b"\n" for name in range(3_500))
    long = b"".join(session(name, referrer="x" * 8_000) + b"\n" for name in range(30))
    loader.load_chunks(store, [short[at : at + 999] for at in range(0, len(short), 999)])
    loader.load_chunks(store, [long])
    assert max(len(batch) for batch in store.batches) <= 1_000
    assert max(store.sizes) < 40_000 + 9_000
    assert len(store.rows) == 3_530


def test_reading_waits_for_a_slow_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_ROWS", 500)
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
    monkeypatch.setattr(batch, "MOST_ROWS", 3_000)
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
    monkeypatch.setattr(batch, "MOST_ROWS", 10)

    def fail_at_third(batches: int) -> None:
        if batches == 2:
            raise StoreUnavailableError("gone")

    store = FakeStore(fail_at_third)
    with pytest.raises(StoreUnavailableError, match="gone"):
        loader.load_chunks(store, [session(name) + b"\n" for name in range(1_000)])
    assert len(store.batches) == 2


def test_rejects_are_written_before_their_batch_is_inserted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_ROWS", 10)
    seen: list[int] = []
    rejects = Path("chunks.rejected.jsonl")
    # Reading goes on meanwhile, so the last line there may be incomplete.
    store = FakeStore(lambda _: seen.append(rejects.read_bytes().count(b"\n")))
    lines = [b"bad" if number % 2 else session(number) for number in range(100)]
    loader.load_chunks(store, [b"\n".join(lines)])
    assert all(count >= 9 + 10 * batch for batch, count in enumerate(seen))
    assert len(rejects_of(Path("chunks"))) == 50


# ---- what is said of sessions and of sources ----


class KnowingStore(FakeStore):
    """Knows the places of what it was given, as a store does."""

    def places(self, domains: Sequence[str], session_keys: Sequence[int]) -> list[tuple[str, int, int, int, int]]:
        assert domains
        found = []
        for row in self.rows:
            (key, user) = _core.keys([row["session_id"], row["user_id"]])
            if key in session_keys:
                at = datetime.fromisoformat(row["started_at"])
                found.append((row["domain"], key, user, round(at.timestamp() * 1000), len(self.batches)))
        return found


def test_the_summary_tells_what_became_of_the_sessions() -> None:
    store = KnowingStore()
    assert loader.load_chunks(store, [session(1), b"\n", session(2)]).stored == loader.Stored(new=2)
    later = [
        session(1),  # as it was
        session(2, user_id="u2"),  # another user
        session(3, started_at="2025-07-03T10:00:00Z"),
        session(4, user_id="u1"),
        session(4, user_id="u2"),  # the same session for two users
        session(5, started_at="2025-07-03T10:00:00Z"),
        session(5, started_at="2025-07-03T10:00:01Z"),  # and at two starts
    ]
    summary = loader.load_chunks(store, [b"\n".join(later)])
    assert summary.stored == loader.Stored(new=3, replaced=2, moved_users=2, moved_starts=1)
    assert (summary.loaded, summary.repeated) == (5, 2)
    old = session(1, user_id="u9", written_at="1999-01-01T00:00:00Z")
    store.batches[0][0]["started_at"] = "2025-07-03T10:00:00Z"
    aged = AgedStore()
    loader.load_chunks(aged, [session(1)])
    assert loader.load_chunks(aged, [old]).stored == loader.Stored(outdated=1)


class AgedStore(KnowingStore):
    """Holds versions that were written late."""

    def places(self, domains: Sequence[str], session_keys: Sequence[int]) -> list[tuple[str, int, int, int, int]]:
        return [(*place[:4], 1_764_000_000_000_000) for place in super().places(domains, session_keys)]


def test_placeholders_of_users_are_loaded_and_counted() -> None:
    users = ["null", "NULL", "undefined", "00000000-0000-0000-0000-000000000000", " ", "null", "u1", "nullable"]
    store = FakeStore()
    summary = loader.load_chunks(store, [session(number, user_id=user) + b"\n" for number, user in enumerate(users)])
    assert summary.loaded == len(users)
    assert summary.stored.placeholders == {
        "null": 2, "NULL": 1, "undefined": 1, "00000000-0000-0000-0000-000000000000": 1, " ": 1,
    }  # fmt: skip
    assert all(user == user.lower() for user in batch.PLACEHOLDERS)


ACCESS = b'203.0.113.7 - - [03/Jul/2025:10:00:00 +0000] "GET / HTTP/1.1" 200 512'
JSON_LIST = b"[\n  " + session(1) + b","
PRETTY = json.dumps(json.loads(session(1)), indent=2).encode()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (ACCESS, "it looks like the log of a web server, which has requests and no sessions"),
        (b"s1,u1,2025-07-03", "it looks like CSV: convert it to JSON Lines or Parquet"),
        (b"s1;u1;2025-07-03,5", "it looks like CSV: convert it to JSON Lines or Parquet"),
        (b"s1\tu1\t2025-07-03", "it looks like tab-separated values: convert it to JSON Lines or Parquet"),
        (PRETTY, "it looks like JSON over several lines: write each object in one line, as `jq -c .` does"),
        (JSON_LIST, "it looks like a JSON list: write each object of it in one line, as `jq -c '.[]'` does"),
        (
            b"[" + session(1) + b"]",
            "it looks like a JSON list: write each object of it in one line, as `jq -c '.[]'` does",
        ),
        (b"<p>two</p>", "it looks like XML or HTML"),
        (b"PK\x03\x04\xff", "it looks like a ZIP archive: unpack it"),
        (b"\x7fELF\0\1", "it looks like binary data"),
        (b"17", ""),
        (b"b\xfccher", ""),
        (b'{"domain": "b\xfccher.example"}', ""),
    ],
)
def test_a_source_without_sessions_is_given_up_soon(folder: Path, row: bytes, says: str) -> None:
    rows = row.count(b"\n") + 1
    file = folder / "other.txt"
    file.write_bytes((row + b"\n\n") * 200_000)
    store = FakeStore()
    seen: list[loader.Progress] = []
    with pytest.raises(loader.LoadError) as caught:
        loader.load(store, ["other.txt"], report=seen.append)
    sentence = "other.txt holds no sessions: none of its first 1,000 rows is a JSON object in UTF-8"
    if b"{" in row and b"\xfc" in row:
        says = (
            "1,000 rows are in another encoding than UTF-8: convert the file, as `iconv -f WINDOWS-1252 -t UTF-8` does"
        )
    assert str(caught.value) == sentence + (f"; {says}" if says else "")
    assert not list(folder.glob("*.rejected.jsonl"))
    assert not store.batches
    few = loader.load_chunks(store, [row + b"\n"])
    assert (few.files[0].advice == says.replace("1,000 rows are", "1 row is"), few.rejected) == (True, rows)


def test_many_bad_rows_beside_a_good_one_are_all_rejected() -> None:
    summary = loader.load_chunks(FakeStore(), [session(1) + b"\n", b"s1,u1\n" * 3_000, b"b\xfc\n" * 2])
    assert (summary.loaded, summary.rejected) == (1, 3_002)
    assert summary.files[0].advice == ""
    for bad in (session(2, user_id=""), b"{}"):
        assert loader.load_chunks(FakeStore(), [(bad + b"\n") * 3_000]).rejected == 3_000


def test_another_encoding_is_named_once() -> None:
    other = json.dumps({**json.loads(session(2)), "source": "Bücher"}, ensure_ascii=False).encode("latin-1")
    summary = loader.load_chunks(FakeStore(), [session(1) + b"\n", (other + b"\n") * 2])
    assert (summary.loaded, summary.rejected) == (1, 2)
    assert summary.files[0].advice == (
        "2 rows are in another encoding than UTF-8: convert the file, as `iconv -f WINDOWS-1252 -t UTF-8` does"
    )


def test_unknown_fields_are_left_out_on_request(folder: Path) -> None:
    view = {"url": "/", "viewed_at": "2025-07-03T10:00:00Z"}
    rows = [
        session(1),
        session(2, device="tablet"),
        session(3, page_views=[{**view, "title": "Home"}], conversions=[{"occurred_at": VIEWED, "value": 3}]),
        session(4, device="tablet", user_id=7),
    ]
    (folder / "wide.jsonl").write_bytes(b"\n".join(rows))
    refused = loader.load(FakeStore(), ["wide.jsonl"])
    assert (refused.loaded, refused.rejected, refused.files[0].ignored) == (1, 3, 0)
    assert refused.files[0].advice == "2 rows have unknown fields: --ignore-unknown loads such rows without them"
    store = FakeStore()
    summary = loader.load(store, ["wide.jsonl"], ignore_unknown=True)
    assert (summary.loaded, summary.rejected, summary.files[0].ignored) == (3, 1, 2)
    assert rejects_of(folder / "wide.jsonl")[0]["reason"] == "user_id must be a non-empty string, not a number"
    assert "device" not in store.content["2"]
    assert store.content["3"]["page_views.url"] == ["/"]


# ---- slow sources, and Ctrl-C ----


def piped(rows: Iterable[bytes]) -> tuple[BinaryIO, threading.Thread]:
    """Return a pipe into which a thread writes rows, one when the next is asked for."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for row in rows:
                pipe.write(row)

    thread = threading.Thread(target=write)
    thread.start()
    return os.fdopen(reading, "rb"), thread


def test_what_has_come_is_stored_while_nothing_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_SECONDS", 0.01)
    stored = threading.Semaphore(0)
    shown = threading.Semaphore(0)
    rejects = Path("stdin.rejected.jsonl")

    class Store(FakeStore):
        def write_sessions(self, rows: bytes) -> None:
            super().write_sessions(rows)
            stored.release()

    def rows() -> Iterator[bytes]:
        for number in range(3):
            yield session(number) + b"\nbad\n" + session("half")[:20]
            assert stored.acquire(timeout=60), "stored before more comes"
            assert shown.acquire(timeout=60), "and told"
            assert len(rejects.read_bytes().splitlines()) == 2 * number + 1
            yield b"\n"

    def report(state: loader.Progress) -> None:
        if state.loaded > len(seen):
            seen.append(state.loaded)
            shown.release()

    seen: list[int] = []
    before = threading.active_count()
    store = Store()
    stream, thread = piped(rows())
    with stream:
        assert loader.load(store, ["-"], stdin=stream, report=report).loaded == 3
    thread.join(60)
    assert seen == [1, 2, 3]
    assert [len(each) for each in store.batches] == [1, 1, 1]
    assert threading.active_count() == before, "no thread is left behind"


def test_a_slow_source_makes_no_insert_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_SECONDS", 1_000)
    store = FakeStore()
    stream, thread = piped(session(number) + b"\n" for number in range(500))
    with stream:
        assert loader.load(store, ["-"], stdin=stream).loaded == 500
    thread.join(60)
    assert [len(each) for each in store.batches] == [500]


def test_a_store_that_fails_ends_a_slow_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "BATCH_SECONDS", 0.01)
    ended = threading.Event()

    def rows() -> Iterator[bytes]:
        yield session(1) + b"\n"
        assert ended.wait(60), "the load ends although the source does not"

    def fail(_: int) -> None:
        raise StoreUnavailableError("gone")

    stream, thread = piped(rows())
    with stream, pytest.raises(StoreUnavailableError, match="gone"):
        loader.load(FakeStore(fail), ["-"], stdin=stream)
    ended.set()
    thread.join(60)


def test_an_interrupted_load_says_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_ROWS", 100)
    begun, interrupted = threading.Event(), threading.Event()

    def wait_in_the_sixth(batches: int) -> None:
        if batches == 5:
            begun.set()
            assert interrupted.wait(60)

    def interrupt(state: loader.Progress) -> None:
        if state.loaded >= 500:
            assert begun.wait(60)
            interrupted.set()
            raise KeyboardInterrupt

    store = FakeStore(wait_in_the_sixth)
    with pytest.raises(loader.InterruptedLoadError) as caught:
        loader.load_chunks(store, [session(number) + b"\n" for number in range(2_000)], report=interrupt)
    assert caught.value.summary.loaded == len(store.rows) == 600
