"""Requests take turns, fairly among keys, and no turn is lost."""

from __future__ import annotations

import itertools
import random
import threading
import time

import pytest

from pageroles import turns
from pageroles.errors import DeadlineError, OverloadedError
from pageroles.turns import Turn, Turns


class Waiting:
    """Requests that wait for their turns in threads, and in which order these came."""

    def __init__(self, given: Turns) -> None:
        self.turns = given
        self.came: list[str] = []
        self.held: list[Turn] = []
        self._threads: list[threading.Thread] = []

    def begin(self, key_id: str) -> None:
        """Let one more wait; return when it does."""
        before = self.turns.in_line
        thread = threading.Thread(target=self._wait, args=(key_id,))
        thread.start()
        self._threads.append(thread)
        until(lambda: self.turns.in_line > before)

    def _wait(self, key_id: str) -> None:
        turn = self.turns.take(key_id, 60)
        self.came.append(key_id)
        self.held.append(turn)

    def leave_all(self) -> None:
        """Leave one turn after the other, until none waits."""
        for number in itertools.count():
            if number == len(self._threads):
                break
            until(lambda number=number: len(self.held) > number)
            self.held[number].leave()
        for thread in self._threads:
            thread.join()


def until(holds: object) -> None:
    assert callable(holds)
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, "it never came to hold"
        time.sleep(0.001)


def all_free(given: Turns, at_once: int) -> bool:
    return (given._free, given._in_line, len(given._lines), len(given._answered)) == (at_once, 0, 0, 0)


def test_keys_take_turns_however_many_wait_of_one() -> None:
    given = Turns(1)
    first = given.take("greedy", 1)
    waiting = Waiting(given)
    for key_id in ("greedy", "greedy", "greedy", "modest", "greedy", "other", "modest"):
        waiting.begin(key_id)
    first.leave()
    waiting.leave_all()
    assert waiting.came == ["greedy", "modest", "other", "greedy", "modest", "greedy", "greedy"]
    assert all_free(given, 1)


def test_who_finds_a_free_turn_does_not_wait() -> None:
    given = Turns(2)
    one, other = given.take("a", 0), given.take("a", 0)
    with pytest.raises(OverloadedError, match="busy"):
        given.take("b", 0)
    one.leave()
    one.leave()
    assert given.take("b", 0).is_held, "to leave twice frees one turn"
    with pytest.raises(OverloadedError):
        given.take("c", 0)
    assert given.refused["line"] == 2
    other.leave()


def test_lines_are_bounded_and_one_key_leaves_room() -> None:
    given = Turns(1, most_in_line=4)
    first = given.take("greedy", 1)
    waiting = Waiting(given)
    for _ in range(3):
        waiting.begin("greedy")
    with pytest.raises(OverloadedError) as refused:
        given.take("greedy", 60)
    assert refused.value.retry_after > 0
    waiting.begin("modest")
    with pytest.raises(OverloadedError):
        given.take("other", 60)
    first.leave()
    waiting.leave_all()
    assert all_free(given, 1)


def test_who_waits_for_too_long_is_refused_and_leaves_its_line() -> None:
    given = Turns(1, line_seconds=0.01)
    first = given.take("a", 1)
    with pytest.raises(OverloadedError):
        given.take("b", 60)
    assert given.in_line == 0
    first.leave()
    assert all_free(given, 1)


def test_a_turn_that_was_left_is_waited_for_again() -> None:
    given = Turns(1)
    one = given.take("a", 1)
    one.take_again(lambda: 60)
    one.leave()
    given.take("b", 0).leave()
    one.take_again(lambda: 60)
    assert one.is_held
    with pytest.raises(OverloadedError):
        given.take("b", 0)
    one.leave()
    assert all_free(given, 1)


def test_who_comes_back_waits_no_longer_than_its_call_may() -> None:
    given = Turns(1)
    one = given.take("a", 1)
    one.leave()
    other = given.take("b", 0)
    left = [0.01, 0.01]

    def remaining() -> float:
        if not left:
            raise DeadlineError("over")
        return left.pop()

    with pytest.raises(DeadlineError):
        one.take_again(remaining)
    assert (given.in_line, one.is_held) == (0, False)
    other.leave()
    one.leave()
    assert all_free(given, 1)


@pytest.mark.parametrize("arrives", [True, False], ids=["as another comes", "as one waits"])
def test_an_answer_that_is_not_taken_stops_nobody(monkeypatch: pytest.MonkeyPatch, *, arrives: bool) -> None:
    given = Turns(1)
    stalled = given.take("slow", 1)
    if arrives:
        monkeypatch.setattr(turns, "_HAND_OVER_SECONDS", 0.0)
        stalled.answered()
        given.take("other", 0).leave()
    else:
        monkeypatch.setattr(turns, "_LOOK_SECONDS", 0.02)
        waiting = Waiting(given)
        waiting.begin("other")
        stalled.answered()
        waiting.leave_all()
    assert not stalled.is_held
    stalled.leave()
    assert all_free(given, 1)


def test_an_answer_that_was_taken_is_forgotten() -> None:
    given = Turns(1)
    one = given.take("a", 1)
    one.answered()
    one.leave()
    one.answered()
    assert all_free(given, 1)


def test_no_turn_is_lost_or_given_twice_whatever_requests_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LOOK_SECONDS", 0.001)
    given = Turns(3, most_in_line=20)
    at_work, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> None:
        nonlocal at_work, most
        random_ = random.Random(number)
        for _ in range(100):
            try:
                turn = given.take(f"key-{number % 3}", random_.choice((0, 0.0005, 0.01, 1)))
            except OverloadedError:
                continue
            with lock:
                at_work += 1
                most = max(most, at_work)
            if random_.random() < 0.2:
                time.sleep(0.0005)
            with lock:
                at_work -= 1
            if random_.random() < 0.3:
                turn.leave()
                time.sleep(0.0005)
                turn.take_again(lambda: 10)
            if random_.random() < 0.3:
                turn.answered()
            turn.leave()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 3
    assert all_free(given, 3)
