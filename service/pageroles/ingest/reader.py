"""What the readers of all kinds of sources give."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.ingest.session import Row

MAX_SHOWN_CHARACTERS = 10_000


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


def beginning(line: bytes) -> str:
    r"""Return the beginning of a line as text; bytes that are not UTF-8 become escapes, as `\xff`."""
    beginning = line[: 4 * MAX_SHOWN_CHARACTERS].rstrip(b"\r\n")
    return beginning.decode(errors="backslashreplace")[:MAX_SHOWN_CHARACTERS]
