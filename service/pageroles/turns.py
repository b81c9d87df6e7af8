"""Turns at the processor: requests of all keys wait in fair lines, so that a flood of one key slows that key alone.

The interpreter runs one thread at a time. Where hundreds of requests are let at it together, each waits for all others,
whoever sent them. So only a few are at work at once, and the rest wait asleep, each key in a line of its own; the keys
take turns. Who waits for something else, such as the store, leaves its turn first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from pageroles.counts import Counts
from pageroles.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable

# One runs, and one goes on when that one waits for its caller or for a lock. More make all of them later: with four, a
# caller beside 400 others waited 10 ms at the median instead of 4, and 160 at the 99th percentile instead of 16.
AT_ONCE = 2
MOST_IN_LINE = 512
# One key may have this part of those that wait.
_OF_ONE_KEY = 3 / 4
# The longest time in a line.
LINE_SECONDS = 2.0
# An answer that its caller has not taken by then no longer keeps others waiting; most are taken within 1 ms.
_HAND_OVER_SECONDS = 0.01
# Who waits for this long looks for such answers itself; else those who come and go do.
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 1.0


class Turns:
    """Gives turns to requests, fairly among keys; safe to use from many threads.

    Attributes:
        most_in_line: The most requests that wait for their first turn.
        refused: How many requests were refused since they would wait for too long.
    """

    def __init__(
        self, at_once: int = AT_ONCE, *, most_in_line: int = MOST_IN_LINE, line_seconds: float = LINE_SECONDS
    ) -> None:
        """Give some turns at once.

        Args:
            at_once: How many requests have their turn at once.
            most_in_line: The most requests that wait for their first turn.
            line_seconds: The longest time that a request waits for its first turn, in seconds.
        """
        self.most_in_line = most_in_line
        self.refused = Counts("line")
        self._line_seconds = line_seconds
        self._lock = threading.Lock()
        # What follows is guarded by `_lock`.
        self._free = at_once
        self._lines: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._in_line = 0
        # The turns whose answers are made, oldest first, and when they were.
        self._answered: OrderedDict[Turn, float] = OrderedDict()

    @property
    def in_line(self) -> int:
        """How many requests wait for a turn."""
        return self._in_line

    def take(self, key_id: str, seconds: float) -> Turn:
        """Wait for a turn of a key, and return it.

        Args:
            key_id: Whose request it is.
            seconds: The longest time to wait, in seconds.

        Raises:
            OverloadedError: Too many wait already, or the time is over.
        """
        turn = Turn(self, key_id)
        if not self._enter(turn, bounded=True) or not self._wait(turn, min(seconds, self._line_seconds)):
            self.refused.add("line")
            raise OverloadedError("the server is busy; try again", _RETRY_SECONDS)
        return turn

    def take_again(self, turn: Turn, remaining: Callable[[], float]) -> None:
        """Wait for a turn that was left; do nothing if it is held."""
        while not turn.is_held:
            seconds = remaining()
            self._enter(turn, bounded=False)
            self._wait(turn, seconds)

    def leave(self, turn: Turn) -> None:
        """Let the next key's first have a turn; do nothing if it was left before."""
        with self._lock:
            self._answered.pop(turn, None)
            if turn.is_held:
                turn.is_held = False
                self._pass_on()

    def answered(self, turn: Turn) -> None:
        """Take that a turn's answer is made: it is left when its caller has the answer, or soon."""
        with self._lock:
            if turn.is_held:
                self._answered[turn] = time.monotonic()

    def _enter(self, turn: Turn, *, bounded: bool) -> bool:
        """Give a turn, or put it in its key's line; return whether one of both was done: too many may wait."""
        with self._lock:
            self._take_back()
            if self._free and not self._lines:
                self._free -= 1
                turn.is_held = True
                return True
            line = self._lines.get(turn.key_id, deque())
            if bounded and (self._in_line >= self.most_in_line or len(line) >= max(self.most_in_line * _OF_ONE_KEY, 1)):
                return False
            turn.gate = threading.Lock()
            turn.gate.acquire()
            line.append(turn)
            self._lines[turn.key_id] = line
            self._in_line += 1
            return True

    def _wait(self, turn: Turn, seconds: float) -> bool:
        """Wait in a line, and return whether the turn has come; else it is out of the line."""
        if turn.is_held or turn.gate.acquire(timeout=min(seconds, _LOOK_SECONDS)):
            return True
        with self._lock:
            self._take_back()
        if seconds > _LOOK_SECONDS and turn.gate.acquire(timeout=seconds - _LOOK_SECONDS):
            return True
        with self._lock:
            if not turn.is_held:
                line = self._lines[turn.key_id]
                line.remove(turn)
                self._in_line -= 1
                if not line:
                    del self._lines[turn.key_id]
            return turn.is_held

    def _take_back(self) -> None:
        """Take turns back whose callers have not taken their answers for long."""
        latest = time.monotonic() - _HAND_OVER_SECONDS
        while self._answered:
            turn, since = next(iter(self._answered.items()))
            if since > latest:
                return
            del self._answered[turn]
            turn.is_held = False
            self._pass_on()

    def _pass_on(self) -> None:
        if not self._lines:
            self._free += 1
            return
        key_id, line = next(iter(self._lines.items()))
        turn = line.popleft()
        self._in_line -= 1
        if line:
            self._lines.move_to_end(key_id)
        else:
            del self._lines[key_id]
        turn.is_held = True
        turn.gate.release()


class Turn:
    """The turn of a request, which it may leave, and take again.

    Attributes:
        key_id: Whose it is.
        is_held: Whether it has come and was not left; guarded by the lock of `Turns`, as is `gate`.
        gate: What the request waits for in a line.
    """

    __slots__ = ("_turns", "gate", "is_held", "key_id")

    def __init__(self, turns: Turns, key_id: str) -> None:
        """Make a turn that has not come yet."""
        self._turns = turns
        self.key_id = key_id
        self.is_held = False
        self.gate = threading.Lock()

    def leave(self) -> None:
        """Let others go on; do nothing if it was left before."""
        self._turns.leave(self)

    def answered(self) -> None:
        """Say that the answer is made; leave the turn when the caller has it."""
        self._turns.answered(self)

    def take_again(self, remaining: Callable[[], float]) -> None:
        """Wait for the turn if it was left.

        Args:
            remaining: Returns the seconds that are left, or raises an error.
        """
        self._turns.take_again(self, remaining)
