"""Sources of sessions: files and streams, checked before any of them is read.

So a wrong name in the last place does not leave half a load.
"""

from __future__ import annotations

import importlib
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from pageroles.errors import LoadError
from pageroles.ingest.lines import PARQUET_MAGIC, open_lines

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence

    from pageroles.ingest.reader import Reader


class Source(NamedTuple):
    """A source that can be read.

    Attributes:
        name: The source as it was given.
        path: Where it lies; None for a stream.
        rejects: Where its rejected rows go.
        size: Its size in bytes, where that is known.
        open: Opens it.
    """

    name: str
    path: Path | None
    rejects: Path
    size: int | None
    open: Callable[[], contextlib.AbstractContextManager[Reader]]


def check(names: Sequence[str], stdin: BinaryIO | None = None) -> list[Source]:
    """Make sure that all sources can be read, without taking anything from one that can't be read again.

    Args:
        names: Paths; `-` is standard input.
        stdin: Read for `-` in place of standard input.

    Raises:
        LoadError: A file is missing or unreadable, is given twice, has the wrong columns, or would be overwritten
            as the rejects file of another.
    """
    sources = [_checked(name, stdin) for name in names]
    seen: dict[Path | None, str] = {}
    for source in sources:
        path = source.path and source.path.resolve()
        if path in seen:
            raise LoadError(f"{source.name} is given twice")
        seen[path] = source.name
    for source in sources:
        if (rejects := source.rejects.resolve()) in seen:
            raise LoadError(f"{seen[rejects]} is where rejects of {source.name} go: load it on its own, renamed")
    return sources


def _checked(name: str, stdin: BinaryIO | None) -> Source:
    if name == "-":
        stream = sys.stdin.buffer if stdin is None else stdin
        return Source(name, None, Path("stdin.rejected.jsonl"), None, lambda: open_lines("standard input", stream))
    path = Path(name)
    rejects = path.with_name(f"{path.name}.rejected.jsonl")
    try:
        held = path.stat()
        if stat.S_ISFIFO(held.st_mode):  # opening it here could take what it gives
            return Source(name, path, rejects, None, lambda: open_lines(name, path))
        with path.open("rb") as file:
            magic = file.read(len(PARQUET_MAGIC))
    except OSError as error:
        raise LoadError(f"{name} can't be read: {error.strerror}") from error
    if magic == PARQUET_MAGIC or path.suffix in {".parquet", ".pq"}:
        return Source(name, path, rejects, held.st_size, _parquet_reader(name)(name, path, held.st_size).open)
    return Source(name, path, rejects, held.st_size, lambda: open_lines(name, path))


def _parquet_reader(name: str) -> Any:
    """Load the reader of Parquet, whose library is optional and heavy."""
    try:
        return importlib.import_module("pageroles.ingest.parquet").ParquetFile
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise LoadError(f"{name}: Parquet files need pyarrow: pip install 'pageroles[parquet]'") from None
