# The extension has no Python source, so its documentation is here.
# ruff: noqa: PYI021
"""The Rust core: it takes blocks of session rows, and counts them by page and role as protobuf or JSON."""

from collections.abc import Iterator
from typing import Final, final

__all__ = [
    "AmbiguousPagesError",
    "CoreError",
    "Counted",
    "Days",
    "Incoming",
    "JsonAnswer",
    "Names",
    "Question",
    "Resident",
    "Selection",
    "Tally",
    "Values",
    "__build__",
    "__version__",
    "keys",
]

__version__: Final[str]
"""The version of the compiled core, which is that of the package."""

__build__: Final[str]
"""`release` or `debug`. A debug build gives the same answers, an order of magnitude slower."""

class CoreError(Exception):
    """The core refuses data or a question; the text says which and why.

    Nothing of the refused data is counted. A refused stream can't be continued.
    """

class AmbiguousPagesError(CoreError):
    """A tally of leading bits counted two pages as one; a tally of whole keys tells them apart."""

@final
class Tally:
    """The counts of one question over the units of one worker, which come as streams.

    A unit is a set of users with all their rows. It is fed as up to three streams in ClickHouse's
    Native format (revision 0), interleaved in any way and in chunks of any size, and ended by
    `finish_unit`. No user may be in two units, of this tally or of one that is merged with it: so
    users add up. Memory is bounded by the largest unit and the number of pages.

    Page keys are 64-bit hashes; 0 means no page. A tally counts with whole keys, or with their first
    42 bits, which come packed and take less time.

    A tally belongs to one thread at a time; overlapping calls raise `RuntimeError`. Long methods
    release the GIL.
    """

    def __new__(
        cls, touch_scope: int, conversion_filter: bool, whole_keys: bool, balance: bool, landings: bool
    ) -> Tally:
        """Make an empty tally.

        Args:
            touch_scope: The number of `TouchScope` in the contract, 0 to 5.
            conversion_filter: Whether the question has a conversion filter.
            whole_keys: Whether the tally counts with whole page keys.
            balance: Whether what the included sessions are is counted, too.
            landings: Whether the included sessions that landed on each page are counted, too.

        Raises:
            CoreError: The touch scope is unknown.
        """

    def begin_unit(self, first: int, last: int) -> None:
        """Set the user keys of the next unit, before any of its rows is fed.

        Rows of other users are then refused. A unit that is not begun may have any users; it takes
        longer if they are a small part of all keys.

        Args:
            first: The least user key, from 0.
            last: The greatest user key, up to 2**64 - 1.

        Raises:
            CoreError: Rows of the current unit were already fed.
        """

    def feed_sessions(self, chunk: bytes) -> None:
        """Feed a chunk of the unit's sessions in the window.

        Columns, in any order: `user_key`, `landing_key`, `exit_key`, `before_exit_key` (`UInt64`) for a
        tally of whole keys; `packed` (`FixedString(24)`, as the store has it) for one of leading bits,
        where sessions that say that they are converting are left to the other stream, and those that say that
        they are gone count nowhere; and some of those that follow.

        `included` (`UInt8`: 1, or 0 for a session that fails the session filters and is only
        evidence for who came first); all are included where it is absent. `started_at` (`Int64`, ms
        since the epoch) with `session_key` (`UInt64`, a hash of the session's id: of a user's sessions that
        started together, the least comes first): all blocks of a unit have them, or none has. The scopes first,
        assist and after need them.

        `written_at` (`Int64`, any unit), with these two; and with whole keys `converting` (`UInt8`: 1 where
        this version of the session has a conversion) and `gone` (`UInt8`: 1 where it says that the session has
        left this place), which `packed` has in itself. Without `written_at`, the stream has the last versions
        alone, each session at its place once. With it, it has every version of every session: of a user's rows
        with the same `session_key` and the same UTC day of start, the one with the greatest `written_at` counts
        (of several, the last in the stream), and where that one is converting or gone, none does: the other
        stream has the session, or another place. All versions of a session must come in this form.

        Raises:
            CoreError: The bytes are no such blocks.
        """

    def feed_conversions(self, chunk: bytes) -> None:
        """Feed a chunk of the unit's sessions with conversions, over the whole history.

        Columns, in any order: `user_key` (`UInt64`), `started_at` (`Int64`, ms since the epoch),
        `session_key` (`UInt64`, as in the sessions stream),
        `included` (`UInt8`: 1 in the window and past the session filters),
        `conversions` (`UInt32`: how many pass the conversion filters; 0 is possible),
        `landing_key`, `exit_key`, `before_exit_key` (`UInt64`), `page_keys` (`Array(UInt64)`, in
        viewing order), `conversion_keys` (`Array(UInt64)`, one for each of `conversions`) and
        `assist_views` (`Array(UInt32)`, likewise: how many of the first `page_keys` assist it).
        The arrays of rows that are not included are ignored.

        Raises:
            CoreError: The bytes are no such blocks, or the columns of a row contradict each other.
        """

    def feed_users(self, chunk: bytes) -> None:
        """Feed a chunk of the unit's users who have a session before the window.

        One column, `user_key` (`UInt64`); keys may repeat. The scopes first and assist need it.

        Raises:
            CoreError: The bytes are no such blocks.
        """

    def finish_unit(self) -> None:
        """Count the unit, and drop its rows.

        Raises:
            CoreError: A stream stopped inside a block, or was refused before. The tally is of no use then.
        """

    def merge(self, other: Tally) -> None:
        """Add the counts of another tally, which is empty afterwards.

        Raises:
            CoreError: The other tally is of another question, or has a unit that is not finished.
        """

    @property
    def rows(self) -> int:
        """The number of rows that it was fed, in all streams, and those of the tallies that were merged into it."""

    def take(self) -> Counted:
        """Return the counts of the units finished so far; the tally is empty afterwards.

        Raises:
            CoreError: A unit is not finished.
        """

