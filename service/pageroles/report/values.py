"""The values of a filter, and how many sessions each would include."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cachetools import LRUCache

from pageroles import _core
from pageroles.question.filters import FILTERS
from pageroles.report import statements
from pageroles.report.kept import to_question
from pageroles.report.names import feed
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pageroles.question.filters import Filter
    from pageroles.question.model import PagesQuery, ValuesQuery
    from pageroles.report.plan import Plan
    from pageroles.report.walks import Walks
    from pageroles.store.call import Call
    from pageroles.store.store import Store

# A query lists at most so many keys; for more, all values are read.
_LISTED = 1000
# The texts of values that are remembered, all domains together.
_MOST_BYTES = 64 << 20


class ValueFinder:
    """Finds the values of filters, and remembers their texts; safe to use from many threads."""

    def __init__(self, store: Store, walks: Walks) -> None:
        """Know the texts of no value yet."""
        self._store = store
        self._walks = walks
        self._lock = threading.Lock()
        self._texts: LRUCache[tuple[str, str], _core.Names] = LRUCache(_MOST_BYTES, getsizeof=lambda texts: texts.bytes)

    def message(self, query: ValuesQuery, plan: Plan, call: Call) -> bytes:
        """Return a serialized FilterValuesResponse.

        Raises:
            PagerolesError: The store failed, or the call ended.
        """
        top = self.top(query.of, query.filter, plan, call, contains=query.contains, limit=query.limit)
        values = [pages_pb2.FilterValue(value=value, sessions=sessions) for value, sessions in top]
        return pages_pb2.FilterValuesResponse(values=values).SerializeToString()

    def top(
        self, query: PagesQuery, asked: Filter, plan: Plan, call: Call, *, contains: str, limit: int
    ) -> list[tuple[str, int]]:
        """Return the values of a filter that include most sessions, and how many.

        Args:
            query: The question, without a value of the filter.
            asked: The filter.
            plan: Where the sessions come from.
            call: Ends the queries in time.
            contains: Text that the values contain, in any case.
            limit: The most values.

        Raises:
            PagerolesError: The store failed, or the call ended.
        """
        question, field = to_question(query), FILTERS.index(asked)

        def walk(resident: _core.Resident, values: _core.Values, threads: int) -> None:
            values.merge(resident.values(question, field, threads))

        values = self._walks.find(query, plan, call, _core.Values, walk)
        texts = self._texts_of(query, asked, values, call)
        return values.top(texts, contains, limit)

    def _texts_of(self, query: PagesQuery, asked: Filter, values: _core.Values, call: Call) -> _core.Names:
        """Return the texts of values; those that are erased since have none."""
        key = (query.domain, asked.name)
        with self._lock:
            texts = self._texts.get(key)
        if texts is None:
            texts = _core.Names()
        if missing := values.missing(texts):
            listed = missing if len(missing) <= _LISTED else None
            call.let_others()
            with call.watcher.stage("names"):
                texts.merge(self._read(query, asked, listed, call))
            with self._lock:
                if texts.bytes <= self._texts.maxsize:
                    self._texts[key] = texts
        return texts

    def _read(self, query: PagesQuery, asked: Filter, listed: Sequence[int] | None, call: Call) -> _core.Names:
        texts = _core.Names()
        feed(texts.feed, self._store, statements.value_texts(query, asked, listed), call)
        return texts
