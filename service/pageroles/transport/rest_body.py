"""Read the body of a REST request as a PagesRequest; each mistake in it has a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from pageroles import sentences
from pageroles.errors import InvalidArgumentError
from pageroles.question.request import to_request
from pageroles.transport.rest_schema import PARAMETERS

if TYPE_CHECKING:
    from pageroles.v1 import pages_pb2

# A filter has at most 8 KiB, and few are ever long.
MAX_BODY_BYTES = 64 << 10


def read(body: bytes) -> pages_pb2.PagesRequest:
    """Return the request of a body; an empty body is a request with all defaults.

    Raises:
        InvalidArgumentError: The body is not a JSON object, or a parameter is unknown or of the wrong type.
    """
    parameters = _parameters(body)
    for name, value in parameters.items():
        if name not in PARAMETERS:
            raise InvalidArgumentError(name, sentences.unknown_name("parameter", name, PARAMETERS))
        if not isinstance(value, str):
            advice = "; leave it out" if value is None else ""
            raise InvalidArgumentError(name, f"must be a string, not {sentences.kind_of(value)}{advice}")
    return to_request(parameters)


def _parameters(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        parameters = msgspec.json.decode(body)
    except RecursionError:
        raise InvalidArgumentError("", "the body is nested too deeply; give one flat JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError("", sentences.not_json("the body", error)) from None
    if not isinstance(parameters, dict):
        raise InvalidArgumentError("", f"the body must be a JSON object, not {sentences.kind_of(parameters)}")
    return cast("dict[str, Any]", parameters)
