"""The OpenAPI document, made from the models of the bodies and the table of headers."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from pageroles import __version__
from pageroles.transport import headers, rest_schema
from pageroles.transport.faults import CLIENT_CLOSED_REQUEST, Code

_REF = "#/components/schemas/{name}"
_MODELS = (
    rest_schema.PagesBody,
    rest_schema.PagesAnswer,
    rest_schema.NoResults,
    rest_schema.Fault,
    rest_schema.QuotaFault,
)

_INTRODUCTION = """\
Which role did each page play in the sessions you ask for: did people convert on it, read it before they converted,
land on it, or leave from it?

Send the API key in the header `Authentication`, or as `Authorization: Bearer KEY`. A key reads the sessions of its own
domain; a key for all domains names the one to read in the header `Domain`.
"""

# What this path answers; nobody is there to read what a cancelled request gets.
_FAULTS = {code.http for code in Code} - {404, CLIENT_CLOSED_REQUEST}

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


@functools.cache
def document() -> bytes:
    """Return the document as indented JSON."""
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
        "security": [{"key": []}, {"bearer": []}],
        "paths": {"/api/v1/pages": {"post": _operation()}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": headers.AUTHENTICATION.http,
                    "description": headers.AUTHENTICATION.description,
                },
                "bearer": {"type": "http", "scheme": "bearer", "description": headers.AUTHORIZATION.description},
            },
        },
    }


def _operation() -> dict[str, Any]:
    return {
        "operationId": "pages",
        "tags": ["pages"],
        "summary": "Which role did each page play?",
        "description": "All parameters may be left out; so may the body. Each may be given in the query string or in "
        "the body, not in both.",
        "parameters": [
            *_query_parameters(),
            _parameter(headers.DOMAIN),
            _parameter(headers.REQUEST_ID),
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
        "responses": {"200": _report_response()} | {str(status): _fault_response(status) for status in sorted(_FAULTS)},
    }


def _query_parameters() -> list[dict[str, Any]]:
    _, schemas = msgspec.json.schema_components([rest_schema.PagesBody], ref_template=_REF)
    found = []
    for name, schema in schemas["PagesBody"]["properties"].items():
        described = {"name": name, "in": "query", "required": False, "description": schema.pop("description")}
        # The page of the reference would send an example, beside that of the body.
        schema.pop("examples", None)
        found.append(described | {"schema": schema})
    return found


def _parameter(header: headers.Header) -> dict[str, Any]:
    return {
        "name": header.http,
        "in": "header",
        "required": False,
        "description": header.description,
        "schema": {"type": header.kind},
    }


def _report_response() -> dict[str, Any]:
    models = [_REF.format(name="PagesAnswer"), _REF.format(name="NoResults")]
    return {
        "description": "The report, or the message that no session matched.",
        "headers": _response_headers(headers.REQUEST_ID, *headers.OF_QUOTAS),
        "content": {
            "application/json": {
                "schema": {"oneOf": [{"$ref": model} for model in models]},
                "examples": {
                    "report": {"value": _EXAMPLE_ANSWER},
                    "no results": {"value": {"message": rest_schema.NO_RESULTS}},
                },
            }
        },
    }


def _fault_response(status: int) -> dict[str, Any]:
    codes = [code for code in Code if code.http == status]
    exhausted = Code.QUOTA_EXCEEDED in codes
    model = "QuotaFault" if exhausted else "Fault"
    names = [headers.REQUEST_ID, *(headers.OF_QUOTAS if exhausted else ())]
    if exhausted or Code.UNAVAILABLE in codes:
        names.append(headers.RETRY_AFTER)
    return {
        "description": "; ".join(f"`{code.text}`: {code.when}" for code in codes) + ".",
        "headers": _response_headers(*names),
        "content": {"application/json": {"schema": {"$ref": _REF.format(name=model)}}},
    }


def _response_headers(*names: headers.Header) -> dict[str, Any]:
    return {header.http: {"description": header.description, "schema": {"type": header.kind}} for header in names}
