"""A copy of a value: who reads, who waits, and what an old copy is good for.

Readings are held open with events, and the tests wait until threads are seen to wait for one, so nothing here depends
on how fast they run. Patience is the time after which a test gives up.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from pageroles import cached
from pageroles.cached import Cached
from pageroles.errors import OverloadedError, PagerolesError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30.0
SECONDS = 10.0
STALE_SECONDS = 25.0
AGED = 12.0  # too old to be fresh, and young enough to be stale
SPENT = 30.0  # too old for anything


class Readings:
    """The readings of a copy: each begins, and ends as the test says."""

    def __init__(self) -> None:
        self.count = 0
        self.at_once = 0
        self.most_at_once = 0
        self._begun: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ends: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def read(self) -> str:
        with self._lock:
            self.count += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self._begun.put(self.count)
        end = self._ends.get(timeout=PATIENCE)
        with self._lock:
            self.at_once -= 1
        if isinstance(end, BaseException):
            raise end
        return end

    def wait_until_begun(self) -> None:
        self._begun.get(timeout=PATIENCE)

    def end(self, with_: str | BaseException) -> None:
        """End the open reading, or the next one."""
        self._ends.put(with_)


class Copies:
    """A copy under test, on a clock of the test's own, and threads that ask for it."""

    def __init__(self, waiting: threading.Semaphore) -> None:
        self.now = 0.0
        self.readings = Readings()
        self._waiting = waiting
        self._copy = Cached(self.readings.read, SECONDS, stale_seconds=STALE_SECONDS, clock=lambda: self.now)
        self._threads = ThreadPoolExecutor(16)

    def get(self) -> Future[str]:
        return self._threads.submit(self._copy.get)

    def newer(self, seconds: float) -> Future[str]:
        return self._threads.submit(self._copy.newer, seconds)

    def forget(self) -> None:
        self._copy.forget()

    def fill(self, value: str) -> None:
        """Read a first copy."""
        self.readings.end(value)
        assert result(self.get()) == value
        self.readings.wait_until_begun()

    def wait_until_waiting(self, threads: int = 1) -> None:
        """Wait until so many threads wait for a reading, the one that reads not among them."""
        for _ in range(threads):
            assert self._waiting.acquire(timeout=PATIENCE)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def result(asked: Future[str]) -> str:
    return asked.result(timeout=PATIENCE)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Copies]:
    waiting = threading.Semaphore(0)

    class Watched(Future[Any]):
        """A reading that says when a thread begins to wait for it."""

        def result(self, timeout: float | None = None) -> Any:
            if not self.done():
                waiting.release()
            return super().result(timeout)

    monkeypatch.setattr(cached, "Future", Watched)
    opened = Copies(waiting)
    yield opened
    opened.close()


def test_one_thread_reads_and_the_others_get_what_it_read(copies: Copies) -> None:
    asked = [copies.get()]
    copies.readings.wait_until_begun()
    asked += [copies.get() for _ in range(7)]
    copies.wait_until_waiting(7)
    copies.readings.end("first")
    assert [result(each) for each in asked] == ["first"] * 8
    assert (copies.readings.count, copies.readings.most_at_once) == (1, 1)


def test_a_young_copy_is_not_read_again(copies: Copies) -> None:
    copies.fill("first")
    copies.now = 9.9
    assert result(copies.get()) == "first"
    assert copies.readings.count == 1


def test_the_age_counts_from_the_beginning_of_the_reading(copies: Copies) -> None:
    asked = copies.get()
    copies.readings.wait_until_begun()
    copies.now = 9.0
    copies.readings.end("first")
    assert result(asked) == "first"
    copies.now = 10.0
    copies.readings.end("second")
    assert result(copies.get()) == "second"


def test_an_old_copy_serves_while_another_thread_reads(copies: Copies) -> None:
    copies.fill("first")
    copies.now = AGED
    reader = copies.get()
    copies.readings.wait_until_begun()
    assert [result(copies.get()) for _ in range(3)] == ["first"] * 3
    copies.readings.end("second")
    assert result(reader) == "second"
    assert copies.readings.count == 2


