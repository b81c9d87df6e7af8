"""The life of a store that is fed all day: small batches, merges, erasures, and processes that are killed.

Everything is drawn from one generator, so a seed brings a life back; only when ClickHouse merges by itself, it decides.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from pageroles.errors import InternalError, PagerolesError
from pageroles.store import erasure, recovery, writes
from pageroles.store.statement import Statement
from support.erasing import STATEMENTS, KilledError, Mortal, drawn_erasure, to_erasure
from support.reference import Erase
from support.writing import write

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from pageroles.store.erasure import Erasure
    from pageroles.store.store import Store
    from support.reference import Session
    from support.worlds import World

_SIZES = (1, 3, 10, 30, 60, 150)
_LAST_PARTS = (
    "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = {table:String} AND active "
    "AND rows > 0 ORDER BY max_block_number DESC, name LIMIT 1 BY partition_id"
)


@dataclasses.dataclass
class Life:
    """A store with worlds, and what the reference knows of them.

    Attributes:
        store: The store.
        rng: What everything is drawn from.
        worlds: The worlds, each with domains of its own.
        came: What has come to each of them, in order.
        seen: How often each kind of event happened.
    """

    store: Store
    rng: random.Random
    worlds: Sequence[World]
    came: list[list[Session | Erase]] = dataclasses.field(init=False)
    seen: Counter[str] = dataclasses.field(default_factory=Counter)
    # Batches that were cut short, and of which the store keeps the rows.
    _kept: list[Sequence[Session]] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.came = [[] for _ in self.worlds]
        self._number = {domain: number for number, world in enumerate(self.worlds) for domain in world.domains}

    def live(self, between: Callable[[], None], erasures: int) -> None:
        """Deliver all that the worlds have, and let happen what happens between.

        Args:
            between: Called now and then, and at the end: answers are right then.
            erasures: How many erasures there are.
        """
        batches = self._batches()

        def pause() -> None:
            self.recover()
            between()

        events = (self.merge, self.merge, self.detach_and_attach, pause)
        erasing = Counter(self.rng.choices(range(len(batches)), k=erasures))
        for number, batch in enumerate(batches):
            self.rng.choice((self.deliver, self.deliver, self.deliver, self.deliver_killed))(batch)
            if self.rng.random() < 1 / 2:
                self.rng.choice(events)()
            for _ in range(erasing[number]):
                self.erase()
        pause()

    def _batches(self) -> list[list[Session]]:
        """Mix what the worlds have, and cut it into batches; the deliveries of a world stay in order."""
        order = [number for number, world in enumerate(self.worlds) for _ in world.deliveries]
        self.rng.shuffle(order)
        left = [iter(world.deliveries) for world in self.worlds]
        mixed = [next(left[number]) for number in order]
        batches = []
        while mixed:
            size = self.rng.choice(_SIZES)
            batches.append(mixed[:size])
            mixed = mixed[size:]
        return batches

    # ---- writers ----

    def deliver(self, batch: Sequence[Session]) -> None:
        """Load sessions, as the command does."""
        recovery.recover(self.store, before_writing=True)
        self._note_kept()
        write(self.store, batch, at_once=len(batch))
        self.note(batch)

    def deliver_killed(self, batch: Sequence[Session]) -> None:
        """Load sessions, which fails within one of the tables; then finish it, or load the same again, or leave it."""
        recovery.recover(self.store, before_writing=True)
        self._note_kept()
        table = self.rng.choice(erasure.TABLES)
        self.store.command(f"ALTER TABLE {table} ADD CONSTRAINT none_passes CHECK domain = 'none'")
        with contextlib.suppress(PagerolesError):
            write(self.store, batch, at_once=len(batch))
        self.store.command(f"ALTER TABLE {table} DROP CONSTRAINT none_passes")
        if not writes.unfinished(self.store):
            # Nothing of it was for this table.
            self.note(batch)
            return
        self._kept.append(batch)
        then = self.rng.choice(("recovered", "loaded again", "left"))
        self.seen.update(("killed", f"killed in {table}", f"killed, then {then}"))
        if then == "recovered":
            self.recover()
        elif then == "loaded again":
            self.deliver(batch)

    def recover(self) -> None:
        """Finish what was cut short."""
        recovery.recover(self.store, of_all=True)
        self._note_kept()

    def note(self, batch: Sequence[Session]) -> None:
        """Note that sessions have come, whoever wrote them."""
        for session in batch:
            self.came[self._number[session["domain"]]].append(session)

    def _note_kept(self) -> None:
        """Note that what was cut short has come: nothing came since."""
        for batch in self._kept:
            self.note(batch)
        self._kept.clear()

    # ---- the engine ----

    def merge(self) -> None:
        """Merge all parts of some tables, as ClickHouse does by itself when it likes."""
        for table in self.rng.sample(erasure.TABLES, self.rng.randint(1, len(erasure.TABLES))):
            self.seen["merged"] += 1
            self.store.command(f"OPTIMIZE TABLE {table} FINAL")

    def detach_and_attach(self) -> None:
        """Take the last part of a partition away, and bring it back.

        An attached part has its rows stored last, so those of the same time of writing must not lie behind it.
        """
        table = self.rng.choice(erasure.TABLES)
        self.store.command(f"SYSTEM STOP MERGES {table}")
        found = self.store.rows(Statement(_LAST_PARTS, {"table": table}), self.store.call(60))
        if found:
            ((name,),) = self.rng.sample(list(found), 1)
            try:
                self.store.command(f"ALTER TABLE {table} DETACH PART '{name}'")
            except InternalError:
                self.seen["merged"] += 1  # a merge that was about to end has taken the part
            else:
                self.seen["detached and attached"] += 1
                self.store.command(f"ALTER TABLE {table} ATTACH PART '{name}'")
        self.store.command(f"SYSTEM START MERGES {table}")

    # ---- erasures ----

    def erase(self) -> None:
        """Erase in one domain or in all; perhaps it is killed and finished, perhaps half of what came comes again."""
        came = [one for deliveries in self.came for one in deliveries if not isinstance(one, Erase)]
        came += [one for batch in self._kept for one in batch]
        wanted = drawn_erasure(self.rng, came)
        of_all_domains = self.rng.random() < 1 / 4 and wanted != Erase(wanted.domain)
        domains = list(self._number) if of_all_domains else [wanted.domain]
        self.seen.update(("erased", "erased in all domains" if of_all_domains else "erased in one domain"))
        if self._erase(to_erasure(wanted, of_all_domains=of_all_domains)):
            for domain in domains:
                self.came[self._number[domain]].append(dataclasses.replace(wanted, domain=domain))
        if self.rng.random() < 1 / 2:
            self.seen["came again"] += 1
            again = [one for one in came if one["domain"] in domains]
            self.deliver(self.rng.sample(again, (len(again) + 1) // 2))

    def erase_in(self, number: int) -> None:
        """Erase in a domain of a world, whole."""
        came = [one for one in self.came[number] if not isinstance(one, Erase)]
        if came:
            wanted = drawn_erasure(self.rng, came)
            self.seen.update(("erased", "erased in one domain"))
            erasure.erase(self.store, to_erasure(wanted))
            self.came[number].append(wanted)

    def _erase(self, wanted: Erasure) -> bool:
        """Erase, whole or cut short and finished; tell whether it had written down what to erase."""
        kept = len(writes.unfinished(self.store))
        if self.rng.random() < 1 / 2:
            erasure.erase(self.store, wanted)
            self._note_kept()
            return True
        statements = self.rng.randint(1, STATEMENTS)
        try:
            erasure.erase(Mortal(self.store, statements), wanted)  # type: ignore[arg-type]
        except KilledError:
            self.seen["erasure cut short"] += 1
            self.recover()
            # What is kept is finished first, by a statement each; then the table is made, then filled.
            return statements >= kept + 2
        self._note_kept()
        return True
