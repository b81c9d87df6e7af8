"""The parameters of a question in the query string: the same names, checks and sentences as in the body."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
import requests

from pageroles.question.request import to_request
from pageroles.transport import openapi, rest_body

JULY = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
MESSAGE = {"message": "No page data found for the given parameters."}


def post(rest: str, key: str, query: str, body: Any = None) -> requests.Response:
    return requests.post(
        f"{rest}/api/v1/pages?{query}",
        headers={"Authentication": key},
        timeout=30,
        **({} if body is None else {"json": body}),
    )


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (JULY, None),
        (JULY, {}),
        ({"start_date": "2025-07-01"}, {"end_date": "2025-07-31"}),
        ({**JULY, "touch_scope": "converting", "source": ""}, None),
        ({**JULY, "landing_page": "https://example.com/?x=1&y=2"}, None),
        ({**JULY, "term": "caf\u00e9 +&=?#%"}, None),
        ({"start_date": "2025-07-01T00:00:00+02:00", "end_date": "2025-07-31T23:59:59+02:00"}, None),
    ],
)
def test_an_answer_is_that_of_the_same_parameters_in_the_body(
    rest: str, key: str, query: dict[str, str], body: dict[str, str] | None
) -> None:
    response = post(rest, key, urlencode(query), body)
    assert response.status_code == 200, response.text
    assert response.json() == post(rest, key, "", {**query, **(body or {})}).json()


def test_the_worked_case_is_found_and_an_empty_query_string_asks_with_all_defaults(rest: str, key: str) -> None:
    assert post(rest, key, urlencode(JULY)).json()["summary_totals"]["total_sessions"] == 4
    assert post(rest, key, "").json() == MESSAGE
    assert post(rest, key, "&&").json() == MESSAGE


@pytest.mark.parametrize("name", rest_body.PAGES.parameters)
def test_every_parameter_is_read_with_all_its_characters(name: str) -> None:
    texts = ["", "x", "a b+c&d=e;f%41", "\u4f8b\u3048 \U0001f600", "\0\n"]
    # What stands in the query string, and in the body.
    of_name: dict[str, dict[str, object]] = {
        "touch_scope": {"first": "first"},
        "limit": {"": 0, "0": 0, "7": 7, "4294967295": 4_294_967_295},
        "include": {"": [], "balance": ["balance"], "landing,balance": ["landing", "balance"]},
    }
    for text, value in of_name.get(name, {text: text for text in texts}).items():
        expected = to_request({name: value})
        assert rest_body.read(rest_body.PAGES, urlencode({name: text}).encode(), b"") == expected
        assert rest_body.read(rest_body.PAGES, f"{name}={quote(text)}".encode(), b" ") == expected
        assert rest_body.read(rest_body.PAGES, b"", json.dumps({name: value}).encode()) == expected


# The sentences on the same mistake in a body, which tests/transport/test_rest.py has.
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("utm_source", "x"),
        ("zzz", "x"),
        ("touch_scope", "last"),
        ("touch_scope", ""),
        ("limit", -1),
        ("limit", 4_294_967_296),
        ("include", ["pages"]),
        ("start_date", "01.07.2025"),
        ("end_date", "2025-02-30"),
        ("term", "x" * 8193),
        ("", "x"),
        ("caf\u00e9", "x"),
    ],
)
def test_a_mistake_gets_the_sentence_that_it_gets_in_a_body(rest: str, key: str, name: str, value: Any) -> None:
    text = ",".join(value) if isinstance(value, list) else value
    in_query, in_body = post(rest, key, urlencode({name: text})), post(rest, key, "", {name: value})
    assert in_query.status_code == in_body.status_code == 400
    assert in_query.json() == in_body.json()
    assert in_query.json().get("field", "") == name


@pytest.mark.parametrize(
    ("query", "body", "field", "says"),
    [
        ("source=a&medium=b&source=a", None, "source", "given twice in the query string; give it once"),
        ("source=&source=", None, "source", "given twice"),
        ("x=1&x=2", None, "x", "given twice"),
        ("source=a", {"source": "a"}, "source", "given in the query string and in the body; give it in one of them"),
        ("source=", {"source": None}, "source", "in the query string and in the body"),
        ("source=%ff", None, "source", "not UTF-8 in the query string"),
        ("%ff=x", None, None, "not UTF-8 in the query string"),
        ("source=a", [1], None, "must be a JSON object"),
    ],
)
def test_what_is_given_twice_or_is_no_utf8_is_refused(
    rest: str, key: str, query: str, body: Any, field: str | None, says: str
) -> None:
    response = post(rest, key, query, body)
    assert response.status_code == 400, response.text
    assert response.json().get("field") == field
    assert response.json()["code"] == "invalid_argument"
    assert says in response.json()["error"]


def test_bytes_that_are_not_encoded_are_refused_or_read(rest: str, key: str) -> None:
    parts = urlsplit(rest)
    for value, status in ((b"caf\xc3\xa9", (200, 400)), (b"\xff", (400,))):
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as client:
            client.sendall(
                b"POST /api/v1/pages?term=%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthentication: %b\r\n"
                b"Content-Length: 0\r\n\r\n" % (value, key.encode())
            )
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert int(answer.split()[1]) in status


def test_openapi_has_the_parameters_as_the_body_has_them() -> None:
    document = json.loads(openapi.document())
    parameters = document["paths"]["/api/v1/pages"]["post"]["parameters"]
    in_query = {each["name"]: each for each in parameters if each["in"] == "query"}
    assert tuple(in_query) == rest_body.PAGES.parameters
    schemas = document["components"]["schemas"]
    for name, described in schemas["PagesBody"]["properties"].items():
        parameter = in_query[name]
        schema = described
        if "$ref" in described:
            schema = {key: value for key, value in schemas["TouchScope"].items() if key != "title"}
        assert parameter["required"] is False
        assert {"description": parameter["description"], **parameter["schema"]} == {
            key: value for key, value in schema.items() if key != "examples"
        }