@final
class Counted:
    """The finished counts of one question: names of pages come in, messages go out.

    It belongs to one thread at a time. Long methods release the GIL.
    """

    @property
    def total_sessions(self) -> int:
        """The number of included sessions."""

    @property
    def total_users(self) -> int:
        """The number of distinct users of these sessions."""

    @property
    def total_conversion_events(self) -> int:
        """The number of conversions in these sessions."""

    @property
    def total_conversion_users(self) -> int:
        """The number of distinct users with a conversion in these sessions."""

    def page_count(self) -> int:
        """Return the number of pages that have a role."""

    def page_keys(self) -> list[int]:
        """Return the keys of the pages that have a role, whole or leading bits as they were counted, in no order."""

    def feed_pages(self, chunk: bytes) -> None:
        """Feed a chunk of page names.

        Columns, in any order: `page_key` (`UInt64`, always whole) and `url` (`String`; bytes that are
        not UTF-8 are replaced). Unknown keys are ignored, and a page that has a name keeps it.

        Raises:
            AmbiguousPagesError: Two of these pages were counted as one.
            CoreError: The bytes are no such blocks.
        """

    def missing_pages(self) -> list[int]:
        """Return the keys of the pages that have a role and no name yet, in the form and order of `page_keys`."""

    def take_landings(self, other: Counted) -> None:
        """Have each page's sessions that landed on it as another count of the same domain has them.

        Args:
            other: The counts of a question that counted landings; its page keys have the same width.
        """

    def response(self, start_ms: int, end_ms: int, limit: int | None) -> bytes:
        """Return the whole answer as one serialized `PagesResponse`.

        Args:
            start_ms: The start of the window that the answer shows, in ms since the epoch.
            end_ms: The end of the window that the answer shows, in ms since the epoch.
            limit: The most rows of each list; None: all, and `omitted` is not set.

        Returns:
            The answer; if no session is included, one with `message`, and `balance` if that was counted.

        Raises:
            CoreError: Pages have no name.
        """

    def responses(self, start_ms: int, end_ms: int, limit: int | None, max_bytes: int) -> Iterator[bytes]:
        """Return the answer as the serialized messages of `StreamPages`.

        The first message has everything but rows; the rows follow in order. Joined, the messages are
        the bytes of `response`.

        Args:
            start_ms: The start of the window that the answer shows, in ms since the epoch.
            end_ms: The end of the window that the answer shows, in ms since the epoch.
            limit: The most rows of each list; None: all, and `omitted` is not set.
            max_bytes: The greatest size of a message with several rows; a larger row is a message of its own.

        Raises:
            CoreError: Pages have no name.
        """

