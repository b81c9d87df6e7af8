"""Threads of which one runs at a time, and a clock that moves on only when all of them wait.

`take_over` puts them in the place of the interpreter's own, for all that is imported afterwards. Which thread goes on
is drawn from a seed: so what threads do to each other happens again with it. Threads are real ones, since the code that
they run is; each waits for its turn by a lock of its own.
"""

from __future__ import annotations

import _thread
import concurrent.futures
import datetime as dt
import functools
import gc
import logging
import queue
import secrets
import sys
import threading
import time
import traceback
from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# How often a thread that finds a lock free lets another one go on.
_PREEMPTION = 1 / 50
# More than any life takes: then something waits in vain, while others wake up again and again.
_LONGEST = 6 * 3600.0
_STACK = 1 << 20


class StuckError(BaseException):
    """Every thread waits for another one, or the first one for ever."""


class _Task:
    """A thread, as the schedule has it."""

    __slots__ = ("baton", "name", "number", "wakes_at")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.wakes_at: float | None = None
        self.baton = _thread.allocate_lock()
        self.baton.acquire()


class Schedule:
    """Lets one thread run at a time, and keeps the clock.

    Attributes:
        seconds: What `time.monotonic` says.
        failures: What threads raised that nobody waits for.
        secrets: What ids and keys are drawn from.
    """

    def __init__(self) -> None:
        self._main = self._current = _Task("main", 0)
        self.failures: list[str] = []
        self.begin(0, dt.datetime(2025, 1, 1, tzinfo=dt.UTC))

    def begin(self, seed: object, now: dt.datetime) -> None:
        """Begin anew, at some time; no thread but the first may be left."""
        self._rng = Random(f"threads {seed}")
        self.secrets = Random(f"secrets {seed}")
        self.seconds = 1000.0
        self._epoch_ns = int(now.timestamp() * 1000) * 1_000_000
        self._tasks = {self._main: "runs"}
        self._ready: list[_Task] = []
        self._number = 0
        self._stuck = False
        self.failures.clear()

    def epoch_ns(self) -> int:
        """Return the nanoseconds since 1970."""
        return self._epoch_ns + round((self.seconds - 1000.0) * 1e9)

    def now(self, tz: dt.tzinfo | None = None) -> dt.datetime:
        """Return the date and the time."""
        micro = dt.timedelta(microseconds=self.epoch_ns() // 1000)
        return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + micro).astimezone(tz)

    @property
    def current(self) -> _Task:
        return self._current

    @property
    def others(self) -> list[str]:
        """The threads beside the first one, by their names."""
        return [task.name for task in self._tasks if task is not self._main]

    def start(self, name: str, run: Callable[[], None]) -> None:
        self._number += 1
        task = _Task(name, self._number)
        self._tasks[task] = "ready"
        self._ready.append(task)

        def bootstrap() -> None:
            task.baton.acquire()
            try:
                run()
            except BaseException:  # noqa: BLE001 - told by the life
                self.failures.append(f"{name}: {traceback.format_exc()}")
            del self._tasks[task]
            self._hand_on(None)

        _thread.start_new_thread(bootstrap, ())

    def wait(self, until: float | None = None) -> None:
        """Wait until another thread wakes this one, or until a time."""
        task = self._current
        task.wakes_at = until
        self._tasks[task] = "waits"
        self._hand_on(task)
        if self._stuck and task is self._main:
            raise StuckError(self._told())

    def give_way(self) -> None:
        """Let any thread go on that can, or this one."""
        self._make_ready(self._current)
        self._hand_on(self._current)

    def give_way_sometimes(self) -> None:
        if self._ready and self._rng.random() < _PREEMPTION:
            self.give_way()

    def wake(self, task: _Task) -> None:
        if self._tasks.get(task) == "waits":
            self._make_ready(task)

    def sleep(self, seconds: float) -> None:
        self.wait(self.seconds + max(seconds, 0.0))

    def _make_ready(self, task: _Task) -> None:
        self._tasks[task] = "ready"
        self._ready.append(task)

    def _hand_on(self, task: _Task | None) -> None:
        after = self._next()
        self._tasks[after] = "runs"
        if after is task:
            return
        self._current = after
        after.baton.release()
        if task is not None:
            task.baton.acquire()

    def _next(self) -> _Task:
        if self._ready:
            return self._ready.pop(self._rng.randrange(len(self._ready)))
        sleeping = [task for task, state in self._tasks.items() if state == "waits" and task.wakes_at is not None]
        if not sleeping or self.seconds > _LONGEST:
            self._stuck = True
            return self._main
        first = min(sleeping, key=lambda task: (task.wakes_at, task.number))
        self.seconds = max(self.seconds, first.wakes_at or 0.0)
        return first

    def _told(self) -> str:
        frames = "".join("".join(traceback.format_stack(frame)[-7:]) + "\n" for frame in sys._current_frames().values())
        tasks = [(each.name, state) for each, state in self._tasks.items()]
        return f"at {self.seconds} nothing goes on: {tasks}\n{frames}"


