"""The OpenAPI document, made from the models of the bodies and the table of headers."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import msgspec

from pageroles import __version__
from pageroles.ingest.session import Session
from pageroles.transport import headers, rest_schema, rest_sessions
from pageroles.transport.faults import CLIENT_CLOSED_REQUEST, Code

_REF = "#/components/schemas/{name}"
_MODELS = (
    rest_schema.PagesBody,
    rest_schema.PagesAnswer,
    rest_schema.NoResults,
    rest_schema.SessionsBody,
    rest_schema.PageSessions,
    rest_schema.DaysBody,
    rest_schema.PageDays,
    rest_schema.ValuesBody,
    rest_schema.FilterValues,
    rest_schema.WrittenSessions,
    Session,
    rest_schema.Fault,
    rest_schema.QuotaFault,
)

# Parts of models that have a name of their own: without one, generators make names up from the place.
_NAMED = (
    *((body, "touch_scope", "TouchScope") for body in ("PagesBody", "SessionsBody", "DaysBody", "ValuesBody")),
    ("SessionsBody", "role", "Role"),
    ("ValuesBody", "field", "FilterName"),
    ("Fault", "code", "ErrorCode"),
    ("QuotaFault", "code", "ErrorCode"),
)

_INTRODUCTION = """\
Which role did each page play in the sessions you ask for: did people convert on it, read it before they converted,
land on it, or leave from it?

Send the API key in the header `Authentication`, or as `Authorization: Bearer KEY`. A key reads the sessions of its own
domain; a key for all domains names the one to read in the header `Domain`. Sessions are written with a key that has the
permission `write`.
"""

# What the paths answer; nobody is there to read what a cancelled request gets.
_FAULTS = [code for code in Code if code.http not in {404, CLIENT_CLOSED_REQUEST}]

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


_JULY = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
_EITHER_PLACE = "Each parameter may be given in the query string or in the body, not in both."
_PAGES_TEXTS = (
    "Which role did each page play?",
    f"All parameters may be left out; so may the body. {_EITHER_PLACE}",
)
_PAGES_EXAMPLES = {
    "time frame": {"start_date": "2025-07-15", "end_date": "2025-07-30"},
    "touch scope": _JULY | {"source": "google.com", "touch_scope": "converting"},
}
_EXAMPLE_CONVERSION = {
    "url": "https://example.com/signup?plan=pro",
    "type": "hubspot_form",
    "id": "f1",
    "occurred_at": "2025-07-03T10:02:00Z",
}
_EXAMPLE_SESSIONS = {
    "total": {"sessions": 2, "users": 1},
    "sessions": [
        {
            "session_id": "s1",
            "user_id": "u1",
            "started_at": "2025-07-03T10:00:00Z",
            "pages": ["https://example.com/pricing", "https://example.com/signup"],
            "conversions": [_EXAMPLE_CONVERSION],
        }
    ],
}
_ONE = {"sessions": 1, "users": 1}
_NONE = {"sessions": 0, "users": 0}
_EXAMPLE_DAYS = {
    "days": [
        {
            "date": "2025-07-01",
            "summary_totals": {
                "total_sessions": 1,
                "total_users": 1,
                "total_conversion_events": 1,
                "total_conversion_users": 1,
            },
            "roles": {
                "conversion": _ONE,
                "conversion_assist": _NONE,
                "landing_assisted_conversion": _ONE,
                "drop_off": _NONE,
                "drop_off_assist": _NONE,
                "landing_assisted_drop_off": _NONE,
            },
            "landing": _ONE,
        }
    ]
}
_EXAMPLE_SESSION = {
    "domain": "example.com",
    "session_id": "s1",
    "user_id": "u1",
    "started_at": "2025-07-03T10:00:00Z",
    "source": "google.com",
    "medium": "organic",
    "page_views": [{"url": "https://example.com/pricing?ref=x", "viewed_at": "2025-07-03T10:00:00Z"}],
    "conversions": [
        {
            "url": "https://example.com/signup",
            "type": "hubspot_form",
            "id": "f1",
            "occurred_at": "2025-07-03T10:02:00Z",
        }
    ],
}
_ONLY_DOMAIN = headers.Header(headers.DOMAIN.http, "Takes the sessions of this domain only.")
_CONTENT_ENCODING = headers.Header("Content-Encoding", "`gzip`, where the body is packed.")


@functools.cache
def document() -> bytes:
    """Return the document as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(_document()), indent=1)


