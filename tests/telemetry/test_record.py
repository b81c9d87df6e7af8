"""The request log: who asked what, from where, without secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests
from structlog.testing import capture_logs

from pageroles import serving
from pageroles.access.keys import KeyStore, Permission
from pageroles.settings import ServerSettings
from pageroles.telemetry.record import Telemetry, shown
from pageroles.transport import rest_sessions
from pageroles.v1 import pages_pb2
from support import worked
from support.fakes import session
from support.watched import JULY, SECONDS, watched
from support.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.store import Store
    from support.watched import Watched


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[Watched]:
    with watched(store, Telemetry()) as running:
        yield running


def lines(logs: list[Any]) -> list[Any]:
    return [line for line in logs if line["event"] == "request"]


def test_a_line_says_who_asked_what_from_where(server: Watched) -> None:
    with capture_logs() as logs:
        server.ask(source="google.com", touch_scope="TOUCH_SCOPE_CONVERTING")
    (line,) = lines(logs)
    assert line["method"] == "Pages"
    assert line["address"] == "127.0.0.1"
    assert line["question"] == {**JULY, "source": "google.com", "touch_scope": "TOUCH_SCOPE_CONVERTING"}
    assert (line["status"], line["domain"], line["key_id"]) == ("OK", worked.DOMAIN, server.key.split("_")[1])
    assert line["sessions"] > 0
    assert line["source"] == "memory"
    assert line["milliseconds"] > 0
    assert "trace_id" not in line


def test_a_line_of_rest_has_the_callers_address_and_that_which_a_near_proxy_tells(server: Watched) -> None:
    with capture_logs() as logs:
        server.post()
        server.post({"X-Forwarded-For": "203.0.113.7"})
    near, told = lines(logs)
    assert near["method"] == told["method"] == "POST /api/v1/pages"
    assert near["address"] == "127.0.0.1"
    assert told["address"] == "203.0.113.7"
    assert near["question"] == {**JULY, "touch_scope": "TOUCH_SCOPE_ANY"}


@pytest.mark.parametrize(
    ("key", "fields", "status"),
    [("no key", {}, "UNAUTHENTICATED"), (None, {"start_date": "never"}, "INVALID_ARGUMENT")],
)
def test_a_line_of_a_refused_request_says_so(
    server: Watched, key: str | None, fields: dict[str, str], status: str
) -> None:
    with capture_logs() as logs, pytest.raises(grpc.RpcError):
        server.ask(key, **fields)
    (line,) = lines(logs)
    assert (line["status"], line["sessions"]) == (status, None)
    assert line["error"]
    assert line["question"] == JULY | fields
    assert "no key" not in json.dumps(line["question"])


def test_a_request_that_cannot_be_read_has_a_line_and_no_question(server: Watched) -> None:
    with capture_logs() as logs:
        assert server.post(body={"no_such_field": 1}).status_code == 400
        with Asked(server.grpc, server.key) as asked:
            asked.metadata.append(("authentication", "another"))
            with pytest.raises(grpc.RpcError):
                asked.pages()
    rest, rpc = lines(logs)
    assert (rest["method"], rpc["method"]) == ("POST /api/v1/pages", "Pages")
    for line in (rest, rpc):
        assert (line["status"], line["address"]) == ("INVALID_ARGUMENT", "127.0.0.1")
        assert "question" not in line
    assert "no_such_field" in rest["error"]


def test_sessions_that_come_with_two_keys_have_a_line(server: Watched) -> None:
    two_keys = {"Authentication": server.key, "Authorization": "Bearer another"}
    with capture_logs() as logs:
        response = requests.post(f"{server.http}/api/v1/sessions", data=b"", headers=two_keys, timeout=30)
    assert response.status_code == 400
    (line,) = lines(logs)
    assert (line["method"], line["status"]) == ("POST /api/v1/sessions", "INVALID_ARGUMENT")
    assert line["request_id"] == response.headers["X-Request-Id"]


def test_an_internal_error_comes_with_its_traceback(server: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.service._answerer, "answer", lambda *_: 1 / 0)
    with capture_logs() as logs, pytest.raises(grpc.RpcError):
        server.ask()
    (line,) = lines(logs)
    assert (line["status"], line["log_level"]) == ("INTERNAL", "error")
    assert "ZeroDivisionError" in line["error"]
    assert line["exc_info"].__traceback__ is not None


def test_a_gateway_writes_lines_of_its_own_with_its_callers_address(server: Watched) -> None:
    settings = ServerSettings(http_address="127.0.0.1:0", grace=1)
    with serving.gateway(server.grpc, settings) as front, capture_logs() as logs:
        through = type(server)(server.store, server.service, server.grpc, f"http://{front}", "", server.key)
        assert through.post({"X-Request-Id": "one", "X-Forwarded-For": "203.0.113.7"}).ok
        assert through.post({"X-Request-Id": "two", "Authentication": "wrong"}).status_code == 401
    served, passed, refused, told = lines(logs)
    assert [line["request_id"] for line in (served, passed, refused, told)] == ["one", "one", "two", "two"]
    assert (served["method"], passed["method"]) == ("StreamPages", "POST /api/v1/pages")
    assert passed["address"] == "203.0.113.7"
    assert served["address"] == "127.0.0.1"
    assert passed["question"] == served["question"] == {**JULY, "touch_scope": "TOUCH_SCOPE_ANY"}
    assert [line["status"] for line in (passed, refused, told)] == ["OK", "UNAUTHENTICATED", "UNAUTHENTICATED"]


def test_a_gateway_writes_lines_of_what_is_written_through_it(server: Watched) -> None:
    key, _ = KeyStore(server.store).create("written.example.com", permissions=[Permission.WRITE])
    rows = [
        {**json.loads(session(name)), "domain": domain}
        for name, domain in (("w", "written.example.com"), ("x", "other.com"))
    ]
    body = "\n".join(json.dumps(each) for each in rows)
    settings = ServerSettings(http_address="127.0.0.1:0", grace=1)
    with serving.gateway(server.grpc, settings) as front, capture_logs() as logs:
        for request_id, sent in (("one", key), ("two", "wrong")):
            requests.post(
                f"http://{front}{rest_sessions.PATH}",
                data=body,
                headers={"Authentication": sent, "X-Request-Id": request_id, "Content-Type": rest_sessions.MEDIA_TYPE},
                timeout=SECONDS,
            )
    served, passed, refused, told = lines(logs)
    assert [line["request_id"] for line in (served, passed, refused, told)] == ["one", "one", "two", "two"]
    assert (served["method"], passed["method"]) == ("WriteSessions", "POST /api/v1/sessions")
    assert [line["status"] for line in (passed, refused, told)] == ["OK", "UNAUTHENTICATED", "UNAUTHENTICATED"]
    assert [(line["stored"], line["rejected"]) for line in (served, passed, told)] == [(1, 1), (1, 1), (0, 0)]
    assert not {"question", "sessions", "source"} & {*served, *passed, *refused, *told}


def test_what_may_be_a_secret_of_a_sites_users_is_left_out() -> None:
    question = pages_pb2.PagesRequest(
        conversion_page="https://me:word@example.com/reset?token=abc#part",
        landing_page="https://example.com/plain",
        campaign="x" * 300,
        touch_scope=pages_pb2.TOUCH_SCOPE_FIRST,
    )
    assert shown(question) == {
        "conversion_page": "https://…@example.com/reset?…#…",
        "landing_page": "https://example.com/plain",
        "campaign": "x" * 200 + "…",
        "touch_scope": "TOUCH_SCOPE_FIRST",
    }
    values = pages_pb2.FilterValuesRequest(field="conversion_page", contains="/reset?token=abc")
    assert shown(values) == {"field": "conversion_page", "contains": "/reset?…"}
    assert shown(pages_pb2.PagesRequest(landing_page="https://[broken?token=abc")) == {"landing_page": "…"}
    assert shown(pages_pb2.PagesRequest(touch_scope=77)) == {"touch_scope": 77}  # type: ignore[arg-type]
    assert shown(pages_pb2.PagesRequest()) == {}
