"""One writer for all: what comes meanwhile is one batch, everyone is told, and what waits is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

import pytest

from pageroles.errors import InternalError, OverloadedError, PagerolesError, StoreUnavailableError
from pageroles.ingest import writer as writer_module
from pageroles.ingest.session import Row, parse_line
from pageroles.ingest.writer import Times, Writer, size_of
from support.fakes import FakeStore, session

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30


class HeldStore(FakeStore):
    """Stores nothing until it is let go; tells when it is asked to."""

    def __init__(self) -> None:
        super().__init__(self._hold)
        self.finished = 0
        self.faults: list[Exception] = []
        self.asked = threading.Semaphore(0)
        self.let_go = threading.Event()

    def _hold(self, _: int) -> None:
        self.asked.release()
        assert self.let_go.wait(PATIENCE)
        if self.faults:
            raise self.faults.pop(0)

    def finish_writes(self) -> int:
        self.finished += 1
        return 0


@pytest.fixture
def store() -> HeldStore:
    return HeldStore()


@pytest.fixture
def writer(store: HeldStore) -> Iterator[Writer]:
    made = Writer(store)
    yield made
    store.let_go.set()
    made.close()


def row(name: object) -> Row:
    return parse_line(session(name))


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a writer wait as long as the test does."""
    for name in ("_PAUSE_SECONDS", "_GATHER_SECONDS"):
        monkeypatch.setattr(writer_module, name, 10 * PATIENCE)


def test_what_comes_while_a_batch_is_inserted_goes_into_the_next_one_together(store: HeldStore, writer: Writer) -> None:
    first = writer.submit([row("first")])
    assert store.asked.acquire(timeout=PATIENCE)
    others = [writer.submit([row(number)]) for number in range(100)]
    assert not first.done()
    store.let_go.set()
    done, _ = wait([first, *others], PATIENCE)
    assert len(done) == 101
    assert [len(batch) for batch in store.batches] == [1, 100]
    assert writer.batches == 2


def test_who_is_alone_waits_for_nobody(store: HeldStore, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    store.let_go.set()
    for number in range(3):
        writer.submit([row(number)]).result(PATIENCE)
    assert len(store.batches) == 3


def test_all_who_are_at_it_are_waited_for(store: HeldStore, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    first = writer.submit([row("first")])
    assert store.asked.acquire(timeout=PATIENCE)
    several = [writer.submit([row(number)]) for number in range(5)]
    store.let_go.set()
    first.result(PATIENCE)
    several.append(writer.submit([row("first again")]))
    wait(several, PATIENCE)
    again: list[Future[Times]] = []
    for number in range(5):
        again.append(writer.submit([row(f"again{number}")]))
        assert len(store.batches) == 2
    again.append(writer.submit([row("again5")]))
    done, _ = wait(again, PATIENCE)
    assert len(done) == 6
    assert [len(batch) for batch in store.batches] == [1, 6, 6]


def test_who_does_not_come_back_is_waited_for_a_moment(store: HeldStore, writer: Writer) -> None:
    first = [writer.submit([row(number)]) for number in range(5)]
    store.let_go.set()
    wait(first, PATIENCE)
    writer.submit([row("alone")]).result(PATIENCE)
    assert len(store.rows) == 6


def test_a_batch_has_its_most_rows(store: HeldStore, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MOST_ROWS", 4)
    first = writer.submit([row("first")])
    assert store.asked.acquire(timeout=PATIENCE)
    others = [writer.submit([row(f"{number}-{of}") for of in range(3)]) for number in range(5)]
    store.let_go.set()
    wait([first, *others], PATIENCE)
    assert [len(batch) for batch in store.batches] == [1, 6, 6, 3], "what came together stays together"


def test_what_waits_is_bounded_and_refused_beyond(store: HeldStore) -> None:
    writer = Writer(store, most_bytes=3 * size_of(row(0)))
    taken = [writer.submit([row(number)]) for number in range(3)]
    with pytest.raises(OverloadedError) as caught:
        writer.submit([row(3)])
    assert caught.value.retry_after > 0
    assert writer.refused["unstored"] == 1
    store.let_go.set()
    wait(taken, PATIENCE)
    # Alone, it may be larger.
    writer.submit([row(f"again{number}") for number in range(4)]).result(PATIENCE)
    writer.close()
    assert len(store.rows) == 7


@pytest.mark.parametrize("fault", [StoreUnavailableError("away"), RuntimeError("broken")])
def test_if_an_insert_fails_all_whose_rows_were_in_it_are_told(
    store: HeldStore, writer: Writer, fault: Exception
) -> None:
    store.faults = [fault]
    first = writer.submit([row("first")])
    assert store.asked.acquire(timeout=PATIENCE)
    finished = store.finished
    others = [writer.submit([row(number)]) for number in range(3)]
    store.let_go.set()
    told = first.exception(PATIENCE)
    assert isinstance(told, PagerolesError)
    assert isinstance(told, InternalError) == isinstance(fault, RuntimeError)
    for other in others:
        other.result(PATIENCE)
    assert store.finished == finished + 1, "what was cut short is finished before anything else is looked up"
    writer.submit([row("last")]).result(PATIENCE)
    assert store.finished == finished + 1


def test_what_was_cut_short_and_can_not_be_finished_holds_up_all(store: HeldStore, writer: Writer) -> None:
    store.let_go.set()
    writer.submit([row("before")]).result(PATIENCE)
    store.faults = [StoreUnavailableError("away")]
    assert writer.submit([row("cut short")]).exception(PATIENCE)
    finish, store.finish_writes = store.finish_writes, lambda: (_ for _ in ()).throw(StoreUnavailableError("away"))  # type: ignore[method-assign]
    assert isinstance(writer.submit([row("after")]).exception(PATIENCE), StoreUnavailableError)
    store.finish_writes = finish  # type: ignore[method-assign]
    writer.submit([row("again")]).result(PATIENCE)
    assert [batch[0]["session_id"] for batch in store.batches] == ["before", "again"]


def test_closing_stores_what_was_taken_and_takes_no_more(store: HeldStore) -> None:
    writer = Writer(store)
    first = writer.submit([row("first")])
    assert store.asked.acquire(timeout=PATIENCE)
    others = [writer.submit([row(number)]) for number in range(10)]
    closing = threading.Thread(target=writer.close)
    closing.start()
    store.let_go.set()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert all(one.exception(0) is None for one in (first, *others))
    assert len(store.rows) == 11
    with pytest.raises(StoreUnavailableError, match="stopping"):
        writer.submit([row("late")])


def test_the_times_of_a_write_are_told(store: HeldStore, writer: Writer) -> None:
    first = writer.submit([row("first")])
    assert store.asked.acquire(timeout=PATIENCE)
    second = writer.submit([row("second")])
    store.let_go.set()
    for times in (first.result(PATIENCE), second.result(PATIENCE)):
        assert list(times) == sorted(times)
    assert first.result().prepared <= second.result().submitted, "while the first one was inserted, the second waited"
    assert second.result().taken >= first.result().stored


def test_versions_of_a_session_from_several_callers_keep_their_order(store: HeldStore, writer: Writer) -> None:
    first = writer.submit([row("first")])
    assert store.asked.acquire(timeout=PATIENCE)
    several = [writer.submit([parse_line(session("s1", source=f"version {number}"))]) for number in range(5)]
    store.let_go.set()
    wait([first, *several], PATIENCE)
    assert [written["source"] for written in store.batches[1]] == ["version 4"]
