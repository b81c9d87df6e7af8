"""JSON Lines, plain or gzip, read line by line in little memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pageroles.errors import BrokenOffError, LoadError
from pageroles.ingest.reader import Reader, Rejection, beginning
from pageroles.ingest.session import BadRowError, Row, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_LINE_BYTES = 16 << 20
PARQUET_MAGIC = b"PAR1"

_SKIP_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
            magic = stream.peek(len(PARQUET_MAGIC))
        except OSError as error:
            raise LoadError(f"{name} can't be read: {error.strerror}") from error
        if magic.startswith(PARQUET_MAGIC):
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
                    yield Rejection(f"the line has more than {MAX_LINE_BYTES:,} bytes", beginning(line))
                    continue
                if mark:
                    line, mark = line.removeprefix(mark), b""
                try:
                    yield parse_line(line)
                except BadRowError as error:
                    yield Rejection(str(error), beginning(line)) if line.strip() else None
        except (OSError, EOFError, zlib.error) as error:
            raise BrokenOffError(str(error)) from error

    def _skip_line(self) -> None:
        while piece := self._stream.readline(_SKIP_BYTES):
            self._read += len(piece)
            if piece.endswith(b"\n"):
                return


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