def _document() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(_MODELS, ref_template=_REF)
    include = schemas["PagesBody"]["properties"]["include"]
    included = {"title": "Include", "type": "string", "description": include["description"], **include["items"]}
    include["items"] = {"$ref": _REF.format(name="Include")}
    bodies = ("PagesBody", "SessionsBody", "DaysBody", "ValuesBody")
    parameters = {name: _query_parameters(schemas[name]) for name in bodies}
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema["description"])
    for model, field, name in _NAMED:
        properties = schemas[model]["properties"]
        schemas[name] = {"title": name, **properties[field]}
        properties[field] = {"$ref": _REF.format(name=name)}
    schemas["Include"] = included
    schemas["PagesResult"] = {
        "title": "PagesResult",
        "description": "The report, or the message that no session matched.",
        "oneOf": [{"$ref": _REF.format(name=name)} for name in ("PagesAnswer", "NoResults")],
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pageroles",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "pages", "description": "The roles of pages."},
            {"name": "sessions", "description": "What the roles are counted of."},
        ],
        "security": [{"key": []}, {"bearer": []}],
        "paths": {
            "/api/v1/pages": {
                "post": _asked("pages", "PagesBody", parameters, _PAGES_TEXTS, _PAGES_EXAMPLES, _report_response()),
                "get": _get_pages(parameters["PagesBody"]),
            },
            "/api/v1/pages/sessions": {
                "post": _asked(
                    "page_sessions",
                    "SessionsBody",
                    parameters,
                    ("Which sessions are behind a number?", f"Needs a key that may `sessions`. {_EITHER_PLACE}"),
                    {"a page in a role": _JULY | {"url": "https://example.com/pricing", "role": "conversion"}},
                    _answer_response("The sessions, the latest first.", "PageSessions", _EXAMPLE_SESSIONS),
                )
            },
            "/api/v1/pages/days": {
                "post": _asked(
                    "page_days",
                    "DaysBody",
                    parameters,
                    ("What happened on each day?", _EITHER_PLACE),
                    {"a page": _JULY | {"url": "https://example.com/pricing"}},
                    _answer_response("The window, day by day.", "PageDays", _EXAMPLE_DAYS),
                )
            },
            "/api/v1/pages/values": {
                "post": _asked(
                    "filter_values",
                    "ValuesBody",
                    parameters,
                    ("Which values does a filter have?", f"Counts against no quota. {_EITHER_PLACE}"),
                    {"sources": _JULY | {"field": "source", "contains": "goo"}},
                    _answer_response(
                        "The values, those with most sessions first.",
                        "FilterValues",
                        {"values": [{"value": "google.com", "sessions": 812}]},
                        quota=False,
                    ),
                )
            },
            rest_sessions.PATH: {"post": _write_sessions()},
        },
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


def _get_pages(query_parameters: list[dict[str, Any]]) -> dict[str, Any]:
    responses = {"200": _report_response(), "304": _not_modified(), **_fault_responses(_FAULTS)}
    return {
        "operationId": "get_pages",
        "tags": ["pages"],
        "summary": "The same, for those who keep answers",
        "description": "With the `ETag` of an earlier answer in `If-None-Match`, the answer is 304 while it is the "
        "same, and counts against no quota. Give both dates: a window that ends with now is another one each second.",
        "parameters": [
            *query_parameters,
            _parameter(headers.IF_NONE_MATCH),
            _parameter(headers.DOMAIN),
            _parameter(headers.REQUEST_ID),
        ],
        "responses": responses,
    }


def _asked(
    operation: str,
    body: str,
    parameters: dict[str, list[dict[str, Any]]],
    texts: tuple[str, str],
    examples: dict[str, Any],
    response: dict[str, Any],
) -> dict[str, Any]:
    """Return an operation that answers a question.

    Args:
        operation: Its id.
        body: The model of its body.
        parameters: The parameters of the query string, by the model of the body.
        texts: Its summary and its description.
        examples: Bodies, by their names.
        response: What it answers.
    """
    summary, description = texts
    return {
        "operationId": operation,
        "tags": ["pages"],
        "summary": summary,
        "description": description,
        "parameters": [*parameters[body], _parameter(headers.DOMAIN), _parameter(headers.REQUEST_ID)],
        "requestBody": {
            "required": False,
            "content": {
                "application/json": {
                    "schema": {"$ref": _REF.format(name=body)},
                    "examples": {name: {"value": value} for name, value in examples.items()},
                }
            },
        },
        "responses": {"200": response} | _fault_responses(_FAULTS),
    }


