"""The body of a REST request → PagesRequest, with a sentence for each way in which it can be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from pageroles import sentences
from pageroles.errors import InvalidArgumentError
from pageroles.question.request import to_request
from pageroles.transport.rest_schema import PARAMETERS

if TYPE_CHECKING:
    from pageroles.v1 import pages_pb2

# Filters have at most 8 KiB each; what is larger is no question.
MAX_BODY_BYTES = 64 << 10


def read(body: bytes) -> pages_pb2.PagesRequest:
    """Return the request that a body asks; an empty one asks with all defaults.

    Raises:
        InvalidArgumentError: The body can't be read; the sentence says what to change.
    """
    given = _parameters(body)
    for name, value in given.items():
        if name not in PARAMETERS:
            raise InvalidArgumentError(name, sentences.unknown_name("parameter", name, PARAMETERS))
        if not isinstance(value, str):
            advice = "; leave it out" if value is None else ""
            raise InvalidArgumentError(name, f"must be a string, not {sentences.kind_of(value)}{advice}")
    return to_request(given)


def _parameters(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        given = msgspec.json.decode(body)
    except RecursionError:
        raise InvalidArgumentError("", "the body is nested too deeply; give one flat JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError("", sentences.not_json("the body", error)) from None
    if not isinstance(given, dict):
        raise InvalidArgumentError("", f"the body must be a JSON object, not {sentences.kind_of(given)}")
    return cast("dict[str, Any]", given)
