"""Columns → tables of pyarrow and pandas, of which neither is needed for anything else."""

from __future__ import annotations

import enum
import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Kind(enum.Enum):
    """What a column holds; the value is its dtype in pandas."""

    TEXT = "str"
    COUNT = "int64"
    DATE = "datetime64[ms]"
    TIME = "datetime64[ms, UTC]"
    TEXTS = "object"
    CONVERSIONS = "conversions"


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: Kind
    values: Sequence[object]


class Tabular:
    """What can be made a table."""

    def columns(self) -> list[Column]:
        """Return the columns of its table."""
        raise NotImplementedError

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Give the rows of its table, each with the values of all columns."""
        return zip(*(each.values for each in self.columns()), strict=True)

    def to_arrow(self) -> Any:
        """Return it as a `pyarrow.Table`.

        Raises:
            ImportError: pyarrow is not installed.
        """
        return to_arrow(self.columns())

    def to_pandas(self) -> Any:
        """Return it as a `pandas.DataFrame`.

        Raises:
            ImportError: pandas is not installed.
        """
        return to_pandas(self.columns())


def to_arrow(columns: Sequence[Column]) -> Any:
    """Return columns as a `pyarrow.Table`."""
    arrow = _library("pyarrow")
    time = arrow.timestamp("ms", tz="UTC")
    conversion = [("url", arrow.string()), ("type", arrow.string()), ("id", arrow.string()), ("occurred_at", time)]
    types = {
        Kind.TEXT: arrow.string(),
        Kind.COUNT: arrow.int64(),
        Kind.DATE: arrow.date32(),
        Kind.TIME: time,
        Kind.TEXTS: arrow.list_(arrow.string()),
        Kind.CONVERSIONS: arrow.list_(arrow.struct(conversion)),
    }
    return arrow.table({each.name: arrow.array(each.values, types[each.kind]) for each in columns})


def to_pandas(columns: Sequence[Column]) -> Any:
    """Return columns as a `pandas.DataFrame`."""
    pandas = _library("pandas")
    kinds = {Kind.CONVERSIONS: "object"}
    return pandas.DataFrame(
        {each.name: pandas.Series(each.values, dtype=kinds.get(each.kind, each.kind.value)) for each in columns}
    )


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(f"{name} makes this table, and is not installed: run `pip install {name}`") from None
