"""What schemathesis has to be told (SCHEMATHESIS_HOOKS): how a body of JSON Lines is written, here of one line."""

from __future__ import annotations

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def one_line(_: object, value: object) -> bytes:
    """Return a value as a line; what is no value of JSON stays as it is."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()
