"""The names of counted pages, from the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pageroles.errors import InternalError
from pageroles.report import statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles import _core
    from pageroles.question.model import PagesQuery
    from pageroles.store.call import Call
    from pageroles.store.statement import Statement
    from pageroles.store.store import Store

# A query lists at most this many page keys; for more, all page names of the domain are read.
_LISTED_NAMES = 1000
# A session can be read a moment before the names of its pages.
_RETRIES = 3
_RETRY_SECONDS = 0.1


def feed(feed: Callable[[bytes], None], store: Store, statement: Statement | None, call: Call) -> None:
    """Feed the result of a query; nothing, where there is none."""
    if statement is not None:
        with store.stream(statement, call) as chunks:
            for chunk in chunks:
                feed(chunk)


def name_pages(counted: _core.Counted, store: Store, query: PagesQuery, call: Call, *, whole_keys: bool) -> None:
    """Look up the names of the counted pages that have none yet.

    Args:
        counted: The counts of the question.
        store: The store that they come from.
        query: The question.
        call: Ends the queries in time.
        whole_keys: Whether the pages were counted by their whole keys.

    Raises:
        AmbiguousPagesError: Two of the pages were counted as one.
        PagerolesError: The store failed, or the call ended.
    """
    missing = counted.missing_pages()
    if not missing:
        return
    listed = missing if len(missing) <= _LISTED_NAMES else None
    feed(counted.feed_pages, store, statements.page_names(query.domain, listed, whole_keys=whole_keys), call)
    for _ in range(_RETRIES):
        missing = counted.missing_pages()[:_LISTED_NAMES]
        if not missing:
            return
        time.sleep(min(_RETRY_SECONDS, call.remaining()))
        feed(counted.feed_pages, store, statements.page_names(query.domain, missing, whole_keys=whole_keys), call)
    # A writer that ended between the sessions and the names left some out: the sessions have them.
    while missing := counted.missing_pages():
        statement = statements.page_names_in_sessions(query, missing[:_LISTED_NAMES], whole_keys=whole_keys)
        feed(counted.feed_pages, store, statement, call)
        if len(counted.missing_pages()) == len(missing):
            raise InternalError(f"{len(missing)} pages have no name in the store")
