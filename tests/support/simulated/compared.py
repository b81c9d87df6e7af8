"""A store whose statements a ClickHouse server and the made-up one answer alike, or else a test fails."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from support.simulated.clickhouse import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pageroles.store.engine import Engine
    from support.simulated.clickhouse import ClickHouse

# What no two servers tell alike: their parts, and what they are at.
_OWN = ("system.", "SELECT version()", "schema_versions", "anyOrNull")


@dataclasses.dataclass
class Compared:
    """An engine that sends what changes the store to both, and compares what they answer.

    Attributes:
        engine: The engine of a real store.
        made_up: The made-up server, which has come to the same state.
        seen: How many statements were compared, by their beginnings, and how many had rows.
    """

    engine: Engine
    made_up: ClickHouse
    seen: Counter[str] = dataclasses.field(default_factory=Counter)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def apart(self, seconds: float) -> Compared:
        return dataclasses.replace(self, engine=self.engine.apart(seconds))

    @contextlib.contextmanager
    def reader(self, seconds: float = math.inf) -> Iterator[Any]:
        with self.engine.reader(seconds) as client:
            yield _Both(client, self)

    @contextlib.contextmanager
    def writer(self, seconds: float = math.inf) -> Iterator[Any]:
        with self.engine.writer(seconds) as client:
            yield _Both(client, self)

    def change(self, text: str, values: Mapping[str, Any], data: bytes = b"") -> None:
        """Let the made-up server do what the other one has done."""
        with self._lock:
            self.made_up.run(Statement(text.strip(), "", math.inf, values, data, ""))

    def compare(self, text: str, values: Mapping[str, Any], found: Any) -> None:
        """Compare the rows of an answer, whatever their order."""
        own = text.rpartition(" SETTINGS max_execution_time")[0].strip()
        if any(word in own for word in _OWN):
            return
        names = self._names() if "_part" in own else {}
        if "parts" in values:
            values = {**values, "parts": [names.get(name, name) for name in values["parts"]]}
        with self._lock:
            result = self.made_up.run(Statement(own, "", math.inf, values, b"", ""))
        assert not isinstance(result, bytes)
        real = [[names.get(value, value) if isinstance(value, str) else value for value in row]
                for row in found.result_rows]  # fmt: skip
        assert _sorted(result.rows) == _sorted(real), f"{own}\n{values}"
        kinds = [kind.name.replace("LowCardinality(String)", "String") for kind in found.column_types]
        if found.result_rows:
            assert result.types == kinds, own
        self.seen[own[:60]] += 1
        self.seen["with rows"] += bool(result.rows)

    def _names(self) -> dict[str, str]:
        """Return the names of the made-up parts by those of the real ones; the n-th part of a month is the n-th."""
        with self.engine.control() as client:
            found: Any = client.query(
                "SELECT partition_id, min_block_number, name FROM system.parts "
                "WHERE database = currentDatabase() AND table = 'sessions' AND active"
            ).result_rows
        real = sorted(found)
        made_up = sorted((part.partition, part.first, part.name) for part in self.made_up.tables["sessions"].parts)
        assert [row[0] for row in real] == [row[0] for row in made_up]
        return {row[2]: other[2] for row, other in zip(real, made_up, strict=True)}


class _Both:
    """A client that asks both."""

    def __init__(self, client: Any, compared: Compared) -> None:
        self._client = client
        self._compared = compared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def query(self, text: str, parameters: dict[str, Any]) -> Any:
        found = self._client.query(text, parameters=parameters)
        self._compared.compare(text, parameters, found)
        return found

    def raw_stream(self, text: str, parameters: dict[str, Any], fmt: str) -> Any:
        self.query(text, parameters)
        return self._client.raw_stream(text, parameters=parameters, fmt=fmt)

    def raw_insert(self, table: str, columns: Any, *, insert_block: bytes, fmt: str, settings: Any) -> None:
        self._client.raw_insert(table, columns, insert_block=insert_block, fmt=fmt, settings=settings)
        if table != "audit_log":
            self._compared.change(f"INSERT INTO {table} FORMAT {fmt}", {}, insert_block)

    def command(self, text: str, parameters: dict[str, Any] | None = None) -> None:
        self._client.command(text, parameters=parameters)
        self._compared.change(text, parameters or {})


def _sorted(rows: Any) -> list[str]:
    return sorted(repr(tuple(_plain(value) for value in row)) for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, bool) else value
