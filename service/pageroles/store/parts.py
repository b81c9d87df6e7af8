"""Tell what was written to `sessions` since a look at its parts, or that this can't be told.

ClickHouse stores the rows of an insert as parts, one for each partition, and numbers them: a part takes the next number
of the table when it comes into use. A merge makes one part of neighbours, which has all the numbers from its first to
its last. A mutation takes a number, too, and writes each part anew under that number as its version, whether it changes
a row of it or not; a merged part has the highest version of its parts. So part by part:

- the numbers up to the last one that was read are read; a merge of such parts brings nothing new;
- a part with the version of a mutation that came later than what was read of it may lack or have other rows;
- a part that is gone, and in none with its numbers, was taken away.

What is read of a part takes the place of what was kept of the same rows, so that reading too much is harmless.

Two things leave no trace in the parts in use: a part that was dropped from among others, once a merge of its neighbours
spans its number; and numbers that are given again when the table is opened anew. So `Looks` also counts what is lost
between any two looks. A part that is dropped leaves an empty one behind, which ClickHouse lists for eight minutes
(`old_parts_lifetime`): a server that was not looked at for five may have lost anything. An embedded store lists it for
no time, but is changed by this process alone, which counts.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pageroles.counts import Counts
from pageroles.errors import CancelledError, DeadlineError, InternalError, PagerolesError, StoreUnavailableError
from pageroles.store.faults import NOT_ANSWERED, is_not_granted
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from pageroles.store.call import Call
    from pageroles.store.store import Store

SILENCE_SECONDS = 300.0
# A look takes some milliseconds, and other threads wait for it: one that takes longer fails, and the next one begins.
PATIENCE_SECONDS = 4.0
# The two times whose difference is the start of a server are in whole seconds.
_START_SECONDS = 2

_TAKEN = "rows were taken away"
_CHANGED = "rows were changed"
_UUID_LENGTH = 36


class Part(NamedTuple):
    """A part of the table.

    Attributes:
        partition: Its partition's id.
        first: The first of its numbers.
        last: The last of its numbers.
        version: The number of the last mutation that wrote it anew; 0: none did.
        rows: How many rows it has.
        name: Its name.
    """

    partition: str
    first: int
    last: int
    version: int
    rows: int
    name: str

    def has(self, other: Part) -> bool:
        """Tell whether all numbers of another part are among this one's."""
        return self.partition == other.partition and self.first <= other.first and other.last <= self.last


@dataclasses.dataclass(frozen=True, slots=True)
class New:
    """What is kept is right once more parts are read.

    Attributes:
        names: The names of these parts, by the id of their partition; none: nothing was written.
    """

    names: Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """What is kept can't be proved any more.

    Attributes:
        reason: Why, for the log.
    """

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """The parts of `sessions` that are in use, as a look shows them; or those that were read.

    Attributes:
        parts: The parts.
        table: What tells the table from one of the same name.
        started: When the engine started, in seconds since 1970, give or take one.
        losses: How often parts were taken away, as far as this process knows.
        emptied: Parts without rows, those included that are no longer in use.
        highest: The highest number that the look showed, of parts and of mutations.
        unproved: Why nothing can be kept after this look; None: it can.
        looked_at: When the first look that showed all this began; None: there was none.
        number: The number of that look, among those of one `Looks`; 0: there was none.
    """

    parts: frozenset[Part] = frozenset()
    table: str = ""
    started: int = 0
    losses: tuple[int, int] = (0, 0)
    emptied: tuple[Part, ...] = ()
    highest: int = 0
    unproved: str | None = None
    looked_at: datetime | None = dataclasses.field(default=None, compare=False)
    number: int = dataclasses.field(default=0, compare=False)

    def since(self, known: Parts) -> New | Lost:
        """Tell what was written since what is known.

        Args:
            known: An earlier look after which the whole table was read, or what `covering` returned.
        """
        if (reason := next(self._reasons(known), None)) is not None:
            return Lost(reason)
        gone, came = _by_partition(known.parts - self.parts), _by_partition(self.parts - known.parts)
        losses = (self._loss(part, came.get(part.partition, ())) for parts in gone.values() for part in parts)
        if (reason := next(filter(None, losses), None)) is not None:
            return Lost(reason)
        if self.losses != known.losses:
            return Lost("something was lost between earlier looks")
        new = [part for parts in came.values() for part in parts if not _is_merge(part, gone.get(part.partition, ()))]
        last = {part.partition: part.last for part in sorted(known.parts)}
        if any(part.last <= last.get(part.partition, 0) for part in new):
            return Lost("a part came among those that were read")
        names: dict[str, tuple[str, ...]] = {}
        for part in new:
            if part.rows:
                names[part.partition] = (*names.get(part.partition, ()), part.name)
        return New(names)

    def covering(self, read: Collection[str], now: Parts) -> Parts | Lost:
        """Return what is known when new parts were read.

        Whatever is not covered is new to `since`: a part that went before it could be read is in a merged one.

        Args:
            read: The names of the parts that were read; all of them were in use when the reading began, or are not in
                the look that follows.
            now: A look that was taken anew after the reading.
        """
        change = now.since(self)
        if isinstance(change, Lost):
            return change
        new = {name for names in change.names.values() for name in names}.difference(read)
        # Numbers are covered from the first one on: else a merge could hide what was left out between two parts.
        end: dict[str, float] = collections.defaultdict(lambda: math.inf)
        for part in now.parts:
            if part.name in new:
                end[part.partition] = min(end[part.partition], part.first)
        covered = [part for part in now.parts if part.first < end[part.partition]]
        left = [part for part in self.parts if part.first >= end[part.partition]]
        return dataclasses.replace(now, parts=frozenset([*covered, *left]), emptied=())

    def is_started_at(self, started: int) -> bool:
        """Tell whether a look at a server that started then may be at the same run of it."""
        return abs(self.started - started) <= _START_SECONDS

    def _reasons(self, known: Parts) -> Iterator[str]:
        """Tell why what is known is lost, whatever parts there are."""
        yield from filter(None, (known.unproved, self.unproved))
        if self.table != known.table:
            yield "the table was made anew"
        if not self.is_started_at(known.started):
            yield "the server was started anew"
        # What was read after the look may have had rows of a part that no look has shown.
        if any(part.first > known.highest for part in self.emptied):
            yield _TAKEN
        if any(part.version > known.highest for part in self.parts):
            yield _CHANGED

    def _loss(self, part: Part, came: Iterable[Part]) -> str | None:
        """Tell why a part that was read and is gone is lost; None where another has all its rows."""
        if not part.rows:
            return None
        merged = next((other for other in came if other.has(part)), None)
        if merged is None or any(empty.has(part) for empty in self.emptied):
            return _TAKEN
        changed = part.version < merged.version and part.first <= merged.version
        return _CHANGED if changed else None


