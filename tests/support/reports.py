"""Reports without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pageroles.question.model import PagesQuery
    from pageroles.report.plan import Plan
    from pageroles.report.run import Reporter
    from pageroles.store.store import Store


def answered(reporter: Reporter, store: Store, query: PagesQuery, plan: Plan | None = None) -> bytes:
    """Answer a question: by a plan, or by the plan that its facts give."""
    call = store.call(60)
    try:
        return (reporter.run(query, plan, call) if plan else reporter.report(query, call)).message()
    finally:
        call.finish()
