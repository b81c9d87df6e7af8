# The extension has no Python source, so its documentation is here.
# ruff: noqa: PYI021
"""The Rust core: blocks of session rows in, counts per page and role out, as protobuf messages."""

from collections.abc import Iterator
from typing import Final, final

__all__ = ["CoreError", "Tally", "__build__", "__version__"]

__version__: Final[str]
"""The version of the compiled core; the package takes its own from here."""

__build__: Final[str]
"""`release` or `debug`. A debug build is right, but an order of magnitude slower."""

class CoreError(Exception):
    """Data or a question that the core refuses; the text says which and why.

    Nothing of what was refused has been counted. A stream that was refused can't be read on.
    """

@final
class Tally:
    """The counts of one question, over the units that one worker was given.

    A unit is a set of users with all their rows, fed as up to three streams in ClickHouse's Native
    format (revision 0), in any interleaving and in chunks of any size, and closed by `finish_unit`.
    No user may be in two units, of this tally or of one that is merged with it: that is what makes
    users add up. Memory is bounded by the largest unit and the number of pages.

    Page keys are 64-bit hashes; 0 says that there is no page.

    A tally belongs to one thread at a time; calls that overlap raise `RuntimeError`. Methods that
    work for long release the GIL.
    """

    def __new__(cls, touch_scope: int, conversion_filter: bool) -> Tally:
        """Make an empty tally.

        Args:
            touch_scope: The number of `TouchScope` in the contract, 0 to 5.
            conversion_filter: Whether the question has a conversion filter.

        Raises:
            CoreError: The touch scope is unknown.
        """

    def feed_sessions(self, chunk: bytes) -> None:
        """Take a chunk of the unit's sessions in the window that have no conversion at all.

        Columns, in any order: `user_key`, `landing_key`, `exit_key`, `before_exit_key` (`UInt64`);
        and, all or none, `started_at` (`Int64`, ms since the epoch), `session_id` (`String`) and
        `included` (`UInt8`: 1, or 0 for a session that fails the session filters and is only
        evidence for who came first). The scopes first, assist and after need them.

        Raises:
            CoreError: The bytes are no such blocks.
        """

    def feed_conversions(self, chunk: bytes) -> None:
        """Take a chunk of the unit's sessions that have conversions, of the whole history.

        Columns, in any order: `user_key` (`UInt64`), `started_at` (`Int64`, ms since the epoch),
        `session_id` (`String`), `included` (`UInt8`: 1 in the window and past the session filters),
        `conversions` (`UInt32`: how many pass the conversion filters; 0 is possible),
        `landing_key`, `exit_key`, `before_exit_key` (`UInt64`), `page_keys` (`Array(UInt64)`, in
        viewing order), `conversion_keys` (`Array(UInt64)`, one for each of `conversions`) and
        `assist_views` (`Array(UInt32)`, likewise: how many of the first `page_keys` assist it).
        The arrays of rows that are not included are ignored.

        Raises:
            CoreError: The bytes are no such blocks, or a row disagrees with itself.
        """

    def feed_users(self, chunk: bytes) -> None:
        """Take a chunk of the unit's users who have a session before the window.

        One column, `user_key` (`UInt64`); users may repeat. The scopes first and assist need them.

        Raises:
            CoreError: The bytes are no such blocks.
        """

    def finish_unit(self) -> None:
        """Count the unit's rows and forget them.

        Raises:
            CoreError: A stream stopped inside a block, or was refused before. Nothing is counted.
        """

    def merge(self, other: Tally) -> None:
        """Take the counts and page names of another tally, which is empty afterwards.

        Raises:
            CoreError: The other answers another question, or has a unit that is not finished.
        """

    @property
    def total_sessions(self) -> int:
        """Included sessions of the units finished so far."""

    @property
    def total_users(self) -> int:
        """Distinct users of these sessions."""

    @property
    def total_conversion_events(self) -> int:
        """Conversions in these sessions."""

    @property
    def total_conversion_users(self) -> int:
        """Distinct users with a conversion in these sessions."""

    def page_count(self) -> int:
        """Count the pages that have a role in the answer."""

    def page_keys(self) -> list[int]:
        """List the keys of the pages that have a role in the answer, in no order."""

    def feed_pages(self, chunk: bytes) -> None:
        """Take a chunk of page names.

        Columns, in any order: `page_key` (`UInt64`) and `url` (`String`; bytes that are not UTF-8
        are replaced). Unknown keys are ignored, and a page that has a name keeps it.

        Raises:
            CoreError: The bytes are no such blocks.
        """

    def missing_pages(self) -> list[int]:
        """List the keys of the pages that have a role and no name yet, in no order."""

    def response(self, start_ms: int, end_ms: int) -> bytes:
        """Encode the whole answer as one `PagesResponse`.

        Args:
            start_ms: The window's start to show, in ms since the epoch.
            end_ms: The window's end to show, in ms since the epoch.

        Returns:
            The message; where no session was included, one that has only `message`.

        Raises:
            CoreError: A unit is not finished, or pages have no name.
        """

    def responses(self, start_ms: int, end_ms: int, max_bytes: int) -> Iterator[bytes]:
        """Encode the answer as the messages of `StreamPages`.

        The first has everything but rows; rows follow in order. Joined, the messages are the bytes
        of `response`.

        Args:
            start_ms: The window's start to show, in ms since the epoch.
            end_ms: The window's end to show, in ms since the epoch.
            max_bytes: The size that no message of several rows exceeds; a larger row travels alone.

        Raises:
            CoreError: A unit is not finished, or pages have no name; while iterating: the tally
                was fed, merged or asked to count since.
        """
