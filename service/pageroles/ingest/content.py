"""The bytes of a source → lines in UTF-8: unpacked and decoded by what they are, whatever the source is called.

What is read is handed on at once, and nothing is unpacked beyond a piece of fixed size: a few bytes may stand for
gigabytes. Where a source breaks off, what came before is given first.
"""

from __future__ import annotations

import bz2
import codecs
import io
import itertools
import lzma
import selectors
import sys
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from pageroles.ingest.reader import Idle

_PIECE_BYTES = 1 << 16
# So many bytes tell what a source is.
_HEAD_BYTES = 6


class _Decompressor(Protocol):
    """What the decompressors of the standard library have in common; `max_length` bounds what a call gives."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """Gzip, in the form of the other decompressors."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Packing(NamedTuple):
    name: str
    magic: bytes
    decompressor: Callable[[], _Decompressor]


_PACKINGS = (
    _Packing("gzip", b"\x1f\x8b", _Gunzip),
    _Packing("bzip2", b"BZh", bz2.BZ2Decompressor),
    _Packing("xz", b"\xfd7zXZ\0", lzma.LZMADecompressor),
    _Packing("zstd", b"\x28\xb5\x2f\xfd", zstd.ZstdDecompressor),
)
_DECOMPRESSION_ERRORS = (zlib.error, OSError, lzma.LZMAError, zstd.ZstdError, EOFError)

# What a source in another encoding begins with: its mark, or the brace of an object. Longer ones come first.
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (b"{\0\0\0", "utf-32-le"),
    (b"\0\0\0{", "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"{\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
)


class Fault(NamedTuple):
    """Why a source can't be read any further.

    Attributes:
        sentence: What is wrong.
        cuts_line: Whether the last line may lack its end.
    """

    sentence: str
    cuts_line: bool


class Content:
    """The content of an open source.

    Attributes:
        stream: The lines, in UTF-8 unless the source is in an encoding that its beginning does not tell.
        head: The first bytes of the lines.
        read: The bytes taken from the source so far.
        fault: Why the stream ended before the source did; None: it did not, or not yet.
    """

    def __init__(self, source: Any, idle: Idle) -> None:
        """Read the beginning of a source.

        Args:
            source: A binary stream; nothing may be left in a buffer of its own.
            idle: Called while a pipe or a terminal has nothing to read.

        Raises:
            OSError: The source can't be read.
        """
        self.read = 0
        self.fault: Fault | None = None
        head, pieces = _with_head(self._pieces(source, idle))
        if self.fault is not None and not head:
            raise OSError(0, self.fault.sentence)
        for packing in _PACKINGS:
            if head.startswith(packing.magic):
                head, pieces = _with_head(self._unpacked(pieces, packing))
                break
        if head.startswith(codecs.BOM_UTF8):
            head, pieces = _with_head(_without_mark(pieces))
        for mark, encoding in _ENCODINGS:
            if head.startswith(mark):
                head, pieces = _with_head(self._decoded(pieces, encoding))
                break
        self.head = head
        self.stream = io.BufferedReader(ChunkStream(pieces), _PIECE_BYTES)

    def _pieces(self, source: Any, idle: Idle) -> Iterator[bytes]:
        read = getattr(source, "read1", source.read)
        with selectors.PollSelector() as selector:
            in_memory = not _has_descriptor(source)
            if not in_memory:
                selector.register(source, selectors.EVENT_READ)
            try:
                while True:
                    if not in_memory and not selector.select(0):
                        while not selector.select(idle()):
                            pass
                    if not (piece := read(_PIECE_BYTES)):
                        return
                    self.read += len(piece)
                    yield piece
            except OSError as error:
                self.fault = Fault(error.strerror or str(error), cuts_line=True)

    def _unpacked(self, pieces: Iterator[bytes], packing: _Packing) -> Iterator[bytes]:
        packed = b""
        for piece in pieces:
            packed = (packed + piece).lstrip(b"\0")  # tapes and disks pad with zeros
            while packed.startswith(packing.magic):
                rest = yield from self._member(packed, pieces, packing)
                if rest is None:
                    return
                packed = rest.lstrip(b"\0")
            if not packing.magic.startswith(packed):
                break
        if packed and self.fault is None:
            self.fault = Fault(f"what follows its {packing.name} data is no {packing.name}", cuts_line=False)

    def _member(
        self, packed: bytes, pieces: Iterator[bytes], packing: _Packing
    ) -> Generator[bytes, None, bytes | None]:
        """Give what one member holds, and return the bytes behind it; None: it can't be read to its end."""
        decompressor = packing.decompressor()
        while not decompressor.eof:
            if not packed and decompressor.needs_input:
                packed = next(pieces, b"")
                if not packed:
                    self.fault = self.fault or Fault(f"its {packing.name} data is cut short", cuts_line=True)
                    return None
            try:
                unpacked = decompressor.decompress(packed, _PIECE_BYTES)
            except _DECOMPRESSION_ERRORS as error:
                self.fault = Fault(f"its {packing.name} data is damaged ({error})", cuts_line=True)
                return None
            packed = b""
            if unpacked:
                yield unpacked
        return decompressor.unused_data

    def _decoded(self, pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for piece in pieces:
                if text := decoder.decode(piece):
                    yield text.encode()
            if self.fault is None:
                decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            yield error.object[: error.start].decode(error.encoding, "ignore").encode()
            self.fault = Fault(f"it begins as {encoding[:6].upper()}, and goes on as something else", cuts_line=True)


def _has_descriptor(source: Any) -> bool:
    """Tell whether the system reads a source, and so can tell whether there is something to read."""
    try:
        source.fileno()
    except (OSError, AttributeError):
        return False
    return True


def _with_head(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, as many as are needed, and all pieces again."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD_BYTES or b"\n" in head:
            break
    return head, itertools.chain([head], pieces)


def _without_mark(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give pieces without UTF-8's mark, which the first of them holds whole."""
    yield next(pieces).removeprefix(codecs.BOM_UTF8)
    yield from pieces


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
