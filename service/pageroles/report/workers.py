"""The threads that reports run on: a fixed number, which all reports share."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pageroles.store.call import Call

_T = TypeVar("_T")
_U = TypeVar("_U")


class Workers:
    """Two pools of threads, together one thread for each reader of the store.

    Large reports share one pool. Several at once end no later than one after the other, and take the memory of one.
    Small reports use the other pool, so that they never wait for large ones.
    """

    def __init__(self, readers: int, per_report: int) -> None:
        """Start the workers.

        Args:
            readers: The most streams of the store that may be open at once.
            per_report: The most workers for one report.
        """
        self.per_report = per_report
        large = max(min(per_report, readers - 1), 1)
        self._large = ThreadPoolExecutor(large, thread_name_prefix="large-report")
        self._others = ThreadPoolExecutor(max(readers - large, 1), thread_name_prefix="report")

    def close(self) -> None:
        """End the workers, after the work in progress; drop what waits."""
        for pool in (self._large, self._others):
            pool.shutdown(wait=True, cancel_futures=True)

    def run(self, call: Call, work: Callable[[], _T]) -> _T:
        """Run a small piece of work, and return its result.

        Raises:
            PagerolesError: As for `run_all`.
        """
        return self.run_all(call, [work])[0]

    def run_both(self, call: Call, one: Callable[[], _T], other: Callable[[], _U]) -> tuple[_T, _U]:
        """Run two small pieces of work at once, and return their results.

        Raises:
            PagerolesError: As for `run_all`.
        """
        both: list[Callable[[], Any]] = [one, other]
        results = self.run_all(call, both)
        return results[0], results[1]

    def run_all(self, call: Call, work: Sequence[Callable[[], _T]], *, large: bool = False) -> list[_T]:
        """Run pieces of work at once, and return their results in order.

        Args:
            call: The call that the pieces belong to; when its time is over, this does not wait for them.
            work: The pieces of work.
            large: Whether they belong to a large report.

        Raises:
            PagerolesError: A piece failed, or the call ended; then the call is cancelled, so that no query of it keeps
                running.
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
