"""The schema of the store, kept as SQL in `schema.sql`."""

from __future__ import annotations

import importlib.resources
import re

_END_OF_STATEMENT = re.compile(r";\s*(?:\n|\Z)")
_COMMENT_OR_BLANK = re.compile(r"\s*(?:--.*)?")


def script() -> str:
    """Return the whole schema as one SQL script."""
    return importlib.resources.files("pageroles").joinpath("schema.sql").read_text(encoding="utf-8")


def statements() -> list[str]:
    """Return the statements of the schema in order; each may be run again on a store that has them."""
    pieces = _END_OF_STATEMENT.split(script())
    return [
        piece.strip() for piece in pieces if any(not _COMMENT_OR_BLANK.fullmatch(line) for line in piece.splitlines())
    ]
