"""Reports without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pageroles.question.model import PagesQuery
    from pageroles.report.run import Reporter
    from pageroles.store.store import Store


def answered(reporter: Reporter, store: Store, query: PagesQuery) -> bytes:
    call = store.call(60)
    try:
        return reporter.report(query, call).message()
    finally:
        call.finish()
