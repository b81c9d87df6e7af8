"""Loading sessions: files → rows → batches → store.

Rows are read and checked in the caller's thread while another thread inserts the batch before; memory depends on the
size of a batch and not on that of a file. Rejected rows are written before the good rows of their batch are inserted,
so that no row is lost without a trace whenever the process ends. The store replaces a session that it has already:
loading a file again, also after a load that broke off, gives the same content.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import time
from collections import defaultdict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

import msgspec

from pageroles import _core
from pageroles.errors import BrokenOffError, LoadError
from pageroles.ingest import versions
from pageroles.ingest.lines import ChunkStream, open_lines
from pageroles.ingest.session import Row
from pageroles.ingest.source import Source, check
from pageroles.ingest.versions import Place, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pageroles.ingest.reader import Reader, Rejection

__all__ = ["FileSummary", "LoadError", "LoadSummary", "Progress", "SessionStore", "load", "load_chunks"]

BATCH_ROWS = 50_000
BATCH_BYTES = 32 << 20

_REPORT_EVERY_LINES = 5_000


class SessionStore(Protocol):
    """What loading needs of a store."""

    def write_sessions(self, rows: bytes) -> None:
        """Insert JSON Lines of `sessions`, each with its `written_at`; they are stored when this returns."""

    def places(self, domains: Sequence[str], session_keys: Sequence[int]) -> Iterable[tuple[str, int, int, int, int]]:
        """Return where versions of sessions are stored.

        Each as domain, session key, user key, start in milliseconds and time of writing in microseconds.
        """


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
    """What became of the lines of one source: `lines` is the sum of the four counts.

    Attributes:
        source: The source as it was given.
        lines: Lines of JSON Lines, or rows of Parquet.
        blank: Lines with nothing but whitespace.
        loaded: Rows inserted.
        replaced: Rows of a session that has another row in the same batch, where one of them counts.
        rejected: Rows in the rejects file.
        rejects: The rejects file; None where no row was rejected.
    """

    source: str
    lines: int = 0
    blank: int = 0
    loaded: int = 0
    replaced: int = 0
    rejected: int = 0
    rejects: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LoadSummary:
    """What a load did.

    Attributes:
        files: One summary per source, in the order given.
        seconds: How long it took.
    """

    files: tuple[FileSummary, ...]
    seconds: float

    @property
    def loaded(self) -> int:
        """Rows inserted."""
        return sum(file.loaded for file in self.files)

    @property
    def replaced(self) -> int:
        """Rows that gave way to a later one of the same session before they were inserted."""
        return sum(file.replaced for file in self.files)

    @property
    def rejected(self) -> int:
        """Rows written to rejects files."""
        return sum(file.rejected for file in self.files)


def load(
    store: SessionStore,
    sources: Sequence[str],
    *,
    report: Callable[[Progress], None] | None = None,
    stdin: BinaryIO | None = None,
) -> LoadSummary:
    """Load sessions from files.

    Bad rows go to `FILE.rejected.jsonl` beside each file (`stdin.rejected.jsonl` in the working directory), which
    replaces that of an earlier load; the good rows are loaded.

    Args:
        store: Where the sessions go.
        sources: Paths of JSON Lines (plain or gzip) or Parquet files; `-` is standard input.
        report: Called in this thread, every 5,000 lines and with every batch stored.
        stdin: Read for `-` in place of standard input.

    Raises:
        LoadError: Before anything is loaded: a source can't be read, is given twice, or has the wrong columns.
            Later: a source broke off; the rows before that point are loaded.
        PagerolesError: The store failed; the batches before that are loaded.
    """
    return _load(store, check(sources, stdin), report)


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
    stream = io.BufferedReader(ChunkStream(chunks), 1 << 16)
    source = Source(name, None, Path(f"{name}.rejected.jsonl"), None, lambda: open_lines(name, stream))
    return _load(store, [source], report)


def _load(store: SessionStore, sources: list[Source], report: Callable[[Progress], None] | None) -> LoadSummary:
    started = time.monotonic()
    for source in sources:
        try:
            source.rejects.unlink(missing_ok=True)
        except OSError as error:
            raise LoadError(f"{source.rejects} is of an earlier load and can't be removed: {error.strerror}") from error
    sizes = [source.size for source in sources if source.size is not None]
    with _Loader(store, report, sum(sizes) if len(sizes) == len(sources) else None) as loader:
        for source in sources:
            loader.load(source)
        loader.settle()
    return LoadSummary(tuple(loader.files), time.monotonic() - started)


class _Loader:
    """Fills batches and hands them to the writer thread: one is inserted, one waits, one is being filled."""

    def __init__(self, store: SessionStore, report: Callable[[Progress], None] | None, total: int | None) -> None:
        self.files: list[FileSummary] = []
        self._store = store
        self._report = report
        self._total = total
        self._read_before = 0
        self._read = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._waiting: deque[tuple[Future[None], FileSummary, int]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # After a failure, what has not begun stays out; the load has to be run again anyway.
        self._writer.shutdown(cancel_futures=True)

    def load(self, source: Source) -> None:
        """Read one source to its end; its last batches may still be under way then."""
        file = FileSummary(source.name)
        self.files.append(file)
        with source.open() as reader, _Rejects(source.rejects) as rejects:
            try:
                self._fill(reader, file, rejects)
            except BrokenOffError as error:
                self.settle()
                raise LoadError(
                    f"{source.name} broke off after {file.lines:,} rows, which are loaded: {error}"
                ) from error
            self._read_before += reader.position()
            self._read = 0
        self._tell()

    def settle(self, waiting: int = 0) -> None:
        """Wait until at most `waiting` batches are under way, and raise what went wrong with the others."""
        while len(self._waiting) > waiting:
            future, file, count = self._waiting.popleft()
            future.result()
            file.loaded += count
            self._tell()

    def _fill(self, reader: Reader, file: FileSummary, rejects: _Rejects) -> None:
        batch = _Batch()
        try:
            for outcome in reader:
                file.lines += 1
                if isinstance(outcome, Row):
                    file.replaced += batch.add(outcome)
                    if batch.is_full:
                        full, batch = batch, _Batch()
                        self._send(full, file, rejects)
                elif outcome is None:
                    file.blank += 1
                else:
                    rejects.write(file.lines, outcome)
                    file.rejected += 1
                    file.rejects = rejects.path
                if file.lines % _REPORT_EVERY_LINES == 0:
                    self._read = reader.position()
                    self._tell()
        except BrokenOffError:
            self._send(batch, file, rejects)
            raise
        self._send(batch, file, rejects)

    def _send(self, batch: _Batch, file: FileSummary, rejects: _Rejects) -> None:
        rejects.flush()
        if batch.sessions:
            self.settle(waiting=1)
            inserted = self._writer.submit(batch.store_into, self._store)
            self._waiting.append((inserted, file, len(batch.sessions)))

    def _tell(self) -> None:
        if self._report is not None:
            loaded, rejected = sum(one.loaded for one in self.files), sum(one.rejected for one in self.files)
            read = self._read_before + self._read
            self._report(Progress(self.files[-1].source, read, self._total, loaded, rejected))


class _Batch:
    """Rows that are stored by one insert.

    Attributes:
        sessions: The only, or the last, version of each session.
    """

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], Row] = {}
        # The versions of those that have several which the store must tell apart.
        self._versions: dict[tuple[str, str], list[Row]] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self.sessions) >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def add(self, row: Row) -> bool:
        """Add a row; tell whether an earlier one of its session gives way to it, or it to that."""
        self._bytes += len(row.line)
        earlier = self.sessions.get(row.key)
        self.sessions[row.key] = row
        if earlier is None:
            return False
        same_place = (earlier.user_id, earlier.started_at) == (row.user_id, row.started_at)
        if not same_place or earlier.written_at or row.written_at or row.key in self._versions:
            self._versions.setdefault(row.key, [earlier]).append(row)
        return True

    def store_into(self, store: SessionStore) -> None:
        """Insert the rows, and what marks the versions that they replace elsewhere."""
        known: dict[tuple[str, int], list[Version]] = defaultdict(list)
        session_keys = _core.keys([session_id for _, session_id in self.sessions])
        domains = sorted({domain for domain, _ in self.sessions})
        for domain, session_key, user_key, started_at, written_at in store.places(domains, session_keys):
            known[domain, session_key].append(Version(Place(user_key, started_at), written_at))
        user_keys = _core.keys([row.user_id for row in self.sessions.values()])
        now = time.time_ns() // 1000
        lines: list[bytes] = []
        for (key, row), session_key, user_key in zip(self.sessions.items(), session_keys, user_keys, strict=True):
            stored, several = known.get((key[0], session_key)), self._versions.get(key)
            if several is not None:
                keys = _core.keys([version.user_id for version in several])
                lines += versions.lines(several, keys, stored or (), now)
            elif stored is not None:
                lines += versions.lines((row,), (user_key,), stored, now)
            else:
                lines.append(row.line if row.written_at is not None else versions.dated(row, now))
        if lines:
            store.write_sessions(b"".join(lines))


class _Rejects:
    """The rejects file of a source; it appears with the first row rejected."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with self._reworded():
                self._file.close()

    def write(self, number: int, rejection: Rejection) -> None:
        line = msgspec.json.encode({"line": number, "reason": rejection.reason, "row": rejection.text}) + b"\n"
        with self._reworded():
            if self._file is None:
                self._file = self.path.open("wb")
            self._file.write(line)

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