@final
class Question:
    """What is asked of a domain in memory; it does not change."""

    def __new__(
        cls,
        touch_scope: int,
        start_ms: int,
        end_ms: int,
        traffic: list[int | None],
        landing: int | None,
        conversion: list[int | None],
    ) -> Question:
        """Make a question.

        A value that is asked for is given by its key, as `keys` returns it; None: any value passes.

        Args:
            touch_scope: The number of `TouchScope` in the contract, 0 to 5.
            start_ms: The first start, in ms since the epoch.
            end_ms: The last start, in ms since the epoch.
            traffic: Source, medium, campaign, content and term.
            landing: The page that sessions landed on.
            conversion: URL, type and id of conversions.

        Raises:
            CoreError: The touch scope is unknown.
        """

@final
class Days:
    """Totals of UTC days, and what one page did on each.

    It belongs to one thread at a time; overlapping calls raise `RuntimeError`.
    """

    def __new__(cls, first_day: int, days: int) -> Days:
        """Make days without sessions.

        Args:
            first_day: The first day, as the number of days since 1970.
            days: How many days follow each other, at least 0.
        """

    def merge(self, other: Days) -> None:
        """Add the same days of other users.

        Raises:
            CoreError: They are other days.
        """

    def message(self) -> bytes:
        """Return the days as a serialized `PageDaysResponse`, with `roles` and `landing` if a page was counted."""

@final
class Selection:
    """The latest sessions of a number of the report, and how many there are in all.

    Sessions are in the order of their start, then of their key, then of their user's key. Memory is
    bounded by the limit. It belongs to one thread at a time; overlapping calls raise `RuntimeError`.
    """

    def __new__(cls, limit: int, before: tuple[int, int, int] | None) -> Selection:
        """Make a selection of nothing.

        Args:
            limit: How many sessions are kept, the greatest; 0: none, and only the total is of use.
            before: Only sessions that are less are kept: start in ms since the epoch, session key, user key.
                None: all may be.
        """

    @property
    def total(self) -> tuple[int, int]:
        """The sessions and their users, whatever is kept of them."""

    def merge(self, other: Selection) -> None:
        """Add what was selected of other users.

        Raises:
            CoreError: Its limit or `before` is another one.
        """

    def take(self) -> list[tuple[int, int, int]]:
        """Take what is kept, the greatest first: start in ms since the epoch, session key, user key.

        The total stays. A second call returns nothing.
        """

@final
class Names:
    """The texts of values by their keys. Its methods may be called from several threads at once."""

    def __new__(cls) -> Names:
        """Begin with no texts."""

    def feed(self, chunk: bytes) -> None:
        """Feed a chunk of texts.

        Columns, in any order: `key` (`UInt64`) and `value` (`String`; bytes that are not UTF-8 are
        replaced). A key that has a text keeps it. The chunks of one stream follow each other: feed each
        stream to names of its own, and merge these into what several threads share.

        Raises:
            CoreError: The bytes are no such blocks.
        """

    def merge(self, other: Names) -> None:
        """Add the texts of others, whose stream has ended.

        Raises:
            CoreError: Their stream stopped inside a block, or was refused before. Nothing is added then.
        """

    @property
    def bytes(self) -> int:
        """The bytes that all of it takes."""

    def __len__(self) -> int:
        """Return the number of texts."""

@final
class Values:
    """Values of a filter, by their keys, each with the sessions that a question includes with that value set.

    It belongs to one thread at a time; overlapping calls raise `RuntimeError`.
    """

    def __new__(cls) -> Values:
        """Begin with no values."""

    def merge(self, other: Values) -> None:
        """Add the sessions of other users."""

    def missing(self, names: Names) -> list[int]:
        """Return the keys of the values that have no text among these, in order."""

    def top(self, names: Names, contains: str, limit: int) -> list[tuple[str, int]]:
        """Return the first values and their sessions: most sessions first, then by text, byte by byte.

        Values without a session are none of them, nor is the empty text, nor are values that have no text.

        Args:
            names: The texts.
            contains: Only texts that contain this one, in any case. Empty: all.
            limit: The most values.
        """

