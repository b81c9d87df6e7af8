"""Read the query string and the body of a REST request as a PagesRequest; each mistake in them has a sentence."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec

from pageroles import sentences
from pageroles.errors import InvalidArgumentError
from pageroles.question.request import to_days_request, to_request, to_sessions_request, to_values_request
from pageroles.transport import rest_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A filter has at most 8 KiB, and few are ever long.
MAX_BODY_BYTES = 64 << 10
_NUMBER = re.compile(r"-?\d{1,20}", re.ASCII)


R = TypeVar("R")


class Kind(Generic[R]):
    """A kind of request.

    Attributes:
        parameters: The names of its parameters.
        to_request: Returns the request of values by their names.
    """

    def __init__(self, model: Any, to_request: Callable[[Mapping[str, Any]], R]) -> None:
        """Take the model of its body."""
        self.parameters: tuple[str, ...] = model.__struct_fields__
        self.to_request = to_request


PAGES = Kind(rest_schema.PagesBody, to_request)
SESSIONS = Kind(rest_schema.SessionsBody, to_sessions_request)
DAYS = Kind(rest_schema.DaysBody, to_days_request)
VALUES = Kind(rest_schema.ValuesBody, to_values_request)


def read(kind: Kind[R], query: bytes, body: bytes) -> R:
    """Return the request of a query string and a body, both of which may be empty.

    Args:
        kind: What kind of request it is.
        query: The query string, without its question mark.
        body: A JSON object.

    Raises:
        InvalidArgumentError: The body is not a JSON object; or a parameter is unknown, of the wrong type, or given
            twice, in one of them or in both.
    """
    parameters: dict[str, Any] = {}
    for name, value in _of_query(query, kind.parameters):
        if name in parameters:
            raise InvalidArgumentError(name, "given twice in the query string; give it once")
        parameters[name] = _of_text(name, value)
    for name, value in _of_body(body).items():
        if name in parameters:
            raise InvalidArgumentError(name, "given in the query string and in the body; give it in one of them")
        parameters[name] = value
    for name, value in parameters.items():
        if name not in kind.parameters:
            raise InvalidArgumentError(name, sentences.unknown_name("parameter", name, kind.parameters))
        wanted, is_right = _KINDS.get(name, _TEXT)
        if not is_right(value):
            advice = "; leave it out" if value is None else ""
            # Of a number it tells more than its kind: 1.0 is no whole number.
            given = str(value) if isinstance(value, float) else sentences.kind_of(value)
            raise InvalidArgumentError(name, f"must be {wanted}, not {given}{advice}")
    return kind.to_request(parameters)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_TEXT = ("a string", _is_text)
# What is no string.
_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "limit": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "include": ("a list of strings", lambda value: isinstance(value, list) and all(map(_is_text, value))),
}


def _of_text(name: str, text: str) -> object:
    """Return the value that a text in the query string stands for."""
    if name == "include":
        return [each for each in text.split(",") if each]
    if name == "limit":
        if text and not _NUMBER.fullmatch(text):
            raise InvalidArgumentError(name, f"must be a whole number, not {sentences.shown(text)}")
        return int(text or 0)
    return text


def _of_query(query: bytes, parameters: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names and values of a query string, as forms encode them: `+` is a space."""
    # As Latin-1 each byte is one character, so what is no UTF-8 can be named.
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    named = []
    for name, value in pairs:
        try:
            named.append((_utf8(name), _utf8(value)))
        except UnicodeDecodeError:
            field = name if name in parameters else ""
            raise InvalidArgumentError(
                field, "not UTF-8 in the query string; encode it as UTF-8, then as %XX"
            ) from None
    return named


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode()


def _of_body(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        parameters = msgspec.json.decode(body)
        # Of two equal names that decoder keeps the last.
        json.loads(body, object_pairs_hook=_refuse_twice)
    except RecursionError:
        raise InvalidArgumentError("", "the body is nested too deeply; give one flat JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError("", sentences.not_json("the body", error)) from None
    if not isinstance(parameters, dict):
        raise InvalidArgumentError("", f"the body must be a JSON object, not {sentences.kind_of(parameters)}")
    return cast("dict[str, Any]", parameters)


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    """Refuse an object in which a name stands twice."""
    names = set()
    for name, _ in pairs:
        if name in names:
            raise InvalidArgumentError(name, "given twice in the body; give it once")
        names.add(name)
