"""A source is unpacked and decoded by what it is; where it breaks off, the rows before are given."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageroles.ingest import loader
from pageroles.ingest.content import ChunkStream, Content
from support.fakes import FakeStore, session

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def content(chunks: Iterator[bytes]) -> Content:
    return Content(ChunkStream(chunks), lambda: None)


packings = st.sampled_from([*PACKINGS.values(), lambda data: data])
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=9).map(
    lambda lines: "\n".join(['{"domain"', *lines])
)


@given(texts, packings, st.sampled_from(ENCODINGS), st.integers(1, 300), st.binary(max_size=3), st.booleans())
def test_any_packing_and_encoding_gives_the_same_lines(
    text: str, pack: Callable[[bytes], bytes], encoding: str, size: int, padding: bytes, two: bool
) -> None:
    data = text.encode(encoding)
    half = len(data) // 2 if two else 0
    packed = pack(data[:half]) + pack(data[half:]) + (b"\0" * len(padding) if pack(b"") else b"")
    opened = content(pieces(packed, size))
    assert opened.stream.read().decode() == text
    assert opened.fault is None
    assert opened.read == len(packed)


@given(st.sampled_from(sorted(PACKINGS)), st.data())
def test_a_packed_source_that_breaks_off_gives_what_came_before(name: str, data: st.DataObject) -> None:
    text = b"\n".join(session(number) for number in range(40)) + b"\n"
    packed = PACKINGS[name](text)
    cut = data.draw(st.integers(6, len(packed) - 1))
    opened = content(pieces(packed[:cut], data.draw(st.integers(1, 999))))
    assert text.startswith(opened.stream.read())
    assert opened.fault is not None
    assert opened.fault.cuts_line
    assert name in opened.fault.sentence


@given(st.sampled_from(sorted(PACKINGS)), st.data())
def test_damage_is_a_fault_and_no_traceback(name: str, data: st.DataObject) -> None:
    text = b"\n".join(session(number) for number in range(40)) + b"\n"
    packed = bytearray(PACKINGS[name](text))
    for at in data.draw(st.lists(st.integers(6, len(packed) - 1), min_size=1, max_size=4)):
        packed[at] ^= data.draw(st.integers(1, 255))
    opened = content(pieces(bytes(packed), 500))
    read = opened.stream.read()
    if name in {"gzip", "bzip2"}:  # which always have checksums
        assert opened.fault is not None or read == text


@pytest.mark.parametrize("name", sorted(PACKINGS))
@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("size", [1, 10, 1 << 20])
def test_bytes_behind_packed_data_cost_none_of_its_rows(name: str, end: bytes, size: int) -> None:
    packed = PACKINGS[name](session(1) + b"\n" + session(2) + end) + b"\0\0and more"
    store = FakeStore()
    with pytest.raises(loader.LoadError) as caught:
        loader.load_chunks(store, pieces(packed, size), name="cut")
    assert str(caught.value) == (
        f"cut broke off after 2 rows, which are loaded: what follows its {name} data is no {name}"
    )
    assert list(store.content) == ["1", "2"]


@pytest.mark.parametrize("name", sorted(PACKINGS))
def test_the_end_of_a_row_that_is_missing_costs_that_row_alone(name: str) -> None:
    """Nothing is rejected for lack of its end: it is the source that broke off."""
    rows = [session(number, referrer=f"https://example.org/{number**7}") for number in range(9_000)]
    packed = PACKINGS[name](b"\n".join(rows))
    store = FakeStore()
    with pytest.raises(loader.LoadError, match=rf"^cut broke off after [\d,]+ rows?, .* its {name} data is cut short$"):
        loader.load_chunks(store, pieces(packed[:-30], 1 << 16), name="cut")
    assert 0 < len(store.rows) < 9_000
    assert not Path("cut.rejected.jsonl").exists()


@pytest.mark.parametrize("name", sorted(PACKINGS))
def test_a_few_bytes_that_stand_for_many_are_unpacked_in_little_memory(name: str) -> None:
    size = 64 << 20
    if name == "gzip":  # the library's own would hold all of it
        maker = zlib.compressobj(wbits=31)
        packed = b"".join(maker.compress(b"\n" * (1 << 20)) for _ in range(size >> 20)) + maker.flush()
    else:
        packed = PACKINGS[name](b"\n" * (1 << 20)) * (size >> 20)
    store = FakeStore()
    seen: list[loader.Progress] = []
    tracemalloc.start()
    try:
        summary = loader.load(store, ["-"], stdin=io.BytesIO(packed), report=seen.append)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    (file,) = summary.files
    assert (file.lines, file.blank) == (size, size)
    assert len(seen) > 20, "progress is told"


def test_the_encoding_of_a_source_changes_within_it() -> None:
    good = b"\xff\xfe" + (session(1) + b"\n").decode().encode("utf-16-le")
    with pytest.raises(loader.LoadError, match=r"^x broke off after 1 row, which is loaded: it begins as UTF-16, and"):
        loader.load_chunks(FakeStore(), [good + b"\x00\xd8\x00\xd8\x00"], name="x")


class Failing(io.RawIOBase):
    """A stream of a disk that fails after some bytes."""

    def __init__(self, *given: bytes) -> None:
        self._pieces = iter(given)

    def readable(self) -> bool:
        return True

    def read(self, _: int = -1) -> bytes:
        for piece in self._pieces:
            return piece
        raise OSError(5, "Input/output error")


def test_a_disk_that_fails_costs_what_comes_after() -> None:
    store = FakeStore()
    failing: Any = Failing(session(1) + b"\n" + session(2)[:30])
    with pytest.raises(loader.LoadError, match=r"^- broke off after 1 row, which is loaded: Input/output error$"):
        loader.load(store, ["-"], stdin=failing)
    assert list(store.content) == ["1"]
    with pytest.raises(loader.LoadError, match=r"^standard input can't be read: Input/output error$"):
        loader.load(store, ["-"], stdin=Failing())  # type: ignore[arg-type]
