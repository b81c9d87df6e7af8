"""A made-up table of ClickHouse's: its parts with their numbers and rows, and what may happen to them.

It does what the engine was seen to do, and nothing that makes it easier for who keeps a copy: it merges any neighbours,
reaches parts with mutations one by one, and gives numbers again when it is opened anew. `told` is the answer to a look.
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Hashable, Iterable, Mapping

# A place, and of each version there its time of writing and its value.
Place = tuple[str, int]
Version = tuple[int, int]

PARTITIONS = ("202507", "202508")
PLACES = 6


class Numbered:
    """What ClickHouse calls a part, by its numbers."""

    partition: str
    first: int
    last: int
    level: int
    version: int

    @property
    def data_version(self) -> int:
        return self.version or self.first

    @property
    def name(self) -> str:
        name = f"{self.partition}_{self.first}_{self.last}_{self.level}"
        return f"{name}_{self.version}" if self.version else name


@dataclasses.dataclass
class MadePart(Numbered):
    partition: str
    first: int
    last: int
    level: int
    version: int
    rows: dict[Place, Version]
    # Of a lightweight update: what it changes.
    patch: dict[Place, int] | None = None

    def told(self, *, active: bool) -> tuple[object, ...]:
        rows = len(self.rows) + len(self.patch or {})
        return self.partition, self.first, self.last, self.data_version, rows, self.name, int(active)


@dataclasses.dataclass
class MadeTable:
    rng: random.Random
    # The embedded engine tells of mutations at work, and lists no empty parts that are out of use.
    embedded: bool = False
    number: int = 0
    started: int = 1000
    identity: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    parts: list[MadePart] = dataclasses.field(default_factory=list)
    # Empty parts that are no longer in use; merges do not span them.
    emptied: list[MadePart] = dataclasses.field(default_factory=list)
    # Mutations that have not reached all parts: their number and the values whose rows they delete.
    mutations: dict[int, int] = dataclasses.field(default_factory=dict)
    detached: list[MadePart] = dataclasses.field(default_factory=list)

    # ---- what is read ----

    def told(self) -> list[tuple[object, ...]]:
        """Return the rows of a look."""
        path = f"/store/{self.identity[:3]}/{self.identity}/part/"
        changing = int(self.embedded and bool(self.mutations))
        table: tuple[object, ...] = ("ReplacingMergeTree", path, 0, [], [], changing, self.started)
        if self.embedded:
            self.emptied = []
        told = [(*part.told(active=True), *table) for part in self.parts]
        told += [(*part.told(active=False), *table) for part in self.emptied]
        self.rng.shuffle(told)
        return told

    def all(self) -> dict[Hashable, Hashable]:
        found: dict[Hashable, tuple[int, int, int]] = {}
        for part in self._base():
            for place, (written, value) in self._patched(part).items():
                version = (written, part.last, value)
                found[place] = max(found.get(place, version), version)
        return {place: (written, value) for place, (written, _, value) in found.items()}

    def places(self, names: Collection[str]) -> set[Hashable]:
        return {place for part in self.parts if part.name in names for place in part.rows}

    def rows(self, places: Collection[Hashable]) -> Mapping[Hashable, Hashable]:
        return {place: row for place, row in self.all().items() if place in places}

    # ---- what happens ----

    def insert(self) -> None:
        for partition in self.rng.sample(PARTITIONS, self.rng.randint(1, len(PARTITIONS))):
            places = self.rng.sample(range(PLACES), self.rng.randint(1, 3))
            rows = {(partition, place): (self.rng.randint(1, 20), self.rng.randint(0, 4)) for place in places}
            self.parts.append(self._part(partition, rows))

    def merge(self) -> None:
        partition = self.rng.choice(PARTITIONS)
        parts = self._base(partition)
        if not parts:
            return
        start = self.rng.randrange(len(parts))
        chosen = parts[start : start + self.rng.randint(1, 4)]
        first, last = chosen[0].first, chosen[-1].last
        gaps = [(before.last, after.first) for before, after in itertools.pairwise(chosen)]
        if any(part.partition == partition and low < part.first < high for part in self.emptied for low, high in gaps):
            return
        if len({tuple(number for number in self.mutations if number > part.data_version) for part in chosen}) > 1:
            return
        rows: dict[Place, Version] = {}
        for part in chosen:
            for place, row in self._patched(part).items():
                # Of equal ones the last counts.
                if row[0] >= rows.get(place, row)[0]:
                    rows[place] = row
        version = max(part.version for part in chosen)
        patches = [it.first for it in self._patches(partition) for part in chosen if it.first > part.data_version]
        if patches and self.mutations:
            return
        version = max([version, *patches])
        merged = MadePart(partition, first, last, max(part.level for part in chosen) + 1, version, rows)
        self._replace(chosen, merged)

    def mutate(self) -> None:
        """Begin to delete the rows of a value."""
        self.mutations[self._next()] = self.rng.randint(0, 9)

    def go_on(self) -> None:
        """Let a mutation reach some parts; those that have reached all end."""
        for part in self._base():
            for number in sorted(number for number in self.mutations if number > part.data_version):
                if self.rng.random() < 1 / 2:
                    break
                value = self.mutations[number]
                rows = {place: version for place, version in self._patched(part).items() if version[1] != value}
                part = self._replace([part], dataclasses.replace(part, version=number, rows=rows))  # noqa: PLW2901
        oldest = min((part.data_version for part in self._base()), default=self.number)
        self.mutations = {number: value for number, value in self.mutations.items() if number > oldest}

    def kill(self) -> None:
        self.mutations.clear()

    def update(self) -> None:
        """Change rows lightly: by a part that says how."""
        partition = self.rng.choice(PARTITIONS)
        places = {(partition, place): self.rng.randint(0, 4) for place in self.rng.sample(range(PLACES), 2)}
        number = self._next()
        self.parts.append(MadePart(f"patch-{partition}", number, number, 0, 0, {}, patch=places))

    def clean_up(self) -> None:
        """Remove updates that are in all parts."""
        for partition in PARTITIONS:
            oldest = min((part.data_version for part in self._base(partition)), default=self.number)
            done = [patch for patch in self._patches(partition) if patch.first <= oldest]
            self.parts = [part for part in self.parts if not any(part is patch for patch in done)]

    def drop(self) -> None:
        """Drop or detach a part or a partition; empty parts come in their place, which a merge may take."""
        partition = self.rng.choice(PARTITIONS)
        parts = self._base(partition)
        chosen = parts if self.rng.random() < 1 / 3 else self.rng.sample(parts, min(1, len(parts)))
        empty = [self._replace([part], dataclasses.replace(part, level=part.level + 1, rows={})) for part in chosen]
        self.detached = [dataclasses.replace(part) for part in chosen] if self.rng.random() < 1 / 2 else self.detached
        if self.rng.random() < 1 / 4:
            self.merge()
        for part in empty:
            if any(part is other for other in self.parts):
                self.parts.remove(part)
                self.emptied.append(part)

    def attach(self) -> None:
        for part in self.detached:
            self.parts.append(self._part(part.partition, part.rows))
        self.detached = []

    def forget_emptied(self) -> None:
        """Remove empty parts, as a server does eight minutes after they were dropped."""
        self.emptied = []

    def open_anew(self) -> None:
        """Stop and start the server: numbers go on after the highest that is left."""
        self.started += 60
        self.attach_anew()

    def attach_anew(self) -> None:
        """Detach the whole table, and attach it."""
        self.number = max([part.last for part in self.parts + self.emptied] + [*self.mutations, 0])

    def make_anew(self) -> None:
        """Drop the table, and make one of the same name; perhaps the same rows are written again."""
        parts = [(part.partition, part.rows) for part in self._base()]
        self.identity, self.number = str(uuid.uuid4()), 0
        self.parts, self.emptied, self.mutations, self.detached = [], [], {}, []
        for partition, rows in parts if self.rng.random() < 1 / 2 else []:
            self.parts.append(self._part(partition, dict(rows)))
        if parts:
            self.insert()

    # ---- parts ----

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _part(self, partition: str, rows: dict[Place, Version]) -> MadePart:
        number = self._next()
        return MadePart(partition, number, number, 0, 0, rows)

    def _base(self, partition: str | None = None) -> list[MadePart]:
        parts = [part for part in self.parts if part.patch is None and partition in {None, part.partition}]
        return sorted(parts, key=lambda part: (part.partition, part.first))

    def _patches(self, partition: str) -> list[MadePart]:
        return [part for part in self.parts if part.patch is not None and part.partition == f"patch-{partition}"]

    def _patched(self, part: MadePart) -> dict[Place, Version]:
        rows = dict(part.rows)
        for patch in self._patches(part.partition):
            if patch.first > part.data_version:
                for place, value in (patch.patch or {}).items():
                    if place in rows:
                        rows[place] = (rows[place][0], value)
        return rows

    def _replace(self, parts: Iterable[MadePart], by: MadePart) -> MadePart:
        for part in parts:
            self.parts = [other for other in self.parts if other is not part]
            if not part.rows:
                self.emptied.append(part)
        self.parts.append(by)
        return by