SCHEDULE = Schedule()


class Lock:
    """A lock of the simulation: `threading.Condition` and all that is made of it work with it."""

    def __init__(self) -> None:
        self._locked = False
        self._waiting: deque[_Task] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking:
            SCHEDULE.give_way_sometimes()
        until = SCHEDULE.seconds + timeout if timeout >= 0 else None
        task = SCHEDULE.current
        while self._locked:
            if not blocking or (until is not None and SCHEDULE.seconds >= until):
                return False
            self._waiting.append(task)
            SCHEDULE.wait(until)
            if task in self._waiting:
                self._waiting.remove(task)
        self._locked = True
        return True

    def release(self) -> None:
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False
        if self._waiting:
            SCHEDULE.wake(self._waiting.popleft())

    def locked(self) -> bool:
        return self._locked

    def _at_fork_reinit(self) -> None:
        self._locked = False
        self._waiting.clear()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Thread:
    """A thread of the simulation."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str = "thread",
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        del group
        self.name = name
        self.daemon = daemon
        self.ident: int | None = None
        self._run = functools.partial(target, *args, **(kwargs or {})) if target else lambda: None
        self._ended = Lock()

    def start(self) -> None:
        self._ended.acquire()
        self.ident = id(self)
        SCHEDULE.start(self.name, self._work)

    def _work(self) -> None:
        try:
            self._run()
        finally:
            self._ended.release()

    def join(self, timeout: float | None = None) -> None:
        if self._ended.acquire(timeout=-1 if timeout is None else timeout):
            self._ended.release()

    def is_alive(self) -> bool:
        return self._ended.locked()


class _Datetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, dt.datetime)


class Datetime(dt.datetime, metaclass=_Datetime):
    """`datetime` whose present is that of the simulation; what it makes are plain ones."""

    def __new__(cls, *given: Any, **named: Any) -> Self:
        made: Any = dt.datetime(*given, **named)  # noqa: DTZ001 - whoever makes one says
        return made  # type: ignore[no-any-return]

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return SCHEDULE.now(tz)


def take_over() -> None:
    """Put threads, locks and the clock of the simulation in the place of the interpreter's own.

    Call it before anything is imported that uses them.
    """
    # What is collected puts into queues, whose locks here the same thread may hold; lives collect where none is held.
    gc.disable()
    # The driver's log asks which thread it is in; nobody reads it here.
    logging.disable()
    inside: dict[Any, dict[str, object]] = {
        threading: {
            "Lock": Lock,
            "_allocate_lock": Lock,
            "RLock": threading._PyRLock,  # type: ignore[attr-defined]
            "Thread": Thread,
            "_time": _monotonic,
        },
        queue: {"SimpleQueue": queue._PySimpleQueue},  # type: ignore[attr-defined]
        time: {
            "monotonic": _monotonic,
            "perf_counter": _monotonic,
            "sleep": SCHEDULE.sleep,
            "time_ns": SCHEDULE.epoch_ns,
            "time": lambda: SCHEDULE.epoch_ns() / 1e9,
        },
        secrets: {
            "token_hex": lambda size: SCHEDULE.secrets.randbytes(size).hex(),
            "randbits": lambda bits: SCHEDULE.secrets.getrandbits(int(bits)),
        },
    }
    for module, values in inside.items():
        for name, value in values.items():
            setattr(module, name, value)
    _ = concurrent.futures.ThreadPoolExecutor  # imports what it is made of, with these threads


def _monotonic() -> float:
    return SCHEDULE.seconds
