"""One domain in memory: its sessions, what was read of it, and how often it is asked about."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from typing import TYPE_CHECKING

from pageroles import _core
from pageroles.errors import CancelledError
from pageroles.question.filters import FILTERS, TRAFFIC, Of
from pageroles.question.model import Include, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.question.model import PagesQuery
    from pageroles.store.call import Call
    from pageroles.store.parts import Parts

# What a domain takes that has no sessions.
DOMAIN_BYTES = 10_000
# Asking counts half after so many seconds.
_HALF_LIFE_SECONDS = 600.0
# A thread that waits for another looks so often whether its call has ended.
_PATIENCE_SECONDS = 0.1
_CONVERSION = tuple(
    next(each for each in FILTERS if each.of is Of.CONVERSION and each.column == column)
    for column in ("url", "type", "id")
)


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a domain.

    Attributes:
        sessions: The number of sessions.
        bytes: The bytes that they take, and all that belongs to them.
        resident: The sessions themselves, as they were at one moment.
        look: The first look at the store that has shown this moment; None: there was none yet.
    """

    sessions: int
    bytes: int
    resident: _core.Resident = dataclasses.field(compare=False, repr=False)
    look: Parts | None = dataclasses.field(default=None, compare=False, repr=False)

    def count(self, query: PagesQuery, threads: int) -> _core.Counted:
        """Count a question on as many threads."""
        balance = Include.BALANCE in query.include
        return self.resident.count(to_question(query), balance, query.counts_landings, threads)


def to_question(query: PagesQuery) -> _core.Question:
    """Return a question as the core takes it."""
    keys = _core.keys([value for _, value in query.conditions])
    values = {each: key for (each, _), key in zip(query.conditions, keys, strict=True)}
    return _core.Question(
        query.touch_scope,
        to_milliseconds(query.window.start),
        to_milliseconds(query.window.end),
        [values.get(each) for each in TRAFFIC],
        next((key for each, key in values.items() if each.is_page), None),
        [values.get(each) for each in _CONVERSION],
    )


class Entry:
    """A domain that is kept.

    Attributes:
        turn: Held by who reads what was written.
        lock: Held for each change of what follows.
        owner: The call that may change it. A worker goes on for a while when its request has ended, or for long where
            the store does not answer; what it read is no longer wanted then.
        covered: The parts that were read.
        seen: The last look that brought nothing new.
        is_changed: Whether something was read since `kept` was made.
        kept: What is kept, as it was after the last change.
        latest: When the last of the versions that were read was written, in microseconds since 1970; None: not known.
        rate: How often the domain was asked about, older questions counting less.
    """

    def __init__(self, resident: _core.Resident, covered: Parts, rate: Rate, owner: Call) -> None:
        """Take over what a call has read."""
        self.turn = threading.Lock()
        self.lock = threading.Lock()
        self.owner = owner
        self.resident = resident
        self.covered = covered
        self.seen: Parts | None = None
        self.latest: int | None = None
        self.rate = rate
        self.measure(None)

    @contextlib.contextmanager
    def owned(self, call: Call) -> Iterator[None]:
        """Let a call own it; wait while another does."""
        call.let_others()
        while not self.turn.acquire(timeout=min(call.remaining(), _PATIENCE_SECONDS)):
            pass
        try:
            with self.lock:
                self.owner = call
            yield
        finally:
            self.turn.release()

    @contextlib.contextmanager
    def changing(self, call: Call) -> Iterator[None]:
        """Change it, which only its owner may."""
        with self.lock:
            if self.owner is not call:
                raise CancelledError("the request has ended")
            yield

    def measure(self, look: Parts | None) -> None:
        """Make `kept` anew, of what was read, which is what a look has shown."""
        self.is_changed = False
        snapshot = self.resident.snapshot()
        self.kept = Kept(snapshot.sessions, DOMAIN_BYTES + snapshot.bytes, snapshot, look)


class Rate:
    """How often something happens; what is long ago counts less."""

    def __init__(self) -> None:
        """Begin with none."""
        self._value = 0.0
        self._at = time.monotonic()

    def now(self) -> float:
        """Return the rate."""
        return self._value * math.exp2((self._at - time.monotonic()) / _HALF_LIFE_SECONDS)

    def add(self) -> None:
        """Count one more."""
        self._value, self._at = self.now() + 1, time.monotonic()
