"""One form for all answers, to compare them whole."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Row = tuple[int, str, int, int, int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        totals: Sessions, users, conversions, users who converted.
        rows: Side (1 conversion, 2 drop-off), URL, then sessions and users of each of its three roles; in order.
    """

    totals: tuple[int, int, int, int]
    rows: list[Row]

    @classmethod
    def of(cls, totals: Iterable[int], rows: Iterable[Row]) -> Answer:
        """Put an answer's rows in the order of the contract."""
        sessions, users, conversions, converted = totals
        ordered = sorted(rows, key=lambda row: (row[0], -row[2], -row[4], -row[6], row[1].encode()))
        return cls((sessions, users, conversions, converted), ordered)

    def write(self, path: Path) -> None:
        """Keep the answer in a file."""
        path.write_bytes(msgspec.msgpack.encode(self))


def read(path: Path) -> Answer:
    """Read an answer back."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Answer)


def difference(one: Answer, other: Answer) -> str | None:
    """Tell the first difference of two answers, or None where they are the same."""
    if one.totals != other.totals:
        return f"totals {one.totals} and {other.totals}"
    if len(one.rows) != len(other.rows):
        return f"{len(one.rows):,} rows and {len(other.rows):,}"
    for mine, theirs in zip(one.rows, other.rows, strict=True):
        if mine != theirs:
            return f"row {mine} and {theirs}"
    return None
