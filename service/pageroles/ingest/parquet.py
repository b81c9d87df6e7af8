"""Parquet with the columns of a session, read some records at a time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pageroles.errors import BrokenOffError, LoadError
from pageroles.ingest.reader import Reader, Rejection, beginning
from pageroles.ingest.session import BadRowError, Row, layout, missing_field, parse_record, unknown_field

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pageroles.ingest.reader import Idle

_RECORDS_AT_ONCE = 4_096


class ParquetFile:
    """A Parquet file with the columns of a session; times are timestamps of any unit and zone, or strings."""

    def __init__(self, name: str, path: Path, size: int, *, ignore_unknown: bool) -> None:
        """Check the columns of a file.

        Args:
            name: What the file is called in errors.
            path: Where it lies.
            size: Its size in bytes.
            ignore_unknown: Whether other columns than those of a session are left out.

        Raises:
            LoadError: It can't be read, or has other columns than a session.
        """
        self._path = path
        self._size = size
        self._ignore_unknown = ignore_unknown
        self._has_unknown = False
        self.ignored = 0
        try:
            with pq.ParquetFile(path) as file:
                self._schema = pa.schema(self._as_text(file.schema_arrow, ""))
                self._rows: int = file.metadata.num_rows
        except LoadError as error:
            raise LoadError(f"{name}: {error}") from None
        except (pa.ArrowException, OSError) as error:
            raise LoadError(f"{name} can't be read as Parquet: {error}") from error
        self._done = 0

    def position(self) -> int:
        """Return the bytes read so far, as many as its rows read are of all its rows."""
        return self._size * self._done // (self._rows or 1)

    @contextlib.contextmanager
    def open(self, _: Idle) -> Iterator[Reader]:
        """Open the rows; a file is never waited for."""
        yield self

    def __iter__(self) -> Iterator[Row | Rejection | int]:
        """Give one outcome per row.

        Raises:
            BrokenOffError: The file can't be read any further.
        """
        try:
            # Without pre_buffer a row group is not held in memory as a whole.
            with pq.ParquetFile(self._path, pre_buffer=False) as file:
                for batch in file.iter_batches(_RECORDS_AT_ONCE, columns=self._schema.names):
                    for record in self._records(batch):
                        self._done += 1
                        yield self._outcome(record)
        except (pa.ArrowException, OSError) as error:
            raise BrokenOffError(str(error)) from error

    def _records(self, batch: Any) -> Iterator[dict[str, Any] | Rejection]:
        """Give records with times as text: one way to read a time serves all."""
        try:
            yield from batch.cast(self._schema).to_pylist()
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            if len(batch) == 1:
                yield Rejection("not valid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error), "")
                return
            half = len(batch) // 2
            yield from self._records(batch.slice(0, half))
            yield from self._records(batch.slice(half))

    def _as_text(self, held: Any, path: str) -> list[Any]:
        """Return the fields with strings for all that is text or a time, having checked names and types."""
        form = layout(path)
        for name in [field.name for field in msgspec.structs.fields(form) if field.required]:
            if name not in held.names:
                raise LoadError(missing_field(path, name))
        fields = []
        for field in held:
            if field.name not in form.__struct_fields__:
                if not self._ignore_unknown:
                    raise LoadError(unknown_field(path, field.name))
                self._has_unknown = True
                if path:  # read with its list, and left out later
                    fields.append(field)
                continue
            fields.append(pa.field(field.name, self._type_as_text(field, path)))
        return fields

    def _type_as_text(self, field: Any, path: str) -> Any:
        types, held = pa.types, field.type
        if not path and field.name in {"page_views", "conversions"}:
            is_list = types.is_list(held) or types.is_large_list(held)
            if types.is_null(held) or (is_list and types.is_null(held.value_type)):
                return held
            if is_list and types.is_struct(held.value_type):
                return pa.list_(pa.struct(self._as_text(held.value_type, field.name)))
            raise LoadError(f"{field.name} must be a list of structs, not {held}")
        plain = held.value_type if types.is_dictionary(held) else held
        if any(test(plain) for test in (types.is_string, types.is_large_string, types.is_string_view, types.is_null)):
            return pa.string()
        is_time = field.name.endswith("_at")
        if is_time and types.is_timestamp(held):
            return pa.string()
        where = f"{path}.{field.name}" if path else field.name
        raise LoadError(f"{where} must hold {'timestamps or strings' if is_time else 'strings'}, not {held}")

    def _outcome(self, record: dict[str, Any] | Rejection) -> Row | Rejection:
        if isinstance(record, Rejection):
            return record
        try:
            row = parse_record(record, ignore_unknown=self._ignore_unknown)
        except BadRowError as error:
            return Rejection(str(error), beginning(msgspec.json.encode(record)), error.flaw)
        self.ignored += self._has_unknown
        return row
