"""Domains in memory: which ones are kept, and what keeps them as the store is.

A domain is kept whole, in the core's blocks. Each answer looks at the parts of the store first, and reads what was
written since; so a kept domain never differs from what a fresh reading would give. Where that can't be proved, it is
forgotten, and reports stream from the store.

A small domain is read with the first question about it. A larger one is read when it is asked about again, in the
background, while its reports stream. A budget bounds the bytes of all: who is asked about least goes first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from cachetools import LRUCache, TTLCache

from pageroles import _core
from pageroles.counts import Counts
from pageroles.errors import CancelledError, PagerolesError
from pageroles.question.model import PagesQuery, TouchScope, Window
from pageroles.report import statements
from pageroles.report.data_state import DataStates
from pageroles.report.kept import DOMAIN_BYTES, Entry, Rate
from pageroles.report.names import name_pages
from pageroles.report.new_parts import LostError, NewParts
from pageroles.store.parts import Looks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pageroles.report.kept import Kept
    from pageroles.report.workers import Workers
    from pageroles.store.call import Call
    from pageroles.store.parts import Parts
    from pageroles.store.store import Store

_log = structlog.get_logger(__name__)

# A domain of at most so many rows is read by the first question: that takes about as long as its report would.
SMALL_ROWS = 20_000
# If more rows were written to a domain since its last question, and more than a share of what it has, they are read in
# the background: a streamed report takes less time then.
MOST_NEW_ROWS = 20_000
_MOST_NEW_SHARE = 1 / 50
# What a row takes before it was read; and the rows that are read at once.
ROW_BYTES = 52
_ROWS_AT_ONCE = 500_000
# How long a domain is remembered as one that does not fit.
_REFUSED_SECONDS = 60.0
_MOST_REMEMBERED = 10_000
# What reading a domain may take.
_FILL_SECONDS = 3600.0
_NICENESS = 10
# How often what is kept is brought up to date without a question; far less than `SILENCE_SECONDS`.
_KEEP_UP_SECONDS = 20.0
# The silence after which the connection of the looks is closed.
_LOOK_SECONDS = 60.0
_ALWAYS = Window(*(datetime(year, 1, 1, tzinfo=UTC) for year in (1970, 2149, 2149)))


@dataclasses.dataclass(frozen=True, slots=True)
class KeptDomain:
    """A domain in memory.

    Attributes:
        name: The domain.
        sessions: The number of its sessions.
        bytes: The bytes that they take.
    """

    name: str
    sessions: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """The domains in memory.

    Attributes:
        budget: The most bytes that they may take.
        domains: The domains, those that take most first.
    """

    budget: int
    domains: tuple[KeptDomain, ...]


class _Brought(enum.Enum):
    """What became of a domain that was to be brought up to date."""

    UP_TO_DATE = enum.auto()
    LATER = enum.auto()
    LOST = enum.auto()


_ROOM = "room is needed"


class Residents:
    """The domains in memory; safe to use from many threads.

    Attributes:
        budget: The most bytes of all domains.
        counts: How often a domain was `kept`, and forgotten since `room` was needed or it was `lost`: what is kept
            could not be proved any more.
        looks: How often the parts of the store were looked at, as `Looks` counts it.
        states: Names the states of the data by these looks.
    """

    def __init__(self, store: Store, workers: Workers, budget: int) -> None:
        """Keep nothing yet.

        Args:
            store: The store, which stays open.
            workers: The threads on which the store is queried for a question.
            budget: The most bytes of all domains; 0: nothing is kept.
        """
        self.budget = budget
        self.counts = Counts("kept", "room", "lost")
        self._store = store
        self._workers = workers
        # On a connection of its own: a look waits for no report.
        self._looking = store.apart(_LOOK_SECONDS)
        try:
            self._looks = Looks(self._looking)
        except BaseException:
            self._looking.close()
            raise
        self.looks = self._looks.counts
        self.states = DataStates(self._looks)
        self._new_parts = NewParts(store, self._looks)
        self._lock = threading.Lock()
        # What follows is guarded by `_lock`.
        self._kept: dict[str, Entry] = {}
        self._filling: set[str] = set()
        self._rates: LRUCache[str, Rate] = LRUCache(_MOST_REMEMBERED)
        self._refused: TTLCache[str, bool] = TTLCache(_MOST_REMEMBERED, _REFUSED_SECONDS)
        self._closing = False
        self._closed = threading.Event()
        # The calls of what is done in the background.
        self._background: set[Call] = set()
        self._filler = ThreadPoolExecutor(1, thread_name_prefix="fill-memory", initializer=_be_nice)
        self._keeper = threading.Thread(target=self._keep_up, name="keep-memory", daemon=True)
        if budget:
            self._keeper.start()

    def close(self) -> None:
        """Stop reading in the background, at once."""
        with self._lock:
            self._closing = True
            calls = list(self._background)
        self._closed.set()
        for call in calls:
            call.cancel()
        if self.budget:
            self._keeper.join()
        self._filler.shutdown(wait=True, cancel_futures=True)
        self._looking.close()

    def memory(self) -> Memory:
        """Return what is kept, in numbers."""
        kept = [KeptDomain(domain, each.sessions, each.bytes) for domain, each in self.kept().items()]
        return Memory(self.budget, tuple(sorted(kept, key=lambda each: (-each.bytes, each.name))))

    def kept(self) -> Mapping[str, Kept]:
        """Return what is kept, by domain."""
        with self._lock:
            return {domain: entry.kept for domain, entry in self._kept.items()}

    def fresh(self, domain: str, call: Call) -> Kept | None:
        """Return what is kept of a domain, as the store is now; None: the report has to stream.

        Raises:
            PagerolesError: The store failed, or the call ended.
        """
        if not self.budget:
            return None
        with self._lock:
            entry = self._kept.get(domain)
            rate = self._rates.setdefault(domain, Rate())
            rate.add()
        if entry is None:
            return self._first(domain, rate, call)
        match self._bring_up(domain, entry, call):
            case _Brought.UP_TO_DATE:
                return entry.kept
            case _Brought.LATER:
                return None
            case _Brought.LOST:
                return self._first(domain, rate, call)

    # ---- keeping up ----

    def _bring_up(self, domain: str, entry: Entry, call: Call) -> _Brought:
        """Read what was written since the last question, or leave that to the background."""
        covered = entry.covered
        now = self._looks.now(call)
        if now is entry.seen:
            return _Brought.UP_TO_DATE
        with self._lock:
            if domain in self._filling:
                return _Brought.LATER
        with entry.owned(call):
            return self._workers.run(call, lambda: self._read_or_leave(domain, entry, covered, now, call))

    def _read_or_leave(self, domain: str, entry: Entry, covered: Parts, now: Parts, call: Call) -> _Brought:
        # What is lost is returned, not raised: an error in a worker would end the call.
        try:
            if entry.covered is not covered:
                # Another question has read since, perhaps what is later than that look.
                now = self._looks.now(call)
            if self._new_parts.rows(domain, now, entry.covered, call) > max(
                MOST_NEW_ROWS, entry.kept.sessions * _MOST_NEW_SHARE
            ):
                self._in_background(domain, lambda call: self._catch_up(domain, entry, call))
                return _Brought.LATER
            self._take_over(domain, entry, now, call)
        except LostError as reason:
            self._forget(domain, entry, str(reason))
            return _Brought.LOST
        return _Brought.UP_TO_DATE

    def _catch_up(self, domain: str, entry: Entry, call: Call) -> None:
        with entry.owned(call):
            try:
                self._take_over(domain, entry, self._looks.now(call), call)
            except LostError as reason:
                self._forget(domain, entry, str(reason))

    def _keep_up(self) -> None:
        """Bring all that is kept up to date now and then, so that no question has much to read.

        Besides, a server must be looked at: what nobody looks at for minutes can't be proved any more.
        """
        while not self._closed.wait(_KEEP_UP_SECONDS):
            with self._lock:
                kept = list(self._kept.items())
            # One by one, as a question would.
            for domain, entry in kept:
                try:
                    with self._at_work(_LOOK_SECONDS) as call:
                        self._bring_up(domain, entry, call)
                except CancelledError:
                    pass  # closed
                except (PagerolesError, _core.CoreError) as error:
                    # Who asks about it next is told.
                    _log.warning("domain in memory not brought up to date", domain=domain, error=str(error))

    def _take_over(self, domain: str, entry: Entry, now: Parts, call: Call) -> None:
        """Read the parts that were not read; the call owns the entry."""
        if self._new_parts.read(domain, entry, now, call):
            self._make_room(0, math.inf)

    # ---- what is kept ----

    def _first(self, domain: str, rate: Rate, call: Call) -> Kept | None:
        """Keep a domain of which nothing is kept: now, if it is small, or later."""
        with self._lock:
            if domain in self._refused or domain in self._filling:
                return None
        rows = self._workers.run(call, lambda: self._size(domain, call))
        if rows > SMALL_ROWS:
            if rate.now() > 1:
                self._in_background(domain, lambda call: self._fill(domain, rows, rate, call))
            return None
        with self._lock:
            if domain in self._filling:
                return None
            self._filling.add(domain)
        try:
            return self._workers.run(call, lambda: self._fill(domain, rows, rate, call))
        finally:
            with self._lock:
                self._filling.discard(domain)

    def _fill(self, domain: str, rows: int, rate: Rate, call: Call) -> Kept | None:
        """Read a domain and keep it; return None if there is no room, or it can't be proved to be right."""
        began = time.monotonic()
        covered = self._looks.now(call)
        if covered.unproved or not self._make_room(DOMAIN_BYTES + rows * ROW_BYTES, rate.now()):
            with self._lock:
                self._refused[domain] = True
            return None
        resident = _core.Resident()
        for keys in statements.key_ranges(max(rows // _ROWS_AT_ONCE, 1)):
            self._new_parts.places_into(resident, statements.places(domain, keys=keys), call).apply()
        entry = Entry(resident, covered, rate, call)
        try:
            self._take_over(domain, entry, self._looks.now(call), call)
        except LostError:
            return None
        if rows > SMALL_ROWS:
            everything = PagesQuery(domain, _ALWAYS, touch_scope=TouchScope.ANY)
            name_pages(entry.kept.count(everything, 1), self._store, everything, call, whole_keys=True)
            entry.measure(entry.kept.look)
            entry.latest = self._new_parts.latest(domain, (), call)
        if not self._make_room(entry.kept.bytes, rate.now()):
            return None
        with self._lock:
            if entry.kept.bytes > self._free():
                return None  # others have taken the room since
            self._kept[domain] = entry
        self.counts.add("kept")
        _tell(
            "domain kept in memory",
            entry,
            domain=domain,
            sessions=entry.kept.sessions,
            bytes=entry.kept.bytes,
            milliseconds=round((time.monotonic() - began) * 1000, 1),
        )
        return entry.kept

    def _size(self, domain: str, call: Call) -> int:
        return int(str(self._store.rows(statements.domain_size(domain), call)[0][0]))

    def _make_room(self, needed: int, rate: float) -> bool:
        """Forget domains that are asked about less, until so many bytes are free; return whether they are."""
        while True:
            with self._lock:
                if needed <= self._free():
                    return True
                least = min(self._kept.items(), key=lambda item: item[1].rate.now(), default=None)
            if least is None or least[1].rate.now() >= rate:
                return False
            self._forget(*least, _ROOM)

    def _free(self) -> int:
        """Return how many bytes are free; the lock is held."""
        return self.budget - sum(entry.kept.bytes for entry in self._kept.values())

    def _forget(self, domain: str, entry: Entry, reason: str) -> None:
        with self._lock:
            if self._kept.get(domain) is not entry:
                return
            del self._kept[domain]
        self.counts.add("room" if reason is _ROOM else "lost")
        _tell("domain forgotten", entry, domain=domain, bytes=entry.kept.bytes, reason=reason)

    def _in_background(self, domain: str, work: Callable[[Call], object]) -> None:
        """Do something for a domain soon, unless something is done for it already."""
        with self._lock:
            if domain in self._filling or self._closing:
                return
            self._filling.add(domain)
        with contextlib.suppress(RuntimeError):  # closed since
            self._filler.submit(self._run, domain, work)

    def _run(self, domain: str, work: Callable[[Call], object]) -> None:
        try:
            with self._at_work(_FILL_SECONDS) as call:
                work(call)
        except CancelledError:
            pass  # closed
        except PagerolesError as error:
            _log.warning("domain not kept in memory", domain=domain, error=str(error))
        except Exception:  # nobody waits for what it raises
            _log.exception("domain not kept in memory", domain=domain)
            raise
        finally:
            with self._lock:
                self._filling.discard(domain)

    @contextlib.contextmanager
    def _at_work(self, seconds: float) -> Iterator[Call]:
        """Make a call for work that nobody waits for; closing cancels it."""
        call = self._store.call(seconds)
        with self._lock:
            self._background.add(call)
            if self._closing:
                call.cancel()
        try:
            yield call
        finally:
            call.finish()
            with self._lock:
                self._background.discard(call)


def _tell(event: str, entry: Entry, **fields: object) -> None:
    """Write a line about a domain; there may be thousands of small ones, which only a debug log has."""
    (_log.info if entry.kept.sessions > SMALL_ROWS else _log.debug)(event, **fields)


def _be_nice() -> None:
    """Let this thread give way to those that answer requests, where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
