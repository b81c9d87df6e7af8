"""The half of the stand-in for a ClickHouse server that runs queries, and spoils answers.

chDB holds its folder for the whole process and may not be forked, so all this belongs in a process of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import io
import re
import socket
import tempfile
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

# Formats whose pieces make one stream when they are put end to end: chDB makes each block a whole of its own.
STREAMED = {"Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow"}
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)(?:\s+SETTINGS\b[^;]*)?\s*;?\s*$", re.IGNORECASE)
_INSERT = re.compile(rb"\s*(INSERT\s+INTO\b.*?)\s+FORMAT\s+(\w+)[ \t]*\r?\n?", re.IGNORECASE | re.DOTALL)
_READS = re.compile(r"[\s(]*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN)\b", re.IGNORECASE)

# What a server takes for itself out of the URL; everything else there is a setting.
_RESERVED = {
    *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace"),
    *("session_id", "session_timeout", "session_check", "close_session", "client_protocol_version"),
    *("compress", "decompress", "buffer_size", "wait_end_of_query"),
}

# chDB gives each query an id of its own. The label of a cache that nobody uses carries the client's id instead.
_LABEL = "query_cache_tag"
_OWN_ID = f"Settings['{_LABEL}']"
_PROCESSES = f"(SELECT * REPLACE (if({_OWN_ID} = '', query_id, {_OWN_ID}) AS query_id) FROM system.processes)"  # noqa: S608
# ClickHouse's HTTP statuses for the errors that tests meet; 500 for all others.
_STATUS = {
    **dict.fromkeys((6, 25, 26, 27, 36, 38, 41, 53, 62, 72, 117), 400),
    **dict.fromkeys((192, 193, 516), 403),
    **dict.fromkeys((46, 47, 50, 60, 63, 73, 81, 115), 404),
    48: 501,
    159: 408,
    194: 401,
}
_MODES = (None, "refuse", "drop", "hang", "503", "500", "cut", "exception_midstream", "slow")


class ServerError(Exception):
    """An error as ClickHouse words it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = re.search(r"Code: (\d+)", text)
        self.code = int(found[1]) if found else 1001
        self.status = _STATUS.get(self.code, 500)
        self.text = text[found.start() :].strip() if found else f"Code: 1001. DB::Exception: {text} (STD_EXCEPTION)"
        if "(version " not in self.text:
            self.text += " (version 26.9.2.1 (official build))"


class CutError(Exception):
    """The answer is to break off here."""


