"""The threads that reports run on: a fixed number for all of them."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pageroles.store.call import Call

_T = TypeVar("_T")
_U = TypeVar("_U")


class Workers:
    """Two pools of threads, which together use each of the store's readers.

    Large reports take their turns on workers of their own, one core each: together they are done no later than one
    after the other, in the memory of one, and small reports never wait behind them.
    """

    def __init__(self, readers: int, per_report: int) -> None:
        """Start the workers.

        Args:
            readers: How many streams of the store may be open at once.
            per_report: How many units of one report may be at work at once.
        """
        self.per_report = per_report
        large = max(min(per_report, readers - 1), 1)
        self._large = ThreadPoolExecutor(large, thread_name_prefix="large-report")
        self._others = ThreadPoolExecutor(max(readers - large, 1), thread_name_prefix="report")

    def close(self) -> None:
        """End the workers; units in progress finish first."""
        for pool in (self._large, self._others):
            pool.shutdown(wait=True, cancel_futures=True)

    def run(self, call: Call, work: Callable[[], _T]) -> _T:
        """Run one small piece of work."""
        return self.run_all(call, [work])[0]

    def run_both(self, call: Call, one: Callable[[], _T], other: Callable[[], _U]) -> tuple[_T, _U]:
        """Run two small pieces of work at once."""
        both: list[Callable[[], Any]] = [one, other]
        results = self.run_all(call, both)
        return results[0], results[1]

    def run_all(self, call: Call, work: Sequence[Callable[[], _T]], *, large: bool = False) -> list[_T]:
        """Run pieces of work at once, and return their results in order.

        Args:
            call: The call that they belong to; at its end this returns, whatever they do.
            work: The pieces.
            large: They belong to a large report.

        Raises:
            PagerolesError: What one of them raised, or the call's end; the call is cancelled then, so that nothing of
                it keeps running.
        """
        pool = self._large if large else self._others
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
