"""Which version of a session counts, and what to store so that the others do not. Pure.

A session is its domain and its session id. A version of it is stored at a *place*: a user and a start. The version with
the latest `written_at` counts, in whatever order they come; of equal ones, at one place the last stored, at different
places the later start, then the greater user key (docs/semantics.md, "Sessions"). The store replaces rows at one place
by itself. So where a session has several places, the row at each place but one is marked as gone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pageroles import _core
from pageroles.question.model import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pageroles.ingest.session import Row

# Values of the column `gone`.
LATE = 1
MARK = 2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """Where a version is stored: the key of its user, and its start in milliseconds since 1970."""

    user_key: int
    started_at: int


class Version(NamedTuple):
    """The latest version at a place; `written_at` in microseconds since 1970."""

    place: Place
    written_at: int

    @property
    def order(self) -> tuple[int, int, int]:
        """Return what orders versions at different places."""
        return self.written_at, self.place.started_at, self.place.user_key


def lines(versions: Sequence[Row], known: Iterable[Version], now: int) -> Iterator[bytes]:
    """Give the rows that store versions of one session, in the order in which they were given.

    Args:
        versions: The versions, in the order of their delivery.
        known: What is stored of the session: the latest version at each of its places.
        now: The present, in microseconds since 1970.
    """
    latest_at = {version.place: version.written_at for version in known}
    counted = _latest(latest_at)
    last = max(latest_at.values(), default=0)
    rows: dict[Place, tuple[Row, int]] = {}
    for row, user_key in zip(versions, _core.keys([row.user_id for row in versions]), strict=True):
        place = Place(user_key, to_milliseconds(_in_utc(row.started_at)))
        # Without a time of its own, a version is later than the one it replaces, whatever the clocks say.
        written_at = max(now, last + 1) if row.written_at is None else _microseconds(row.written_at)
        last = max(last, written_at)
        if written_at >= latest_at.get(place, 0):
            latest_at[place] = written_at
            rows[place] = (row, written_at)
    counts = _latest(latest_at)
    for place, (row, written_at) in rows.items():
        gone = b"" if counts is not None and place == counts.place else b',"gone":%d' % LATE
        at = b"" if row.written_at is not None else b',"written_at":"%s"' % _text(written_at)
        yield row.line[: -len(b"}\n")] + at + gone + b"}\n"
    if counted is not None and counts is not None and counted.place != counts.place and counted.place not in rows:
        domain, session_id = versions[0].key
        yield _mark(domain, session_id, counted, max(counts.written_at, counted.written_at + 1))


def _latest(latest_at: dict[Place, int]) -> Version | None:
    """Return the version that counts."""
    return max((Version(*item) for item in latest_at.items()), key=lambda version: version.order, default=None)


def _mark(domain: str, session_id: str, at: Version, written_at: int) -> bytes:
    """Return the row that takes the place of a version that no longer counts."""
    row = {
        "domain": domain,
        "session_id": session_id,
        "user_key": at.place.user_key,
        "started_at": (_EPOCH + timedelta(milliseconds=at.place.started_at)).isoformat(timespec="milliseconds"),
        "written_at": _text(written_at).decode(),
        "gone": MARK,
    }
    return msgspec.json.encode(row) + b"\n"


def _text(microseconds: int) -> bytes:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds").encode()


def _microseconds(instant: datetime) -> int:
    return (_in_utc(instant) - _EPOCH) // timedelta(microseconds=1)


def _in_utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