NOTHING_PROVED = Parts(unproved="there was no look")


def _by_partition(parts: Iterable[Part]) -> dict[str, list[Part]]:
    """Return parts in the order of their numbers, by partition."""
    found: dict[str, list[Part]] = {}
    for part in sorted(parts):
        found.setdefault(part.partition, []).append(part)
    return found


def _is_merge(part: Part, gone: Iterable[Part]) -> bool:
    """Tell whether a part is made of parts that were read and are gone."""
    within = [other for other in gone if part.has(other)]
    return bool(within) and (within[0].first, within[-1].last) == (part.first, part.last)


class Looks:
    """Looks at the parts of a store; safe to use from many threads, of which those that wait share one look.

    What is kept by one's looks can't be proved by those of another. Of a server that nobody looks at for
    `SILENCE_SECONDS`, everything is lost.

    Attributes:
        counts: How often a look was `taken`, `shared` with a thread that took it, or `spared`: nothing was written.
    """

    def __init__(
        self,
        store: Store,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to look.

        Args:
            store: The store, which stays open as long as this is used.
            silence_seconds: The time between two looks after which everything is lost, on a server; less than its
                `old_parts_lifetime`.
            clock: Returns the time in seconds.
        """
        self._store = store
        self._on_cluster = store.cluster is not None
        self._silence_seconds = silence_seconds
        self._clock = clock
        self.counts = Counts("taken", "shared", "spared")
        self._turn = threading.Condition()
        # What follows is guarded by `_turn`.
        self._looking = False
        self._begun = self._ended = 0
        self._outcome: Parts | PagerolesError = NOTHING_PROVED
        # What follows is of the thread that looks.
        self._last = NOTHING_PROVED
        self._last_told: list[Sequence[object]] = []
        self._last_began = -math.inf
        self._numbers = itertools.count(1)
        # How many changes of an embedded store the last look has seen; None: it can't be relied on.
        self._changes: int | None = None
        self._losses = 0

    def now(self, call: Call, *, anew: bool = False) -> Parts:
        """Return a look that began after this was called, or an earlier one since which nothing was written.

        Args:
            call: Ends the waiting, and the look if it is this thread's.
            anew: Look in any case, so that merges show: after a reading of parts, which they may have taken before.

        Raises:
            CancelledError: The call was cancelled.
            DeadlineError: The call's time is over.
            PagerolesError: The look failed.
        """
        call.remaining()
        waits = False
        with self._turn:
            if not anew and self._is_unchanged():
                self.counts.add("spared")
                return self._last
            wanted = self._begun + 1
            while self._looking and self._ended < wanted:
                if not waits:
                    waits = True
                    call.let_others()
                    call.on_cancel(self._wake)
                self._turn.wait(call.remaining())
                call.remaining()
            if self._ended >= wanted:
                self.counts.add("shared")
                return _value(self._outcome)
            self.counts.add("taken")
            self._looking = True
            self._begun = number = self._begun + 1
        outcome: Parts | PagerolesError | None = None
        try:
            outcome = self._look(call)
        except (CancelledError, DeadlineError):
            raise  # of this call alone: another thread that waits looks next
        except PagerolesError as error:
            outcome = error
        finally:
            with self._turn:
                self._looking = False
                if outcome is not None:
                    self._ended, self._outcome = number, outcome
                self._turn.notify_all()
        return _value(outcome)

    def _wake(self) -> None:
        with self._turn:
            self._turn.notify_all()

    def _is_unchanged(self) -> bool:
        """Tell whether an embedded store is as the last look has shown it, merges left aside."""
        changes = self._store.changes
        return changes is not None and self._changes is not None and changes.number == self._changes

    def _look(self, call: Call) -> Parts:
        began, looked_at, changes = self._clock(), datetime.now(UTC), self._store.changes
        number, removals = (changes.number, changes.removals) if changes else (None, 0)
        if self._on_cluster:
            return Parts(unproved="the store is on a cluster")
        try:
            look = _LOOK if changes is None else _LOOK_EMBEDDED
            rows = self._store.rows(look, call.part(PATIENCE_SECONDS))
        except DeadlineError as error:
            call.remaining()  # raises if it is the call that is over
            raise StoreUnavailableError(NOT_ANSWERED) from error
        except InternalError as error:
            if not is_not_granted(error):
                raise
            return Parts(unproved="the store's user may not read system.parts")
        if changes is None and began - self._last_began > self._silence_seconds:
            self._losses += 1
        losses, started = (self._losses, removals), int(str(rows[0][-1])) if rows else 0
        # The start differs from look to look, by the fractions of a second that are cut off.
        told = [row[:-1] for row in rows]
        if told == self._last_told and losses == self._last.losses and self._last.is_started_at(started):
            parts = self._last
        else:
            parts = _to_parts(told, started, losses)
            parts = dataclasses.replace(parts, looked_at=looked_at, number=next(self._numbers))
            if isinstance(parts.since(self._last), Lost):
                self._losses += 1
                parts = dataclasses.replace(parts, losses=(self._losses, removals))
        if changes and removals != changes.removals:
            parts = dataclasses.replace(parts, unproved="parts are being taken away")
        with self._turn:
            self._last, self._last_told, self._last_began = parts, told, began
            self._changes = number if parts.unproved is None else None
        return parts


def _value(outcome: Parts | PagerolesError) -> Parts:
    if isinstance(outcome, PagerolesError):
        raise outcome
    return outcome


class _Told(NamedTuple):
    """A row of a look, without the start of the engine."""

    partition: str
    first: int
    last: int
    data_version: int
    rows: int
    name: str
    active: int
    engine: str
    path: str
    expires_at: int
    expires_where: list[str]
    expires_grouped: list[str]
    changing: int

    @property
    def table(self) -> str:
        """The name of the folder of the table, which is its UUID where it has one."""
        return self.path.rsplit("/", 3)[-3]

    @property
    def part(self) -> Part:
        version = 0 if self.data_version == self.first else self.data_version
        return Part(self.partition, self.first, self.last, version, self.rows, self.name)

    @property
    def unproved(self) -> str | None:
        """Why nothing can be kept beside this part."""
        if self.engine != "ReplacingMergeTree":
            return "the table is replicated: the next read may be of another server"
        if len(self.table) != _UUID_LENGTH:
            return "the table can't be told from one of the same name"
        if self.partition.startswith("patch-"):
            return "the table has lightweight updates"
        if self.expires_at or self.expires_where or self.expires_grouped:
            return "the rows of the table expire"
        return "rows are being changed" if self.changing else None


def _to_parts(rows: Sequence[Sequence[Any]], started: int, losses: tuple[int, int]) -> Parts:
    told = [_Told(*row) for row in rows]
    active = [row for row in told if row.active]
    return Parts(
        frozenset(row.part for row in active),
        active[0].table if active else "",
        started,
        losses,
        tuple(row.part for row in told if not row.rows),
        max((max(row.last, row.data_version) for row in told), default=0),
        next(filter(None, (row.unproved for row in active)), None) if active else "the table is empty",
    )


# ClickHouse takes as long for a handful of functions as for hundreds of parts, so these are worked out here.
_COLUMNS = """
SELECT partition_id, min_block_number, max_block_number, data_version, rows, name, active, engine, path,
    toUInt32(delete_ttl_info_max), rows_where_ttl_info.expression, group_by_ttl_info.expression,
    {changing}, toUnixTimestamp(now()) - uptime()
FROM system.parts
WHERE database = currentDatabase() AND table = 'sessions' AND (active OR rows = 0)
"""
# A profile may have rows read as a mutation will leave them, before it has come to their part.
_LOOK = Statement(_COLUMNS.replace("{changing}", "getSettingOrDefault('apply_mutations_on_fly', false)"))
# In the embedded engine a mutation goes on after the statement that this process counts.
_LOOK_EMBEDDED = Statement(
    _COLUMNS.replace(
        "{changing}",
        "(SELECT count() FROM system.mutations "
        "WHERE database = currentDatabase() AND table = 'sessions' AND NOT is_done)",
    )
)
