"""ClickHouse's HTTP interface over an embedded store, for other processes on the same machine.

It understands what the driver sends: SQL in the body or in a form, values, settings, and rows that follow an INSERT.
Answers are whole before they are sent: a command asks for little, and an error then has a status of its own.
"""

from __future__ import annotations

import contextlib
import re
import threading
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from pageroles.store import infile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pageroles.store.changes import Changes

# The statements that change nothing. They run read-only, so that none is taken for one by mistake.
_READS = re.compile(r"[\s(]*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK)\b", re.IGNORECASE)
_STOPS = re.compile(r"\s*KILL\s+QUERY\b", re.IGNORECASE)
_INSERT = re.compile(rb"\s*(INSERT\s+INTO\s+\S+(?:\s*\([^()]*\))?)\s+FORMAT\s+(\w+)[ \t]*\r?\n", re.IGNORECASE)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")
_UNKNOWN_EXCEPTION = "1002"
_SETTING = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# What a server takes for itself out of the address; everything else there is a value or a setting.
_OF_THE_TRANSPORT = {
    *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "compress"),
    *("decompress", "session_id", "session_timeout", "session_check", "client_protocol_version", "wait_end_of_query"),
    *("buffer_size", "send_progress_in_http_headers", "http_headers_progress_interval_ms", "enable_http_compression"),
}
# The engine gives queries ids of its own. The label of a cache that nobody uses tells which query to stop.
_LABEL = "query_cache_tag"
_STOP_AGAIN_SECONDS = 0.05
# Of all queries of the engine. It would remember for each condition and part where the condition holds, up to
# 100 MB of it; conditions that name sessions or parts never come again.
SETTINGS = {"use_query_condition_cache": "0"}
_STOPPING = "the server is stopping"


