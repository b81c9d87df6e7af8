"""What the requests of a server hold together, and who may hold more.

A request holds a place while it is at work, and the bytes of its answer until its caller has them. Each key may hold a
part of either, so that one caller leaves room for others, and large reports a part of the places, so that they leave
room for small ones. Who asks for more is refused at once, with a time to try again: nobody waits in line.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from pageroles.counts import Counts
from pageroles.errors import OverloadedError
from pageroles.settings import usable_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RETRY_SECONDS = 1.0
# One key may hold this part of the places, and of the bytes of answers.
_OF_ONE_KEY = 3 / 4
# Large reports may hold this part of the places. They take turns, so that those that wait hold places for long.
_OF_LARGE = 1 / 2
# Of the memory that this process may use, what answers may take that their callers have not read.
_ANSWERS_PART = 1 / 16
# Smaller answers are not counted: all places together hold little of them.
COUNTED_BYTES = 256 << 10

# An address may send so many keys that do not work, and one more each second.
_MOST_FAILURES = 100
_MOST_ADDRESSES = 10_000


class Admission:
    """Accounts for what requests hold; safe to use from many threads.

    Attributes:
        places: The most requests at work at once.
        answer_bytes: The most bytes of answers that their callers have not read.
        refused: How many requests were refused, by what was wanting: one of all `places`, of those of a `key`, of those
            for `large` reports, or room for `answers`.
    """

    def __init__(self, places: int, answer_bytes: int | None = None) -> None:
        """Let requests hold as much.

        Args:
            places: The most requests at work at once.
            answer_bytes: The most bytes of answers that their callers have not read; None: a sixteenth of what this
                process may use.
        """
        self.places = places
        self.answer_bytes = int(usable_memory() * _ANSWERS_PART) if answer_bytes is None else answer_bytes
        self.refused = Counts("places", "key", "large", "answers")
        self._lock = threading.Lock()
        # What follows is guarded by `_lock`.
        self._taken = 0
        self._large = 0
        self._bytes = 0
        self._taken_by: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._taken

    @property
    def unread_bytes(self) -> int:
        """The bytes of answers that their callers have not read, small answers left aside."""
        return self._bytes

    @contextlib.contextmanager
    def place(self) -> Iterator[Place]:
        """Hold a place while the block runs.

        Raises:
            OverloadedError: All places are taken.
        """
        place = Place(self)
        self.take_back(place)
        try:
            yield place
        finally:
            self.give_back(place)

    def take_back(self, place: Place) -> None:
        """Take a place that is given back.

        Raises:
            OverloadedError: All places are taken, or its key holds as many as one may.
        """
        with self._lock:
            if self._taken >= self.places:
                self.refused.add("places")
                raise OverloadedError("the server is busy; try again", _RETRY_SECONDS)
            if place.key_id is not None:
                self._count(place.key_id)
            self._taken += 1
            place.is_held = True

    def give_back(self, place: Place) -> None:
        """Give a place back, unless it is."""
        with self._lock:
            if not place.is_held:
                return
            place.is_held = False
            self._taken -= 1
            self._large -= place.is_large
            place.is_large = False
            _subtract(self._taken_by, place.key_id, 1)

    @contextlib.contextmanager
    def answer(self, key_id: str, size: int) -> Iterator[None]:
        """Hold an answer of some bytes while the block hands it to its caller.

        Raises:
            OverloadedError: Its bytes are more than what is left.
        """
        if size < COUNTED_BYTES:
            yield
            return
        with self._lock:
            # One answer may be larger than all that is allowed: it is made already.
            if self._bytes and self._bytes + size > self.answer_bytes:
                self.refused.add("answers")
                raise OverloadedError("too many large answers are on their way; try again", _RETRY_SECONDS)
            if self._bytes_of[key_id] and self._bytes_of[key_id] + size > self.answer_bytes * _OF_ONE_KEY:
                self.refused.add("key")
                raise OverloadedError(
                    "too many large answers are on their way to this key; read them, or try again", _RETRY_SECONDS
                )
            self._bytes += size
            self._bytes_of[key_id] += size
        try:
            yield
        finally:
            with self._lock:
                self._bytes -= size
                _subtract(self._bytes_of, key_id, size)

    def count_for_key(self, place: Place, key_id: str) -> None:
        """Count a place among those of a key.

        Raises:
            OverloadedError: The key holds as many as one may.
        """
        with self._lock:
            self._count(key_id)
            place.key_id = key_id

    def _count(self, key_id: str) -> None:
        if self._taken_by[key_id] >= max(self.places * _OF_ONE_KEY, 1):
            self.refused.add("key")
            raise OverloadedError(
                "this key has as many requests at work as one key may have; try again", _RETRY_SECONDS
            )
        self._taken_by[key_id] += 1

    def count_as_large(self, place: Place) -> None:
        """Count a place among those of large reports.

        Raises:
            OverloadedError: Large reports hold as many as they may.
        """
        with self._lock:
            if self._large >= max(self.places * _OF_LARGE, 1):
                self.refused.add("large")
                raise OverloadedError("too many large reports are at work; try again", _RETRY_SECONDS)
            self._large += 1
            place.is_large = True


class Place:
    """A place that a request holds.

    Attributes:
        is_held: Whether it is not given back.
        key_id: Whose it is; None until that is known.
        is_large: Whether a large report holds it.
    """

    def __init__(self, admission: Admission) -> None:
        """Prepare a place, of nobody yet."""
        self._admission = admission
        self.is_held = False
        self.key_id: str | None = None
        self.is_large = False

    def belongs_to(self, key_id: str) -> None:
        """Say whose it is.

        Raises:
            OverloadedError: The key holds as many as one may.
        """
        self._admission.count_for_key(self, key_id)

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        """Give the place back while the block waits.

        Raises:
            OverloadedError: After the block, others have taken all places, or all that its key may have.
        """
        self._admission.give_back(self)
        yield
        self._admission.take_back(self)

    def take_large(self) -> None:
        """Say that a large report holds it.

        Raises:
            OverloadedError: Large reports hold as many as they may.
        """
        self._admission.count_as_large(self)


class Failures:
    """How many keys that do not work came from each address of late; safe to use from many threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Know of none yet; `clock` returns the time in seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        # By address, how many there were, less one for each second since, and when that was worked out.
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def are_too_many(self, address: str) -> bool:
        """Tell whether an address has sent too many keys that do not work."""
        with self._lock:
            return self._number(address) >= _MOST_FAILURES

    def add(self, address: str) -> None:
        """Count one more."""
        with self._lock:
            self._known[address] = (self._number(address) + 1, self._clock())
            self._known.move_to_end(address)
            if len(self._known) > _MOST_ADDRESSES:
                self._known.popitem(last=False)

    def _number(self, address: str) -> float:
        number, at = self._known.get(address, (0.0, 0.0))
        return max(number - (self._clock() - at), 0.0)


def _subtract(counter: Counter[str], key: str | None, number: int) -> None:
    if key is not None:
        counter[key] -= number
        if not counter[key]:
            del counter[key]
