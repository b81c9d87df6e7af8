"""The store: apply the schema, insert rows, and read rows and streams."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import math
import secrets
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
import structlog
import urllib3.exceptions
from clickhouse_connect.driver import exceptions as driver_exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError

from pageroles._core import CoreError
from pageroles.counts import Counts
from pageroles.errors import DeadlineError, InternalError, PagerolesError, SettingError, StoreUnavailableError
from pageroles.store import faults, infile, schema, writes
from pageroles.store.call import NOBODY, Call
from pageroles.store.engine import Engine, connect, open_embedded
from pageroles.store.faults import BROKE_OFF, NO_SCHEMA, NOT_ANSWERED, fault_in, translated
from pageroles.store.held import Held
from pageroles.store.lock import refuse_if_locked
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from pageroles.store.call import Query, Watcher
    from pageroles.store.changes import Changes
    from pageroles.store.interface import Interface


_log = structlog.get_logger(__name__)

# Bytes of a chunk of a stream. The allocator maps larger buffers one by one (`embedded.py` sets the size): chunks of
# that size would be fresh pages of the system each time, which took as long as all else together.
_CHUNK_BYTES = 256 << 10
_BLOCK_ROWS = 65_536
# What a look-up of a writer may take.
_LOOK_UP_SECONDS = 60.0
# A server says itself that a query took too long. One that says nothing so long after it is no longer waited for.
_GRACE_SECONDS = 2.0
# What it may take to stop a query.
_STOP_SECONDS = 5.0

# The chunks at the end of a broken HTTP stream in which ClickHouse's exception is looked for.
_LAST_CHUNKS = 16


class Counted(NamedTuple):
    """What a store counts of itself, that of the connections apart included.

    Attributes:
        statements: Queries, commands and inserts (`sent`), and the bytes that came from streams (`streamed_bytes`).
        errors: Those that ended with an error, by the kinds of `faults.KINDS`.
    """

    statements: Counts
    errors: Counts


class Store:
    """ClickHouse with the schema of pageroles, embedded or on a server.

    Safe to use from many threads. Use it as a context manager, or call `close`.

    Attributes:
        readers: The most streams that may be open at once.
        counted: What it counts of itself.
    """

    def __init__(self, engine: Engine, readers: int, counted: Counted | None = None) -> None:
        """Use an open engine; call `Store.open` instead."""
        self._engine = engine
        self.readers = readers
        self.counted = counted or Counted(Counts("sent", "streamed_bytes"), Counts(*faults.KINDS))
        # To stop a query takes time, for which the thread that cancels does not wait.
        self._stopper = ThreadPoolExecutor(1, thread_name_prefix="stop-query")
        self._closed = threading.Event()

    @classmethod
    def open(
        cls, dsn: str, *, readers: int = 4, silence: float = 300.0, create: bool = True, alone: bool = False
    ) -> Self:
        """Open the store at a DSN; apply the schema to an embedded one, unless a server holds it.

        Args:
            dsn: `chdb:///path/to/folder`, or `clickhouse://user:password@host:8123/database`.
            readers: The most streams that may be open at once.
            silence: Seconds after which the connection to a server that sends nothing is closed; more than any call
                may take.
            create: Make an embedded store where there is none.
            alone: Refuse an embedded store that a server holds, which otherwise is reached through that server.

        Raises:
            SettingError: The DSN can't be used, the store has a schema that can't be migrated, there is none and none
                may be made, or a server of another version of pageroles holds it.
            StoreLockedError: Another process holds the embedded store, and is no server or may not be one.
            StoreUnavailableError: The server can't be reached.
        """
        store = cls(connect(dsn, readers, silence, create=create, alone=alone), readers)
        if store.embedded:
            store.apply_schema()
        return store

    @classmethod
    def bare(cls, folder: Path) -> Self:
        """Open the embedded store in a folder as it is, without a schema if it has none.

        Raises:
            SettingError: The embedded engine isn't installed, or the folder can't be created.
            StoreLockedError: Another process holds the store.
            StoreUnavailableError: The engine can't open it.
        """
        return cls(open_embedded(folder, 1), 1)

    @staticmethod
    def refuse_if_held(folder: Path) -> None:
        """Refuse a folder whose embedded store another process holds.

        Raises:
            StoreLockedError: Another process holds the store.
        """
        refuse_if_locked(folder)

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self._engine.embedded

    @property
    def folder(self) -> Path | None:
        """The folder of an embedded store, whichever process holds it; None for a server."""
        return self._engine.folder

    def interface(self) -> Interface | None:
        """Return what answers other processes on this machine; None where this process does not hold the store."""
        return self._engine.interface()

    def ask_holder(self, path: str) -> bytes | None:
        """Ask the server that holds an embedded store for what only it knows, or can do; None where none does.

        Args:
            path: The path of the address.

        Raises:
            StoreUnavailableError: The server does not answer any more.
            InternalError: It refuses, and says why.
        """
        return self._engine.ask(path) if isinstance(self._engine, Held) else None

    @property
    def connections(self) -> int:
        """How many connections to a server were made so far; a server that was restarted is reached by a new one."""
        return self._engine.connections

    @property
    def changes(self) -> Changes | None:
        """What counts the changes of an embedded store; None where other processes change it past this one."""
        return self._engine.changes

    @functools.cached_property
    def cluster(self) -> str | None:
        """The cluster that the store is on; None: one server.

        Raises:
            StoreUnavailableError: The server can't be reached.
        """
        return self._schema_state().cluster

    def apart(self, seconds: float) -> Store:
        """Return the same store over a connection of its own, for one thread.

        Nothing else holds that connection, however many reports are at work. Close what is returned first.

        Args:
            seconds: The silence after which the connection to a server is closed.

        Raises:
            StoreUnavailableError: The server can't be reached.
        """
        with self._counting():
            return Store(self._engine.apart(seconds), 1, self.counted)

    def in_place(self) -> bool:
        """Return whether an embedded store's folder is still the one that was opened; True for a server."""
        return self._engine.in_place()

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the connections; the store can't be used any more."""
        if not self._closed.is_set():
            self._closed.set()
            self._stopper.shutdown(wait=True)
            self._engine.close()

    # ---- changing the store ----

    def apply_schema(self, cluster: str | None = None) -> None:
        """Migrate the store to the latest schema: apply the migrations that it lacks, in order.

        Args:
            cluster: The cluster to make the tables on; None: the one that the store is on, or one server.

        Raises:
            SettingError: The store is older than the first migration, has the schema of a later version of pageroles,
                or is on one server or another cluster.
        """
        state = self._schema_state()
        _refuse_foreign(state)
        if cluster and state.exists and cluster != state.cluster:
            raise SettingError(
                f"the store exists {f'on the cluster {state.cluster}' if state.cluster else 'on one server'} and can't "
                f"be moved to the cluster {cluster}: give an empty database with --store"
            )
        cluster = cluster or state.cluster
        missing = [migration for migration in schema.migrations() if migration.version > state.version]
        if missing:
            for statement in schema.version_statements(cluster):
                self.command(statement)
        for migration in missing:
            for statement in migration.statements(cluster):
                self.command(statement)
            row = {"version": migration.version, "name": migration.name}
            self.insert("schema_versions", msgspec.json.encode(row))

    @contextlib.contextmanager
    def paused(self) -> Iterator[Client]:
        """Let all changes of an embedded store wait while the block runs; lend a client that need not.

        Raises:
            InternalError: This process does not hold the store.
            PagerolesError: ClickHouse refuses a statement of the block.
        """
        if self.changes is None:
            raise InternalError("changes pause only in the process that holds an embedded store")
        with (
            translated(),
            contextlib.closing(self._engine.apart(0)) as apart,
            apart.control() as client,
            self.changes.pause(),
        ):
            yield client

    def command(self, text: str, parameters: dict[str, object] | None = None) -> None:
        """Run a statement that changes the store and returns nothing.

        Raises:
            PagerolesError: ClickHouse can't be reached, or refuses it.
        """
        counted = contextlib.nullcontext() if self.changes is None else self.changes.command(text)
        with self._sent(self._engine.writer()) as client, counted:
            client.command(text, parameters=parameters)

    def insert(
        self,
        table: str,
        rows: bytes,
        form: str = "JSONEachRow",
        columns: Sequence[str] | None = None,
        *,
        seconds: float = math.inf,
    ) -> None:
        """Insert rows as one block; they are stored when this returns.

        Args:
            table: A table of the schema.
            rows: Rows in `form`; by default one object a line, with the table's plain columns as names.
            form: A format of ClickHouse's.
            columns: The columns of a format without names.
            seconds: The time that a server may stay silent; where it does, the rows may be stored later.

        Raises:
            PagerolesError: ClickHouse can't be reached, or refuses the rows.
        """
        with self._sent(self._engine.writer(seconds)) as client:
            # The driver repeats an insert whose connection broke; the token keeps it from being stored twice.
            settings: dict[str, int | str] = {**_INSERT_SETTINGS, "insert_deduplication_token": secrets.token_hex(16)}
            if self._engine.embedded:
                infile.insert(client, table, columns, rows, form, settings)
            else:
                client.raw_insert(table, columns, insert_block=rows, fmt=form, settings=settings)

    def write_sessions(self, rows: bytes) -> None:
        """Insert rows of `sessions`, which are written down first: `recovery.recover` finishes what a kill cuts short.

        Args:
            rows: Rows in ClickHouse's JSONEachRow, each with its `written_at`: they may be inserted once more, later.

        Raises:
            PagerolesError: As for `insert`.
        """
        writes.write(self, rows)

    def finish_writes(self) -> int:
        """Finish the writes of sessions that were cut short; harmless where their writer is still at work.

        Returns:
            How many they were.

        Raises:
            PagerolesError: As for `insert`.
        """
        return writes.finish_all(self)

    # ---- reading ----

    def check(self) -> None:
        """Check that the store answers, can be read, and has the latest schema.

        Raises:
            SettingError: The schema is missing or has another version.
            StoreUnavailableError: The server can't be reached.
        """
        state = self._schema_state()
        if not state.exists:
            raise SettingError(NO_SCHEMA)
        _refuse_foreign(state)
        if state.version < schema.latest():
            raise SettingError(
                f"the store has version {state.version} of the schema, and this pageroles needs {schema.latest()}: "
                "run `pageroles schema`, which migrates the store and keeps its sessions"
            )

    def _schema_state(self) -> _SchemaState:
        with self._sent(self._engine.control()) as client:
            columns = {name for (name,) in _read(client, _COLUMNS)}
            ((tables, cluster),) = _read(client, _TABLES)
            version = _read(client, _VERSION)[0][0] if tables else 0
        return _SchemaState(exists=bool(columns), is_first="packed" in columns, version=version, cluster=cluster)

    def places(self, domains: Sequence[str], session_keys: Sequence[int]) -> Sequence[tuple[str, int, int, int, int]]:
        """Return where versions of sessions are stored, as domain, session key, user key, start and time of writing.

        Args:
            domains: The sessions' domains.
            session_keys: Their keys; those of another of the domains may come, too.

        Returns:
            Starts in milliseconds, times of writing in microseconds since 1970; of each place the latest.
        """
        statement = Statement(_PLACES, {"domains": list(domains), "session_keys": list(session_keys)})
        found: Any = self.look_up(statement, _LOOK_UP_SECONDS)
        return [tuple(row) for row in found]

    def rows(self, statement: Statement, call: Call) -> Sequence[Sequence[object]]:
        """Return all rows of a query; for small results.

        Raises:
            PagerolesError: As for `stream`.
        """
        with self._asked(statement.text, call) as (client, query):
            rows: Sequence[Sequence[object]] = _read(
                client, statement.text + _settings(call), statement.parameters, query
            )
            return rows

    def look_up(self, statement: Statement, seconds: float) -> Sequence[Sequence[object]]:
        """Return all rows of a query that no request's time bounds, but its own.

        Args:
            statement: The query; for small results.
            seconds: The time that it may take.

        Raises:
            StoreUnavailableError: ClickHouse can't be reached, or does not answer in time.
            PagerolesError: As for `stream`.
        """
        try:
            return self.rows(statement, self.call(seconds))
        except DeadlineError as error:
            raise StoreUnavailableError(NOT_ANSWERED) from error

    def scan(self, statement: Statement, call: Call) -> Sequence[Sequence[object]]:
        """Return all rows of a query that reads whole tables: with all cores, and with groups on disk if they are many.

        Raises:
            PagerolesError: As for `stream`.
        """
        with self._asked(statement.text, call) as (client, query):
            text = statement.text + _settings(call, threads=0) + _GROUPS_ON_DISK
            rows: Sequence[Sequence[object]] = _read(client, text, statement.parameters, query)
            return rows

    def value(self, statement: Statement, call: Call) -> bytes:
        """Return the one value of a query as it is stored.

        Raises:
            PagerolesError: As for `stream`.
        """
        with self._asked(statement.text, call) as (client, _):
            return client.raw_query(statement.text + _settings(call), dict(statement.parameters), fmt="RawBLOB")

    def broken_parts(self, table: str, call: Call) -> list[tuple[str, str]]:
        """Return the parts of a table whose files are damaged, each by its name with what ClickHouse says of it.

        Args:
            table: A table of the schema; on a cluster, one with this server's own rows.
            call: Ends the query in time.

        Raises:
            PagerolesError: As for `stream`.
        """
        text = (
            f"CHECK TABLE {table} SETTINGS check_query_single_value_result = 0, "
            f"max_execution_time = {call.remaining():.3f}, log_comment = '{call.tag}'"
        )
        with self._asked(text, call) as (client, _):
            # For the driver this is a command, whose answer it would not take apart.
            lines = client.raw_query(text, fmt="JSONEachRow").splitlines()
        parts = [msgspec.json.decode(line, type=_CheckedPart) for line in lines]
        return [(part.part_path, part.message) for part in parts if not part.is_passed]

    @contextlib.contextmanager
    def stream(self, statement: Statement, call: Call) -> Iterator[Iterator[bytes]]:
        """Stream the result of a query.

        Yields:
            The bytes of ClickHouse's Native format, in chunks that are cut anywhere.

        Raises:
            CancelledError: The call was cancelled; the query is stopped.
            DeadlineError: The call's time is over; the query is stopped.
            OverloadedError: ClickHouse is busy.
            StoreUnavailableError: The connection failed.
            InternalError: ClickHouse refused the query.
        """
        with self._asked(statement.text, call) as (client, query):
            source: Any = client.raw_stream(
                statement.text + _settings(call), parameters=dict(statement.parameters), fmt="Native"
            )
            # The embedded engine gives a query no id that it tells.
            query.identified(getattr(source, "headers", {}).get("X-ClickHouse-Query-Id", ""))
            # Over HTTP `read` waits for a whole chunk, and loses what came before a break; `stream` returns what comes.
            read: Any = source.stream(_CHUNK_BYTES) if hasattr(source, "stream") else None
            pieces: Iterator[bytes] = read or iter(lambda: source.read(_CHUNK_BYTES), b"")
            last: collections.deque[bytes] = collections.deque(maxlen=_LAST_CHUNKS)
            try:
                yield self._chunks(pieces, last, call)
            except CoreError as error:
                # What reads as no block may be ClickHouse's own words, or what is left of them where they break off.
                broke_off = False
                try:
                    last.extend(itertools.islice(pieces, _LAST_CHUNKS))
                except urllib3.exceptions.HTTPError:
                    broke_off = True
                if (fault := fault_in(b"".join(last))) is not None:
                    raise fault from error
                if broke_off:
                    raise StoreUnavailableError(BROKE_OFF) from error
                raise
            finally:
                source.close()

    @contextlib.contextmanager
    def _asked(self, text: str, call: Call) -> Iterator[tuple[Client, Query]]:
        """Lend a client for one query of a call; count the query, and tell the call's watcher."""
        call.let_others()
        with (
            call.watcher.query(text, call.tag) as query,
            self._sent(self._engine.reader(call.remaining() + _GRACE_SECONDS), call) as client,
        ):
            yield client, query
            # A query that is stopped may end as one that has no more rows.
            call.remaining()

    @contextlib.contextmanager
    def _sent(self, lent: contextlib.AbstractContextManager[Client], call: Call | None = None) -> Iterator[Client]:
        """Lend a client for one statement, which is counted."""
        self.counted.statements.add("sent")
        with self._counting(call), lent as client:
            yield client

    @contextlib.contextmanager
    def _counting(self, call: Call | None = None) -> Iterator[None]:
        """Raise the driver's errors as errors of this project, and count them."""
        try:
            with translated(call):
                yield
        except PagerolesError as error:
            self.counted.errors.add(faults.kind(error))
            raise

    def _chunks(self, pieces: Iterator[bytes], last: collections.deque[bytes], call: Call) -> Iterator[bytes]:
        """Read a stream to its end; where it breaks off, raise the fault that ClickHouse wrote into it."""
        streamed = 0
        try:
            for chunk in pieces:
                call.remaining()
                last.append(chunk)
                streamed += len(chunk)
                yield chunk
            # Before anybody takes it for whole: a query that is stopped may end as one that has no more rows.
            call.remaining()
        except urllib3.exceptions.HTTPError as error:
            if (fault := fault_in(b"".join(last))) is not None:
                raise fault from error
            raise StoreUnavailableError(BROKE_OFF) from error
        finally:
            self.counted.statements.add("streamed_bytes", streamed)

    def call(self, seconds: float, watcher: Watcher = NOBODY) -> Call:
        """Return a new call of at most `seconds`; to cancel it stops its queries in this store."""
        call = Call(seconds, watcher)
        call.on_cancel(lambda: self._stop_soon(call.tag))
        return call

    def _stop_soon(self, tag: str) -> None:
        if not self._closed.is_set():
            with contextlib.suppress(RuntimeError):  # closed since the check
                self._stopper.submit(self._stop, tag)

    def _stop(self, tag: str) -> None:
        try:
            with self._engine.control(_STOP_SECONDS) as client:
                client.command("KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC", parameters={"tag": tag})
        except ClickHouseError as error:
            _log.warning("query not stopped", tag=tag, error=str(error))


