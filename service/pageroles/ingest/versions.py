"""Which version of a session counts, and what to store so that the others do not. Pure.

A session is its domain and its session id. A version of it is stored at a *place*: a user and a start. The version with
the latest `written_at` counts, in whatever order they come; of equal ones, at one place the last stored, at different
places the later start, then the greater user key (docs/semantics.md, "Sessions"). The store keeps one row of a session
for each user and day, the one written last. So where a session has several places, the row of each user and day but one
is marked as gone. A mark on the day of the version that counts is written before it: what the store derives of the
place that was left goes, and the row that counts stays.
"""

from __future__ import annotations

import functools
import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pageroles.ingest.session import in_utc
from pageroles.question.model import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pageroles.ingest.session import Row

# Values of the column `gone`.
LATE = 1
MARK = 2

_MILLISECONDS_OF_A_DAY = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """Where a version is stored: the key of its user, and its start in milliseconds since 1970."""

    user_key: int
    started_at: int

    @property
    def row(self) -> tuple[int, int]:
        """Return the user and the day, of which `sessions` keeps one row of a session."""
        return self.user_key, self.started_at // _MILLISECONDS_OF_A_DAY


class Version(NamedTuple):
    """The latest version at a place; `written_at` in microseconds since 1970."""

    place: Place
    written_at: int

    @property
    def order(self) -> tuple[int, int, int]:
        """Return what orders versions at different places."""
        return self.written_at, self.place.started_at, self.place.user_key


class Change(NamedTuple):
    """What storing versions of one session means.

    Attributes:
        lines: The rows to store, each with its time of writing.
        is_new: Whether nothing was stored of the session.
        counts: Whether one of the versions counts now, rather than the one that is stored already.
        moved_user: Whether the session has another user than before, or than in its first version.
        moved_start: Whether it has the same user and another start.
    """

    lines: list[bytes]
    is_new: bool
    counts: bool
    moved_user: bool
    moved_start: bool


def change(versions: Sequence[Row], user_keys: Sequence[int], known: Iterable[Version], now: int) -> Change:
    """Find out what to store for versions of one session, and what that changes.

    Args:
        versions: The versions, in the order of their delivery; at least one.
        user_keys: The keys of their users.
        known: What is stored of the session: the latest version at each of its places.
        now: The present, in microseconds since 1970.
    """
    latest_at = dict(known)
    counted = _latest(latest_at)
    origin = None if counted is None else counted.place
    last = max(latest_at.values(), default=0)
    rows: dict[Place, tuple[Row, int]] = {}
    for row, user_key in zip(versions, user_keys, strict=True):
        place = Place(user_key, to_milliseconds(in_utc(row.started_at)))
        origin = origin or place
        # Without a time of its own, a version is later than the one it replaces, whatever the clocks say.
        written_at = max(now, last + 1) if row.written_at is None else _microseconds(row.written_at)
        last = max(last, written_at)
        if written_at >= latest_at.get(place, 0):
            latest_at[place] = written_at
            rows[place] = (row, written_at)
    counts = _latest(latest_at)
    if counts is None or origin is None:
        raise ValueError("a session has at least one version")
    delivered = rows.get(counts.place, (None, None))[1] == counts.written_at
    moved_user = delivered and counts.place.user_key != origin.user_key
    return Change(
        list(_lines(versions[0].key, rows, counted, counts)),
        is_new=counted is None,
        counts=delivered,
        moved_user=moved_user,
        moved_start=delivered and not moved_user and counts.place != origin,
    )


def _lines(
    key: tuple[str, str], rows: dict[Place, tuple[Row, int]], counted: Version | None, counts: Version
) -> Iterator[bytes]:
    """Give the rows to store.

    Args:
        key: The session's domain and id.
        rows: The versions to store, by their places, with their times of writing.
        counted: The version that counted before.
        counts: The version that counts now.
    """
    if counted is not None and counted.place != counts.place:
        same_row = counted.place.row == counts.place.row
        _, again_at = rows.get(counted.place, (None, None))
        # A late row does for a mark, unless it is dated back, as below: it could not take back what is stored there.
        if again_at is None or (same_row and again_at == counts.written_at):
            # Of rows written at the same time the last stored is kept: here the mark, or the version that counts, which
            # comes after it.
            yield _mark(*key, counted.place, counted.written_at if same_row else counts.written_at)
    # The version that counts comes last: of rows written at the same time the store keeps the last.
    for place, (row, written_at) in sorted(rows.items(), key=lambda item: item[0] == counts.place):
        late = place != counts.place
        # Stored later, a row written at the same time would take the place of the one that counts.
        tied = late and place.row == counts.place.row and written_at == counts.written_at
        yield dated(row, written_at - tied, b',"gone":%d' % LATE if late else b"")


def dated(row: Row, written_at: int, gone: bytes = b"") -> bytes:
    """Return a row's line with its time of writing, in microseconds since 1970."""
    given = row.written_at is not None and _microseconds(row.written_at) == written_at
    line = row.line if given or row.written_at is None else row.undated
    at = b"" if given else b',"written_at":"%s"' % _text(written_at)
    return line[: -len(b"}\n")] + at + gone + b"}\n"


def _latest(latest_at: dict[Place, int]) -> Version | None:
    """Return the version that counts."""
    if len(latest_at) == 1:  # as of most sessions
        return Version(*next(iter(latest_at.items())))
    return max(itertools.starmap(Version, latest_at.items()), key=lambda version: version.order, default=None)


def _mark(domain: str, session_id: str, place: Place, written_at: int) -> bytes:
    """Return the row that takes the place of a version that no longer counts."""
    row = {
        "domain": domain,
        "session_id": session_id,
        "user_key": place.user_key,
        "started_at": (_EPOCH + timedelta(milliseconds=place.started_at)).isoformat(timespec="milliseconds"),
        "written_at": _text(written_at).decode(),
        "gone": MARK,
    }
    return msgspec.json.encode(row) + b"\n"


# Most rows of a batch have one time.
@functools.lru_cache(maxsize=16)
def _text(microseconds: int) -> bytes:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds").encode()


def _microseconds(instant: datetime) -> int:
    return (in_utc(instant) - _EPOCH) // timedelta(microseconds=1)
