"""The parts that were written since a domain in memory was read: what they have of it, and reading them."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache

from pageroles import _core
from pageroles.report import statements
from pageroles.report.names import feed
from pageroles.store.parts import Lost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pageroles.report.kept import Entry
    from pageroles.store.call import Call
    from pageroles.store.parts import Looks, New, Parts
    from pageroles.store.statement import Statement
    from pageroles.store.store import Store

# Of so many domains in parts it is remembered what the part has of them.
_MOST_WRITTEN = 100_000


class _Written(NamedTuple):
    """What a part has of a domain.

    Attributes:
        rows: How many rows.
        first: When the first of their versions was written, in microseconds since 1970.
        last: When the last of them was.
    """

    rows: int
    first: int
    last: int


_NONE_WRITTEN = _Written(0, 0, 0)


class LostError(Exception):
    """What is kept can't be proved to be as the store is."""


class NewParts:
    """Reads what was written to domains in memory; safe to use from many threads."""

    def __init__(self, store: Store, looks: Looks) -> None:
        """Know nothing of any part yet.

        Args:
            store: The store, which stays open.
            looks: Looks at its parts.
        """
        self._store = store
        self._looks = looks
        self._lock = threading.Lock()
        # Guarded by `_lock`.
        self._written_in: LRUCache[tuple[tuple[int, int], str], Mapping[str, _Written]] = LRUCache(
            _MOST_WRITTEN, getsizeof=len
        )

    def read(self, domain: str, entry: Entry, now: Parts, call: Call) -> bool:
        """Read the parts of a look that were not read, until nothing is missing; the call owns the entry.

        Returns:
            Whether the domain changed.

        Raises:
            LostError: It can't be proved any more.
            PagerolesError: The store failed, or the call ended.
        """
        while True:
            names = [name for names in _change(now, entry.covered).names.values() for name in names]
            written = self._written(names, now, call)
            own = [name for name in names if domain in written.get(name, (domain,))]
            if not own:
                break
            if (latest := entry.latest) is None:
                latest = self.latest(domain, own, call)
            # A part that is gone is in one that is read next.
            versions = [written[name][domain] for name in own if name in written]
            are_latest = bool(versions) and latest < min(each.first for each in versions)
            places = statements.places(domain, parts=own, are_latest=are_latest)
            incoming = self.places_into(entry.resident, places, call)
            with entry.changing(call):
                incoming.apply()
                entry.is_changed = True
                entry.latest = max([latest, *(each.last for each in versions)])
            now = self._looks.now(call, anew=True)
            covered = entry.covered.covering(names, now)
            if isinstance(covered, Lost):
                raise LostError(covered.reason)
            with entry.changing(call):
                entry.covered = covered
        with entry.changing(call):
            changed = entry.is_changed
            if changed or entry.kept.look is None:
                entry.measure(now)
            # Whoever finds the look here takes what is kept, without the lock.
            entry.covered = entry.seen = now
        return changed

    def rows(self, domain: str, now: Parts, covered: Parts, call: Call) -> int:
        """Return how many rows of a domain a look has that were not read; of parts that are gone it may have any.

        Raises:
            LostError: What was read can't be proved any more.
            PagerolesError: The store failed, or the call ended.
        """
        names = {name for names in _change(now, covered).names.values() for name in names}
        written = self._written(list(names), now, call)
        gone = sum(part.rows for part in now.parts if part.name in names - written.keys())
        return gone + sum(of.get(domain, _NONE_WRITTEN).rows for of in written.values())

    def latest(self, domain: str, besides: Sequence[str], call: Call) -> int:
        """Return when the last version of a domain was written, in microseconds since 1970.

        Args:
            domain: The domain.
            besides: Parts that do not count.
            call: The call that asks.
        """
        return int(str(self._store.rows(statements.latest_version(domain, besides), call)[0][0]))

    def places_into(self, resident: _core.Resident, places: Statement, call: Call) -> _core.Incoming:
        """Read places for a domain in memory, which takes them over when they are applied."""
        incoming = _core.Incoming(resident)
        feed(incoming.feed, self._store, places, call)
        return incoming

    def _written(self, names: Sequence[str], now: Parts, call: Call) -> Mapping[str, Mapping[str, _Written]]:
        """Return by domain what some parts of a look have, of those parts that are still there.

        A part never changes. Another can have its name, in a table that was made or opened anew: something was lost
        then.
        """
        with self._lock:
            keys = {name: (now.losses, name) for name in names}
            found = {name: self._written_in[key] for name, key in keys.items() if key in self._written_in}
        if missing := [name for name in names if name not in found]:
            rows = sorted(self._store.rows(statements.versions_in(missing), call), key=_first_text)
            for name, group in itertools.groupby(rows, key=_first_text):
                found[name] = {
                    str(domain): _Written(*(int(str(number)) for number in numbers)) for _, domain, *numbers in group
                }
            with self._lock:
                # No look has a part again that is gone.
                there = {(now.losses, part.name) for part in now.parts}
                for key in [key for key in self._written_in if key not in there]:
                    del self._written_in[key]
                for name in found.keys() & set(missing):
                    with contextlib.suppress(ValueError):  # of more domains than are remembered
                        self._written_in[keys[name]] = found[name]
        return found


def _change(now: Parts, covered: Parts) -> New:
    """Return what a look has that was not read.

    Raises:
        LostError: What was read can't be proved any more.
    """
    new = now.since(covered)
    if isinstance(new, Lost):
        raise LostError(new.reason)
    return new


def _first_text(row: Sequence[object]) -> str:
    return str(row[0])
