"""The stages of a report, in order: plan, count, name, answer.

The work is cut into units, ranges of the user key. A user lies whole within one unit, so the units' counts add
up exactly; workers take them in turn, each into a tally of its own, and the tallies are merged at the end.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import os
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pageroles import _core
from pageroles.errors import InternalError
from pageroles.question.model import to_milliseconds
from pageroles.report import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pageroles.question.model import PagesQuery
    from pageroles.report.statements import KeyRange, Statement
    from pageroles.store.call import Call
    from pageroles.store.store import Store

_T = TypeVar("_T")
_U = TypeVar("_U")

# Rows of a unit: small enough that two of them stay far below 100 MB, large enough that reading whole granules
# at the edges of a range costs little.
ROWS_PER_UNIT = 1_000_000
# Rows of conversions that are read at once, for some units: a query for each unit took three times as long, most of it
# planning.
_ROWS_AHEAD = 125_000
# Below this a second worker costs more than it brings.
_ROWS_WORTH_SPLITTING = 100_000
# Whether a domain is small is not looked at again for so long; growing meanwhile, it is counted in one piece.
_SMALL_SECONDS = 60.0
_MOST_REMEMBERED = 10_000
# More names than this are read with all names of the domain rather than by a list of keys.
_LISTED_NAMES = 1000
# A session is seen a moment before its pages' names are.
_NAME_RETRIES = 3
_NAME_RETRY_SECONDS = 0.1

MAX_MESSAGE_BYTES = 1 << 20


class Report:
    """A finished report, ready to be written out."""

    def __init__(self, query: PagesQuery, tally: _core.Tally) -> None:
        """Hold the counts of a query."""
        self._tally = tally
        self._start = to_milliseconds(query.window.start)
        self._end = to_milliseconds(query.window.shown_end)
        self.total_sessions = tally.total_sessions

    def message(self) -> bytes:
        """Return the report as one serialized PagesResponse."""
        return self._tally.response(self._start, self._end)

    def messages(self) -> Iterator[bytes]:
        """Return the report as serialized PagesResponses of at most 1 MiB, for StreamPages."""
        return self._tally.responses(self._start, self._end, MAX_MESSAGE_BYTES)


class _Span(NamedTuple):
    """Units next to each other, whose conversions and users are read at once; sessions, too, where that may be."""

    units: list[KeyRange]

    @property
    def keys(self) -> KeyRange:
        return _joined(self.units)


class _Parts(enum.Enum):
    """How the sessions of a window lie in parts."""

    ONE = enum.auto()
    # One of each month.
    MERGED = enum.auto()
    MANY = enum.auto()


class _Plan(NamedTuple):
    """The units of a report, how they are read, and whether they go to the workers for large reports."""

    spans: list[_Span]
    reading: statements.Reading
    large: bool


class Reporter:
    """Answers questions from a store, with a fixed number of workers for all of them: one for each of its readers."""

    def __init__(self, store: Store, *, workers_per_report: int | None = None) -> None:
        """Start the workers.

        Args:
            store: Where the sessions are.
            workers_per_report: How many units of one report may be at work at once; default: one per core.
        """
        self._store = store
        self._workers_per_report = workers_per_report or os.cpu_count() or 1
        # Large reports take their turns on workers of their own, one core each: together they are done no later than
        # one after the other, in the memory of one, and small reports never wait behind them.
        large = max(min(self._workers_per_report, store.readers - 1), 1)
        self._large = ThreadPoolExecutor(large, thread_name_prefix="large-report")
        self._others = ThreadPoolExecutor(max(store.readers - large, 1), thread_name_prefix="report")
        self._lock = threading.Lock()
        # When a domain was last looked at, on the clock of `time.monotonic`, and whether it was small.
        self._small: dict[str, tuple[float, bool]] = {}
        # Domains that have two pages whose keys differ after the 42nd bit only. Pages come, they do not go.
        self._ambiguous: set[str] = set()

    def close(self) -> None:
        """End the workers; units in progress finish first."""
        for pool in (self._large, self._others):
            pool.shutdown(wait=True, cancel_futures=True)

    def report(self, query: PagesQuery, call: Call) -> Report:
        """Answer a question.

        Raises:
            PagerolesError: What the store could not do, or the call's end; nothing of it keeps running.
        """
        if not self._is_ambiguous(query.domain):
            report = self._report(query, call, whole_keys=False)
            if report is not None:
                return report
            self._remember_ambiguous(query.domain)
        report = self._report(query, call, whole_keys=True)
        if report is None:
            raise InternalError("whole keys are ambiguous")
        return report

    def _report(self, query: PagesQuery, call: Call, *, whole_keys: bool) -> Report | None:
        """Answer a question, or None where the keys do not tell pages apart."""
        plan = self._plan(query, call)
        reading = dataclasses.replace(plan.reading, whole_keys=whole_keys)
        pending = collections.deque(plan.spans)
        workers = min(len(plan.spans), self._workers_per_report)
        pool = self._large if plan.large else self._others
        tallies = self._run_all(pool, call, [lambda: self._count(query, reading, pending, call)] * workers)
        tally = tallies[0]
        for other in tallies[1:]:
            tally.merge(other)
        if tally.total_sessions and not self._run(call, lambda: self._name(query, tally, reading, call)):
            return None
        return Report(query, tally)

    # ---- the stages ----

    def _plan(self, query: PagesQuery, call: Call) -> _Plan:
        """Cut the work into units by how many rows the index promises, and choose how to read them."""
        if self._is_small(query.domain, call):
            return _Plan(_spans(1, 1), statements.Reading(), large=False)
        sizes, parts = self._run_both(
            call, lambda: self._numbers(statements.sizes(query), call), lambda: self._parts(query, call)
        )
        rows, rows_ahead = sizes
        large = max(rows, rows_ahead) >= _ROWS_WORTH_SPLITTING
        spans = math.ceil(rows_ahead / _ROWS_AHEAD)
        return _Plan(
            spans=_spans(math.ceil(rows / ROWS_PER_UNIT), max(spans, self._workers_per_report) if large else spans),
            reading=statements.Reading(
                versions=large and parts is _Parts.MANY,
                history_apart=large,
                in_order=parts is _Parts.ONE,
            ),
            large=large,
        )

    def _is_small(self, domain: str, call: Call) -> bool:
        """Tell whether a domain has so few sessions that no window of it need be cut; remembered for a minute."""
        with self._lock:
            known_at, is_small = self._small.get(domain, (-math.inf, False))
        if time.monotonic() - known_at < _SMALL_SECONDS:
            return is_small
        (rows,) = self._run(call, lambda: self._numbers(statements.domain_size(domain), call))
        is_small = rows < _ROWS_WORTH_SPLITTING
        with self._lock:
            if len(self._small) >= _MOST_REMEMBERED:
                self._small.clear()
            self._small[domain] = (time.monotonic(), is_small)
        return is_small

    def _numbers(self, statement: Statement, call: Call) -> list[int]:
        return [int(str(number)) for number in self._store.rows(statement, call)[0]]

    def _is_ambiguous(self, domain: str) -> bool:
        with self._lock:
            return domain in self._ambiguous

    def _remember_ambiguous(self, domain: str) -> None:
        with self._lock:
            if len(self._ambiguous) >= _MOST_REMEMBERED:
                self._ambiguous.clear()
            self._ambiguous.add(domain)

    def _parts(self, query: PagesQuery, call: Call) -> _Parts:
        try:
            elsewhere, months, unmerged = self._numbers(statements.parts(query), call)
        except InternalError:
            # A user who may not see the parts; reading all versions is right anyway.
            return _Parts.MANY
        if elsewhere or unmerged:
            return _Parts.MANY
        return _Parts.ONE if months <= 1 else _Parts.MERGED

    def _count(
        self, query: PagesQuery, reading: statements.Reading, pending: collections.deque[_Span], call: Call
    ) -> _core.Tally:
        """Count spans until none is left."""
        tally, counted = _tally(query, reading), []
        while True:
            try:
                span = pending.popleft()
            except IndexError:
                return tally
            counted.append(span)
            try:
                self._count_span(tally, query, span, reading, call)
            except _core.UnorderedError:
                # A part was added meanwhile, most likely.
                reading = dataclasses.replace(reading, in_order=False)
                pending.extend(counted)
                tally, counted = _tally(query, reading), []
            except BaseException:
                pending.clear()
                raise

    def _count_span(
        self, tally: _core.Tally, query: PagesQuery, span: _Span, reading: statements.Reading, call: Call
    ) -> None:
        self._feed_ahead(tally, query, span.keys, reading, call)
        units = span.units
        while units:
            together = units if reading.in_order else units[:1]
            try:
                self._count_units(tally, query, together, reading, call)
                units = units[len(together) :]
            except _core.TieError:
                tied, *units = units[tally.units_finished :]
                with_ids = dataclasses.replace(reading, ids=True)
                self._feed_ahead(tally, query, tied, with_ids, call)
                self._count_units(tally, query, [tied], with_ids, call)

    def _feed_ahead(
        self, tally: _core.Tally, query: PagesQuery, keys: KeyRange, reading: statements.Reading, call: Call
    ) -> None:
        self._feed(tally.feed_conversions, statements.conversions(query, keys, reading), call)
        self._feed(tally.feed_users, statements.users(query, keys), call)

    def _count_units(
        self, tally: _core.Tally, query: PagesQuery, units: list[KeyRange], reading: statements.Reading, call: Call
    ) -> None:
        tally.begin_units([(keys.first, keys.last) for keys in units])
        self._feed(tally.feed_sessions, statements.sessions(query, _joined(units), reading), call)
        tally.finish_units()

    def _name(self, query: PagesQuery, tally: _core.Tally, reading: statements.Reading, call: Call) -> bool:
        """Look up the names of the pages in the answer; False where two of them were counted as one page."""
        try:
            self._feed_names(query, tally, reading, call)
        except _core.AmbiguousPagesError:
            return False
        return True

    def _feed_names(self, query: PagesQuery, tally: _core.Tally, reading: statements.Reading, call: Call) -> None:
        keys = tally.page_keys() if tally.page_count() <= _LISTED_NAMES else None
        self._feed(tally.feed_pages, statements.page_names(query.domain, keys, reading), call)
        for _ in range(_NAME_RETRIES):
            missing = tally.missing_pages()[:_LISTED_NAMES]
            if not missing:
                return
            time.sleep(min(_NAME_RETRY_SECONDS, call.remaining()))
            self._feed(tally.feed_pages, statements.page_names(query.domain, missing, reading), call)
        # A writer that died between the sessions and the names leaves a gap, which the sessions themselves fill.
        while missing := tally.missing_pages():
            listed = missing[:_LISTED_NAMES]
            self._feed(tally.feed_pages, statements.page_names_in_sessions(query, listed, reading), call)
            if len(tally.missing_pages()) == len(missing):
                raise InternalError(f"{len(missing)} pages have no name in the store")

    # ---- how they are run ----

    def _feed(self, feed: Callable[[bytes], None], statement: Statement | None, call: Call) -> None:
        if statement is not None:
            with self._store.stream(statement, call) as chunks:
                for chunk in chunks:
                    feed(chunk)

    def _run(self, call: Call, work: Callable[[], _T]) -> _T:
        """Run one small piece of work on a worker."""
        return self._run_all(self._others, call, [work])[0]

    def _run_both(self, call: Call, one: Callable[[], _T], other: Callable[[], _U]) -> tuple[_T, _U]:
        """Run two small pieces of work at once."""
        results: list[Any] = self._run_all(self._others, call, [one, other])
        return results[0], results[1]

    def _run_all(self, pool: ThreadPoolExecutor, call: Call, work: list[Callable[[], _T]]) -> list[_T]:
        """Run work on workers; leave in time, whatever they do, and leave nothing running."""
        futures = [pool.submit(piece) for piece in work]
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, timeout=call.remaining(), return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            return [future.result() for future in futures]
        except BaseException:
            call.cancel()
            for future in futures:
                future.cancel()
            raise


def _tally(query: PagesQuery, reading: statements.Reading) -> _core.Tally:
    return _core.Tally(query.touch_scope, bool(query.conversions), reading.whole_keys)


def _joined(units: list[KeyRange]) -> KeyRange:
    """Return the range of units that follow one another."""
    return statements.KeyRange(units[0].first, units[-1].last)


def _spans(units: int, spans: int) -> list[_Span]:
    """Cut all user keys into that many units and spans, or a few more."""
    ranges = statements.key_ranges(max(units, spans, 1))
    length = max(len(ranges) // max(spans, 1), 1)
    return [_Span(ranges[start : start + length]) for start in range(0, len(ranges), length)]
