"""The floor: reads the streams that a report reads, in as many threads, and drops them. It answers nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn, Self

from benchmarks import adapter
from benchmarks.cases import DOMAIN

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cases import Question
    from pageroles.store.statement import Statement


class Floor:
    """A store whose streams are read and dropped."""

    def __init__(self, store: Path) -> None:
        self.pid = os.getpid()
        self._opening = adapter.open_store(store, merges=False)
        self._store = self._opening.__enter__()
        self._statements: dict[Question, list[Statement]] = {}
        self._threads = os.cpu_count() or 1
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opening.__exit__(None, None, None)

    def prepare(self) -> dict[str, float]:
        return {}

    def ask(self, question: Question) -> None:
        # The first time, which is not timed, a report is made, to see what it reads.
        if question not in self._statements:
            self._statements[question] = adapter.streams(self._store, question, DOMAIN)
        self.bytes = adapter.drain(self._store, self._statements[question], self._threads)

    def read(self, answer: None) -> NoReturn:
        raise NotImplementedError

    def facts(self) -> dict[str, object]:
        return {
            "threads": self._threads,
            "streams": {question.name: len(statements) for question, statements in self._statements.items()},
            "bytes": self.bytes,
        }
