"""Write sessions to a server over gRPC, as `pageroles load --target` does. What it needs comes with a server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import grpc
import msgspec
from google.protobuf import json_format

from pageroles.client.errors import refused
from pageroles.ingest import messages
from pageroles.ingest.batch import Stored, placeholders
from pageroles.ingest.loader import Outcome
from pageroles.ingest.reader import Rejection, beginning
from pageroles.transport import grpc_sessions, headers
from pageroles.transport.tls import channel as opened
from pageroles.transport.tls import client_credentials
from pageroles.writing import MOST_LISTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pageroles.ingest.session import Row
    from pageroles.settings import ClientTls
    from pageroles.writing import Written

# What is written in one call.
_MOST_ROWS = 10_000
_MOST_BYTES = 8 << 20
# How often a call is tried that the server has no room for, and the pause between, in seconds.
_TRIES = 30
_PAUSE_SECONDS = 1.0


class SessionSender:
    """Writes sessions to a server; use it as a context manager."""

    def __init__(self, target: str, key: str, tls: ClientTls | None = None) -> None:
        """Write to a server.

        Args:
            target: The server's address, `host:port`.
            key: A key that may write.
            tls: What the server is trusted by; None: without TLS.

        Raises:
            SettingError: The files of TLS can't be used.
        """
        self._channel = opened(target, client_credentials(tls))
        self._metadata = headers.caller_metadata(key, None)
        self._write = grpc_sessions.method(self._channel)

    def __enter__(self) -> Self:
        """Return the sender itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._channel.close()

    def write(self, rows: Sequence[Row]) -> Written:
        """Store rows; without any, only find out whether the server takes some.

        Args:
            rows: Rows of at most `grpc_sessions.MOST_ROW_BYTES`.

        Returns:
            What became of them; they are stored when this returns.

        Raises:
            RequestError: The server refused, or can't be reached; some of the rows may be stored.
        """
        for left in range(_TRIES - 1, -1, -1):
            try:
                return grpc_sessions.written(self._write(grpc_sessions.requests(rows), metadata=self._metadata))
            except grpc.RpcError as error:
                found = refused(error)
                if found.status != "RESOURCE_EXHAUSTED" or not left:
                    raise found from error
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    def batch(self) -> SentBatch:
        """Return an empty batch, for `loader.send`."""
        return SentBatch(self.write)


class SentBatch:
    """Rows that are sent to a server together; as many as it has, each counts as a session of its own."""

    def __init__(self, write: Callable[[Sequence[Row]], Written]) -> None:
        """Begin with no rows; `write` stores them."""
        self.began = 0.0
        self._write = write
        self._rows: list[Row] = []
        self._lines: list[int] = []
        self._refused: list[tuple[int, Rejection]] = []
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many rows it has."""
        return len(self._rows) + len(self._refused)

    @property
    def is_full(self) -> bool:
        """Whether it is to be sent before another row is added."""
        return len(self._rows) >= _MOST_ROWS or self._bytes >= _MOST_BYTES

    def add(self, row: Row, line: int) -> bool:
        """Add a row; never does one give way to another here."""
        if not self:
            self.began = time.monotonic()
        if len(row.line) > grpc_sessions.MOST_ROW_BYTES:
            reason = f"the session has more than {grpc_sessions.MOST_ROW_BYTES:,} bytes, which a server does not take"
            self._refused.append((line, _rejection(row, reason)))
            return False
        self._rows.append(row)
        self._lines.append(line)
        self._bytes += len(row.line)
        return False

    def store(self) -> Outcome:
        """Send the rows; they are stored when this returns.

        Raises:
            RequestError: The server refused, or can't be reached; some of the rows may be stored.
        """
        refused = list(self._refused)
        stored = 0
        for first, written in self._written() if self._rows else ():
            stored += written.stored
            for each in written.rejected:
                at = first + each.index
                refused.append((self._lines[at], _rejection(self._rows[at], each.reason)))
        users = placeholders(row.user_id for row in self._rows)
        return Outcome(Stored(elsewhere=stored, placeholders=users), refused)

    def _written(self) -> list[tuple[int, Written]]:
        """Send the rows; return what became of them, by the position of the first that each answer is about."""
        written = self._write(self._rows)
        if written.rejected_count == len(written.rejected):
            return [(0, written)]
        # Not all that were rejected are listed. Of fewer rows they are, and to store the others again does no harm.
        starts = range(0, len(self._rows), MOST_LISTED)
        return [(start, self._write(self._rows[start : start + MOST_LISTED])) for start in starts]


def _rejection(row: Row, reason: str) -> Rejection:
    """Return why a server does not take a row, with its text as a source could have it."""
    fields = json_format.MessageToDict(messages.make(row), preserving_proto_field_name=True)
    return Rejection(reason, beginning(msgspec.json.encode(fields)))
