"""`POST /api/v1/sessions`: JSON Lines, plain or in gzip, read piece by piece and stored as they come.

No more than some pieces of a body are in memory, whatever it unpacks to.
"""

from __future__ import annotations

import array
import asyncio
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pageroles.errors import CancelledError, DeadlineError, InvalidArgumentError
from pageroles.ingest.session import BadRowError, parse_line
from pageroles.transport import headers
from pageroles.transport.grpc_sessions import MOST_ROW_BYTES
from pageroles.transport.rest_schema import RejectedLine, WrittenSessions
from pageroles.writing import MOST_LISTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request

    from pageroles.incoming import Incoming
    from pageroles.ingest.session import Row
    from pageroles.transport.backends import Backend
    from pageroles.transport.sinks import Sink
    from pageroles.writing import Written

PATH = "/api/v1/sessions"
MEDIA_TYPE = "application/x-ndjson"
# Unpacked.
MAX_BODY_BYTES = 64 << 20
MAX_LINE_BYTES = MOST_ROW_BYTES

_PIECE_BYTES = 64 << 10
_LINES_AT_ONCE = 500
_LATE = "the body did not arrive in time; send it again"
_TOO_LARGE = f"the body has more than {MAX_BODY_BYTES:,} bytes, unpacked; send its lines in several requests"


async def write(request: Request, backend: Backend, incoming: Incoming, seconds: float) -> Response:
    """Store the sessions of a request, and answer what became of them.

    Args:
        request: The request, whose body was not read.
        backend: Stores the sessions.
        incoming: Who calls.
        seconds: The longest time that reading and storing may take.

    Raises:
        HTTPException: The body is too large, does not arrive in time, or is not sent as JSON Lines.
        PagerolesError: The request was refused, or failed; or the body can't be unpacked.
        RefusedError: The same, by a server elsewhere.
    """
    packed = _check_head(request)
    body = _Body(request, packed=packed)
    try:
        async with backend.writing(incoming) as sink:
            lines = _Lines()
            written = await _written(body, lines, sink, seconds)
    except InvalidArgumentError:
        if body.is_too_large:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE) from None
        raise
    except DeadlineError:
        if body.is_late:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, _LATE) from None
        raise
    return Response(msgspec.json.encode(lines.answer(written)), headers=headers.NOT_KEPT, media_type="application/json")


async def _written(body: _Body, lines: _Lines, sink: Sink, seconds: float) -> Written:
    """Read a body, and store its lines.

    Raises:
        DeadlineError: It takes too long.
        PagerolesError: As for the body and the sink.
    """
    try:
        async with asyncio.timeout(seconds):
            async for piece in body.pieces():
                for rows in lines.feed(piece):
                    await _add(sink, rows)
            await _add(sink, lines.last())
            return await sink.end()
    except TimeoutError:
        body.is_late = not body.is_read
        raise DeadlineError(
            _LATE if body.is_late else "the request took too long; send fewer sessions at once"
        ) from None


def _check_head(request: Request) -> bool:
    """Return whether the body is packed.

    Raises:
        HTTPException: It is announced as too large, or is of another type or encoding.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {MEDIA_TYPE, ""}:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body must be JSON Lines: send it with Content-Type: {MEDIA_TYPE}",
        )
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"gzip", "x-gzip", "identity", ""}:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be plain or packed with gzip: Content-Encoding: gzip"
        )
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
    return encoding in {"gzip", "x-gzip"}


async def _add(sink: Sink, rows: list[Row]) -> None:
    """Hand rows over, and let others have their turn."""
    if rows:
        await sink.add(rows)
    await asyncio.sleep(0)


class _Body:
    """The body of a request, unpacked.

    Attributes:
        is_read: Whether all of it has come.
        is_too_large: Whether it is larger than is read.
        is_late: Whether it did not come in time.
    """

    def __init__(self, request: Request, *, packed: bool) -> None:
        self.is_read = self.is_too_large = self.is_late = False
        self._request = request
        self._packed = packed
        self._bytes = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the body in pieces of at most 64 KiB.

        Raises:
            CancelledError: The client closed the connection.
            InvalidArgumentError: It can't be unpacked, or is larger than is read.
        """
        unpacking = _Unpacking() if self._packed else None
        try:
            async for chunk in self._request.stream():
                for piece in unpacking.feed(chunk) if unpacking else _cut(chunk):
                    self._bytes += len(piece)
                    if self._bytes > MAX_BODY_BYTES:
                        self.is_too_large = True
                        raise InvalidArgumentError("", _TOO_LARGE)
                    yield piece
        except ClientDisconnect:
            raise CancelledError("the client closed the connection") from None
        if unpacking:
            unpacking.end()
        self.is_read = True