def _write_sessions() -> dict[str, Any]:
    return {
        "operationId": "writeSessions",
        "tags": ["sessions"],
        "summary": "Write sessions",
        "description": "The body has one session a line, as a JSON object. The answer comes when they are stored: it "
        "survives a kill of the server, and the next question sees them. A session that is written again replaces "
        "itself, so a request that failed can be sent again. Sessions that break a rule, or are of another domain than "
        "the key or the header `Domain` names, are rejected; the others are stored.",
        "parameters": [_parameter(header) for header in (_ONLY_DOMAIN, _CONTENT_ENCODING, headers.REQUEST_ID)],
        "requestBody": {
            "required": True,
            "description": "JSON Lines: as many objects as this one as there are sessions, each in a line of its own.",
            "content": {
                rest_sessions.MEDIA_TYPE: {
                    "schema": {"$ref": _REF.format(name="Session")},
                    "examples": {"session": {"value": _EXAMPLE_SESSION}},
                }
            },
        },
        "responses": {"200": _written_response()}
        | _fault_responses([code for code in _FAULTS if code is not Code.QUOTA_EXCEEDED]),
    }


def _query_parameters(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of the body as those of the query string."""
    found = []
    for name, schema in body["properties"].items():
        # Without examples: the page of the reference would send them, beside that of the body.
        bare = {key: value for key, value in schema.items() if key not in {"description", "examples"}}
        parameter = {"name": name, "in": "query", "required": False, "description": schema["description"]}
        # Each name stands once, so a list has commas.
        listed = {"style": "form", "explode": False} if schema.get("type") == "array" else {}
        found.append(parameter | listed | {"schema": bare})
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
    return {
        "description": "The report, or the message that no session matched.",
        "headers": _response_headers(headers.REQUEST_ID, *headers.OF_QUOTAS, *headers.OF_DATA, headers.ETAG),
        "content": {
            "application/json": {
                "schema": {"$ref": _REF.format(name="PagesResult")},
                "examples": {
                    "report": {"value": _EXAMPLE_ANSWER},
                    "no results": {"value": {"message": rest_schema.NO_RESULTS}},
                },
            }
        },
    }


def _answer_response(description: str, model: str, example: dict[str, Any], *, quota: bool = True) -> dict[str, Any]:
    names = (headers.REQUEST_ID, *(headers.OF_QUOTAS if quota else ()), *headers.OF_DATA)
    return {
        "description": description,
        "headers": _response_headers(*names),
        "content": {
            "application/json": {
                "schema": {"$ref": _REF.format(name=model)},
                "examples": {"answer": {"value": example}},
            }
        },
    }


def _not_modified() -> dict[str, Any]:
    names = (headers.REQUEST_ID, *headers.OF_DATA, headers.ETAG)
    return {"description": "The caller has the answer already.", "headers": _response_headers(*names)}


def _written_response() -> dict[str, Any]:
    example = {"stored": 2, "rejected": [{"line": 3, "reason": "session_id must not be empty"}]}
    return {
        "description": "What became of the lines.",
        "headers": _response_headers(headers.REQUEST_ID),
        "content": {
            "application/json": {
                "schema": {"$ref": _REF.format(name="WrittenSessions")},
                "examples": {"written": {"value": example}},
            }
        },
    }


def _fault_responses(codes: list[Code]) -> dict[str, Any]:
    statuses = sorted({code.http for code in codes})
    return {str(status): _fault_response([code for code in codes if code.http == status]) for status in statuses}


def _fault_response(codes: list[Code]) -> dict[str, Any]:
    exhausted = Code.QUOTA_EXCEEDED in codes
    model = "QuotaFault" if exhausted else "Fault"
    names = [headers.REQUEST_ID, *(headers.OF_QUOTAS if exhausted else ())]
    if {Code.OVERLOADED, Code.UNAVAILABLE} & set(codes):
        names.append(headers.RETRY_AFTER)
    return {
        "description": "; ".join(f"`{code.text}`: {code.when}" for code in codes) + ".",
        "headers": _response_headers(*names),
        "content": {"application/json": {"schema": {"$ref": _REF.format(name=model)}}},
    }


def _response_headers(*names: headers.Header) -> dict[str, Any]:
    return {header.http: {"description": header.description, "schema": {"type": header.kind}} for header in names}
