"""A store that only keeps what it is given, and sessions to load into it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VIEWED = "2025-07-03T10:00:00Z"


class FakeStore:
    """Keeps the batches that it is given."""

    def __init__(self, before_insert: Callable[[int], None] | None = None) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.sizes: list[int] = []
        self._before_insert = before_insert

    def write_sessions(self, rows: bytes) -> None:
        if self._before_insert is not None:
            self._before_insert(len(self.batches))
        batch = [json.loads(row) for row in rows.splitlines()]
        # A write may be repeated. The time that the loader gives is none of a row's own.
        times = [row.pop("written_at") for row in batch]
        self.sizes.append(len(rows) - sum(len(f',"written_at":"{at}"') for at in times))
        self.batches.append(batch)

    def places(self, domains: Sequence[str], session_keys: Sequence[int]) -> list[tuple[str, int, int, int, int]]:
        """Know nothing of what is stored: each batch is told apart by itself."""
        assert domains
        assert session_keys
        return []

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(itertools.chain.from_iterable(self.batches))

    @property
    def content(self) -> dict[str, dict[str, Any]]:
        return {row["session_id"]: row for row in self.rows}


def session(name: object, **more: object) -> bytes:
    return json.dumps(
        {"domain": "example.com", "session_id": str(name), "user_id": "u1", "started_at": VIEWED, **more}
    ).encode()


def rejects_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{path}.rejected.jsonl").read_bytes().splitlines()]
