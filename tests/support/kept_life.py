"""The life of a real table of which a copy is kept: what writers and operators do, drawn from a seed.

    python -m support.kept_life FOLDER STEPS SEED…

lives in an embedded store, which a process has one of. When merges and mutations happen, ClickHouse decides.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from pageroles.errors import InternalError
from pageroles.store.parts import New, Parts
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from support.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

    from pageroles.store.parts import Looks

_PLACE = "domain, user_key, toString(day), session_key"
_ROW = f"{_PLACE}, session_id, source, toString(written_at), referrer_domain"
_ALL = f"SELECT {_ROW} FROM sessions FINAL"
_OF_PARTS = f"SELECT DISTINCT {_PLACE} FROM sessions WHERE _part IN {{names:Array(String)}}"
_AT_PLACES = f"{_ALL} WHERE ({_PLACE}) IN {{places:Array(Tuple(String, UInt64, String, UInt64))}}"
_NAMES = "FROM system.parts WHERE database = currentDatabase() AND table = 'sessions' AND active"
_DETACHED = "SELECT name FROM system.detached_parts WHERE database = currentDatabase() AND table = 'sessions'"

LIGHT_UPDATES = "enable_block_number_column = 1, enable_block_offset_column = 1"
MONTHS = ("2025-06", "2025-07", "2025-08")


class RealTable:
    """The table `sessions` of a store."""

    def __init__(self, store: Store, looks: Looks) -> None:
        self.store = store
        self.looks = looks

    def look(self, *, anew: bool = False) -> Parts:
        return self.looks.now(self.store.call(60), anew=anew)

    def all(self) -> dict[Hashable, Hashable]:
        return _rows(self._read(_ALL))

    def places(self, names: Collection[str]) -> Collection[Hashable]:
        return [tuple(row) for row in self._read(_OF_PARTS, names=sorted(names))]

    def rows(self, places: Collection[Hashable]) -> Mapping[Hashable, Hashable]:
        return _rows(self._read(_AT_PLACES, places=list(places))) if places else {}

    def _read(self, text: str, **values: object) -> Any:
        return self.store.rows(Statement(text, values), self.store.call(60))


def _rows(found: Any) -> dict[Hashable, Hashable]:
    return {tuple(row[:4]): tuple(row[4:]) for row in found}


@dataclasses.dataclass
class Life:
    """A table, and a copy of it.

    Attributes:
        writer: A store that changes the table.
        kept: The copy; its store may be another client.
        rng: What everything is drawn from.
        months: When sessions started.
        seen: How often each event happened.
    """

    writer: Store
    kept: Kept
    rng: Random
    months: Sequence[str] = MONTHS
    seen: Counter[str] = dataclasses.field(default_factory=Counter)
    _reading: bool = False

    def live(self, steps: int) -> None:
        """Let things happen, and compare the copy after each."""
        events = {
            self.insert: 16,
            self.merge: 6,
            **dict.fromkeys(self._mutations(), 1),
            **dict.fromkeys(self._rare(), 1),
        }
        self.kept.between = self._meanwhile
        if self.rng.random() < 1 / 2:
            self.writer.command(f"ALTER TABLE sessions MODIFY SETTING {LIGHT_UPDATES}")
        self._happen(self.insert)
        for _ in range(steps):
            self._happen(self.rng.choices(list(events), list(events.values()))[0])
            if self.rng.random() < 3 / 4:
                self.compare()

    def compare(self) -> None:
        """Refresh the copy; it is as the table, at a moment when nothing happens."""
        if self._reading:
            return
        table = self.kept.table
        while True:
            self.kept.refresh()
            before = self.kept.rows
            truth = table.all()
            if before is None:
                return
            assert self.kept.known is not None
            # A mutation or a merge may have gone on meanwhile.
            if table.look().since(self.kept.known) == New({}):
                break
        assert before == truth, (dict(self.seen), self.kept.lost)
        self.seen["compared"] += 1

    def _meanwhile(self) -> None:
        if self.rng.random() < 1 / 5:
            self._reading = True
            self._happen(self.rng.choice((*[self.insert] * 4, *[self.merge] * 4, *self._mutations())))
            self._reading = False

    def _happen(self, event: Callable[[], None]) -> None:
        self.seen[event.__name__] += 1
        event()

    def _mutations(self) -> tuple[Callable[[], None], ...]:
        return (self.delete, self.delete_nothing, self.delete_lightly, self.update, self.update_lightly,
                self.materialize, self.clear, self.kill)  # fmt: skip

    def _rare(self) -> tuple[Callable[[], None], ...]:
        return (self.drop_part, self.detach_part, self.attach, self.drop_partition, self.detach_partition, self.replace,
                self.move, self.freeze, self.make_anew, self.open_anew, self.truncate)  # fmt: skip

    # ---- writers ----

    def insert(self) -> None:
        rows = [
            {
                "domain": self.rng.choice("ab"),
                "session_id": f"s{self.rng.randint(0, 5)}",
                "user_id": f"u{self.rng.randint(0, 2)}",
                "started_at": f"{self.rng.choice(self.months)}-0{self.rng.randint(1, 2)} 10:00:00",
                "source": f"x{self.rng.randint(0, 3)}",
                "referrer": f"https://r{self.rng.randint(0, 3)}.com/",
                "written_at": f"2025-09-01 00:00:{self.rng.randint(10, 59)}",
            }
            for _ in range(self.rng.randint(1, 8))
        ]
        self.writer.insert("sessions", b"\n".join(json.dumps(row).encode() for row in rows))

    # ---- the engine ----

    def merge(self) -> None:
        scope = self.rng.choice(("FINAL", f"PARTITION {self._month()}", f"PARTITION {self._month()} FINAL"))
        self._try(f"OPTIMIZE TABLE sessions {scope}")

    def delete(self) -> None:
        self._mutate(f"DELETE WHERE source = 'x{self.rng.randint(0, 3)}'")

    def delete_nothing(self) -> None:
        self._mutate("DELETE WHERE source = 'none'")

    def update(self) -> None:
        self._mutate(f"UPDATE source = 'y' WHERE source = 'x{self.rng.randint(0, 3)}'")

    def update_lightly(self) -> None:
        self._try(f"UPDATE sessions SET source = 'z' WHERE source = 'x{self.rng.randint(0, 3)}'")
        if self.rng.random() < 3 / 4:
            # The updates are brought into all parts; their own are removed when ClickHouse likes.
            self._try("ALTER TABLE sessions APPLY PATCHES SETTINGS mutations_sync = 2")

    def materialize(self) -> None:
        self._mutate("MATERIALIZE COLUMN referrer_domain")

    def clear(self) -> None:
        self._mutate(f"CLEAR COLUMN source IN PARTITION {self._month()}")

    def delete_lightly(self) -> None:
        sync = self.rng.randint(0, 1)
        self._try(f"DELETE FROM sessions WHERE session_id = 's5' SETTINGS lightweight_deletes_sync = {2 * sync}")

    def kill(self) -> None:
        """Begin a mutation, write more meanwhile, and kill it before it has come to all parts."""
        if self.rng.random() < 1 / 2:
            self.writer.command("SYSTEM STOP MERGES sessions")
        self._try(f"ALTER TABLE sessions DELETE WHERE source = 'x{self.rng.randint(0, 3)}' SETTINGS mutations_sync = 0")
        self.insert()
        self.compare()
        self._try("KILL MUTATION WHERE database = currentDatabase() AND table = 'sessions'")
        self.writer.command("SYSTEM START MERGES sessions")

    # ---- operators ----

    def drop_part(self) -> None:
        self._of_part("DROP")

    def detach_part(self) -> None:
        self._of_part("DETACH")

    def drop_partition(self) -> None:
        self._try(f"ALTER TABLE sessions DROP PARTITION {self._month()}")

    def detach_partition(self) -> None:
        self._try(f"ALTER TABLE sessions DETACH PARTITION {self._month()}")

    def attach(self) -> None:
        for (name,) in self._read(_DETACHED):
            self._try(f"ALTER TABLE sessions ATTACH PART '{name}'")

    def replace(self) -> None:
        """Replace a partition by that of a table with some of its rows."""
        month = self._month()
        with self._other():
            self.writer.command(f"ALTER TABLE other ATTACH PARTITION {month} FROM sessions")
            self.writer.command("ALTER TABLE other DELETE WHERE source = 'x1' SETTINGS mutations_sync = 2")
            # ClickHouse refuses it where nothing is left in the other.
            self._try(f"ALTER TABLE sessions REPLACE PARTITION {month} FROM other")

    def move(self) -> None:
        """Move a partition to another table, and perhaps back."""
        month = self._month()
        with self._other():
            self._try(f"ALTER TABLE sessions MOVE PARTITION {month} TO TABLE other")
            if self.rng.random() < 1 / 2:
                self.compare()
            if self.rng.random() < 1 / 2:
                self._try(f"ALTER TABLE other MOVE PARTITION {month} TO TABLE sessions")

    def freeze(self) -> None:
        self._try("ALTER TABLE sessions FREEZE WITH NAME 'kept'")
        self._try("ALTER TABLE sessions UNFREEZE WITH NAME 'kept'")

    def truncate(self) -> None:
        self.writer.command("TRUNCATE TABLE sessions")

    def make_anew(self) -> None:
        """Drop the table, and make one with parts of the same names; some rows are written again."""
        with self._other():
            self.writer.command("INSERT INTO other SELECT * FROM sessions WHERE source != 'x2'")
            self.writer.command("DROP TABLE sessions SYNC")
            self.writer.command("CREATE TABLE sessions AS other")
            self.writer.command("INSERT INTO sessions SELECT * FROM other")

    def open_anew(self) -> None:
        self.writer.command("DETACH TABLE sessions")
        self.writer.command("ATTACH TABLE sessions")

    # ---- means ----

    def _mutate(self, change: str) -> None:
        self._try(f"ALTER TABLE sessions {change} SETTINGS mutations_sync = {self.rng.choice((0, 2))}")

    def _of_part(self, verb: str) -> None:
        names = [str(name) for (name,) in self._read(f"SELECT name {_NAMES} ORDER BY name")]
        if names:
            self._try(f"ALTER TABLE sessions {verb} PART '{self.rng.choice(names)}'")

    @contextlib.contextmanager
    def _other(self) -> Any:
        self.writer.command("DROP TABLE IF EXISTS other SYNC")
        self.writer.command("CREATE TABLE other AS sessions")
        yield
        self.writer.command("DROP TABLE other SYNC")

    def _month(self) -> str:
        return self.rng.choice(self.months).replace("-", "")

    def _try(self, statement: str) -> None:
        """Run what ClickHouse may refuse: a part that has just been merged, a mutation while another is at work."""
        try:
            self.writer.command(statement)
        except InternalError as error:
            self.seen[f"refused: {statement.split(maxsplit=1)[0]} {str(error).split('DB::Exception: ')[-1][:60]}"] += 1

    def _read(self, text: str) -> Any:
        return self.writer.rows(Statement(text), self.writer.call(60))


def main() -> None:
    """Live in an embedded store, once for each seed; print what happened as a line of JSON."""
    folder, steps, *seeds = sys.argv[1:]
    from pageroles.store.parts import Looks  # noqa: PLC0415 - after the arguments

    with Store.open(f"chdb://{folder}") as store:
        looks = Looks(store)
        seen: Counter[str] = Counter()
        for seed in seeds:
            life = Life(store, Kept(RealTable(store, looks)), Random(f"embedded {seed}"))
            life.live(int(steps))
            life.truncate()
            seen.update(life.seen)
            seen.update({"kept": life.kept.kept, "read": life.kept.read})
            seen.update(life.kept.lost)
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main()
