"""JSON Lines, plain or packed, read line by line in little memory."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pageroles.errors import BrokenOffError, LoadError
from pageroles.ingest.content import ChunkStream, Content
from pageroles.ingest.reader import Reader, Rejection, beginning
from pageroles.ingest.session import BadRowError, Flaw, Row, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.ingest.reader import Idle

MAX_LINE_BYTES = 16 << 20
PARQUET_MAGIC = b"PAR1"

_SKIP_BYTES = 1 << 20
_BLANK = b" \t\r\n\x0b\x0c"


@contextlib.contextmanager
def open_lines(
    name: str, source: Path | BinaryIO | ChunkStream, idle: Idle, *, ignore_unknown: bool
) -> Iterator[Reader]:
    """Open JSON Lines: plain, or packed with gzip, bzip2, xz or zstd; in UTF-8, UTF-16 or UTF-32.

    Args:
        name: What the source is called in errors.
        source: Where it lies, or a stream, which stays open.
        idle: Called while a pipe has nothing to read.
        ignore_unknown: Whether to read rows with unknown fields, without these.

    Raises:
        LoadError: The source can't be read.
    """
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(source.open("rb", buffering=0)) if isinstance(source, Path) else source
            content = Content(opened, idle)
        except OSError as error:
            raise LoadError(f"{name} can't be read: {error.strerror}") from error
        stack.callback(content.stream.close)
        if content.head.startswith(PARQUET_MAGIC):
            raise LoadError(f"{name}: Parquet is read from a file only, not from a stream or packed")
        yield _Lines(content, ignore_unknown=ignore_unknown)


class _Lines:
    def __init__(self, content: Content, *, ignore_unknown: bool) -> None:
        self.ignored = 0
        self._content = content
        self._stream = content.stream
        self._ignore_unknown = ignore_unknown

    def position(self) -> int:
        return self._content.read

    def __iter__(self) -> Iterator[Row | Rejection | int]:
        readline = self._stream.readline
        while line := readline(MAX_LINE_BYTES + 1):
            ends = line.endswith(b"\n")
            if len(line) > MAX_LINE_BYTES and not ends:
                self._skip_line()
                yield Rejection(f"the line has more than {MAX_LINE_BYTES:,} bytes", beginning(line))
                continue
            if not ends and (fault := self._content.fault) is not None and fault.cuts_line:
                break
            try:
                row = parse_line(line)
            except BadRowError as error:
                yield self._second_look(line, error)
            else:
                yield row
        if (fault := self._content.fault) is not None:
            raise BrokenOffError(fault.sentence)

    def _second_look(self, line: bytes, error: BadRowError) -> Row | Rejection | int:
        if not line.strip():
            return 1 + self._skip_blank_lines()
        if self._ignore_unknown and error.flaw is Flaw.UNKNOWN_FIELD:
            try:
                row = parse_line(line, ignore_unknown=True)
            except BadRowError as other:
                error = other
            else:
                self.ignored += 1
                return row
        return Rejection(str(error), beginning(line), error.flaw)

    def _skip_blank_lines(self) -> int:
        """Skip the blank lines that are in memory, and return how many there were: a packed file may have billions."""
        held = self._stream.peek()
        run = len(held) - len(held.lstrip(_BLANK))
        whole = held.rfind(b"\n", 0, run) + 1
        self._stream.read(whole)
        return held.count(b"\n", 0, whole)

    def _skip_line(self) -> None:
        while piece := self._stream.readline(_SKIP_BYTES):
            if piece.endswith(b"\n"):
                return
