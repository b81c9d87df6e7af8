"""A kept copy of a table's rows, refreshed as `store/parts.py` says; over the real table, or a made-up one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from pageroles.store.parts import Lost, Parts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping


class Table(Protocol):
    """What a copy is made of. A place is what FINAL keeps one row of; a row is anything that can be compared."""

    def look(self, *, anew: bool = False) -> Parts:
        """Look at the parts."""

    def all(self) -> dict[Hashable, Hashable]:
        """Read the row at each place."""

    def places(self, names: Collection[str]) -> Collection[Hashable]:
        """Read the places of which parts have rows; parts that are not in use have none."""

    def rows(self, places: Collection[Hashable]) -> Mapping[Hashable, Hashable]:
        """Read the rows at some places, with FINAL."""


@dataclasses.dataclass
class Kept:
    """A kept copy.

    Attributes:
        table: What is kept.
        between: Called between any two reads: what may happen then.
        rows: The row at each place; None: nothing can be kept.
        kept: How often the copy was right without a part being read.
        read: How often parts were read.
        lost: Why the copy was lost, each time.
    """

    table: Table
    between: Callable[[], None] = lambda: None
    rows: dict[Hashable, Hashable] | None = None
    kept: int = 0
    read: int = 0
    lost: list[str] = dataclasses.field(default_factory=list)
    known: Parts | None = None

    def refresh(self) -> None:
        """Bring the copy up to date: nothing is new at the last look."""
        while True:
            now = self.table.look()
            if now.unproved is not None:
                self.rows = self.known = None
                self.lost.append(now.unproved)
                return
            if self.known is None:
                self.between()
                self.rows, self.known = self.table.all(), now
                self.between()
                continue
            change = now.since(self.known)
            if isinstance(change, Lost):
                self._lose(change)
                continue
            if not change.names:
                self._take(self.known.covering((), now))
                self.kept += 1
                return
            self._read({name for names in change.names.values() for name in names})

    def _read(self, names: Collection[str]) -> None:
        assert self.rows is not None
        assert self.known is not None
        self.read += 1
        self.between()
        places = self.table.places(names)
        self.between()
        rows = self.table.rows(places)
        self.between()
        for place in places:
            if place in rows:
                self.rows[place] = rows[place]
            else:
                self.rows.pop(place, None)
        self._take(self.known.covering(names, self.table.look(anew=True)))

    def _take(self, known: Parts | Lost) -> None:
        if isinstance(known, Lost):
            self._lose(known)
        else:
            self.known = known

    def _lose(self, lost: Lost) -> None:
        self.rows = self.known = None
        self.lost.append(lost.reason)
