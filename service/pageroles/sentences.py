"""Sentences that several folders share: what a value is, how it is shown, what is wrong with JSON.

Each names what is wrong and what is accepted. Values stand in quotes; long ones are cut.

Text of others, be it a URL or the name of a file, is data: `escaped` makes it harmless to a terminal and to a log.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

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
# Control characters of both sets, line and paragraph separators, what changes the direction of writing, what can't be
# seen, and halves of characters. Joiners stay: emoji and several scripts need them.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f\ud800-\udfff]"
)


def escaped(text: str, encoding: str = "utf-8") -> str:
    r"""Return a text with escapes for what a terminal or a log would obey, hide or not be able to write.

    Args:
        text: Any text; it comes back the same if it has nothing but visible characters.
        encoding: The encoding to write it in; what that can't hold becomes escapes, too.

    Returns:
        The text with escapes as Python writes them: `\x1b`, `\n`, `\u202e`.
    """
    visible = _UNSAFE.sub(lambda found: repr(found[0])[1:-1], text)
    return visible.encode(encoding, "backslashreplace").decode(encoding)


def escaped_json(body: bytes) -> bytes:
    """Return JSON of the same value in which unsafe characters, except the ends of lines, are JSON's own escapes."""
    text = body.decode()
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], text).encode()


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 session`, `2,000 sessions`.

    Args:
        number: How many there are.
        noun: The noun for one of them.
        plural: The noun for any other number; None: with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


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


def instant(at: datetime) -> str:
    """Return an instant in UTC as answers have it: in whole seconds, or milliseconds where there are any."""
    milliseconds = at.microsecond // 1000
    return at.isoformat(timespec="milliseconds" if milliseconds else "seconds").replace("+00:00", "Z")
