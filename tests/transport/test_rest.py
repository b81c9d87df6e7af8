"""REST as the public documentation describes it, in both forms of the gateway."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import pytest
import requests

from pageroles.access.quotas import QuotaStore
from pageroles.report import statements
from pageroles.transport import rest_schema
from support.endless import ENDLESS, running, until
from support.worked import DOMAIN

if TYPE_CHECKING:
    from support.served import Served

MESSAGE = {"message": "No page data found for the given parameters."}
JULY = {"start_date": "2025-07-01", "end_date": "2025-07-31"}


def post(rest: str, key: str | None, body: Any = None, **headers: str) -> requests.Response:
    """Send a question; a body of bytes is sent as it is."""
    sent = {"Authentication": key} if key is not None else {}
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(
        f"{rest}/api/v1/pages", data=data, headers={**sent, "Content-Type": "application/json", **named}, timeout=30
    )


def count(sessions: int, users: int) -> dict[str, int]:
    return {"sessions": sessions, "users": users}


def test_the_worked_case_has_the_public_shape(rest: str, key: str) -> None:
    response = post(rest, key, JULY)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    report = response.json()
    assert report["time_frame"] == {"start": "2025-07-01T00:00:00Z", "end": "2025-07-31T23:59:59Z"}
    assert report["summary_totals"] == {
        "total_sessions": 4, "total_users": 2, "total_conversion_events": 2, "total_conversion_users": 2,
    }  # fmt: skip
    assert report["conversion_performance"] == [
        {
            "url": "/signup",
            "conversion": count(2, 2),
            "conversion_assist": count(1, 1),
            "landing_assisted_conversion": count(1, 1),
        },
        {
            "url": "/pricing",
            "conversion": count(0, 0),
            "conversion_assist": count(1, 1),
            "landing_assisted_conversion": count(1, 1),
        },
    ]
    assert report["drop_off_performance"][0] == {
        "url": "/docs",
        "drop_off": count(1, 1),
        "drop_off_assist": count(0, 0),
        "landing_assisted_drop_off": count(1, 1),
    }
    msgspec.convert(report, rest_schema.PagesAnswer, strict=True)


def test_the_requests_of_the_public_documentation(rest: str, key: str) -> None:
    frame = {"start_date": "2025-07-15", "end_date": "2025-07-30"}
    assert post(rest, key, frame).json() == MESSAGE
    scope = {**JULY, "source": "google.com", "touch_scope": "converting"}
    assert post(rest, key, scope).json()["summary_totals"]["total_sessions"] == 2
    # As the documentation prints it, with a trailing comma.
    printed = b'{\n "start_date": "2025-07-15",\n "end_date": "2025-07-30",\n}'
    response = post(rest, key, printed)
    assert response.status_code == 400
    assert "trailing comma" in response.json()["error"]
    assert "byte 58" in response.json()["error"]


def test_no_session_is_a_message_and_200(rest: str, key: str) -> None:
    response = post(rest, key, {"start_date": "2024-01-01", "end_date": "2024-01-02"})
    assert (response.status_code, response.json()) == (200, MESSAGE)


@pytest.mark.parametrize("body", [None, b"", b"  \n", b"{}"])
def test_an_empty_body_asks_with_all_defaults(rest: str, key: str, body: bytes | None) -> None:
    response = post(rest, key, body)
    assert (response.status_code, response.json()) == (200, MESSAGE)


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"utm_source": "x"}, "utm_source", "unknown parameter 'utm_source'; did you mean source?"),
        ({"zzz": "x"}, "zzz", "known are start_date, end_date"),
        ({"source": 5}, "source", "source: must be a string, not a number"),
        ({"source": None}, "source", "null; leave it out"),
        ({"medium": ["cpc"]}, "medium", "not a list"),
        ({"touch_scope": "last"}, "touch_scope", "there is no scope 'last'; give one of any, first"),
        ({"touch_scope": 1}, "touch_scope", "must be a string, not a number"),
        ({"limit": "5"}, "limit", "must be a whole number, not a string"),
        ({"limit": 1.0}, "limit", "must be a whole number, not 1.0"),
        ({"touch_scope": "ANY"}, "touch_scope", "there is no scope 'ANY'"),
        ({"start_date": "01.07.2025"}, "start_date", "give a date (2025-07-01)"),
        ({"end_date": "2025-02-30"}, "end_date", "there is no date"),
        ({"start_date": "2025-07-02", "end_date": "2025-07-01"}, "start_date", "after its end"),
        ({"term": "x" * 8193}, "term", "8,192 bytes"),
        (b'{"source": "a", "medium": "b", "source": "a"}', "source", "source: given twice in the body; give it once"),
        (b'{"source": ' + b"9" * 4300 + b"}", "source", "must be a string, not a number"),
        (b"[1]", None, "must be a JSON object, not a list"),
        (b'"x"', None, "not a string"),
        (b"{", None, "not valid JSON"),
        (b"\xff", None, "not valid JSON"),
        (b'{"source": "\\ud800"}', None, "not valid JSON"),
        (b"[" * 60_000, None, "nested too deeply"),
    ],
)
def test_bad_bodies_get_a_sentence_and_the_field(rest: str, key: str, body: Any, field: str | None, says: str) -> None:
    response = post(rest, key, body)
    assert response.status_code == 400, response.text
    fault = response.json()
    assert says in fault["error"]
    assert fault.get("field") == field


def test_keys(rest: str, served: Served, key: str) -> None:
    assert post(rest, None).status_code == 401
    unknown, broken = post(rest, f"pr_{'0' * 12}_{'A' * 43}"), post(rest, "x")
    assert (unknown.status_code, unknown.json()) == (broken.status_code, broken.json())
    assert unknown.status_code == 401
    assert post(rest, key, Domain="other.example.com").status_code == 403
    assert post(rest, served.all_domains_key, JULY, Domain=DOMAIN).json()["summary_totals"]["total_sessions"] == 4
    assert post(rest, served.all_domains_key, JULY).json()["field"] == "domain"


def test_other_paths_methods_and_types_say_what_is_served(rest: str, key: str) -> None:
    assert "/api/v1/pages" in requests.get(f"{rest}/nowhere", timeout=30).json()["error"]
    wrong = requests.put(f"{rest}/api/v1/pages", timeout=30)
    assert (wrong.status_code, sorted(wrong.headers["allow"].split(", "))) == (405, ["GET", "HEAD", "POST"])
    form = post(rest, key, b"a=b", Content_Type="application/x-www-form-urlencoded")
    assert (form.status_code, "application/json" in form.json()["error"]) == (415, True)
    large = post(rest, key, b" " * (64 * 1024 + 1))
    assert (large.status_code, "65,536" in large.json()["error"]) == (413, True)
    chunked = requests.post(
        f"{rest}/api/v1/pages", data=iter([b" " * 40_000, b" " * 40_000]), headers={"Authentication": key}, timeout=30
    )
    assert chunked.status_code == 413


@pytest.mark.parametrize("path", ["/api/v1/pages/", "/openapi.json/", "/livez/", "/docs/", "/explorer/", "/api/v1"])
def test_no_path_redirects(rest: str, path: str) -> None:
    for method in ("GET", "POST"):
        response = requests.request(method, f"{rest}{path}", allow_redirects=False, timeout=30)
        assert response.status_code in {404, 405}
        assert response.json()["error"]
    assert "POST /api/v1/pages (no slash at the end)" in requests.post(f"{rest}/api/v1/pages/", timeout=30).text


def test_the_request_id_goes_in_and_out(rest: str, key: str) -> None:
    assert post(rest, key, X_Request_Id="mine-1").headers["x-request-id"] == "mine-1"
    assert post(rest, key, X_Request_Id="no spaces!").headers["x-request-id"] != "no spaces!"
    assert post(rest, None).headers["x-request-id"]


def test_security_headers_are_on_every_answer(rest: str, key: str) -> None:
    for response in (post(rest, key), post(rest, None), requests.get(f"{rest}/", timeout=30)):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "access-control-allow-origin" not in response.headers
        assert "server" not in response.headers


def test_answers_are_packed_where_asked(rest: str, key: str) -> None:
    with requests.post(
        f"{rest}/api/v1/pages", json=JULY, headers={"Authentication": key, "Accept-Encoding": "gzip"}, timeout=30,
        stream=True,
    ) as response:  # fmt: skip
        raw = response.raw.read()
    packed = response.headers.get("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(raw) if packed else raw)["summary_totals"]["total_sessions"] == 4


def test_a_large_answer_is_a_stream_and_whole(rest: str, served: Served) -> None:
    # More than the messages that are made before an answer begins.
    domain, pages = "large.rest.example.com", 30_000
    rows = [
        {
            "domain": domain, "session_id": f"s{number}", "user_id": "u", "started_at": "2025-07-03T10:00:00Z",
            "page_views.url": [f"https://{domain}/{'long-' * 10}{number}?q"],
            "page_views.viewed_at": ["2025-07-03T10:00:00Z"],
        }
        for number in range(pages)
    ]  # fmt: skip
    served.insert("\n".join(map(json.dumps, rows)).encode())
    response = post(rest, served.key(domain), JULY)
    assert "content-length" not in response.headers
    urls = [row["url"] for row in response.json()["drop_off_performance"]]
    assert len(set(urls)) == pages
    assert urls == sorted(urls)


@pytest.mark.usefixtures("streaming")
def test_a_client_that_hangs_up_stops_the_query(
    rest: str, served: Served, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "sessions", lambda *_: ENDLESS)
    parts = urlsplit(rest)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as client:
        head = f"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nAuthentication: {key}\r\nContent-Length: 0\r\n\r\n"
        client.sendall(head.encode())
        assert until(lambda: running(served.store) > 0)
    assert until(lambda: running(served.store) == 0)


@pytest.mark.usefixtures("streaming")
def test_a_fault_of_ours_is_a_500_with_an_id(rest: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM host")

    monkeypatch.setattr(statements, "conversions", fail)
    response = post(rest, key, X_Request_Id="quote-me")
    assert response.status_code == 500
    assert "quote quote-me" in response.json()["error"]
    assert "secret" not in response.text


def test_a_spent_quota_is_a_429(rest: str, served: Served) -> None:
    domain = f"quota-{time.monotonic_ns()}.example.com"
    QuotaStore(served.store).set(domain, 2)
    key = served.key(domain)
    served.service._quotas._limits.forget()
    remaining = [post(rest, key).headers["x-ratelimit-remaining"] for _ in range(2)]
    assert remaining == ["1", "0"]
    assert post(rest, key, {"source": 1}).status_code == 400
    spent = post(rest, key)
    assert spent.status_code == 429
    assert spent.json() == {
        "error": "API monthly limit exceeded.", "code": "quota_exceeded", "limit": 2, "used": 2, "domain": domain,
    }  # fmt: skip
    assert 0 < int(spent.headers["retry-after"]) <= 31 * 86_400
    assert spent.headers["x-ratelimit-remaining"] == "0"


def test_pages_and_the_reference_are_served(rest: str) -> None:
    document = requests.get(f"{rest}/openapi.json", timeout=30).json()
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    assert set(schemas["PagesBody"]["properties"]) == set(rest_schema.PagesBody.__struct_fields__)
    assert not schemas["PagesBody"].get("required"), "every parameter may be left out"
    assert set(schemas) == {
        "Balance", "Conversion", "ConversionPage", "DataState", "DaysBody", "DropOffPage", "ErrorCode", "Fault",
        "FilterName", "FilterValue", "FilterValues", "Hint", "Include", "NoResults", "OmittedPages", "PageDay",
        "PageDays", "PageRoles", "PageSession", "PageSessions", "PageView", "PagesAnswer", "PagesBody", "PagesResult",
        "QuotaFault", "RejectedLine", "Role", "RoleCount", "Session", "SessionConversion", "SessionsBody",
        "SummaryTotals", "TimeFrame", "TouchScope", "ValuesBody", "WrittenSessions",
    }, "generated clients have these names"  # fmt: skip
    for path, text in (("/", "<html"), ("/docs", "swagger-ui"), ("/swagger-ui/swagger-ui-bundle.js", "SwaggerUI")):
        response = requests.get(f"{rest}{path}", timeout=30)
        assert response.status_code == 200
        assert text in response.text
    assert requests.get(f"{rest}/healthz", timeout=30).json() == {"status": "ok"}
    assert requests.get(f"{rest}/explorer/../cli.py", timeout=30).status_code == 404


def test_many_at_once_get_their_own_answers(rest: str, key: str) -> None:
    totals_of_scopes: list[tuple[str, int]] = []

    def ask(scope: str) -> None:
        for _ in range(5):
            totals = post(rest, key, {**JULY, "touch_scope": scope}).json()["summary_totals"]
            totals_of_scopes.append((scope, totals["total_sessions"]))

    threads = [threading.Thread(target=ask, args=(scope,)) for scope in ("any", "first", "converting", "after")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(totals_of_scopes)) == [("after", 1), ("any", 4), ("converting", 2), ("first", 2)]
    assert len(totals_of_scopes) == 20
