"""What the parts of a table tell: made-up histories of all that may happen to them, and each rule by itself."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pageroles.errors import CancelledError, DeadlineError, InternalError, StoreUnavailableError
from pageroles.store.call import Call
from pageroles.store.changes import Changes
from pageroles.store.parts import PATIENCE_SECONDS, SILENCE_SECONDS, Looks, Lost, New, Part, Parts
from support.kept import Kept
from support.made_parts import MadeTable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence

    from pageroles.store.statement import Statement

JULY = "202507"


@dataclasses.dataclass
class FakeStore:
    """A store whose looks show what a function tells."""

    tell: Callable[[Call], Sequence[Sequence[object]]]
    changes: Changes | None = None
    cluster: str | None = None
    looks: int = 0

    def rows(self, statement: Statement, call: Call) -> Sequence[Sequence[object]]:
        assert "system.parts" in statement.text
        self.looks += 1
        return self.tell(call)


class Made:
    """A made-up table, looked at over a store that is none."""

    def __init__(self, made: MadeTable) -> None:
        self.made = made
        self.clock = 0.0
        self.changes = Changes() if made.embedded else None
        store: Any = FakeStore(lambda _: made.told(), changes=self.changes)
        self.looks = Looks(store, clock=lambda: self.clock)

    def happen(self, step: str) -> None:
        """Let something happen; an embedded store counts it, unless it happens in the background."""
        happening = getattr(self if hasattr(self, step) else self.made, step)
        if self.changes is None or step in IN_BACKGROUND:
            happening()
            return
        removal = "DROP sessions" if step in REMOVALS else ""
        with self.changes.one(), self.changes.command(removal):
            happening()

    def look(self, *, anew: bool = False) -> Parts:
        return self.looks.now(Call(60), anew=anew)

    def all(self) -> dict[Hashable, Hashable]:
        return self.made.all()

    def places(self, names: Collection[str]) -> Collection[Hashable]:
        return self.made.places(names)

    def rows(self, places: Collection[Hashable]) -> Mapping[Hashable, Hashable]:
        return self.made.rows(places)

    def forget_emptied(self) -> None:
        """Let eight minutes pass, in which somebody looks."""
        self.look()
        self.made.forget_emptied()

    def fall_silent(self) -> None:
        """Let eight minutes pass, in which nobody looks."""
        self.clock += SILENCE_SECONDS + 180
        self.made.forget_emptied()


ALL = ("insert", "merge", "mutate", "go_on", "kill", "update", "clean_up", "drop", "attach", "open_anew", "attach_anew",
       "make_anew", "forget_emptied", "fall_silent")  # fmt: skip
NOT_EMBEDDED = {"open_anew", "fall_silent", "forget_emptied"}
IN_BACKGROUND = {"merge", "go_on", "clean_up"}
REMOVALS = {"drop", "attach_anew", "make_anew"}
HARMLESS = ("insert", "insert", "merge")


def lived(seed: int, steps: Sequence[str], *, inner: Sequence[str], embedded: bool) -> Kept:
    """Let things happen to a table, of which a copy is kept; between its reads something may happen, too."""
    rng = random.Random(seed)
    table = Made(MadeTable(rng, embedded))
    if embedded:
        steps, inner = ([step for step in those if step not in NOT_EMBEDDED] for those in (steps, inner))

    def between() -> None:
        # Reading ends when nothing comes meanwhile.
        if rng.random() < 1 / 4:
            table.happen(rng.choice(inner))

    kept = Kept(table, between)
    table.happen("insert")
    for step in steps:
        table.happen(step)
        if rng.random() < 2 / 3:
            kept.refresh()
            assert kept.rows is None or kept.rows == table.all(), (seed, step, kept.lost)
    return kept


@pytest.mark.parametrize("embedded", [False, True])
@given(seed=st.integers(0, 2**32), steps=st.lists(st.sampled_from(ALL + HARMLESS * 3), min_size=5, max_size=60))
def test_a_copy_that_is_kept_is_right_whatever_happens(embedded: bool, seed: int, steps: list[str]) -> None:
    kept = lived(seed, steps, inner=ALL + HARMLESS * 3, embedded=embedded)
    event(f"kept {min(kept.kept, 5)}, read {min(kept.read, 5)}, lost {min(len(kept.lost), 5)}")


@pytest.mark.parametrize("embedded", [False, True])
@given(seed=st.integers(0, 2**32), steps=st.lists(st.sampled_from(HARMLESS), min_size=5, max_size=60))
def test_what_is_only_written_and_merged_is_never_lost(embedded: bool, seed: int, steps: list[str]) -> None:
    kept = lived(seed, steps, inner=HARMLESS, embedded=embedded)
    assert set(kept.lost) <= {"the table is empty"}


def test_made_up_histories_have_what_they_are_for() -> None:
    """Else the two tests above would show little."""
    lost: set[str] = set()
    kept = read = 0
    for seed in range(300):
        rng = random.Random(f"steps {seed}")
        one = lived(seed, rng.choices(ALL + HARMLESS * 3, k=40), inner=ALL + HARMLESS * 3, embedded=seed % 4 == 0)
        lost.update(one.lost)
        kept, read = kept + one.kept, read + one.read
    assert min(kept, read) > 1000
    assert lost >= {
        "rows were taken away", "rows were changed", "something was lost between earlier looks", "the table is empty",
        "the table was made anew", "the server was started anew", "the table has lightweight updates",
    }  # fmt: skip


# ---- each rule by itself ----


def part(first: int, last: int | None = None, version: int = 0, *, rows: int = 1, partition: str = JULY) -> Part:
    last = first if last is None else last
    return Part(partition, first, last, version, rows, f"{partition}_{first}_{last}_{version}")


def parts(*those: Part, **fields: Any) -> Parts:
    highest = max((max(one.last, one.version) for one in those), default=0)
    return Parts(frozenset(those), **{"highest": highest, **fields})


def new(*those: Part) -> New:
    names: dict[str, tuple[str, ...]] = {}
    for one in those:
        names[one.partition] = (*names.get(one.partition, ()), one.name)
    return New(names)


AUGUST = part(1, partition="202508")
TAKEN, CHANGED = Lost("rows were taken away"), Lost("rows were changed")


@pytest.mark.parametrize(
    ("known", "now", "expected"),
    [
        # Inserts and merges.
        ([], [part(1), AUGUST], new(part(1), AUGUST)),
        ([part(1)], [part(1)], new()),
        ([part(1)], [part(1), part(2), part(9)], new(part(2), part(9))),
        ([part(1), part(2)], [part(1, 2)], new()),
        ([part(1), part(4), part(9)], [part(1, 9)], new()),
        ([part(1)], [part(1, 2)], new(part(1, 2))),
        ([part(1), part(2)], [part(1), part(2, 3)], new(part(2, 3))),
        ([part(3)], [part(3), AUGUST], new(AUGUST)),
        # Rows that are gone: with and without others, and from a part that a merge may have taken since.
        ([part(1)], [], TAKEN),
        ([part(1), part(2)], [part(1)], TAKEN),
        ([part(1), part(2)], [part(1), part(3)], TAKEN),
        ([part(1), AUGUST], [part(1, 1, rows=1)], TAKEN),
        ([part(1, rows=0), part(2)], [part(2)], new()),
        # Mutations: a part that came after one, or was read after it, is as it was.
        ([part(1)], [part(1, version=2)], CHANGED),
        ([part(1, version=2)], [part(1, version=2)], new()),
        ([part(1, version=2)], [part(1, version=3)], CHANGED),
        ([part(1, version=2), part(3)], [part(1, 3, version=2)], new()),
        ([part(1, version=2), part(3)], [part(1, 3, version=4)], CHANGED),
        ([part(1), part(3)], [part(1, 3, version=2)], CHANGED),
        ([part(1)], [part(1, 3, version=2)], CHANGED),
        ([part(3)], [part(3, 5, version=2)], new(part(3, 5, version=2))),
        # Numbers grow: what comes among those that were read is no plain insert or merge.
        ([part(1), part(9)], [part(1), part(5), part(9)], Lost("a part came among those that were read")),
        ([part(5)], [part(4, 5)], Lost("a part came among those that were read")),
        # Parts without rows bring nothing.
        ([part(1)], [part(1), part(2, rows=0)], new()),
    ],
)  # fmt: skip
def test_what_is_new(known: list[Part], now: list[Part], expected: New | Lost) -> None:
    assert parts(*now).since(parts(*known)) == expected


def test_an_empty_part_takes_what_was_read_away() -> None:
    known = parts(part(1), part(2), part(3))
    merged = part(1, 3)
    assert parts(merged).since(known) == new()
    assert parts(merged, emptied=(part(2, rows=0),)).since(known) == TAKEN
    assert parts(merged, emptied=(part(2, rows=0, partition="202508"),)).since(known) == new()
    # One that was empty when it was read is no loss.
    assert parts(merged, emptied=(part(2, rows=0),)).since(parts(part(1), part(2, rows=0), part(3))) == new()


def test_what_no_look_has_shown_may_have_been_read_and_then_lost() -> None:
    known = parts(part(1), highest=4)
    assert parts(part(1), part(5)).since(known) == new(part(5))
    # A part that came after the look was changed, or taken away, before the next one: it was read as it was before.
    assert parts(part(1), part(5, version=6)).since(known) == CHANGED
    assert parts(part(1), emptied=(part(5, rows=0),)).since(known) == TAKEN
    assert known.covering([part(5, version=6).name], parts(part(1), part(5, version=6))) == CHANGED
    # A mutation that had begun has left alone what came after it.
    assert parts(part(1), part(5, version=3)).since(known) == new(part(5, version=3))
    assert parts(part(1), emptied=(part(4, rows=0),)).since(known) == new()


def test_another_table_another_run_or_a_loss_seen_by_others_proves_nothing() -> None:
    known = parts(part(1), table="a", started=1000, losses=(1, 1))
    assert known.since(known) == new()
    assert dataclasses.replace(known, started=1002).since(known) == new()
    changes: list[tuple[dict[str, Any], str]] = [
        ({"table": "b"}, "the table was made anew"),
        ({"started": 1003}, "the server was started anew"),
        ({"losses": (2, 1)}, "something was lost between earlier looks"),
        ({"losses": (1, 2)}, "something was lost between earlier looks"),
        ({"unproved": "it hides"}, "it hides"),
    ]
    for change, reason in changes:
        other = dataclasses.replace(known, **change)
        assert other.since(known) == Lost(reason)
        assert known.covering((), other) == Lost(reason)
    assert known.since(dataclasses.replace(known, unproved="it hid")) == Lost("it hid")


def covered(known: Parts, read: Sequence[Part], now: Parts) -> set[Part]:
    covering = known.covering([one.name for one in read], now)
    assert isinstance(covering, Parts)
    return set(covering.parts)


def test_what_is_still_there_after_it_was_read_is_covered() -> None:
    known = parts(part(1), AUGUST)
    now = parts(part(1), part(2), part(3), AUGUST)
    assert covered(known, [part(2), part(3)], now) == now.parts
    # What came meanwhile is not, nor is what was merged before it could be read.
    assert covered(known, [part(2)], now) == {part(1), part(2), AUGUST}
    assert covered(known, [part(2)], parts(part(1, 2), AUGUST)) == known.parts
    # Old parts that are merged are covered as one.
    assert covered(parts(part(1), part(2)), [part(4)], parts(part(1, 2), part(4))) == {part(1, 2), part(4)}
    assert covered(parts(part(1)), [], parts(part(1), part(2, rows=0))) == {part(1), part(2, rows=0)}


def test_what_was_read_behind_a_part_that_was_not_is_read_again() -> None:
    """Else a merge of all of them would seem to be read."""
    known = parts(part(1))
    seen = parts(part(1, 4), part(7))
    now = known.covering([part(4).name, part(7).name], seen)
    assert isinstance(now, Parts)
    assert now.parts == known.parts
    assert parts(part(1, 7)).since(now) == new(part(1, 7))
    # What is known of an unread part is not forgotten: a mutation may come to it.
    assert parts(part(1, 4, version=8), part(7)).since(now) == CHANGED


# ---- looks ----


UUID = "1be18bff-f7e1-448d-9efb-2c114961aa36"
TOLD = {
    "active": 1, "engine": "ReplacingMergeTree", "path": f"/var/lib/clickhouse/store/1be/{UUID}/202507_1_1_0/",
    "expires_at": 0, "expires_where": [], "expires_grouped": [], "changing": 0, "started": 1000,
}  # fmt: skip


REPLICATED = "the table is replicated: the next read may be of another server"


def row(one: Part, **fields: object) -> list[object]:
    assert fields.keys() <= TOLD.keys()
    data_version = one.version or one.first
    return [one.partition, one.first, one.last, data_version, one.rows, one.name, *{**TOLD, **fields}.values()]


def looks_at(*rows: Sequence[object], **fields: Any) -> Looks:
    store: Any = FakeStore(lambda _: rows, **fields)
    return Looks(store)


def test_a_look_shows_the_parts_in_use() -> None:
    empty = part(2, rows=0)
    mutated = part(3, 4, version=7)
    assert looks_at(row(mutated)).now(Call(9)).highest == 7
    patch = part(9, partition="patch-1-202507", rows=0)
    look = looks_at(row(part(1)), row(empty, active=0), row(mutated), row(patch, active=0)).now(Call(9))
    assert (set(look.parts), look.emptied, look.unproved) == ({part(1), mutated}, (empty, patch), None)
    assert (look.table, look.started, look.highest) == (UUID, 1000, 9)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "the table is empty"),
        ([row(part(1, rows=0), active=0)], "the table is empty"),
        ([row(part(1), engine="ReplicatedReplacingMergeTree")], REPLICATED),
        ([row(part(1), engine="SharedReplacingMergeTree")], REPLICATED),
        ([row(part(1), path="/data/default/sessions/1_1_0/")], "the table can't be told from one of the same name"),
        ([row(part(1)), row(part(2, partition="patch-1-202507"))], "the table has lightweight updates"),
        ([row(part(1)), row(part(2), expires_at=1)], "the rows of the table expire"),
        ([row(part(1)), row(part(2), expires_where=["1"])], "the rows of the table expire"),
        ([row(part(1)), row(part(2), expires_grouped=["1"])], "the rows of the table expire"),
        ([row(part(1), changing=1)], "rows are being changed"),
    ],
)  # fmt: skip
def test_some_looks_prove_nothing(rows: list[list[object]], reason: str) -> None:
    assert looks_at(*rows).now(Call(9)).unproved == reason


def test_a_cluster_proves_nothing_and_is_not_asked() -> None:
    looks = looks_at(row(part(1)), cluster="prod")
    assert looks.now(Call(9)).unproved == "the store is on a cluster"
    assert looks._store.looks == 0  # type: ignore[attr-defined]


def failing(error: Exception) -> Looks:
    def tell(_: Call) -> Sequence[Sequence[object]]:
        raise error

    store: Any = FakeStore(tell)
    return Looks(store)


def test_what_may_not_be_read_proves_nothing() -> None:
    refused = InternalError("ClickHouse refused: Code: 497. DB::Exception: reader: Not enough privileges.")
    assert failing(refused).now(Call(9)).unproved == "the store's user may not read system.parts"
    with pytest.raises(InternalError, match="Code: 47"):
        failing(InternalError("ClickHouse refused: Code: 47. DB::Exception: Unknown identifier.")).now(Call(9))


def test_what_was_lost_between_two_looks_is_lost_to_all() -> None:
    shown = [[row(part(1)), row(part(2)), row(part(3))], [row(part(1)), row(part(3))], [row(part(1, 3))]]
    store: Any = FakeStore(lambda _: shown[0])
    looks = Looks(store)
    known = looks.now(Call(9))
    shown.pop(0)
    middle = looks.now(Call(9))
    shown.pop(0)
    assert looks.now(Call(9)).since(known) == Lost("something was lost between earlier looks")
    assert looks.now(Call(9)).since(middle) == new()


def test_a_server_that_nobody_looked_at_may_have_lost_anything() -> None:
    for changes, kept in ((None, False), (Changes(), True)):
        clock = [0.0]
        store: Any = FakeStore(lambda _: [row(part(1))], changes=changes)
        looks = Looks(store, clock=lambda clock=clock: clock[0])  # type: ignore[misc]
        known = looks.now(Call(9))
        clock[0] += SILENCE_SECONDS
        assert looks.now(Call(9)).since(known) == new()
        clock[0] += SILENCE_SECONDS + 1
        with changes.one() if changes else contextlib.nullcontext():
            pass  # else an embedded store would not be looked at
        change = looks.now(Call(9)).since(known)
        assert change == (new() if kept else Lost("something was lost between earlier looks"))


def test_one_look_that_shows_the_same_is_the_same() -> None:
    """So that to compare costs nothing."""
    started = iter([1000, 1001, 1000, 1003])
    store: Any = FakeStore(lambda _: [row(part(1), started=next(started))])
    looks = Looks(store)
    first = looks.now(Call(9))
    assert looks.now(Call(9)) is first
    assert looks.now(Call(9)) is first
    assert looks.now(Call(9)).since(first) == Lost("the server was started anew")


class Gate:
    """A store that shows how many looks began, each when it is let through."""

    def __init__(self) -> None:
        self.begun = 0
        self.through = threading.Semaphore(0)
        self.error: Exception | None = None
        self.store: Any = FakeStore(self.tell)

    def tell(self, call: Call) -> Sequence[Sequence[object]]:
        self.begun += 1
        rows = [row(part(number)) for number in range(1, self.begun + 1)]
        while not self.through.acquire(timeout=0.01):
            call.remaining()
        if self.error is not None:
            raise self.error
        return rows


@contextlib.contextmanager
def asking(looks: Looks, calls: Sequence[Call]) -> Iterator[list[object]]:
    """Ask for a look in a thread for each call; at the end there is what each got."""
    got: list[object] = [None] * len(calls)

    def ask(number: int) -> None:
        try:
            got[number] = len(looks.now(calls[number]).parts)
        except Exception as error:  # noqa: BLE001 - what it is, the test says
            got[number] = type(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    yield got
    for thread in threads:
        thread.join(60)
    assert None not in got


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def waiting(looks: Looks) -> int:
    return len(looks._turn._waiters)  # type: ignore[attr-defined]


def test_those_who_wait_share_the_look_that_begins_next() -> None:
    gate = Gate()
    looks = Looks(gate.store)
    with asking(looks, [Call(60)]) as first:
        until(lambda: gate.begun == 1)
        with asking(looks, [Call(60) for _ in range(8)]) as others:
            until(lambda: waiting(looks) == 8)
            gate.through.release()
            until(lambda: gate.begun == 2)
            # One of them looks, for all.
            gate.through.release()
        assert others == [2] * 8
    assert first == [1]
    gate.through.release()
    assert len(looks.now(Call(60)).parts) == 3


def test_a_look_that_fails_fails_those_who_wait_for_it() -> None:
    gate = Gate()
    looks = Looks(gate.store)
    with asking(looks, [Call(60)]) as first:
        until(lambda: gate.begun == 1)
        with asking(looks, [Call(60) for _ in range(4)]) as others:
            until(lambda: waiting(looks) == 4)
            gate.through.release()
            until(lambda: gate.begun == 2)
            gate.error = StoreUnavailableError("gone")
            gate.through.release()
        assert others == [StoreUnavailableError] * 4
    assert first == [1]
    gate.error = None
    gate.through.release()
    assert len(looks.now(Call(60)).parts) == 3


def test_who_waits_does_so_until_its_own_end() -> None:
    gate = Gate()
    looks = Looks(gate.store)
    cancelled = Call(60)
    with asking(looks, [Call(60)]) as first:
        until(lambda: gate.begun == 1)
        with asking(looks, [Call(0.05), cancelled]) as others:
            until(lambda: waiting(looks) > 0)
            cancelled.cancel()
        assert others == [DeadlineError, CancelledError]
        gate.through.release()
    assert first == [1]
    with pytest.raises(CancelledError):
        looks.now(cancelled)


def test_the_end_of_the_one_who_looks_is_not_that_of_others() -> None:
    for how in ("deadline", "cancel"):
        gate = Gate()
        looks = Looks(gate.store)
        ending = Call(0.3 if how == "deadline" else 60)
        with asking(looks, [ending]) as first:
            until(lambda gate=gate: gate.begun == 1)  # type: ignore[misc]
            with asking(looks, [Call(60) for _ in range(3)]) as others:
                until(lambda looks=looks: waiting(looks) == 3)  # type: ignore[misc]
                if how == "cancel":
                    ending.cancel()
                until(lambda gate=gate: gate.begun == 2)  # type: ignore[misc]
                gate.through.release()
            assert others == [2, 2, 2]
        assert first == [DeadlineError if how == "deadline" else CancelledError]


def test_of_those_who_wait_one_looks_and_only_its_own_end_is_its_own() -> None:
    gate = Gate()
    looks = Looks(gate.store)
    with asking(looks, [Call(60)]) as first:
        until(lambda: gate.begun == 1)
        with asking(looks, [Call(60) for _ in range(3)]) as others:
            until(lambda: waiting(looks) == 3)
            gate.through.release()
            until(lambda: gate.begun == 2)
            gate.error = CancelledError("that of whoever looks")
            gate.through.release()
            until(lambda: gate.begun == 3)
            gate.error = None
            gate.through.release()
        assert sorted(others, key=str) == [3, 3, CancelledError]
    assert first == [1]


def test_a_look_that_takes_too_long_fails_before_those_who_wait_do() -> None:
    """Once, a connection that fell silent held every question until its own deadline."""
    allowed: list[float] = []

    def silent(call: Call) -> list[tuple[object, ...]]:
        allowed.append(call.remaining())
        raise DeadlineError("it took too long")

    store: Any = FakeStore(silent)
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        Looks(store).now(Call(60))
    with pytest.raises(StoreUnavailableError):
        Looks(store).now(Call(1))
    assert PATIENCE_SECONDS - 1 < allowed[0] <= PATIENCE_SECONDS
    assert allowed[1] <= 1


def test_to_cancel_a_call_cancels_its_part() -> None:
    call = Call(60)
    part = call.part(30)
    assert part.tag == call.tag
    call.cancel()
    with pytest.raises(CancelledError):
        part.remaining()


def test_a_part_knows_that_it_is_cancelled_before_its_queries_are_stopped() -> None:
    call, known = Call(60), list[type[Exception]]()

    def stop() -> None:
        try:
            its_part.remaining()
        except CancelledError as error:
            known.append(type(error))

    call.on_cancel(stop)
    its_part = call.part(30)
    call.cancel()
    assert known == [CancelledError]


def test_an_embedded_store_that_did_not_change_is_not_looked_at() -> None:
    changes = Changes()
    store: Any = FakeStore(lambda _: [row(part(1))], changes=changes)
    looks = Looks(store)
    for _ in range(3):
        looks.now(Call(9))
    assert store.looks == 1
    # While something changes, each look may show more; two at once are no quiet.
    with changes.one(), changes.one():
        looks.now(Call(9))
        looks.now(Call(9))
        assert store.looks == 3
    looks.now(Call(9))
    looks.now(Call(9))
    assert store.looks == 4


def test_an_embedded_store_is_looked_at_anew_after_a_reading() -> None:
    """A merge, which does not count, may have taken what was to be read."""
    shown = [row(part(1)), row(part(2))]
    store: Any = FakeStore(lambda _: list(shown), changes=Changes())
    looks = Looks(store)
    looks.now(Call(9))
    shown[:] = [row(part(1, 2))]
    assert len(looks.now(Call(9)).parts) == 2
    assert len(looks.now(Call(9), anew=True).parts) == 1
    assert len(looks.now(Call(9)).parts) == 1


def test_a_look_during_which_a_change_begins_is_not_relied_on() -> None:
    changes = Changes()

    def tell(_: Call) -> Sequence[Sequence[object]]:
        if store.looks == 1:
            with changes.one():
                pass
        return [row(part(1))]

    store: Any = FakeStore(tell, changes=changes)
    looks = Looks(store)
    looks.now(Call(9))
    looks.now(Call(9))
    assert store.looks == 2


def test_a_look_that_proves_nothing_is_not_relied_on() -> None:
    store: Any = FakeStore(lambda _: [row(part(1), changing=1)], changes=Changes())
    looks = Looks(store)
    looks.now(Call(9))
    looks.now(Call(9))
    assert store.looks == 2


@pytest.mark.parametrize(
    ("statement", "removes"),
    [
        ("ALTER TABLE sessions DROP PART 'all_1_1_0'", True),
        ("alter table sessions detach partition 202507", True),
        ("ALTER TABLE sessions REPLACE PARTITION 202507 FROM other", True),
        ("ALTER TABLE sessions MOVE PARTITION 202507 TO TABLE other", True),
        ("TRUNCATE TABLE sessions", True),
        ("DROP TABLE\nsessions SYNC", True),
        ("DROP DATABASE default", True),
        ("ALTER TABLE writes DROP PARTITION 12", False),
        ("ALTER TABLE converting_sessions DROP PARTITION 202507", False),
        ("ALTER TABLE sessions DELETE WHERE 1", False),
        ("DROP TABLE IF EXISTS erasing SYNC", False),
    ],
)  # fmt: skip
def test_what_takes_parts_away_is_counted_at_both_ends(statement: str, removes: bool) -> None:
    changes = Changes()
    with changes.command(statement):
        assert changes.removals == int(removes)
    assert changes.removals == 2 * removes


def test_a_look_while_parts_are_taken_away_proves_nothing() -> None:
    changes = Changes()

    def tell(_: Call) -> Sequence[Sequence[object]]:
        if store.looks == 2:
            with changes.one(), changes.command("TRUNCATE TABLE sessions"):
                pass
        return [row(part(1))]

    store: Any = FakeStore(tell, changes=changes)
    looks = Looks(store)
    known = looks.now(Call(9))
    with changes.one():
        pass
    assert looks.now(Call(9)).unproved == "parts are being taken away"
    assert looks.now(Call(9)).since(known) == Lost("something was lost between earlier looks")
