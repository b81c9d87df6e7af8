"""Sessions that are stored by one insert, and what becomes of them."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Protocol

from pageroles import _core
from pageroles.ingest import versions
from pageroles.ingest.versions import Change, Place, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pageroles.ingest.session import Row

MOST_ROWS = 50_000
MOST_BYTES = 32 << 20

# What trackers send in place of a user, in small letters: all sessions that have it count as those of one user.
PLACEHOLDERS = frozenset({
    "null", "undefined", "none", "nil", "nan", "false", "true", "unknown", "anonymous", "anon", "guest", "visitor",
    "user", "n/a", "na", "-", "_", "0", "-1", "(null)", "<null>", "(none)", "(not set)", "not set", "[object object]",
    "0" * 32, "00000000-0000-0000-0000-000000000000",
})  # fmt: skip


class SessionStore(Protocol):
    """What loading needs of a store."""

    def write_sessions(self, rows: bytes) -> None:
        """Insert JSON Lines of `sessions`, each with its `written_at`; they are stored when this returns."""

    def places(self, domains: Sequence[str], session_keys: Sequence[int]) -> Iterable[tuple[str, int, int, int, int]]:
        """Return where versions of sessions are stored.

        Each as domain, session key, user key, start in milliseconds and time of writing in microseconds.
        """


@dataclasses.dataclass(slots=True)
class Stored:
    """What became of sessions that were stored.

    Attributes:
        new: Sessions of which nothing was stored before.
        replaced: Sessions that replace what was stored of them.
        outdated: Sessions of which a later version is stored, which goes on counting.
        moved_users: Sessions, new or replaced, that have another user than before, or than in an earlier row.
        moved_starts: Those that have the same user and another start.
        elsewhere: Sessions that a server elsewhere stored; it does not say which of the above they are.
        placeholders: Sessions by user, of users that are `PLACEHOLDERS`.
    """

    new: int = 0
    replaced: int = 0
    outdated: int = 0
    moved_users: int = 0
    moved_starts: int = 0
    elsewhere: int = 0
    placeholders: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def sessions(self) -> int:
        """All of them."""
        return self.new + self.replaced + self.outdated + self.elsewhere

    def add(self, other: Stored) -> None:
        """Add the counts of others."""
        self.new += other.new
        self.replaced += other.replaced
        self.outdated += other.outdated
        self.moved_users += other.moved_users
        self.moved_starts += other.moved_starts
        self.elsewhere += other.elsewhere
        self.placeholders += other.placeholders


class Batch:
    """Rows that are stored by one insert.

    Attributes:
        sessions: The only, or the last, version of each session.
        began: When the first row came, on the monotonic clock.
    """

    def __init__(self) -> None:
        """Begin with no rows."""
        self.began = 0.0
        self.sessions: dict[tuple[str, str], Row] = {}
        # The versions of those that have several which the store must tell apart.
        self._versions: dict[tuple[str, str], list[Row]] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is to be stored before another row is added."""
        return len(self.sessions) >= MOST_ROWS or self._bytes >= MOST_BYTES

    def add(self, row: Row) -> bool:
        """Add a row; tell whether an earlier one of its session gives way to it, or it to that."""
        if not self.sessions:
            self.began = time.monotonic()
        self._bytes += len(row.line)
        earlier = self.sessions.get(row.key)
        self.sessions[row.key] = row
        if earlier is None:
            return False
        same_place = (earlier.user_id, earlier.started_at) == (row.user_id, row.started_at)
        if not same_place or earlier.written_at or row.written_at or row.key in self._versions:
            self._versions.setdefault(row.key, [earlier]).append(row)
        return True

    def store_into(self, store: SessionStore) -> Stored:
        """Insert the rows, and what marks the versions that they replace elsewhere; return what they became."""
        lines, stored = self.prepared(store)
        if lines:
            store.write_sessions(lines)
        return stored

    def prepared(self, store: SessionStore) -> tuple[bytes, Stored]:
        """Return the rows to insert, by what is stored of the sessions already, and what becomes of these."""
        known: dict[tuple[str, int], list[Version]] = defaultdict(list)
        session_keys = _core.keys([session_id for _, session_id in self.sessions])
        domains = sorted({domain for domain, _ in self.sessions})
        for domain, session_key, user_key, started_at, written_at in store.places(domains, session_keys):
            known[domain, session_key].append(Version(Place(user_key, started_at), written_at))
        users = [row.user_id for row in self.sessions.values()]
        user_keys = _core.keys(users)
        now = time.time_ns() // 1000
        lines: list[bytes] = []
        changes: list[Change] = []
        for (key, row), session_key, user_key in zip(self.sessions.items(), session_keys, user_keys, strict=True):
            stored, several = known.get((key[0], session_key)), self._versions.get(key)
            if several is None and stored is None:
                lines.append(row.line if row.written_at is not None else versions.dated(row, now))
                continue
            keys = _core.keys([version.user_id for version in several]) if several else (user_key,)
            changes.append(versions.change(several or (row,), keys, stored or (), now))
            lines += changes[-1].lines
        new = sum(change.is_new for change in changes)
        replaced = sum(change.counts and not change.is_new for change in changes)
        stored_as = Stored(
            new=len(self.sessions) - len(changes) + new,
            replaced=replaced,
            outdated=len(changes) - new - replaced,
            moved_users=sum(change.moved_user for change in changes),
            moved_starts=sum(change.moved_start for change in changes),
            placeholders=placeholders(users),
        )
        return b"".join(lines), stored_as


def placeholders(users: Iterable[str]) -> Counter[str]:
    """Return those of some users that are placeholders, with how often each comes."""
    return Counter(user for user in users if user.lower() in PLACEHOLDERS or user.isspace())