@dataclasses.dataclass
class Fault:
    """What goes wrong with the queries that contain `match`."""

    mode: str | None = None
    match: str = ""
    times: int | None = None
    after_bytes: int = 1024
    seconds: float = 0.05
    code: int = 241

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise ValueError(f"there is no fault {self.mode!r}; there are {', '.join(filter(None, _MODES))}")

    @property
    def error(self) -> ServerError:
        return ServerError(f"Code: {self.code}. DB::Exception: A fault on demand. (FAULT_ON_DEMAND)")

    def spoil(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass an answer on, with the faults that show within one."""
        if self.mode == "slow":
            for chunk in chunks:
                for start in range(0, len(chunk), self.after_bytes):
                    time.sleep(self.seconds)
                    yield chunk[start : start + self.after_bytes]
        elif self.mode in {"cut", "exception_midstream"}:
            left = self.after_bytes
            for chunk in chunks:
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    break
            raise CutError if self.mode == "cut" else self.error
        else:
            yield from chunks


@dataclasses.dataclass(eq=False)
class Query:
    """One request: a statement, the rows for it where it is an insert, and where its client is."""

    sql: str
    data: bytes | None
    format: str
    params: dict[str, str]
    client: socket.socket
    written: int = 0
    left: bool = False

    def __post_init__(self) -> None:
        self.query_id = self.params.get("query_id") or str(uuid.uuid4())
        own = {key: value for key, value in self.params.items() if not key.startswith("param_")}
        self.settings = {key: value for key, value in own.items() if key not in _RESERVED}
        # A server goes on with a query that changes something when its client leaves.
        asked = self.settings.get("cancel_http_readonly_queries_on_client_close") == "1"
        self.stoppable = asked and _READS.match(self.sql) is not None

    @classmethod
    def of(cls, params: dict[str, str], body: bytes, client: socket.socket) -> Query:
        """Put a query together from the parameters of the URL and the form, and the body."""
        text = b"\n".join(part for part in (params.get("query", "").encode(), body) if part)
        insert = _INSERT.match(text)
        if insert and not re.search(rb"\bSELECT\b", insert[1], re.IGNORECASE):
            return cls(insert[1].decode(), text[insert.end() :], insert[2].decode(), params, client)
        sql = text.decode(errors="replace")
        named = _FORMAT.search(sql)
        return cls(sql, None, named[1] if named else params.get("default_format", "TabSeparated"), params, client)

    def gone(self) -> bool:
        """Tell whether the client closed its connection."""
        try:
            return self.client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def unpacked(body: bytes, encoding: str) -> bytes:
    """Undo the packing of a request's body, which may be several packs end to end."""
    if not encoding:
        return body
    # Each is a module that clients bring with them; lz4's `decompress` would stop after the first pack.
    names = {"gzip": "gzip", "zstd": "backports.zstd", "lz4": "lz4.frame"}
    with importlib.import_module(names[encoding]).open(io.BytesIO(body)) as file:
        whole: bytes = file.read()
        return whole


class Engine:
    """chDB in this process: a connection of its own for each query, since an open stream takes one up."""

    def __init__(self, path: str) -> None:
        # Imported here: who only wants `StandIn` stays without the engine's threads.
        self._connect: Any = functools.partial(importlib.import_module("chdb").connect, path)
        # The first connection keeps the engine alive between queries; it also stops them.
        self._control = self._connect()
        self._lock = threading.Lock()
        self.timezone = self._control.query("SELECT timezone()", "TSV").bytes().decode().strip()

    def answer(self, query: Query) -> Generator[bytes, None, None]:
        """Run a query; its answer in pieces, as they come.

        Raises:
            ServerError: ClickHouse refuses the query, or stops within it.
        """
        try:
            with contextlib.closing(self._connect()) as connection:
                connection.query(_set(query))
                if (database := query.params.get("database", "default")) != "default":
                    connection.query(f"USE `{database}`")
                yield from _ask(connection, query) if query.data is None else _insert(connection, query, query.data)
        except RuntimeError as error:
            raise ServerError(str(error)) from error

    def stop(self, query_id: str) -> None:
        """Stop a query; it may take a moment after this returns."""
        with self._lock, contextlib.suppress(RuntimeError):
            self._control.query(f"KILL QUERY WHERE {_OWN_ID} = {_quoted(query_id)} ASYNC")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _set(query: Query) -> str:
    # A server takes no bare expression for a SELECT. `readonly` comes last: it forbids what follows it.
    settings = {"implicit_select": "0", _LABEL: query.query_id, **query.settings}
    for name in sorted(settings):
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ServerError(f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
    return "SET " + ", ".join(f"{name} = {_quoted(settings[name])}" for name in sorted(settings, key="readonly".__eq__))


def _insert(connection: Any, query: Query, data: bytes) -> Iterator[bytes]:
    # Not by the engine's streamed inserts: they say nothing of one that fails in a view or by a constraint.
    with tempfile.NamedTemporaryFile(suffix=".rows") as file:
        file.write(data)
        file.flush()
        result = connection.query(f"{query.sql} FROM INFILE {_quoted(file.name)} FORMAT {query.format}", "TSV")
        query.written = result.rows_read()
    yield b""


def _ask(connection: Any, query: Query) -> Iterator[bytes]:
    if re.match(r"\s*KILL\s+QUERY\b", query.sql, re.IGNORECASE):
        sql = re.sub(r"\bquery_id\b", _OWN_ID, query.sql)
    else:
        sql = query.sql.replace("system.processes", _PROCESSES)
    params = {key.removeprefix("param_"): value for key, value in query.params.items() if key.startswith("param_")}
    if query.format in STREAMED:
        try:
            with contextlib.closing(connection.send_query(sql, query.format, params)) as stream:
                for chunk in stream:
                    yield chunk.bytes()
        except RuntimeError as error:
            # All but SELECT; the engine tells before it starts.
            if "Streaming query is not supported" not in str(error):
                raise
        else:
            return
    yield connection.query(sql, query.format, params).bytes()
