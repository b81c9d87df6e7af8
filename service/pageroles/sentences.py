"""Sentences that several folders share: what a value is, how it is shown, what is wrong with JSON.

Each names what is wrong and what is accepted. Values stand in quotes; long ones are cut.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where a caller puts what is no field of the request, in gRPC's words. REST replaces them by its own.
KEY_PLACE = "metadata `authentication`"
DOMAIN_PLACE = "metadata `domain`"

_LONGEST_SHOWN = 60
_LONGEST_COMPARED = 100
# msgspec's names for the types of JSON.
_KINDS = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_PYTHON_NAMES = {"dict": "object", "list": "array", "NoneType": "null"}


def shown(text: str) -> str:
    """Return a text in quotes, cut if it is very long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")


def kind(name: str) -> str:
    """Return the plain name of one of msgspec's JSON types; an unknown one stays as it is."""
    return _KINDS.get(name, name)


def kind_of(value: object) -> str:
    """Return the plain name of a decoded JSON value's type."""
    name = type(value).__name__
    return kind(_PYTHON_NAMES.get(name, name))


def not_json(what: str, error: Exception) -> str:
    """Return the sentence about a text that can't be read as JSON."""
    reason = re.sub(r"^JSON is malformed: ", "", str(error))
    return f"{what} is not valid JSON: {reason}"


def unknown_name(what: str, name: str, known: Sequence[str], prefix: str = "") -> str:
    """Return the sentence about an unknown name, with the nearest known one.

    Args:
        what: What the name is of, as `field`.
        name: The name that was given.
        known: The names that are accepted.
        prefix: What stands before the names of an inner object, such as `page_views[3].`.
    """
    given = f"unknown {what} {shown(prefix + name)}"
    if close := difflib.get_close_matches(name[:_LONGEST_COMPARED], known, 1):
        return f"{given}; did you mean {prefix}{close[0]}?"
    return f"{given}; known are {', '.join(known)}"
