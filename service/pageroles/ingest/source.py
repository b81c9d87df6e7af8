"""Sources of sessions: JSON Lines, plain or gzip, and Parquet, read row by row in little memory.

All sources are checked before any of them is read, so that a wrong name in the last place does not leave half a load.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import stat
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import msgspec

from pageroles.errors import BrokenOffError, LoadError
from pageroles.ingest.session import BadRowError, Row, layout, missing_field, parse_line, parse_record, unknown_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MAX_LINE_BYTES = 16 << 20
MAX_SHOWN_CHARACTERS = 10_000

_SKIP_BYTES = 1 << 20
_RECORDS_AT_ONCE = 4_096
_PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Rejection(NamedTuple):
    """Why a row is not loaded, and the beginning of its text."""

    reason: str
    text: str


class Reader(Protocol):
    """The rows of an open source."""

    def __iter__(self) -> Iterator[Row | Rejection | None]:
        """Give one outcome per line, None for a blank one.

        Raises:
            BrokenOffError: The source can't be read any further.
        """

    def position(self) -> int:
        """Return the bytes read so far; of a compressed file, compressed ones."""


class Source(NamedTuple):
    """A source that can be read.

    Attributes:
        name: The source as it was given.
        path: Where it lies; None for a stream.
        rejects: Where its rejected rows go.
        size: Its size in bytes, where that is known.
        open: Opens it.
    """

    name: str
    path: Path | None
    rejects: Path
    size: int | None
    open: Callable[[], contextlib.AbstractContextManager[Reader]]


def check(names: Sequence[str], stdin: BinaryIO | None = None) -> list[Source]:
    """Make sure that all sources can be read, without taking anything from one that can't be read again.

    Args:
        names: Paths; `-` is standard input.
        stdin: Read for `-` in place of standard input.

    Raises:
        LoadError: A file is missing or unreadable, is given twice, has the wrong columns, or would be overwritten
            as the rejects file of another.
    """
    sources = [_checked(name, stdin) for name in names]
    seen: dict[Path | None, str] = {}
    for source in sources:
        path = source.path and source.path.resolve()
        if path in seen:
            raise LoadError(f"{source.name} is given twice")
        seen[path] = source.name
    for source in sources:
        if (rejects := source.rejects.resolve()) in seen:
            raise LoadError(f"{seen[rejects]} is where rejects of {source.name} go: load it on its own, renamed")
    return sources


def _checked(name: str, stdin: BinaryIO | None) -> Source:
    if name == "-":
        stream = sys.stdin.buffer if stdin is None else stdin
        return Source(name, None, Path("stdin.rejected.jsonl"), None, lambda: open_lines("standard input", stream))
    path = Path(name)
    rejects = path.with_name(f"{path.name}.rejected.jsonl")
    try:
        held = path.stat()
        if stat.S_ISFIFO(held.st_mode):  # opening it here could take what it gives
            return Source(name, path, rejects, None, lambda: open_lines(name, path))
        with path.open("rb") as file:
            magic = file.read(len(_PARQUET_MAGIC))
    except OSError as error:
        raise LoadError(f"{name} can't be read: {error.strerror}") from error
    if magic == _PARQUET_MAGIC or path.suffix in {".parquet", ".pq"}:
        return Source(name, path, rejects, held.st_size, _ParquetFile(name, path, held.st_size).open)
    return Source(name, path, rejects, held.st_size, lambda: open_lines(name, path))


# ---- JSON Lines ----


@contextlib.contextmanager
def open_lines(name: str, source: Path | BinaryIO) -> Iterator[Reader]:
    """Open JSON Lines, plain or gzip.

    Raises:
        LoadError: The source can't be read.
    """
    with contextlib.ExitStack() as stack:
        try:
            # Any: a reader is generic in the type stubs alone.
            stream: Any = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            if not isinstance(stream, io.BufferedReader):
                stream = io.BufferedReader(stream)
                stack.callback(stream.detach)  # it would close what is the caller's
            magic = stream.peek(len(_PARQUET_MAGIC))
        except OSError as error:
            raise LoadError(f"{name} can't be read: {error.strerror}") from error
        if magic.startswith(_PARQUET_MAGIC):
            raise LoadError(f"{name}: Parquet is read from a file only, not from a stream")
        if magic.startswith(_GZIP_MAGIC):
            yield _Lines(stack.enter_context(gzip.GzipFile(fileobj=stream)), stream if stream.seekable() else None)
        else:
            yield _Lines(stream, None)


class _Lines:
    def __init__(self, stream: BinaryIO | gzip.GzipFile, compressed: BinaryIO | None) -> None:
        self._stream = stream
        self._compressed = compressed
        self._read = 0

    def position(self) -> int:
        return self._read if self._compressed is None else self._compressed.tell()

    def __iter__(self) -> Iterator[Row | Rejection | None]:
        readline = self._stream.readline
        mark = _BYTE_ORDER_MARK
        try:
            while line := readline(MAX_LINE_BYTES + 1):
                self._read += len(line)
                if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                    self._skip_line()
                    yield Rejection(f"the line has more than {MAX_LINE_BYTES:,} bytes", _text(line))
                    continue
                if mark:
                    line, mark = line.removeprefix(mark), b""
                try:
                    yield parse_line(line)
                except BadRowError as error:
                    yield Rejection(str(error), _text(line)) if line.strip() else None
        except (OSError, EOFError, zlib.error) as error:
            raise BrokenOffError(str(error)) from error

    def _skip_line(self) -> None:
        while piece := self._stream.readline(_SKIP_BYTES):
            self._read += len(piece)
            if piece.endswith(b"\n"):
                return


def _text(line: bytes) -> str:
    r"""Return the beginning of a line as text; bytes that are not UTF-8 become escapes, as `\xff`."""
    beginning = line[: 4 * MAX_SHOWN_CHARACTERS].rstrip(b"\r\n")
    return beginning.decode(errors="backslashreplace")[:MAX_SHOWN_CHARACTERS]


class ChunkStream(io.RawIOBase):
    """Bytes that come in pieces, as a stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        """Read the pieces as they are asked for."""
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what is left of a piece, or of the next one; 0: there are no more."""
        while not self._left:
            if (chunk := next(self._chunks, None)) is None:
                return 0
            self._left = memoryview(chunk)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


# ---- Parquet ----


class _ParquetFile:
    """A Parquet file with the columns of a session; times are timestamps of any unit and zone, or strings."""

    def __init__(self, name: str, path: Path, size: int) -> None:
        try:
            self._arrow = importlib.import_module("pyarrow")
            self._parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise LoadError(f"{name}: Parquet files need pyarrow: pip install 'pageroles[parquet]'") from None
        self._path = path
        self._size = size
        try:
            with self._parquet.ParquetFile(path) as file:
                self._schema = self._arrow.schema(self._as_text(file.schema_arrow, ""))
                self._rows: int = file.metadata.num_rows
        except LoadError as error:
            raise LoadError(f"{name}: {error}") from None
        except (self._arrow.ArrowException, OSError) as error:
            raise LoadError(f"{name} can't be read as Parquet: {error}") from error
        self._done = 0

    def position(self) -> int:
        return self._size * self._done // (self._rows or 1)

    @contextlib.contextmanager
    def open(self) -> Iterator[Reader]:
        yield self

    def __iter__(self) -> Iterator[Row | Rejection | None]:
        try:
            # Without pre_buffer a row group is not held in memory as a whole.
            with self._parquet.ParquetFile(self._path, pre_buffer=False) as file:
                for batch in file.iter_batches(_RECORDS_AT_ONCE):
                    for record in self._records(batch):
                        self._done += 1
                        yield _outcome(record)
        except (self._arrow.ArrowException, OSError) as error:
            raise BrokenOffError(str(error)) from error

    def _records(self, batch: Any) -> Iterator[dict[str, Any] | Rejection]:
        """Give records with times as text: one way to read a time serves all."""
        try:
            yield from batch.cast(self._schema).to_pylist()
        except (self._arrow.ArrowInvalid, UnicodeDecodeError) as error:
            if len(batch) == 1:
                yield Rejection("not valid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error), "")
                return
            half = len(batch) // 2
            yield from self._records(batch.slice(0, half))
            yield from self._records(batch.slice(half))

    def _as_text(self, held: Any, path: str) -> list[Any]:
        """Return the fields with strings for all that is text or a time, having checked names and types."""
        form = layout(path)
        for name in [field.name for field in msgspec.structs.fields(form) if field.required]:
            if name not in held.names:
                raise LoadError(missing_field(path, name))
        fields = []
        for field in held:
            if field.name not in form.__struct_fields__:
                raise LoadError(unknown_field(path, field.name))
            fields.append(self._arrow.field(field.name, self._type_as_text(field, path)))
        return fields

    def _type_as_text(self, field: Any, path: str) -> Any:
        arrow, types, held = self._arrow, self._arrow.types, field.type
        if not path and field.name in {"page_views", "conversions"}:
            if types.is_null(held):
                return held
            if (types.is_list(held) or types.is_large_list(held)) and types.is_struct(held.value_type):
                return arrow.list_(arrow.struct(self._as_text(held.value_type, field.name)))
            raise LoadError(f"{field.name} must be a list of structs, not {held}")
        plain = held.value_type if types.is_dictionary(held) else held
        if any(test(plain) for test in (types.is_string, types.is_large_string, types.is_string_view, types.is_null)):
            return arrow.string()
        is_time = field.name.endswith("_at")
        if is_time and types.is_timestamp(held):
            return arrow.string()
        where = f"{path}.{field.name}" if path else field.name
        raise LoadError(f"{where} must hold {'timestamps or strings' if is_time else 'strings'}, not {held}")


def _outcome(record: dict[str, Any] | Rejection) -> Row | Rejection:
    if isinstance(record, Rejection):
        return record
    try:
        return parse_record(record)
    except BadRowError as error:
        return Rejection(str(error), _text(msgspec.json.encode(record)))
