"""Sources of sessions: files and streams, checked before any of them is read.

So a wrong name in the last place does not leave half a load.
"""

from __future__ import annotations

import functools
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

    from pageroles.ingest.reader import Idle, Reader

REJECTS_SUFFIX = ".rejected.jsonl"
# How each line of a rejects file begins.
REJECTS_BEGIN = b'{"line":'


class Source(NamedTuple):
    """A source that can be read.

    Attributes:
        name: The source as it was given.
        path: Where it lies; None for a stream.
        rejects: Where its rejected rows go.
        size: Its size in bytes, where that is known.
        open: Opens it; what it is given is called while a pipe has nothing to read.
    """

    name: str
    path: Path | None
    rejects: Path
    size: int | None
    open: Callable[[Idle], contextlib.AbstractContextManager[Reader]]


class Checked(NamedTuple):
    """What is to be loaded.

    Attributes:
        sources: The sources to read.
        passed_over: The names of files that hold rejected rows of an earlier load, and are not read.
    """

    sources: list[Source]
    passed_over: list[str]


def check(names: Sequence[str], stdin: BinaryIO | None = None, *, ignore_unknown: bool = False) -> Checked:
    """Make sure that all sources can be read, without taking anything from one that can't be read again.

    Args:
        names: Paths; `-` is standard input.
        stdin: Read for `-` in place of standard input.
        ignore_unknown: Whether unknown fields and columns are left out.

    Raises:
        LoadError: A file is missing or unreadable, is given twice, has the wrong columns, would be overwritten as the
            rejects file of another, or all hold rejected rows.
    """
    passed_over = [name for name in names if _holds_rejects(name)]
    sources = [_checked(name, stdin, ignore_unknown=ignore_unknown) for name in names if name not in passed_over]
    if passed_over and not sources:
        raise LoadError(
            f"{passed_over[0]} holds the rejected rows of an earlier load: correct them in the file that they come "
            "from, and load that"
        )
    seen: dict[Path | None, str] = {}
    for source in sources:
        path = source.path and source.path.resolve()
        if path in seen:
            raise LoadError(f"{source.name} is given twice")
        seen[path] = source.name
    for source in sources:
        if (rejects := source.rejects.resolve()) in seen:
            raise LoadError(f"{seen[rejects]} is where rejects of {source.name} go: load it on its own, renamed")
    return Checked(sources, passed_over)


def _holds_rejects(name: str) -> bool:
    """Tell whether a file is one that a load wrote: by its name and by how it begins."""
    if name == "-" or not name.endswith(REJECTS_SUFFIX):
        return False
    try:
        with Path(name).open("rb") as file:
            return file.read(len(REJECTS_BEGIN)) == REJECTS_BEGIN
    except OSError:  # which is told where it is opened as a source
        return False


def _checked(name: str, stdin: BinaryIO | None, *, ignore_unknown: bool) -> Source:
    open_as = functools.partial(open_lines, ignore_unknown=ignore_unknown)
    if name == "-":
        stream = sys.stdin.buffer if stdin is None else stdin
        rejects = Path(f"stdin{REJECTS_SUFFIX}")
        return Source(name, None, rejects, None, functools.partial(open_as, "standard input", stream))
    path = Path(name)
    rejects = path.with_name(f"{path.name}{REJECTS_SUFFIX}")
    try:
        held = path.stat()
        if stat.S_ISFIFO(held.st_mode):  # opening it here could take what it gives
            return Source(name, path, rejects, None, functools.partial(open_as, name, path))
        with path.open("rb") as file:
            magic = file.read(len(PARQUET_MAGIC))
    except OSError as error:
        raise LoadError(f"{name} can't be read: {error.strerror}") from error
    if magic == PARQUET_MAGIC or path.suffix in {".parquet", ".pq"}:
        parquet = _parquet_reader(name)(name, path, held.st_size, ignore_unknown=ignore_unknown)
        return Source(name, path, rejects, held.st_size, parquet.open)
    return Source(name, path, rejects, held.st_size, functools.partial(open_as, name, path))


def _parquet_reader(name: str) -> Any:
    """Load the reader of Parquet, whose library is optional and heavy."""
    try:
        return importlib.import_module("pageroles.ingest.parquet").ParquetFile
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise LoadError(f"{name}: Parquet files need pyarrow: pip install 'pageroles[parquet]'") from None
