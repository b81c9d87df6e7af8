"""docs/why-numbers-differ.md: each of its examples is loaded, and each of its numbers asked for.

The page's own tables are the test's data: sessions, and after them numbers. Each section is a domain of its own.
"""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pageroles import Client
from pageroles.ingest import loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.client import Report
    from support.served import Served

PAGE = Path(__file__).parents[2] / "docs" / "why-numbers-differ.md"
SESSIONS = "| session | user | start | views | converts on |"
NUMBERS = "| question | number | is |"
JULY = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
LISTS = ("conversion_performance", "drop_off_performance")


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the page; its rows are lists of cells."""

    kind: str
    rows: list[list[str]]


def tables(section: str) -> Iterator[Table]:
    for kind, body in re.findall(r"^(\|.+\|)\n\|(?:-+\|)+\n((?:\|.*\n)+)", section, re.MULTILINE):
        yield Table(kind, [[cell.strip() for cell in row.strip("|").split("|")] for row in body.splitlines()])


def sections() -> dict[str, list[Table]]:
    _, *found = PAGE.read_text().split("\n## ")
    return {section.partition("\n")[0]: [*tables(section + "\n")] for section in found}


SECTIONS = sections()


def session(cells: list[str], domain: str) -> dict[str, Any]:
    name, user, start, views, converts = cells
    at = datetime.strptime(f"2025 {start if ',' in start else f'{start}, 10:00'}", "%Y %B %d, %H:%M").replace(
        tzinfo=UTC
    )
    urls = re.findall(r"`([^`]+)`", views)
    assert urls or views == "none", views
    minutes = [f"{at + timedelta(minutes=number):%FT%TZ}" for number in range(len(urls) + 1)]
    conversions = re.findall(r"(?:`([^`]+)`|no URL)(?: \((\w+)\))?", converts)
    assert bool(conversions) == bool(converts), converts
    return {
        "domain": domain, "session_id": name, "user_id": user, "started_at": minutes[0],
        "page_views": [{"url": url, "viewed_at": viewed} for url, viewed in zip(urls, minutes, strict=False)],
        # One without a URL comes before any view, for there is none.
        "conversions": [{"url": url, "type": kind, "id": "", "occurred_at": minutes[-1]} for url, kind in conversions],
    }  # fmt: skip


def number(text: str, report: Report) -> int:
    """Return the number that a cell of the page names."""
    if total := re.fullmatch(r"`(total_\w+)`", text):
        return int(getattr(report.summary_totals, total[1]))
    if balance := re.fullmatch(r"`balance\.(\w+)`, (sessions|users)", text):
        return int(getattr(getattr(report.balance, balance[1]), balance[2]))
    if omitted := re.fullmatch(r"`omitted\.(\w+)`", text):
        return int(getattr(report.omitted, omitted[1]))
    if rows := re.fullmatch(r"rows of `(\w+)`", text):
        return len(getattr(report, rows[1]))
    pages = [page for name in LISTS for page in getattr(report, name)]
    if cell := re.fullmatch(r"(sessions|users) of `([^`]+)` in `(\w+)`", text):
        found = {
            getattr(getattr(page, cell[3]), cell[1]) for page in pages if page.url == cell[2] and hasattr(page, cell[3])
        }
        (count,) = found
        return int(count)
    if whole := re.fullmatch(r"sessions in `(\w+)`, all pages together", text):
        return sum(getattr(page, whole[1]).sessions for page in pages if hasattr(page, whole[1]))
    raise AssertionError(f"the page has a number that this test can't read: {text}")


def question(text: str) -> dict[str, Any]:
    asked: dict[str, Any] = JULY | dict(each.split("=") for each in re.findall(r"`(\w+=[^`]+)`", text))
    return asked | ({"limit": int(asked["limit"])} if "limit" in asked else {})


@pytest.mark.parametrize("title", SECTIONS)
def test_every_number_of_the_page_is_answered(title: str, served: Served, tmp_path: Path) -> None:
    domain = f"why-{[*SECTIONS].index(title)}.example.com"
    kinds = {table.kind for table in SECTIONS[title]}
    assert kinds == {SESSIONS, NUMBERS}
    with Client(served.target, served.key(domain)) as client:
        for at, table in enumerate(SECTIONS[title]):
            if table.kind == SESSIONS:
                file = tmp_path / f"{at}.jsonl"
                file.write_text("\n".join(json.dumps(session(cells, domain)) for cells in table.rows))
                loaded = loader.load(served.store, [str(file)])
                assert loaded.loaded == len(table.rows)
            else:
                for asked, text, told in table.rows:
                    report = client.report(include=["balance", "landing"], **question(asked))
                    assert number(text, report) == int(told), f"{title}: {asked} {text}"


def test_the_page_has_examples() -> None:
    assert len(SECTIONS) >= 10
    assert sum(len(table.rows) for found in SECTIONS.values() for table in found if table.kind == NUMBERS) > 35
