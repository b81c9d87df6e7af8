"""One form for the reports of all contestants, to compare them whole."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PageCounts = tuple[int, str, int, int, int, int, int, int]
"""Side (1 conversion, 2 drop-off), URL, then sessions and users of each of the side's three roles."""


@dataclasses.dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        totals: Sessions, users, conversions, users who converted.
        pages: The pages of both sides, in the order of the contract.
    """

    totals: tuple[int, int, int, int]
    pages: list[PageCounts]

    @classmethod
    def of(cls, totals: Iterable[int], pages: Iterable[PageCounts]) -> Report:
        """Make a report of pages in any order."""
        sessions, users, conversions, converted = totals
        ordered = sorted(pages, key=lambda page: (page[0], -page[2], -page[4], -page[6], page[1].encode()))
        return cls((sessions, users, conversions, converted), ordered)

    def write(self, path: Path) -> None:
        """Write the report to a file."""
        path.write_bytes(msgspec.msgpack.encode(self))


def read(path: Path) -> Report:
    """Read a report from a file."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Report)


def difference(one: Report, other: Report) -> str | None:
    """Return the first difference of two reports, or None where they are the same."""
    if one.totals != other.totals:
        return f"totals {one.totals} and {other.totals}"
    if len(one.pages) != len(other.pages):
        return f"{len(one.pages):,} rows and {len(other.pages):,}"
    for mine, theirs in zip(one.pages, other.pages, strict=True):
        if mine != theirs:
            return f"row {mine} and {theirs}"
    return None
