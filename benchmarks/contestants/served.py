"""pageroles as its callers use it: a server in another process, asked over gRPC; the answer is its bytes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from benchmarks import adapter, memory
from benchmarks.cases import DOMAIN, EMPTY_WINDOW
from benchmarks.reports import Report
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.cases import Question
    from benchmarks.reports import PageCounts


class Served:
    """A server and its client; the domain is in memory, or each report streams from the store."""

    def __init__(self, store: Path, *, in_memory: bool) -> None:
        self._in_memory = in_memory
        self._server = adapter.ServerProcess(store, merges=False, memory=None if in_memory else 0)
        self.pid = self._server.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def prepare(self) -> dict[str, float]:
        """Ask until the domain is in memory; no question that is asked meanwhile has a session to read."""
        if not self._in_memory:
            return {}
        before = memory.resident(self.pid)
        kept = self._server.keep(adapter.request(EMPTY_WINDOW), DOMAIN)
        return {**kept, "resident": memory.resident(self.pid) - before}

    def ask(self, question: Question) -> bytes:
        return self._server.ask(adapter.request(question), DOMAIN)

    def read(self, answer: bytes) -> Report:
        return _read(pages_pb2.PagesResponse.FromString(answer))

    def facts(self) -> dict[str, object]:
        return {"version": adapter.version(), "build": adapter.build(), "threads": os.cpu_count()}


def _read(response: pages_pb2.PagesResponse) -> Report:
    totals = response.summary_totals
    return Report.of(
        (
            totals.total_sessions,
            totals.total_users,
            totals.total_conversion_events,
            totals.total_conversion_users,
        ),
        _pages(response),
    )


def _pages(response: pages_pb2.PagesResponse) -> Iterator[PageCounts]:
    for page in response.conversion_performance:
        first, second, third = page.conversion, page.conversion_assist, page.landing_assisted_conversion
        yield 1, page.url, *_counts(first, second, third)
    for left in response.drop_off_performance:
        first, second, third = left.drop_off, left.drop_off_assist, left.landing_assisted_drop_off
        yield 2, left.url, *_counts(first, second, third)


def _counts(
    first: pages_pb2.RoleCount, second: pages_pb2.RoleCount, third: pages_pb2.RoleCount
) -> tuple[int, int, int, int, int, int]:
    return first.sessions, first.users, second.sessions, second.users, third.sessions, third.users
