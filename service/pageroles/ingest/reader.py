"""What the readers of all kinds of sources give."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pageroles.ingest.session import Flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.ingest.session import Row

# Called while a source has nothing to read; returns the seconds after which to be called again, None: not before there
# is something.
Idle = Callable[[], float | None]

MAX_SHOWN_CHARACTERS = 10_000


class Rejection(NamedTuple):
    """Why a row is not loaded, the beginning of its text, and the kind of what is wrong with it."""

    reason: str
    text: str
    flaw: Flaw = Flaw.OTHER


class Reader(Protocol):
    """The rows of an open source.

    Attributes:
        ignored: The rows given so far that have unknown fields.
    """

    ignored: int

    def __iter__(self) -> Iterator[Row | Rejection | int]:
        """Give one outcome per line; of blank lines that follow each other, their number.

        Raises:
            BrokenOffError: The source can't be read any further.
        """

    def position(self) -> int:
        """Return the bytes read so far; of a packed file, packed ones."""


def beginning(line: bytes) -> str:
    r"""Return the beginning of a line as text; bytes that are not UTF-8 become escapes, as `\xff`."""
    beginning = line[: 4 * MAX_SHOWN_CHARACTERS].rstrip(b"\r\n")
    return beginning.decode(errors="backslashreplace")[:MAX_SHOWN_CHARACTERS]