_INSERT_SETTINGS: dict[str, int | str] = {
    # A batch may have sessions of any number of months.
    "max_partitions_per_insert_block": 0,
    "date_time_input_format": "best_effort",
    # On a cluster an insert returns only when the other shards have stored their rows.
    "distributed_foreground_insert": 1,
}
_GROUPS_ON_DISK = ", max_bytes_before_external_group_by = 400000000"
_COLUMNS = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'sessions'"
_CLUSTER = (
    "anyOrNull(extract(engine_full, '^Distributed\\(\\'?(\\w+)')) FILTER (WHERE name = 'sessions' "
    "AND engine = 'Distributed')"
)
# Whether the store has the table of versions, and the cluster that it is on.
_TABLES = f"SELECT countIf(name = 'schema_versions'), {_CLUSTER} FROM system.tables WHERE database = currentDatabase()"
# Of all rows, so that it is read from the disk: max(version) ClickHouse knows, whatever has become of the files.
_VERSION = "SELECT arrayMax(groupArray(version)) FROM schema_versions"
_PLACES = (
    "SELECT domain, session_key, user_key, toUnixTimestamp64Milli(started_at), "
    "toUnixTimestamp64Micro(max(written_at)) FROM places "
    "WHERE domain IN {domains:Array(String)} AND session_key IN {session_keys:Array(UInt64)} "
    "GROUP BY domain, session_key, user_key, started_at"
)


