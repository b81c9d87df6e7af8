# The extension has no Python source, so its documentation is here.
# ruff: noqa: PYI021
"""The Rust core: blocks of session rows in, counts per page and role out, as protobuf or JSON."""

from collections.abc import Iterator
from typing import Final, final

__all__ = [
    "AmbiguousPagesError",
    "CoreError",
    "JsonAnswer",
    "Tally",
    "UnorderedError",
    "__build__",
    "__version__",
]

__version__: Final[str]
"""The version of the compiled core; the package takes its own from here."""

__build__: Final[str]
"""`release` or `debug`. A debug build is right, but an order of magnitude slower."""

class CoreError(Exception):
    """Data or a question that the core refuses; the text says which and why.

    Nothing of what was refused has been counted. A stream that was refused can't be read on.
    """

class UnorderedError(CoreError):
    """Sessions of a unit that came after those of a later one, so that it had been counted without them.

    The tally is of no use then: count in a new one, each unit in a stream of its own.
    """

class AmbiguousPagesError(CoreError):
    """Pages that a tally of leading bits has counted as one; a tally of whole keys tells them apart."""

@final
class Tally:
    """The counts of one question, over the units that one worker was given.

    A unit is a set of users with all their rows, fed as up to three streams in ClickHouse's Native
    format (revision 0), in any interleaving and in chunks of any size, and closed by `finish_units`.
    No user may be in two units, of this tally or of one that is merged with it: that is what makes
    users add up. Conversions and users may come ahead, for several units at once; those units follow in
    the order of their users then. Memory is bounded by the largest unit, what came ahead, and the number
    of pages.

    Page keys are 64-bit hashes; 0 says that there is no page. A tally counts with the whole keys, or
    with their first 42 bits, which come packed and take less time.

    A tally belongs to one thread at a time; calls that overlap raise `RuntimeError`. Methods that
    work for long release the GIL.
    """

    def __new__(cls, touch_scope: int, conversion_filter: bool, whole_keys: bool) -> Tally:
        """Make an empty tally.

        Args:
            touch_scope: The number of `TouchScope` in the contract, 0 to 5.
            conversion_filter: Whether the question has a conversion filter.
            whole_keys: Whether it counts with whole page keys.

        Raises:
            CoreError: The touch scope is unknown.
        """

    def begin_units(self, units: list[tuple[int, int]]) -> None:
        """Say which users the next units have, before any of their sessions.

        Sessions of other users are refused then. Those of several units come in one stream, unit after unit,
        with conversions and users before them. A unit that is not begun may have any users; where they are a
        small part of all keys, it takes longer.

        Args:
            units: The least and the greatest user key of each, 0 to 2**64 - 1, in the order of the stream.

        Raises:
            CoreError: Sessions of a unit were fed already.
        """

    def feed_sessions(self, chunk: bytes) -> None:
        """Take a chunk of the units' sessions in the window.

        Each unit but the last is counted when a session of a later one comes.

        Columns, in any order: `user_key`, `landing_key`, `exit_key`, `before_exit_key` (`UInt64`) for a
        tally of whole keys; `packed` (`FixedString(24)`, as `schema.sql` has it) for one of leading bits,
        where sessions that say that they are converting are left to the other stream, and those that say that
        they are gone count nowhere; and some of those that follow, which may differ from block to block.

        `included` (`UInt8`: 1, or 0 for a session that fails the session filters and is only
        evidence for who came first); all are included where it is absent. `started_at` (`Int64`, ms
        since the epoch). `session_key` (`UInt64`, a hash of the session's id: of a user's sessions that
        started together, the least comes first). The scopes first, assist and after need both; the others do
        without, and ignore `started_at`.

        `written_at` (`Int64`, any unit), `day` (`UInt16`, of the start), with `session_key`; and with whole
        keys `converting` (`UInt8`: 1 where this version of the session has a conversion) and `gone` (`UInt8`: 1
        where it says that the session has left this place), which `packed` has in itself. Without `written_at`,
        the stream has the last versions alone, each session at its place once. With it, it has every version of
        every session: of a user's rows with the same `session_key` and `day`, the one with the greatest
        `written_at` counts (of several, the last in the stream), and where that one is converting or gone, none
        does: the other stream has the session, or another place. All versions of a session must come in this
        form.

        Raises:
            UnorderedError: Units did not come one after the other.
            CoreError: The bytes are no such blocks, or what `finish_units` refuses.
        """

    def feed_conversions(self, chunk: bytes) -> None:
        """Take a chunk of the unit's sessions that have conversions, of the whole history.

        Columns, in any order: `user_key` (`UInt64`), `started_at` (`Int64`, ms since the epoch),
        `session_key` (`UInt64`, as in the sessions stream),
        `included` (`UInt8`: 1 in the window and past the session filters),
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

    def finish_units(self) -> None:
        """Count the rows of the units that are left, and forget them.

        Raises:
            CoreError: A stream stopped inside a block, or was refused before. Nothing of that unit is counted.
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
        """List the keys of the pages that have a role in the answer, as the tally counts them, in no order."""

    def feed_pages(self, chunk: bytes) -> None:
        """Take a chunk of page names.

        Columns, in any order: `page_key` (`UInt64`, whole in any case) and `url` (`String`; bytes that
        are not UTF-8 are replaced). Unknown keys are ignored, and a page that has a name keeps it.

        Raises:
            AmbiguousPagesError: Two of them have been counted as one page.
            CoreError: The bytes are no such blocks.
        """

    def missing_pages(self) -> list[int]:
        """List the keys of the pages that have a role and no name yet, as the tally counts them, in no order."""

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

@final
class JsonAnswer:
    """One answer as JSON, written while its messages come.

    The joined bytes are an object with `time_frame` (`start`, `end`: ISO 8601 in UTC, with
    milliseconds only where there are any), `summary_totals`, `conversion_performance` and
    `drop_off_performance`, or with `message` alone. All roles and totals are there, with zeros, and
    both lists, though they may be empty. An answer gives the same bytes whether it comes as the
    message of `Pages` or as those of `StreamPages`.

    Its methods release the GIL. After a `CoreError`, all further calls raise the same.
    """

    def __new__(cls) -> JsonAnswer:
        """Begin an answer."""

    def feed(self, message: bytes) -> bytes:
        """Take the next serialized `PagesResponse`.

        Fields that the contract does not have are skipped.

        Returns:
            The bytes that this message adds; none are possible.

        Raises:
            CoreError: The bytes are no such message, or rows come before the head or out of order.
        """

    def finish(self) -> bytes:
        """End the answer.

        Returns:
            The closing bytes.

        Raises:
            CoreError: The answer has no head, or is finished already.
        """