def _cut(chunk: bytes) -> Iterator[bytes]:
    for start in range(0, len(chunk), _PIECE_BYTES):
        yield chunk[start : start + _PIECE_BYTES]


class _Unpacking:
    """Unpacks gzip as it comes; one archive may follow another."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give what a chunk unpacks to, in pieces.

        Raises:
            InvalidArgumentError: It is no gzip, or damaged.
        """
        while chunk:
            if self._inner.eof:
                self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                piece = self._inner.decompress(chunk, _PIECE_BYTES)
            except zlib.error as error:
                raise InvalidArgumentError("", f"the gzip data of the body is damaged ({error})") from None
            chunk = self._inner.unconsumed_tail or self._inner.unused_data
            if piece:
                yield piece

    def end(self) -> None:
        """Make sure that nothing is missing.

        Raises:
            InvalidArgumentError: The last archive is cut short, or there is none.
        """
        if not self._inner.eof:
            raise InvalidArgumentError("", "the gzip data of the body is cut short")


class _Lines:
    """Cuts a body into lines, and keeps which of them are rows and which are rejected."""

    def __init__(self) -> None:
        self._begun = b""
        self._is_skipping = False
        self._number = 0
        self._rejected: list[RejectedLine] = []
        self._rejected_count = 0
        # The number of each row's line.
        self._rows = array.array("L")

    def feed(self, piece: bytes) -> Iterator[list[Row]]:
        """Give the rows of the lines that end in a piece, those of some lines at a time."""
        first, *others = piece.split(b"\n")
        *whole, begun = (self._begun + first, *others)
        for start in range(0, len(whole), _LINES_AT_ONCE):
            rows = map(self._row, whole[start : start + _LINES_AT_ONCE])
            yield [row for row in rows if row is not None]
        # What is too long is not kept.
        self._is_skipping |= len(begun) > MAX_LINE_BYTES
        self._begun = b"" if self._is_skipping else begun

    def last(self) -> list[Row]:
        """Return the row of a last line that has no end."""
        row = self._row(self._begun) if self._begun or self._is_skipping else None
        return [] if row is None else [row]

    def answer(self, written: Written) -> WrittenSessions:
        """Return what became of all lines: what was read here, and what the store's side rejected of the rows."""
        elsewhere = [RejectedLine(self._rows[each.index], each.reason) for each in written.rejected]
        rejected = sorted((*self._rejected, *elsewhere), key=lambda each: each.line)[:MOST_LISTED]
        count = self._rejected_count + written.rejected_count
        return WrittenSessions(written.stored, rejected, count if count > len(rejected) else msgspec.UNSET)

    def _row(self, line: bytes) -> Row | None:
        self._number += 1
        if self._is_skipping or len(line) > MAX_LINE_BYTES:
            self._is_skipping = False
            self._reject(f"the line has more than {MAX_LINE_BYTES:,} bytes")
            return None
        if not line.strip():
            return None
        try:
            row = parse_line(line)
        except BadRowError as error:
            self._reject(str(error))
            return None
        self._rows.append(self._number)
        return row

    def _reject(self, reason: str) -> None:
        self._rejected_count += 1
        if len(self._rejected) < MOST_LISTED:
            self._rejected.append(RejectedLine(self._number, reason))