def _read(client: Client, text: str, parameters: Mapping[str, object] | None = None, query: Query | None = None) -> Any:
    """Run a query, and return its rows; tell `query` of it."""
    try:
        result = client.query(text, parameters=dict(parameters or {}))
    except _NO_BLOCK as error:
        raise StoreUnavailableError("ClickHouse's answer can't be read; try again") from error
    if query is not None:
        query.identified(result.query_id)
    return result.result_rows


# What the driver's parser may come to in bytes that are no block.
_NO_BLOCK = (
    *(LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError, struct.error),
    driver_exceptions.InternalError,
)


class _CheckedPart(msgspec.Struct):
    """A row of the answer to CHECK TABLE."""

    part_path: str
    is_passed: int
    message: str


class _SchemaState(NamedTuple):
    """The state of a store's schema.

    Attributes:
        exists: Whether the table `sessions` exists.
        is_first: Whether that table has the columns of the first migration.
        version: The last migration that was applied; 0: none is recorded.
        cluster: The cluster that the store is on; None: one server.
    """

    exists: bool
    is_first: bool
    version: int
    cluster: str | None


def _refuse_foreign(state: _SchemaState) -> None:
    """Refuse a store that can't be migrated."""
    if state.exists and not state.is_first:
        raise SettingError(
            "the store was made by an early version, whose tables reports can't read: load the sessions into a new "
            "store"
        )
    if state.version > schema.latest():
        raise SettingError(
            f"the store has version {state.version} of the schema, and this pageroles only knows {schema.latest()}: "
            "update pageroles"
        )


def _settings(call: Call, threads: int = 1) -> str:
    """Return the settings of a query as SQL: the driver does not stream a query with settings of its own."""
    return (
        f" SETTINGS max_execution_time = {call.remaining():.3f}, log_comment = '{call.tag}', "
        f"max_threads = {threads}, max_block_size = {_BLOCK_ROWS}, do_not_merge_across_partitions_select_final = 1, "
        # On a cluster all sessions of a user are on one shard, which can answer a subquery about them itself.
        "distributed_product_mode = 'local'"
    )
