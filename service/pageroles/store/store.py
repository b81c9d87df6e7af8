"""The one place that talks to ClickHouse: streams, rows, inserts, and what their failures mean."""

from __future__ import annotations

import collections
import contextlib
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
import structlog
import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError

from pageroles.errors import SettingError, StoreUnavailableError
from pageroles.store import schema
from pageroles.store.call import Call
from pageroles.store.engine import Engine, connect
from pageroles.store.faults import NO_SCHEMA, fault_in, translated
from pageroles.store.lock import refuse_if_locked
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


_log = structlog.get_logger(__name__)

# Bytes asked for at once from a stream. Far below what the allocator maps by itself (`embedded.py` sets that): larger
# chunks come as fresh pages from the system each time, and those took as long as all else together.
_CHUNK_BYTES = 256 << 10
_BLOCK_ROWS = 65_536
# What a look-up of a writer may take.
_LOOK_UP_SECONDS = 60.0

# Chunks at the end of a broken HTTP stream that may carry ClickHouse's exception.
_LAST_CHUNKS = 16


class Store:
    """A ClickHouse with the schema of pageroles, embedded or on a server.

    Safe to use from many threads. Use as a context manager, or call `close`.
    """

    def __init__(self, engine: Engine, readers: int) -> None:
        """Wrap an open engine; `Store.open` is the usual way."""
        self._engine = engine
        self.readers = readers
        # Stopping a query may take its time; the thread of the caller who gave up does not wait for it.
        self._stopper = ThreadPoolExecutor(1, thread_name_prefix="stop-query")
        self._closed = threading.Event()

    @classmethod
    def open(cls, dsn: str, *, readers: int = 4, silence: float = 300.0) -> Self:
        """Open the store at a DSN; an embedded one gets its schema at once.

        Args:
            dsn: `chdb:///path/to/folder`, or `clickhouse://user:password@host:8123/database`.
            readers: How many streams may be open at once.
            silence: Seconds after which a server that sends nothing is given up; longer than any call may take.

        Raises:
            SettingError: The DSN can't be used.
            StoreLockedError: Another process holds the embedded store.
            StoreUnavailableError: The server can't be reached.
        """
        store = cls(connect(dsn, readers, silence), readers)
        if store.embedded:
            store.apply_schema()
        return store

    @staticmethod
    def refuse_if_held(folder: Path) -> None:
        """Make sure that no process holds the embedded store in a folder.

        Raises:
            StoreLockedError: One does.
        """
        refuse_if_locked(folder)

    @property
    def embedded(self) -> bool:
        """Tell whether the engine runs in this process."""
        return self._engine.embedded

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Stop and close everything; further calls fail."""
        if not self._closed.is_set():
            self._closed.set()
            self._stopper.shutdown(wait=True)
            self._engine.close()

    # ---- changing the store ----

    def apply_schema(self, cluster: str | None = None) -> None:
        """Carry the store forward to the latest schema: take the steps that it lacks, in order.

        Args:
            cluster: Make the form for this cluster; None: the form that the store has, or that of one server.

        Raises:
            SettingError: The store is older than the first step, of a later pageroles, or in another form.
        """
        state = self._schema_state()
        _refuse_foreign(state)
        if cluster and state.exists and cluster != state.cluster:
            raise SettingError(
                f"the store is already there, {f'on the cluster {state.cluster}' if state.cluster else 'on one server'}"
                f", and can't become one on the cluster {cluster}: give an empty database"
            )
        cluster = cluster or state.cluster
        missing = [step for step in schema.migrations() if step.version > state.version]
        if missing:
            for statement in schema.version_statements(cluster):
                self.command(statement)
        for step in missing:
            for statement in step.statements(cluster):
                self.command(statement)
            self.insert("schema_versions", msgspec.json.encode({"version": step.version, "name": step.name}))

    def command(self, text: str, parameters: dict[str, object] | None = None) -> None:
        """Run one statement that returns nothing."""
        with translated(), self._engine.writer() as client:
            client.command(text, parameters=parameters)

    def insert(self, table: str, rows: bytes) -> None:
        """Insert rows given as JSON Lines in ClickHouse's JSONEachRow; they are stored when this returns.

        Args:
            table: A table of the schema.
            rows: One object per line with the names of the table's plain columns.
        """
        with translated(), self._engine.writer() as client:
            # The driver sends an insert again when the connection broke; the token keeps it from counting twice.
            settings = {**_INSERT_SETTINGS, "insert_deduplication_token": secrets.token_hex(16)}
            client.raw_insert(table, insert_block=rows, fmt="JSONEachRow", settings=settings)

    # ---- reading ----

    def check(self) -> None:
        """Make sure that the store answers and has the latest schema.

        Raises:
            SettingError: The schema is missing, or of another version.
            StoreUnavailableError: The server can't be reached.
        """
        state = self._schema_state()
        if not state.exists:
            raise SettingError(NO_SCHEMA)
        _refuse_foreign(state)
        if state.version < schema.latest():
            raise SettingError(
                f"the store has version {state.version} of the schema, and this pageroles needs {schema.latest()}: "
                "run `pageroles schema`, which carries it forward and keeps its sessions"
            )

    def _schema_state(self) -> _SchemaState:
        with translated(), self._engine.control() as client:
            columns = {name for (name,) in client.query(_COLUMNS).result_rows}
            tables, cluster = client.query(_TABLES).result_rows[0]
            version = client.query(_VERSION).result_rows[0][0] if tables else 0
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
        found: Any = self.rows(statement, self.call(_LOOK_UP_SECONDS))
        return [tuple(row) for row in found]

    def rows(self, statement: Statement, call: Call) -> Sequence[Sequence[object]]:
        """Return the rows of a small answer.

        Raises:
            PagerolesError: As for `stream`.
        """
        with translated(call), self._engine.reader() as client:
            result = client.query(statement.text + _settings(call), parameters=dict(statement.parameters))
            return result.result_rows

    @contextlib.contextmanager
    def stream(self, statement: Statement, call: Call) -> Iterator[Iterator[bytes]]:
        """Stream an answer as chunks of ClickHouse's Native format, cut anywhere.

        Raises:
            CancelledError: The call was cancelled; the query is stopped.
            DeadlineError: The call's time is over; the query is stopped.
            OverloadedError: ClickHouse refuses to take on more.
            StoreUnavailableError: The connection failed.
            InternalError: ClickHouse refused the query.
        """
        with translated(call), self._engine.reader() as client:
            source: Any = client.raw_stream(
                statement.text + _settings(call), parameters=dict(statement.parameters), fmt="Native"
            )
            try:
                yield _chunks(source, call)
            finally:
                source.close()

    def call(self, seconds: float) -> Call:
        """Start a call whose cancel stops its queries here."""
        call = Call(seconds)
        call.on_cancel(lambda: self._stop_soon(call.tag))
        return call

    def _stop_soon(self, tag: str) -> None:
        if not self._closed.is_set():
            with contextlib.suppress(RuntimeError):  # closed in between
                self._stopper.submit(self._stop, tag)

    def _stop(self, tag: str) -> None:
        try:
            with self._engine.control() as client:
                client.command("KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC", parameters={"tag": tag})
        except ClickHouseError as error:
            _log.warning("query not stopped", tag=tag, error=str(error))


# A batch may reach over any number of months.
_INSERT_SETTINGS = {
    "max_partitions_per_insert_block": 0,
    "date_time_input_format": "best_effort",
    # Rows for other shards are there, not on their way, when an insert returns.
    "distributed_foreground_insert": 1,
}
_COLUMNS = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'sessions'"
_CLUSTER = (
    "anyOrNull(extract(engine_full, '^Distributed\\(\\'?(\\w+)')) FILTER (WHERE name = 'sessions' "
    "AND engine = 'Distributed')"
)
# Whether the store says which steps of the schema it has, and the cluster that it lies on.
_TABLES = f"SELECT countIf(name = 'schema_versions'), {_CLUSTER} FROM system.tables WHERE database = currentDatabase()"
_VERSION = "SELECT max(version) FROM schema_versions"
_PLACES = (
    "SELECT domain, session_key, user_key, toUnixTimestamp64Milli(started_at), "
    "toUnixTimestamp64Micro(max(written_at)) FROM places "
    "WHERE domain IN {domains:Array(String)} AND session_key IN {session_keys:Array(UInt64)} "
    "GROUP BY domain, session_key, user_key, started_at"
)


class _SchemaState(NamedTuple):
    """What a store has of the schema.

    Attributes:
        exists: It has sessions.
        is_first: Its sessions have what the first step brings.
        version: The last step that it has; 0: it does not say.
        cluster: The cluster it lies on; None: one server.
    """

    exists: bool
    is_first: bool
    version: int
    cluster: str | None


def _refuse_foreign(state: _SchemaState) -> None:
    """Refuse a store that no step leads from."""
    if state.exists and not state.is_first:
        raise SettingError(
            "the store was made by an early version, and its tables lack what reports read: load the sessions into a "
            "new one"
        )
    if state.version > schema.latest():
        raise SettingError(
            f"the store has version {state.version} of the schema, and this pageroles knows {schema.latest()}: "
            "update pageroles"
        )


def _settings(call: Call) -> str:
    """Return the settings of a query, written in its text: handed over apart they would end streaming."""
    return (
        f" SETTINGS max_execution_time = {call.remaining():.3f}, log_comment = '{call.tag}', max_threads = 1, "
        f"max_block_size = {_BLOCK_ROWS}, do_not_merge_across_partitions_select_final = 1, "
        # On a cluster a user's sessions lie on one shard, so what one shard asks of them it can answer itself.
        "distributed_product_mode = 'local'"
    )


def _chunks(source: Any, call: Call) -> Iterator[bytes]:
    """Read a stream to its end, and find ClickHouse's own words where it broke off."""
    last: collections.deque[bytes] = collections.deque(maxlen=_LAST_CHUNKS)
    # Over HTTP `read` would gather up to its size, and lose what came before a break; `stream` gives what comes.
    pieces = source.stream(_CHUNK_BYTES) if hasattr(source, "stream") else iter(lambda: source.read(_CHUNK_BYTES), b"")
    try:
        for chunk in pieces:
            call.remaining()
            last.append(chunk)
            yield chunk
    except urllib3.exceptions.HTTPError as error:
        if (fault := fault_in(b"".join(last))) is not None:
            raise fault from error
        raise StoreUnavailableError("the connection to ClickHouse broke off; try again") from error
