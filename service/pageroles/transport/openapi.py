"""The OpenAPI document, made from the models that read and write the bodies."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from pageroles import __version__
from pageroles.transport import rest_body

_REF = "#/components/schemas/{name}"
_MODELS = (rest_body.PagesBody, rest_body.PagesAnswer, rest_body.NoResults, rest_body.Fault, rest_body.QuotaFault)

_INTRODUCTION = """\
Which role did each page play in the sessions you ask for: did people convert on it, read it before they converted,
land on it, or leave from it?

Send the API key in the header `Authentication`. A key reads the sessions of its own domain; a key for all domains names
the one to read in the header `Domain`.
"""

_EXAMPLE_ANSWER = {
    "time_frame": {"start": "2025-07-01T00:00:00Z", "end": "2025-07-31T23:59:59Z"},
    "summary_totals": {
        "total_sessions": 1289,
        "total_users": 1075,
        "total_conversion_events": 423,
        "total_conversion_users": 387,
    },
    "conversion_performance": [
        {
            "url": "https://example.com/signup",
            "conversion": {"sessions": 134, "users": 127},
            "conversion_assist": {"sessions": 21, "users": 19},
            "landing_assisted_conversion": {"sessions": 88, "users": 84},
        }
    ],
    "drop_off_performance": [
        {
            "url": "https://example.com/features",
            "drop_off": {"sessions": 52, "users": 48},
            "drop_off_assist": {"sessions": 15, "users": 14},
            "landing_assisted_drop_off": {"sessions": 9, "users": 9},
        }
    ],
}

_FAULTS = {
    "400": "A bad parameter; `error` says what to change, `field` names it.",
    "401": "No key, or a key that is unknown or revoked.",
    "403": "The key does not read the domain that the request names.",
    "405": "Another method than POST.",
    "408": "The body did not come in time.",
    "413": "The body is larger than 64 KiB.",
    "415": "The body is not sent as `application/json`.",
    "429": "The domain's requests of this month are used up, or the server is busy; see `Retry-After`.",
    "500": "A fault of the server's; `error` carries an id to quote.",
    "503": "The store can't be reached; try again.",
    "504": "The report took too long; ask for a shorter window.",
}


@functools.cache
def document() -> bytes:
    """Return the document as JSON."""
    return msgspec.json.format(msgspec.json.encode(_document()), indent=1)


def _document() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(_MODELS, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pageroles",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "pages", "description": "The roles of pages."}],
        "security": [{"key": []}],
        "paths": {"/api/v1/pages": {"post": _operation()}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "Authentication", "description": "The API key."}
            },
        },
    }


def _operation() -> dict[str, Any]:
    return {
        "operationId": "pages",
        "tags": ["pages"],
        "summary": "Which role did each page play?",
        "description": "All parameters may be left out; so may the body.",
        "parameters": [
            _header("Domain", "The domain to read; with a key for all domains only."),
            _header("X-Request-Id", "An id of your own for the request; it comes back and stands in the server's log."),
        ],
        "requestBody": {
            "required": False,
            "content": {
                "application/json": {
                    "schema": {"$ref": _REF.format(name="PagesBody")},
                    "examples": {
                        "time frame": {"value": {"start_date": "2025-07-15", "end_date": "2025-07-30"}},
                        "touch scope": {
                            "value": {
                                "start_date": "2025-07-01",
                                "end_date": "2025-07-31",
                                "source": "google.com",
                                "touch_scope": "converting",
                            }
                        },
                    },
                }
            },
        },
        "responses": {"200": _found()} | {status: _fault(status, text) for status, text in _FAULTS.items()},
    }


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


def _found() -> dict[str, Any]:
    models = [_REF.format(name="PagesAnswer"), _REF.format(name="NoResults")]
    return {
        "description": "The report, or the message that no session matched.",
        "headers": _ANSWER_HEADERS | _QUOTA_HEADERS,
        "content": {
            "application/json": {
                "schema": {"oneOf": [{"$ref": model} for model in models]},
                "examples": {
                    "report": {"value": _EXAMPLE_ANSWER},
                    "no results": {"value": {"message": "No page data found for the given parameters."}},
                },
            }
        },
    }


def _fault(status: str, description: str) -> dict[str, Any]:
    busy = status == "429"
    model = "QuotaFault" if busy else "Fault"
    headers = _ANSWER_HEADERS | (_QUOTA_HEADERS if busy else {})
    if status in {"429", "503"}:
        headers = headers | {"Retry-After": _told("Seconds after which to try again.")}
    return {
        "description": description,
        "headers": headers,
        "content": {"application/json": {"schema": {"$ref": _REF.format(name=model)}}},
    }


def _told(description: str, kind: str = "integer") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


_ANSWER_HEADERS = {"X-Request-Id": _told("Names the request.", "string")}
_QUOTA_HEADERS = {
    "X-RateLimit-Limit": _told("Requests that the domain may make in a month; absent without a quota."),
    "X-RateLimit-Used": _told("Requests of this month, this one included."),
    "X-RateLimit-Remaining": _told("Requests left this month."),
    "X-RateLimit-Reset": _told("When the month is over, in seconds since 1970-01-01 UTC."),
}
