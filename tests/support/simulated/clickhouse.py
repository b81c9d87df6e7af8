"""A ClickHouse server in Python, as its HTTP interface shows it: statements come in, bytes go out.

It knows the project's statements by the constants and functions that make them, and the forms that `sql.py` reads. It
refuses all others with an `UntaughtError`, which no life survives.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pageroles.store import damage, erasure, parts, schema, store, writes
from support.simulated import native, sql, tables
from support.simulated.sql import Result, UntaughtError
from support.simulated.threads import SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from random import Random

    from support.simulated.sql import Row
    from support.simulated.tables import Table

_UUID = "11111111-2222-3333-4444-555555555555"
_INSERT = re.compile(r"INSERT INTO (\w+)(?: \(([^)]*)\))?\s+FORMAT (\w+)\s*", re.IGNORECASE)
_WITH_ROWS = re.compile(rb"INSERT INTO [^\n]* FORMAT \w+\n")
_INSERT_SELECT = re.compile(r"INSERT INTO (\w+)(?: \([^)]*\))?\s+(?=SELECT)")
_DELETE = re.compile(r"ALTER TABLE (\w+)\s+DELETE WHERE (.*?)\s+SETTINGS mutations_sync = 0", re.DOTALL)
_SETTING = re.compile(r"ALTER TABLE (\w+) (?:RE|MODIFY )SET")
_DROP_WRITE = re.compile(r"ALTER TABLE writes DROP PARTITION (\d+)")
_SYSTEM = re.compile(r"SYSTEM START (?:MERGES|CLEANUP) \w+")
_TAG = re.compile(r"log_comment = '([^']*)'")
_SECONDS = re.compile(r"[\d.]+")


class ClickHouseError(Exception):
    """An error as ClickHouse tells it."""

    def __init__(self, code: int, name: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: Made up. ({name}) (version 26.9.2.1 (official build))")
        self.code = code


class Statement(NamedTuple):
    """A statement that came.

    Attributes:
        text: The SQL without its settings.
        tag: What marks the queries of a call.
        seconds: The time that it may take.
        values: Its bound values.
        data: The rows of an insert.
        token: What tells an insert that is sent again.
    """

    text: str
    tag: str
    seconds: float
    values: Mapping[str, Any]
    data: bytes
    token: str

    @classmethod
    def of(cls, params: Mapping[str, str], body: bytes) -> Statement:
        """Take a request apart."""
        insert = _WITH_ROWS.match(body)
        query = insert[0] if insert else body
        text, _, settings = query.decode().partition(" SETTINGS max_execution_time = ")
        tag, seconds = _TAG.search(settings), _SECONDS.match(settings)
        values = {name: sql.value(params[f"param_{name}"], of) for name, of in sql.types_of_values(text).items()}
        return cls(
            text.removesuffix("\n FORMAT Native").removesuffix("\n FORMAT RawBLOB").strip(),
            tag[1] if tag else "",
            float(seconds[0]) if seconds else math.inf,
            values,
            body[insert.end() :] if insert else b"",
            params.get("insert_deduplication_token", ""),
        )


class ClickHouse:
    """The server: its tables, and what it tells of itself.

    Attributes:
        tables: The tables.
        started: When it was started last, in seconds since 1970.
        begun: The ids of all writes that were ever begun.
        ended: Those of the writes that ended.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.tables = tables.new_tables()
        self.started = SCHEDULE.epoch_ns() // 1_000_000_000
        self.begun: set[int] = set()
        self.ended: set[int] = set()
        self._tokens: set[tuple[str, str]] = set()
        # While the server dies within an insert: how many more parts it stores.
        self._parts_left: int | None = None
        self._known: dict[str, Callable[[Statement], Result]] = {
            "SELECT version(), timezone()": lambda _: Result(["v", "z"], ["String"] * 2, [("26.9.2.1", "UTC")]),
            "SELECT name, value, readonly FROM system.settings LIMIT 10000": lambda _: _SETTINGS,
            store._COLUMNS: lambda _: Result(["name"], ["String"], [("domain",), ("packed",)]),
            store._TABLES: lambda _: Result(["n", "c"], ["UInt64", "Nullable(String)"], [(1, None)]),
            store._VERSION: lambda _: Result(["v"], ["UInt32"], [(schema.latest(),)]),
            parts._LOOK.text.strip(): lambda _: self._look(),
            **dict.fromkeys(_damage_texts(), lambda _: Result(["t", "n", "r"], ["String"] * 3, [])),
            _of(erasure._BEGUN): lambda _: Result(["s"], ["UInt32"], [(0,)] if "erasing" in self.tables else []),
            _of(erasure._MUTATIONS): lambda _: Result(["r", "s"], ["String", "Int64"], []),
            _of(erasure._OLD_PARTS): lambda _: Result(["n"], ["UInt64"], [(0,)]),
        }

    # ---- what statements read ----

    def rows(self, table: str, *, final: bool, parts: Sequence[str] | None) -> Iterable[Row]:
        if table == "system.tables":
            return [{"database": "default", "name": name, "engine": "MergeTree"} for name in self.tables]
        if table == "system.parts":
            return self._system_parts()
        if table not in self.tables:
            raise ClickHouseError(60, "UNKNOWN_TABLE")
        of = self.tables[table]
        return of.final(parts) if final else of.read(parts)

    def now(self) -> int:
        """Return the microseconds since 1970."""
        return SCHEDULE.epoch_ns() // 1000

    def _system_parts(self) -> list[Row]:
        return [
            {"database": "default", "table": name, "active": 1, "partition": part.partition, "level": part.level}
            for name, table in self.tables.items()
            for part in table.parts
        ]

    def _look(self) -> Result:
        table = self.tables["sessions"]
        about: tuple[Any, ...] = (0, [], [], 0, self.started)
        rows = [
            (part.partition, part.first, part.last, part.data_version, len(part.rows), part.name, active,
             "ReplacingMergeTree", f"/store/111/{_UUID}/{part.name}/", *about)
            for active, parts in ((1, table.parts), (0, table.emptied))
            for part in parts
        ]  # fmt: skip
        self._rng.shuffle(rows)
        types = ["String", *["Int64"] * 4, "String", "UInt8", "String", "String", "UInt32", "Array(String)",
                 "Array(String)", "UInt8", "Int64"]  # fmt: skip
        return Result([f"c{number}" for number in range(len(types))], types, rows)

    # ---- running ----

    def run(self, statement: Statement) -> Result | bytes:
        """Run a statement.

        Returns:
            The rows of a query; of others the bytes that it answers with.

        Raises:
            ClickHouseError: It is refused.
            UntaughtError: Nobody has taught it.
        """
        if statement.text in self._known:
            return self._known[statement.text](statement)
        if statement.text.startswith(("SELECT", "(SELECT")):
            found = sql.read(statement.text, tables.type_of).run(self, statement.values, self.now)
            # Other tables have an `id` that is a text.
            return found._replace(types=["UInt64"]) if statement.text == writes._UNFINISHED else found
        self._change(statement)
        return b""

    def _change(self, statement: Statement) -> None:
        text = statement.text
        if match := _INSERT.fullmatch(text):
            self._insert(match[1], match[3], statement)
        elif match := _INSERT_SELECT.match(text):
            found = sql.read(_without_settings(text[match.end() :]), tables.type_of)
            result = found.run(self, statement.values, self.now)
            self.store(match[1], [dict(zip(_COLUMNS[match[1]], row, strict=True)) for row in result.rows])
        elif match := _DELETE.match(text):
            self.tables[match[1]].delete(sql.holds(match[2], tables.type_of, self, self.now))
        elif match := _DROP_WRITE.match(text):
            self.tables["writes"].drop(match[1])
            self.ended.add(int(match[1]))
        elif text.startswith(_of(erasure._CREATE).partition("%")[0]):
            self.tables.setdefault("erasing", tables.Table(("domain", "session_key")))
        elif text == _of(erasure._DROP):
            self.tables.pop("erasing", None)
        elif not _SETTING.match(text) and not _SYSTEM.fullmatch(text):
            raise UntaughtError(text)

    def _insert(self, table: str, form: str, statement: Statement) -> None:
        if (table, statement.token) in self._tokens:
            return
        if form == "RowBinary":
            rows = tables.read_row_binary(statement.data, self.now())
        else:
            rows = tables.read_json(table, statement.data, self.now())
        self.store(table, rows)
        if table == "writes":
            self.begun.update(row["id"] for row in self.tables["writes"].read())
        if table == "quota_usage":
            self._tokens.add((table, statement.token))

    def store(self, name: str, rows: Sequence[Row]) -> None:
        """Insert rows into a table, and what views derive of them into others."""
        if name == "sessions":
            # In any order: ClickHouse promises none.
            targets = [("sessions", list(rows)), *tables.derived(rows, self.tables).items()]
            if self._parts_left is not None:
                self._rng.shuffle(targets)
        else:
            targets = [(name, list(rows))]
        for target, derived in targets:
            self.tables[target].insert(derived, of=self._is_stored)

    def _is_stored(self, _: str) -> bool:
        if self._parts_left is None:
            return True
        self._parts_left -= 1
        return self._parts_left >= 0

    def die_within(self, statement: Statement) -> None:
        """Run a statement of which perhaps no more than some parts are stored, and start again."""
        self._parts_left = self._rng.choice((0, 1, 2, 4, 8))
        try:
            self.run(statement)
        except ClickHouseError:
            pass
        finally:
            self._parts_left = None
        self.start_anew()

    def start_anew(self) -> None:
        """Stop, and start again."""
        self.started = max(SCHEDULE.epoch_ns() // 1_000_000_000, self.started + 3)
        for table in self.tables.values():
            table.open_anew()

    def merge(self) -> None:
        """Merge parts of some table."""
        table: Table = self.tables[self._rng.choice(("sessions", "sessions", *sorted(self.tables)))]
        table.merge(self._rng)

    def answer(self, statement: Statement, form: str, rows_of_block: int) -> list[bytes]:
        """Return the pieces of the answer to a statement, a block each.

        Raises:
            ClickHouseError: It is refused.
        """
        result = self.run(statement)
        if isinstance(result, bytes):
            return [result]
        if form == "Native":
            cuts = range(0, len(result.rows), rows_of_block)
            return [native.block(result.names, result.types, result.rows[at : at + rows_of_block]) for at in cuts]
        if form == "RawBLOB":
            return [b"".join(row[0] for row in result.rows)]
        return [b"".join("\t".join(map(str, row)).encode() + b"\n" for row in result.rows)]


def _of(template: str) -> str:
    (text,) = schema.statements_of(template, None)
    return text


def _without_settings(text: str) -> str:
    return re.split(r"\s+SETTINGS ", text, maxsplit=1)[0]


@functools.cache
def _damage_texts() -> list[str]:
    """Return what asks for damage, of which a made-up store has none."""
    one: Any = type("Store", (), {"cluster": None})()
    return [
        f"SELECT * FROM ({text} {damage._REACHABLE})"  # noqa: S608 - the service's own text
        for text in (damage._put_aside(one), damage._misdated(one))
    ]


# The columns of the tables that are filled by a query.
_COLUMNS = {
    "erasing": ("domain", "session_key", "user_key"),
    "departures": ("domain", "user_key", "started_at"),
    "users": ("domain", "user_key", "first_seen_at"),
}
# The settings that the driver may set.
_WRITABLE = (
    "max_partitions_per_insert_block", "date_time_input_format", "distributed_foreground_insert",
    "insert_deduplication_token", "wait_end_of_query", "cancel_http_readonly_queries_on_client_close",
)  # fmt: skip
_SETTINGS = Result(["name", "value", "readonly"], ["String", "String", "UInt8"], [(name, "0", 0) for name in _WRITABLE])
