"""What happened on each day of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pageroles import _core
from pageroles.question.model import to_milliseconds
from pageroles.report.kept import to_question

if TYPE_CHECKING:
    from pageroles.question.model import DaysQuery
    from pageroles.report.plan import Plan
    from pageroles.report.walks import Walks
    from pageroles.store.call import Call

_DAY_MS = 86_400_000


def count(query: DaysQuery, plan: Plan, walks: Walks, call: Call) -> bytes:
    """Return a serialized PageDaysResponse, with each day that the window touches.

    Raises:
        PagerolesError: The store failed, or the call ended.
    """
    first, last = (to_milliseconds(end) // _DAY_MS for end in (query.of.window.start, query.of.window.end))
    question = to_question(query.of)
    page = None if query.page is None else _core.keys([query.page])[0]
    landings = None if query.of.of_landings == query.of else to_question(query.of.of_landings)

    def walk(resident: _core.Resident, days: _core.Days, threads: int) -> None:
        resident.days(question, page, landings, days, threads)

    return walks.find(query.of, plan, call, lambda: _core.Days(first, last - first + 1), walk).message()