def test_a_copy_that_is_too_old_does_not_serve_while_another_thread_reads(copies: Copies) -> None:
    copies.fill("first")
    copies.now = STALE_SECONDS
    asked = [copies.get()]
    copies.readings.wait_until_begun()
    asked.append(copies.get())
    copies.wait_until_waiting()
    copies.readings.end("second")
    assert [result(each) for each in asked] == ["second"] * 2


def test_a_newer_copy_is_of_a_reading_that_began_late_enough(copies: Copies) -> None:
    """A key that is not in the copy may be new: a reading that began before it was asked for may lack it."""
    early = copies.get()
    copies.readings.wait_until_begun()
    copies.now = 1.0
    late = copies.newer(0.2)
    copies.wait_until_waiting()
    copies.readings.end("without the new key")
    copies.readings.wait_until_begun()
    copies.readings.end("with the new key")
    assert (result(early), result(late)) == ("without the new key", "with the new key")
    assert copies.readings.most_at_once == 1


def test_a_newer_copy_may_be_of_a_reading_that_has_just_begun(copies: Copies) -> None:
    early = copies.get()
    copies.readings.wait_until_begun()
    copies.now = 0.1
    late = copies.newer(0.2)
    copies.wait_until_waiting()
    copies.readings.end("first")
    assert (result(early), result(late)) == ("first", "first")
    assert copies.readings.count == 1


def test_a_newer_copy_waits_where_an_old_one_would_serve(copies: Copies) -> None:
    copies.fill("first")
    copies.now = AGED
    reader = copies.get()
    copies.readings.wait_until_begun()
    asked = copies.newer(0.2)
    copies.wait_until_waiting()
    copies.readings.end("second")
    assert (result(reader), result(asked)) == ("second", "second")


@pytest.mark.parametrize("fault", [StoreError("away"), OverloadedError("busy", 1.0)])
def test_the_old_copy_serves_all_who_wait_where_the_store_fails(copies: Copies, fault: PagerolesError) -> None:
    copies.fill("first")
    copies.now = AGED
    asked = [copies.get()]
    copies.readings.wait_until_begun()
    asked += [copies.newer(0.2) for _ in range(3)]
    copies.wait_until_waiting(3)
    copies.readings.end(fault)
    assert [result(each) for each in asked] == ["first"] * 4


@pytest.mark.parametrize("has_old_copy", [True, False])
def test_a_failure_of_the_store_reaches_all_who_wait_where_no_copy_serves(copies: Copies, has_old_copy: bool) -> None:
    if has_old_copy:
        copies.fill("first")
    copies.now = SPENT
    asked = [copies.get()]
    copies.readings.wait_until_begun()
    asked += [copies.get(), copies.newer(0.2)]
    copies.wait_until_waiting(2)
    copies.readings.end(StoreError("away"))
    for each in asked:
        with pytest.raises(StoreError, match="away"):
            result(each)


@pytest.mark.parametrize("fault", [StoreError("away"), ValueError("a bad row"), KeyboardInterrupt()])
def test_a_reading_that_fails_leaves_nobody_waiting(copies: Copies, fault: BaseException) -> None:
    asked = [copies.get()]
    copies.readings.wait_until_begun()
    asked += [copies.get() for _ in range(3)]
    copies.wait_until_waiting(3)
    copies.readings.end(fault)
    for each in asked:
        assert each.exception(timeout=PATIENCE) is fault
    copies.readings.end("next")
    assert result(copies.get()) == "next", "the next to ask reads"


def test_a_fault_that_is_not_the_stores_is_not_hidden_by_an_old_copy(copies: Copies) -> None:
    copies.fill("first")
    copies.now = AGED
    copies.readings.end(ValueError("a bad row"))
    with pytest.raises(ValueError, match="a bad row"):
        result(copies.get())


def test_what_is_forgotten_is_read_again(copies: Copies) -> None:
    copies.fill("first")
    copies.forget()
    copies.readings.end("second")
    assert result(copies.get()) == "second"