@final
class Resident:
    """The sessions of a domain, kept in memory and grouped for counting.

    What is kept follows the store by places: a user, a UTC day and a session, of which the store has one
    row. Its methods may be called from several threads at once. They release the GIL, and a count works
    with what is kept when it begins.
    """

    def __new__(cls) -> Resident:
        """Make a resident without sessions."""

    def snapshot(self) -> Resident:
        """Return the sessions as they are now, which stay so; pages and their names are shared."""

    def count(self, question: Question, balance: bool, landings: bool, threads: int) -> Counted:
        """Count the sessions of a question.

        Args:
            question: The question.
            balance: Whether what the included sessions are is counted, too.
            landings: Whether the included sessions that landed on each page are counted, too.
            threads: On how many threads to count, at least 1.

        Raises:
            CoreError: There are too many sessions.
        """

    def days(self, question: Question, page: int | None, landings: Question | None, days: Days, threads: int) -> None:
        """Add the included sessions to days, and what a page did in them.

        Args:
            question: The question. Sessions outside of `days` are left out.
            page: The key of the page; one that is not known has zeros. None: totals only.
            landings: The question whose included sessions count where they landed on the page. None: the same.
            days: The days to add to.
            threads: On how many threads to count, at least 1.
        """

    def values(self, question: Question, field: int, threads: int) -> Values:
        """Count, for each value of a filter, what the question includes with that value set.

        Args:
            question: The question; its own value of the filter is left aside.
            field: The filter: 0 to 2 URL, type and id of conversions, 3 to 7 source, medium, campaign, content and
                term, 8 the page that sessions landed on.
            threads: On how many threads to count, at least 1.

        Raises:
            CoreError: The filter is unknown.
        """

    def select(self, question: Question, page: int | None, role: int, selection: Selection, threads: int) -> None:
        """Add included sessions to a selection.

        Args:
            question: The question.
            page: The key of the page; None: all included sessions.
            role: The number of `Role` in the contract: 0 any of the six roles of a report, 7 sessions that landed on
                the page. It is 0 where no page is given.
            selection: The selection to add to.
            threads: On how many threads to select, at least 1.

        Raises:
            CoreError: The role is unknown, or none is possible.
        """

    @property
    def sessions(self) -> int:
        """The number of sessions."""

    @property
    def bytes(self) -> int:
        """The bytes that all of it takes, names of pages included."""

@final
class Incoming:
    """Places that come for a resident. What is dropped before it is applied leaves no trace.

    It belongs to one thread at a time.
    """

    def __new__(cls, resident: Resident) -> Incoming:
        """Begin with no places."""

    def feed(self, chunk: bytes) -> None:
        """Feed a chunk of places as the store has them now.

        Columns, in any order: `user_key`, `session_key` (`UInt64`), `started_at` (`Int64`, ms since the
        epoch), `gone` (`UInt8`: 1 where no session counts at this place), `landing_key`, `exit_key`,
        `before_exit_key` (`UInt64`; 0: none), `source_key`, `medium_key`, `campaign_key`, `content_key`,
        `term_key` (`UInt64`, the keys of these values); and, empty where the session has no conversion,
        `page_keys` (`Array(UInt64)`, in viewing order), `conversion_keys` (`Array(UInt64)`), `assist_views`
        (`Array(UInt32)`: how many of the first `page_keys` assist it), `conversion_url_keys`,
        `conversion_type_keys`, `conversion_id_keys` (`Array(UInt64)`), all of one length.

        Raises:
            CoreError: The bytes are no such blocks, or the lists of a row contradict each other.
        """

    def apply(self) -> None:
        """Give all places that were fed their state; of rows of one place, the last one holds.

        Raises:
            CoreError: The stream stopped inside a block, or was refused before. Nothing is applied then.
        """

def keys(texts: list[str]) -> list[int]:
    """Return the keys of strings as ClickHouse's `sipHash64` gives them, unsigned, in their order."""

@final
class JsonAnswer:
    """One answer as JSON, written as its messages arrive.

    The joined bytes are an object with `time_frame` (`start`, `end`: ISO 8601 in UTC, with
    milliseconds only if they are not zero), `summary_totals`, `conversion_performance` and
    `drop_off_performance`, or with `message`; then with `balance` and `omitted`, where the messages
    have them. All roles and totals are present, with zeros, and both lists, which may be empty; rows
    have `landing` where the messages have it. The message of `Pages` and those of `StreamPages` give
    the same bytes.

    The methods release the GIL. After a `CoreError`, all further calls raise it again.
    """

    def __new__(cls) -> JsonAnswer:
        """Begin an answer."""

    def feed(self, message: bytes) -> bytes:
        """Add the next serialized `PagesResponse`.

        Fields that the contract does not have are skipped.

        Returns:
            The next bytes of the JSON; they may be empty.

        Raises:
            CoreError: The bytes are no such message, or rows come before the first message or out of order.
        """

    def finish(self) -> bytes:
        """End the answer.

        Returns:
            The closing bytes.

        Raises:
            CoreError: There was no message, or the answer is already finished.
        """