class Answer(NamedTuple):
    """An answer of HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Interface:
    """Answers ClickHouse's HTTP requests on an embedded store; safe to use from many threads.

    Attributes:
        closed: Whether queries are refused, since the server stops.
    """

    def __init__(self, connect: Callable[[], Any], changes: Changes) -> None:
        """Answer on an open engine.

        Args:
            connect: Returns a new connection to the engine, for one query at a time.
            changes: Counts what changes the store.
        """
        self._connect = connect
        self._changes = changes
        self._lock = threading.Lock()
        self._reading: set[Query] = set()
        self.closed = False

    def query(self, parameters: Mapping[str, str], content_type: str, body: bytes) -> Query:
        """Return the query of a request, which has not begun yet.

        Args:
            parameters: Those of the address.
            content_type: The header.
            body: SQL, an INSERT with its rows, or a form.
        """
        fields = dict(parameters)
        boundary = content_type.partition("boundary=")[2]
        if content_type.startswith("multipart/form-data") and boundary:
            fields |= _form(body, boundary.strip('"').encode())
            body = b""
        text = b"\n".join(part for part in (fields.get("query", "").encode(), body) if part)
        return Query(self, fields, text)

    def close(self) -> None:
        """Refuse new queries, and stop those that read; changes at work go on."""
        with self._lock:
            self.closed = True
            reading = list(self._reading)
        for query in reading:
            query.stop()

    def connect(self) -> contextlib.closing[Any]:
        """Open a connection to the engine for a block."""
        return contextlib.closing(self._connect())

    @contextlib.contextmanager
    def admit(self, query: Query) -> Iterator[None]:
        """Let a query run in the block, as what it is: a change is counted, and waits while changes pause.

        Raises:
            RuntimeError: The server is stopping.
        """
        with contextlib.ExitStack() as stack:
            with self._lock:
                if self.closed:
                    raise RuntimeError(_STOPPING)
                if query.reads:
                    self._reading.add(query)
            if query.reads:
                stack.callback(self._reading.discard, query)
            elif not _STOPS.match(query.sql):
                stack.enter_context(self._changes.one())
                stack.enter_context(self._changes.command(query.sql))
            yield


class Query:
    """One request: a statement, and the rows that it inserts."""

    def __init__(self, interface: Interface, fields: Mapping[str, str], text: bytes) -> None:
        """Take a request apart.

        Args:
            interface: Where it runs.
            fields: Values as `param_NAME`, settings, and what is for the transport.
            text: The statement, with rows behind an INSERT.
        """
        self._interface = interface
        self._label = str(uuid.uuid4())
        self._ended = threading.Event()
        self._is_stopped = False
        self._values = {
            name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")
        }
        self._settings = {
            name: value
            for name, value in fields.items()
            if not name.startswith("param_") and name not in _OF_THE_TRANSPORT
        }
        insert = _INSERT.match(text)
        self._rows = text[insert.end() :] if insert else None
        self.sql = (insert[1] if insert else text).decode(errors="replace")
        named = _FORMAT.search(self.sql)
        self._format = insert[2].decode() if insert else named[1] if named else "TabSeparated"

    @property
    def reads(self) -> bool:
        """Whether the statement changes nothing."""
        return self._rows is None and _READS.match(self.sql) is not None

    def run(self) -> Answer:
        """Run the statement to its end; an error is an answer, too."""
        try:
            with self._interface.admit(self), self._interface.connect() as connection:
                connection.query(_set(SETTINGS | self._settings | {_LABEL: self._label}))
                if self._rows is not None:
                    self._insert(connection, self._rows)
                    return Answer(200, {}, b"")
                if self.reads:
                    connection.query("SET readonly = 2")
                body = connection.query(self.sql, self._format, self._values).bytes()
                if self._is_stopped:
                    # What was stopped may end as if there were no more rows.
                    return Answer(503, {}, _STOPPING.encode())
                # Only what has a result names its format: so the driver knows an empty one.
                return Answer(200, {"X-ClickHouse-Format": self._format} if self.reads else {}, body)
        except (RuntimeError, OSError) as error:
            stopped = self._interface.closed and (self.reads or str(error) == _STOPPING)
            # Without a code of ClickHouse's the client knows that the server goes.
            return Answer(503, {}, _STOPPING.encode()) if stopped else _refusal(str(error))
        finally:
            self._ended.set()

    def _insert(self, connection: Any, rows: bytes) -> None:
        # Not by the engine's streamed inserts, which say nothing of one that fails in a view.
        with infile.path_of(rows) as path:
            connection.query(f"{self.sql} FROM INFILE {_quoted(path)} FORMAT {self._format}")

    def stop(self) -> None:
        """Stop the statement if it only reads, as a server does whose client has left; return when it has ended."""
        if not self.reads:
            return
        self._is_stopped = True
        with self._interface.connect() as connection:
            # Again and again: it may not have begun in the engine yet.
            while not self._ended.is_set():
                connection.query(f"KILL QUERY WHERE Settings['{_LABEL}'] = '{self._label}' ASYNC")
                self._ended.wait(_STOP_AGAIN_SECONDS)


def _form(body: bytes, boundary: bytes) -> dict[str, str]:
    """Return the fields of a form."""
    fields = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        fields[head.partition(b'name="')[2].partition(b'"')[0].decode()] = value.removesuffix(b"\r\n").decode()
    return fields


def _set(settings: Mapping[str, str]) -> str:
    for name in settings:
        if not _SETTING.fullmatch(name):
            raise RuntimeError(f"Code: 115. DB::Exception: Unknown setting {name!r}. (UNKNOWN_SETTING)")
    return "SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items())


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _refusal(said: str) -> Answer:
    """Return the answer for an error, which is the engine's as a rule."""
    code = _CODE.search(said)
    headers = {"X-ClickHouse-Exception-Code": code[1] if code else _UNKNOWN_EXCEPTION}
    return Answer(500, headers, said[code.start() if code else 0 :].strip().encode())
