"""Answers for other programs: JSON in the shape of REST, and CSV.

CSV is that of RFC 4180: a line with the names of the columns, commas, CRLF, and quotes where a field needs them. It is
in UTF-8. A field with a list holds it as JSON.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from pageroles import rest_shape
from pageroles.client.answers import CONVERSION_ROLES, DROP_OFF_ROLES, ROLES
from pageroles.sentences import escaped, escaped_json, instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pageroles.client import Pages, Report
    from pageroles.client.frames import Tabular

SIDES = (("conversion", CONVERSION_ROLES), ("drop_off", DROP_OFF_ROLES))


def report_json(report: Report) -> bytes:
    """Return a report in the shape of REST."""
    return rest_shape.to_json([report.response.SerializeToString()])


def plain(value: Any) -> Any:
    """Return a value of the client's in the shape of REST: without what is None, and with times as REST has them."""
    if dataclasses.is_dataclass(value):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: plain(found) for name, found in fields if found is not None}
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(found) for name, found in value.items()}
    return value


def print_json(body: bytes) -> None:
    """Print JSON for people and programs: indented, and harmless to a terminal."""
    sys.stdout.buffer.write(escaped_json(msgspec.json.format(body)) + b"\n")


def print_value(value: object) -> None:
    """Print values of the client's as JSON in the shape of REST."""
    print_json(msgspec.json.encode(plain(value)))


# ---- CSV ----


def print_table(found: Tabular) -> None:
    """Print a table of the client's as CSV."""
    print_csv([each.name for each in found.columns()], found.rows())


def print_csv(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as CSV. What a program reads is as it is; what a terminal shows has escapes for what it would obey."""
    is_shown = sys.stdout.isatty()
    for row in (names, *rows):
        cells = [_cell(value) for value in row]
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow([escaped(cell) for cell in cells] if is_shown else cells)
        sys.stdout.buffer.write(line.getvalue().encode())
    sys.stdout.buffer.flush()


def _cell(value: object) -> str:
    if value is None:
        return ""
    found = plain(value)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def print_rows(report: Report) -> None:
    """Print the rows of a report as CSV, each with the roles of its side; those of the other side are empty."""
    counts = _counts(report)
    landing = ("landing",) if any("landing_sessions" in row for row in counts.values()) else ()
    columns = [f"{role}_{unit}" for role in (*ROLES, *landing) for unit in ("sessions", "users")]
    rows = ([url, side, *(row.get(column) for column in columns)] for (side, url), row in counts.items())
    print_csv(["url", "side", *columns], rows)


def print_compared(now: Report, before: Report) -> None:
    """Print the rows of two reports as CSV: the counts now, and those before; a page without a row has zeros."""
    here, there = _counts(now), _counts(before)
    columns = [f"{role}_{unit}" for role in ROLES for unit in ("sessions", "users")]

    def rows() -> Iterator[list[object]]:
        for side, url in dict.fromkeys([*here, *there]):
            of_side = {f"{role}_{unit}" for role in dict(SIDES)[side] for unit in ("sessions", "users")}
            cells = (
                found.get((side, url), {}).get(column, 0) if column in of_side else None
                for column in columns
                for found in (here, there)
            )
            yield [url, side, *cells]

    print_csv(["url", "side", *(name for column in columns for name in (column, f"{column}_before"))], rows())


def _counts(report: Report) -> Mapping[tuple[str, str], dict[str, object]]:
    """Return the counts of each row of a report by its side and page, in the order of the rows."""
    found = {}
    for side, _ in SIDES:
        pages: Pages[Any] = getattr(report, f"{side}_performance")
        names = [each.name for each in pages.columns()]
        for values in pages.rows():
            row = dict(zip(names, values, strict=True))
            found[side, str(row.pop("url"))] = row
    return found
