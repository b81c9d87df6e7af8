"""Loading sessions: files → rows → batches → store.

Rows are read and checked in the caller's thread while another thread inserts the batch before, or sends it to a server;
memory depends on the size of a batch and not on that of a file. Rejected rows are written before the good rows of their
batch are inserted, so that no row is lost without a trace whenever the process ends. The store replaces a session that
it has already: loading a file again, also after a load that broke off, gives the same content.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, Self, cast

import msgspec

from pageroles.errors import BrokenOffError, LoadError
from pageroles.ingest.batch import Batch, SessionStore, Stored
from pageroles.ingest.content import ChunkStream
from pageroles.ingest.foreign import MOST_STRANGE_ROWS, Flaws
from pageroles.ingest.lines import open_lines
from pageroles.ingest.session import Row
from pageroles.ingest.source import REJECTS_SUFFIX, Source, check
from pageroles.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pageroles.ingest.reader import Reader, Rejection

__all__ = [
    "FileSummary", "LoadBatch", "LoadError", "LoadSummary", "Outcome", "Progress", "SessionStore", "Stored", "load",
    "load_chunks", "send",
]  # fmt: skip

# While a source has nothing to read, a batch waits so long after its first row, in seconds.
BATCH_SECONDS = 1.0

_REPORT_EVERY_LINES = 5_000
# While nothing is read, the store is looked at so often, in seconds.
_LOOK_SECONDS = 0.1


class Outcome(NamedTuple):
    """What became of a batch: what was stored, and the rows that were refused, by their lines."""

    stored: Stored
    refused: Sequence[tuple[int, Rejection]] = ()


class LoadBatch(Protocol):
    """Rows that are stored together."""

    @property
    def began(self) -> float:
        """When the first row came, on the monotonic clock."""

    def __len__(self) -> int:
        """Return how many sessions it has."""

    @property
    def is_full(self) -> bool:
        """Whether it is to be stored before another row is added."""

    def add(self, row: Row, line: int) -> bool:
        """Add a row; tell whether an earlier one of its session gives way to it, or it to that."""

    def store(self) -> Outcome:
        """Store the rows; they are stored when this returns."""


class _StoreBatch:
    """A batch that goes into a store."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._batch = Batch()

    def __len__(self) -> int:
        return len(self._batch.sessions)

    @property
    def began(self) -> float:
        return self._batch.began

    @property
    def is_full(self) -> bool:
        return self._batch.is_full

    def add(self, row: Row, _: int) -> bool:
        return self._batch.add(row)

    def store(self) -> Outcome:
        return Outcome(self._batch.store_into(self._store))


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a load has come, over all its sources.

    Attributes:
        source: The source being read.
        read: Bytes read; of a compressed file, compressed ones.
        total: Bytes to read; None where a source does not tell its size.
        loaded: Rows that the store has acknowledged.
        rejected: Rows written to rejects files.
    """

    source: str
    read: int
    total: int | None
    loaded: int
    rejected: int


@dataclasses.dataclass(slots=True)
class FileSummary:
    """What became of the lines of one source.

    `lines` is the sum of `blank`, `loaded`, `repeated` and `rejected`, and `loaded` that of `stored`'s first three.

    Attributes:
        source: The source as it was given.
        lines: Lines of JSON Lines, or rows of Parquet.
        blank: Lines with nothing but whitespace.
        repeated: Rows of a session that has another row in the same batch, where one of them counts.
        rejected: Rows in the rejects file.
        ignored: Rows with unknown fields, which were left out.
        rejects: The rejects file; None where no row was rejected.
        advice: What the rejected rows tell of the whole source, and what to do about it; mostly empty.
        stored: What became of the sessions.
    """

    source: str
    lines: int = 0
    blank: int = 0
    repeated: int = 0
    rejected: int = 0
    ignored: int = 0
    rejects: Path | None = None
    advice: str = ""
    stored: Stored = dataclasses.field(default_factory=Stored)

    @property
    def loaded(self) -> int:
        """Sessions stored; one that has rows in several batches counts for each."""
        return self.stored.sessions


@dataclasses.dataclass(frozen=True, slots=True)
class LoadSummary:
    """What a load did.

    Attributes:
        files: One summary per source that was read, in the order given.
        seconds: How long it took.
        passed_over: Files that hold rejected rows of an earlier load, and were not read.
    """

    files: tuple[FileSummary, ...]
    seconds: float
    passed_over: tuple[str, ...] = ()

    @property
    def stored(self) -> Stored:
        """What became of the sessions of all sources."""
        total = Stored()
        for file in self.files:
            total.add(file.stored)
        return total

    @property
    def loaded(self) -> int:
        """Sessions stored."""
        return sum(file.loaded for file in self.files)

    @property
    def repeated(self) -> int:
        """Rows of sessions that have another row in the same batch."""
        return sum(file.repeated for file in self.files)

    @property
    def rejected(self) -> int:
        """Rows written to rejects files."""
        return sum(file.rejected for file in self.files)


class InterruptedLoadError(KeyboardInterrupt):
    """A load that Ctrl-C ended: no error of the program, and nothing that may be caught by chance.

    Attributes:
        summary: What was done by then.
    """

    def __init__(self, summary: LoadSummary) -> None:
        """Keep the summary."""
        super().__init__()
        self.summary = summary


def load(
    store: SessionStore,
    sources: Sequence[str],
    *,
    report: Callable[[Progress], None] | None = None,
    stdin: BinaryIO | None = None,
    ignore_unknown: bool = False,
) -> LoadSummary:
    """Load sessions from files.

    A batch is stored when it is full. Where a pipe has nothing more to read, it is stored a second after its first row.

    Bad rows go to `FILE.rejected.jsonl` beside each file (`stdin.rejected.jsonl` in the working directory), which
    replaces that of an earlier load; the good rows are loaded.

    Args:
        store: Where the sessions go.
        sources: Paths of JSON Lines (plain or packed) or Parquet files; `-` is standard input.
        report: Called in this thread, every 5,000 lines and with every batch stored.
        stdin: Read for `-` in place of standard input.
        ignore_unknown: Whether to load rows with unknown fields, without these; otherwise they are rejected.

    Raises:
        LoadError: Before anything is loaded: a source can't be read, is given twice, or has the wrong columns.
            Later: a source broke off, and the rows before that point are loaded; or its first 1,000 rows are no JSON
            objects, and its rejects file is removed.
        PagerolesError: The store failed; the batches before that are loaded.
        InterruptedLoadError: Ctrl-C; whole batches are loaded.
    """
    return send(lambda: _StoreBatch(store), sources, report=report, stdin=stdin, ignore_unknown=ignore_unknown)


def send(
    begin: Callable[[], LoadBatch],
    sources: Sequence[str],
    *,
    report: Callable[[Progress], None] | None = None,
    stdin: BinaryIO | None = None,
    ignore_unknown: bool = False,
) -> LoadSummary:
    """Load sessions from files, by batches of the caller's own.

    Args:
        begin: Returns an empty batch. Its `store` is called in another thread, one batch after the other.
        sources: As for `load`; so are all others, what is done with bad rows, and what is raised.
        report: As for `load`.
        stdin: As for `load`.
        ignore_unknown: As for `load`.
    """
    checked = check(sources, stdin, ignore_unknown=ignore_unknown)
    return dataclasses.replace(_load(begin, checked.sources, report), passed_over=tuple(checked.passed_over))


def load_chunks(
    store: SessionStore,
    chunks: Iterable[bytes],
    *,
    name: str = "chunks",
    report: Callable[[Progress], None] | None = None,
) -> LoadSummary:
    """Load sessions from JSON Lines in memory.

    Args:
        store: Where the sessions go.
        chunks: Pieces of JSON Lines, cut anywhere.
        name: What progress and summary call them; bad rows go to `NAME.rejected.jsonl` in the working directory.
        report: As for `load`.

    Raises:
        PagerolesError: As for `load`.
    """
    stream = ChunkStream(chunks)
    rejects = Path(f"{name}{REJECTS_SUFFIX}")
    source = Source(name, None, rejects, None, lambda idle: open_lines(name, stream, idle, ignore_unknown=False))
    return _load(lambda: _StoreBatch(store), [source], report)


def _load(
    begin: Callable[[], LoadBatch], sources: list[Source], report: Callable[[Progress], None] | None
) -> LoadSummary:
    started = time.monotonic()
    for source in sources:
        try:
            source.rejects.unlink(missing_ok=True)
        except OSError as error:
            raise LoadError(f"{source.rejects} is of an earlier load and can't be removed: {error.strerror}") from error
    sizes = [source.size for source in sources if source.size is not None]
    loader = _Loader(begin, report, sum(sizes) if len(sizes) == len(sources) else None)
    try:
        with loader:
            for source in sources:
                loader.load(source)
            loader.settle()
    except KeyboardInterrupt:
        raise InterruptedLoadError(LoadSummary(tuple(loader.files), time.monotonic() - started)) from None
    return LoadSummary(tuple(loader.files), time.monotonic() - started)


class _Loader:
    """Fills batches and hands them to the writer thread: one is inserted, one waits, one is being filled."""

    def __init__(
        self, begin: Callable[[], LoadBatch], report: Callable[[Progress], None] | None, total: int | None
    ) -> None:
        self.files: list[FileSummary] = []
        self._begin = begin
        self._report = report
        self._total = total
        self._read_before = 0
        self._read = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._waiting: deque[tuple[Future[Outcome], FileSummary, _Rejects]] = deque()
        self._batch = begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # After a failure, what has not begun stays out; the load has to be run again anyway.
        self._writer.shutdown(cancel_futures=True)
        for inserted, file, rejects in self._waiting:
            if not inserted.cancelled() and inserted.exception() is None:
                _note(inserted.result(), file, rejects)
        self._waiting.clear()

    def load(self, source: Source) -> None:
        """Read one source to its end; its last batches may still be under way then."""
        file = FileSummary(source.name)
        self.files.append(file)
        with _Rejects(source.rejects) as rejects, source.open(lambda: self._idle(file, rejects)) as reader:
            try:
                self._fill(reader, file, rejects)
            except BrokenOffError as error:
                self._send(file, rejects)
                self.settle()
                rows = counted(file.lines, "row, which is loaded", "rows, which are loaded")
                raise LoadError(f"{source.name} broke off after {rows}: {error}") from error
            self._send(file, rejects)
            self._read_before += reader.position()
            self._read = 0
        self._tell()

    def settle(self, waiting: int = 0) -> None:
        """Wait until at most `waiting` batches are under way, and raise what went wrong with the others."""
        while len(self._waiting) > waiting:
            inserted, file, rejects = self._waiting[0]
            outcome = inserted.result()
            self._waiting.popleft()
            _note(outcome, file, rejects)
            self._tell()

    def _fill(self, reader: Reader, file: FileSummary, rejects: _Rejects) -> None:
        flaws = Flaws()
        due = _REPORT_EVERY_LINES
        try:
            for outcome in reader:
                if isinstance(outcome, Row):
                    file.lines += 1
                    file.repeated += self._batch.add(outcome, file.lines)
                    if self._batch.is_full:
                        self._send(file, rejects)
                elif isinstance(outcome, int):
                    file.lines += outcome
                    file.blank += outcome
                else:
                    file.lines += 1
                    rejects.write(file.lines, outcome)
                    file.rejected += 1
                    file.rejects = rejects.path
                    flaws.add(outcome)
                    if flaws.strange == MOST_STRANGE_ROWS == file.lines - file.blank:
                        rejects.remove()
                        raise LoadError(flaws.refusal(file.source))
                if file.lines >= due:
                    due = file.lines + _REPORT_EVERY_LINES
                    self._read = reader.position()
                    self._tell()
        finally:
            file.ignored = reader.ignored
            file.advice = flaws.advice(no_other=flaws.strange == file.lines - file.blank)

    def _idle(self, file: FileSummary, rejects: _Rejects) -> float | None:
        """Store what has come if it is due, while there is nothing to read; return when to look again."""
        rejects.flush()
        self.settle(waiting=sum(not inserted.done() for inserted, _, _ in self._waiting))
        if self._batch and (left := self._batch.began + BATCH_SECONDS - time.monotonic()) > 0:
            return min(left, _LOOK_SECONDS) if self._waiting else left
        self._send(file, rejects)
        return _LOOK_SECONDS if self._waiting else None

    def _send(self, file: FileSummary, rejects: _Rejects) -> None:
        """Hand over the batch that was filled, and begin another."""
        rejects.flush()
        if self._batch:
            self.settle(waiting=1)
            batch, self._batch = self._batch, self._begin()
            self._waiting.append((self._writer.submit(batch.store), file, rejects))

    def _tell(self) -> None:
        if self._report is not None:
            loaded, rejected = sum(one.loaded for one in self.files), sum(one.rejected for one in self.files)
            read = self._read_before + self._read
            self._report(Progress(self.files[-1].source, read, self._total, loaded, rejected))


def _note(outcome: Outcome, file: FileSummary, rejects: _Rejects) -> None:
    """Note what became of a batch; its source may have been read to the end meanwhile."""
    file.stored.add(outcome.stored)
    if outcome.refused:
        with rejects:
            for line, rejection in outcome.refused:
                rejects.write(line, rejection)
        file.rejected += len(outcome.refused)
        file.rejects = rejects.path


class _Rejects:
    """The rejects file of a source; it appears with the first row rejected. Closed, it can be written on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._mode = "wb"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with self._reworded():
                self._file.close()
            self._file = None

    def write(self, number: int, rejection: Rejection) -> None:
        line = msgspec.json.encode({"line": number, "reason": rejection.reason, "row": rejection.text}) + b"\n"
        with self._reworded():
            if self._file is None:
                self._file, self._mode = cast("BinaryIO", self.path.open(self._mode)), "ab"
            self._file.write(line)

    def remove(self) -> None:
        if self._file is not None:
            with self._reworded():
                self._file.close()
                self.path.unlink(missing_ok=True)
            self._file = None

    def flush(self) -> None:
        if self._file is not None:
            with self._reworded():
                self._file.flush()

    @contextlib.contextmanager
    def _reworded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LoadError(f"rejected rows can't be written to {self.path}: {error.strerror}") from error
