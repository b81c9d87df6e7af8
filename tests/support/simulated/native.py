"""Rows as blocks of ClickHouse's Native format, revision 0."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBERS = {"UInt8": "B", "Bool": "B", "UInt16": "H", "UInt32": "I", "UInt64": "Q", "Int64": "q"}
_NESTED = re.compile(r"(\w+)\((.*)\)")


def block(names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows as one block."""
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    out = bytearray(varint(len(names)) + varint(len(rows)))
    for name, kind, values in zip(names, types, columns, strict=True):
        out += _text(name.encode()) + _text(kind.encode()) + _column(kind, values)
    return bytes(out)


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit + 128 * bool(number))
        if not number:
            return bytes(out)


def _text(text: bytes) -> bytes:
    return varint(len(text)) + text


def _column(kind: str, values: Sequence[Any]) -> bytes:
    if kind in _NUMBERS:
        return struct.pack(f"<{len(values)}{_NUMBERS[kind]}", *values)
    if kind == "String":
        return b"".join(_text(value.encode() if isinstance(value, str) else value) for value in values)
    nested = _NESTED.fullmatch(kind)
    if nested is None:
        raise NotImplementedError(f"the type {kind}")
    if nested[1] == "FixedString":
        return b"".join(values)
    if nested[1] == "Nullable":
        empty: object = "" if nested[2] == "String" else 0
        nulls = bytes(value is None for value in values)
        return nulls + _column(nested[2], [empty if value is None else value for value in values])
    if nested[1] == "Array":
        ends, end = [], 0
        for value in values:
            end += len(value)
            ends.append(end)
        flat = [item for value in values for item in value]
        return struct.pack(f"<{len(ends)}Q", *ends) + _column(nested[2], flat)
    raise NotImplementedError(f"the type {kind}")
