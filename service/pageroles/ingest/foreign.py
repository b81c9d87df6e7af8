"""What the rejected rows of a source tell of the whole of it, and what to do about it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from pageroles.ingest.session import Flaw
from pageroles.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pageroles.ingest.reader import Rejection

# So many first rows without a JSON object among them, and a source is given up.
MOST_STRANGE_ROWS = 1_000

# What the beginning of a source says of it; the first that fits counts.
_LOOKS = tuple(
    (re.compile(pattern, re.DOTALL), sentence)
    for pattern, sentence in (
        ("PK\x03\x04", "it looks like a ZIP archive: unpack it"),
        (".*\0", "it looks like binary data"),
        (r"\s*\[\s*(\{|\n|$)", "it looks like a JSON list: write each object of it in one line, as `jq -c '.[]'` does"),
        (
            r"\s*\{[^\n]*\n\s+[\"{}\[\]]",
            "it looks like JSON over several lines: write each object in one line, as `jq -c .` does",
        ),
        (r"\s*<", "it looks like XML or HTML"),
        (
            r"\S+ \S+ \S+ \[\d\d/\w+/\d{4}|[^\n]*\"(GET|POST|HEAD|PUT) /",
            "it looks like the log of a web server, which has requests and no sessions",
        ),
    )
)
_SEPARATED = (("\t", "tab-separated values"), (";", "CSV"), (",", "CSV"))
_COMPARED_ROWS = 10
_KEPT_ROWS = 20


def looks_like(rows: Sequence[str]) -> str:
    """Return a sentence about what a source looks like, and what to do; empty: it looks like nothing known.

    Args:
        rows: The first rows, or their beginnings, none of which is a JSON object; bytes that are not UTF-8 are escapes.
    """
    compared = rows[:_COMPARED_ROWS]
    beginning = "\n".join(compared)
    if looks := next((sentence for pattern, sentence in _LOOKS if pattern.match(beginning)), ""):
        return looks
    for separator, name in _SEPARATED:
        counts = {row.count(separator) for row in compared}
        if min(counts, default=0) and len(counts) == 1:
            return f"it looks like {name}: convert it to JSON Lines or Parquet"
    return ""


class Flaws:
    """What the rejected rows of a source have in common.

    Attributes:
        strange: The number of rows that are no JSON objects, or no UTF-8.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.strange = 0
        self._counts: Counter[Flaw] = Counter()
        self._first: list[str] = []

    def add(self, rejection: Rejection) -> None:
        """Take note of a rejected row."""
        self._counts[rejection.flaw] += 1
        if rejection.flaw in {Flaw.NO_OBJECT, Flaw.NO_UTF8}:
            self.strange += 1
            if len(self._first) < _KEPT_ROWS:
                self._first.append(rejection.text)

    def refusal(self, source: str) -> str:
        """Return the sentence about a source that is given up."""
        looks = self.advice(no_other=True)
        return (
            f"{source} holds no sessions: none of its first {MOST_STRANGE_ROWS:,} rows is a JSON object in UTF-8"
            f"{'; ' * bool(looks)}{looks}"
        )

    def advice(self, *, no_other: bool) -> str:
        """Return what to do about the source; `no_other`: it has no other rows than strange ones."""
        if self.strange and no_other and (looks := looks_like(self._first)):
            return looks
        if count := self._counts[Flaw.NO_UTF8]:
            rows = counted(count, "row is", "rows are")
            return f"{rows} in another encoding than UTF-8: convert the file, as `iconv -f WINDOWS-1252 -t UTF-8` does"
        if count := self._counts[Flaw.UNKNOWN_FIELD]:
            rows = counted(count, "row has", "rows have")
            return f"{rows} unknown fields: --ignore-unknown loads such rows without them"
        return ""
