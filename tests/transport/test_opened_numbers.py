"""Sessions, days, values and hints over REST and gRPC: shapes, permissions, quotas and refusals."""

from __future__ import annotations

import itertools
import json
import threading
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
import pytest
import requests

from pageroles.access.keys import KeyStore, Permission
from pageroles.access.quotas import QuotaStore
from pageroles.client import Client
from pageroles.report import opened, statements
from pageroles.transport import rest_schema
from pageroles.v1 import pages_pb2, pages_pb2_grpc
from support import worked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pageroles.store.call import Call
    from pageroles.store.statement import Statement
    from support.served import Served

JULY = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
_numbers = itertools.count()


def key_for(served: Served, domain: str, *permissions: Permission) -> str:
    key, _ = KeyStore(served.store).create(domain, permissions=permissions)
    served.service._keys.forget()
    return key


@pytest.fixture(scope="module")
def opening(served: Served, key: str) -> str:
    """A key that may see the sessions of the worked case; `key` stores them."""
    assert key
    return key_for(served, worked.DOMAIN, Permission.REPORT, Permission.SESSIONS)


def post(rest: str, key: str, path: str, body: dict[str, Any]) -> requests.Response:
    return requests.post(f"{rest}/api/v1/pages/{path}", json=body, headers={"Authentication": key}, timeout=30)


def test_the_sessions_of_the_worked_case(rest: str, opening: str) -> None:
    answer = post(rest, opening, "sessions", JULY | {"url": "/signup", "role": "conversion"})
    assert answer.status_code == 200
    assert answer.headers["x-data-version"]
    found = answer.json()
    msgspec.convert(found, rest_schema.PageSessions, strict=True)
    assert found["total"] == {"sessions": 2, "users": 2}
    assert len(found["sessions"]) == 2
    starts = [each["started_at"] for each in found["sessions"]]
    assert starts == sorted(starts, reverse=True)
    assert all("/signup" in {it["url"].split("?")[0] for it in each["conversions"]} for each in found["sessions"])
    one = post(rest, opening, "sessions", JULY | {"url": "/signup?plan=pro", "role": "conversion", "limit": 1}).json()
    assert one == {"total": found["total"], "sessions": found["sessions"][:1]}
    everything = post(rest, opening, "sessions", JULY).json()
    assert everything["total"] == {"sessions": 4, "users": 2}
    assert len(everything["sessions"]) == 4
    nothing = post(rest, opening, "sessions", JULY | {"url": "/never", "role": "landing"}).json()
    assert nothing == {"total": {"sessions": 0, "users": 0}, "sessions": []}


def test_the_days_of_the_worked_case(rest: str, key: str) -> None:
    found = post(rest, key, "days", JULY | {"url": "/signup"}).json()
    msgspec.convert(found, rest_schema.PageDays, strict=True)
    assert [day["date"] for day in found["days"]] == [f"2025-07-{day:02}" for day in range(1, 32)]
    assert sum(day["summary_totals"]["total_sessions"] for day in found["days"]) == 4
    assert sum(day["roles"]["conversion"]["sessions"] for day in found["days"]) == 2
    bare = post(rest, key, "days", JULY).json()["days"]
    assert [day["summary_totals"] for day in bare] == [day["summary_totals"] for day in found["days"]]
    assert set(bare[0]) == {"date", "summary_totals"}


def test_the_values_of_the_worked_case(rest: str, key: str) -> None:
    found = post(rest, key, "values", JULY | {"field": "landing_page"}).json()
    msgspec.convert(found, rest_schema.FilterValues, strict=True)
    assert sum(value["sessions"] for value in found["values"]) == 4
    for value in found["values"]:
        asked = JULY | {"landing_page": value["value"]}
        report = requests.post(f"{rest}/api/v1/pages", json=asked, headers={"Authentication": key}, timeout=30).json()
        assert report["summary_totals"]["total_sessions"] == value["sessions"]
    # The question's own value of the field is left aside, and the case of what is contained.
    own = post(rest, key, "values", JULY | {"field": "landing_page", "landing_page": "/never"}).json()
    assert own == found
    docs = post(rest, key, "values", JULY | {"field": "landing_page", "contains": "DOC"}).json()["values"]
    assert [value["value"] for value in docs] == ["/docs"]
    assert len(post(rest, key, "values", JULY | {"field": "landing_page", "limit": 1}).json()["values"]) == 1


def test_the_query_string_serves_too(rest: str, opening: str) -> None:
    for path, more in (
        ("sessions", {"url": "/signup", "role": "conversion", "limit": "1"}),
        ("days", {"url": "/signup"}),
        ("values", {"field": "source", "limit": "2"}),
    ):
        in_body = {name: int(value) if name == "limit" else value for name, value in more.items()}
        asked = requests.post(
            f"{rest}/api/v1/pages/{path}", params=JULY | more, headers={"Authentication": opening}, timeout=30
        )
        assert asked.json() == post(rest, opening, path, JULY | in_body).json(), path


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("sessions", {"role": "conversion"}, "role"),
        ("sessions", {"url": "/a", "role": "winner"}, "role"),
        ("sessions", {"url": "/a", "limit": -1}, "limit"),
        ("sessions", {"url": "a" * 8193}, "url"),
        ("sessions", {"include": ["data"]}, "include"),
        ("sessions", {"url": 1}, "url"),
        ("days", {"limit": 1}, "limit"),
        ("days", {"start_date": "yesterday"}, "start_date"),
        ("values", {}, "field"),
        ("values", {"field": "sources"}, "field"),
        ("values", {"field": "source", "limit": 1001}, "limit"),
        ("values", {"field": "source", "contains": "a" * 8193}, "contains"),
        ("values", {"field": "source", "touch_scope": "last"}, "touch_scope"),
    ],
)
def test_bad_input_is_named(rest: str, opening: str, path: str, body: dict[str, Any], field: str) -> None:
    refused = post(rest, opening, path, body)
    assert (refused.status_code, refused.json().get("field")) == (400, field), refused.text


def test_single_sessions_need_a_permission_of_their_own(rest: str, served: Served, key: str, opening: str) -> None:
    refused = post(rest, key, "sessions", JULY)
    assert refused.status_code == 403
    assert "`sessions`" in refused.json()["error"]
    only = key_for(served, worked.DOMAIN, Permission.SESSIONS)
    assert post(rest, only, "sessions", JULY).status_code == 200
    for path in ("days", "values"):
        assert post(rest, only, path, JULY | ({"field": "source"} if path == "values" else {})).status_code == 403
        assert post(rest, opening, path, JULY | ({"field": "source"} if path == "values" else {})).status_code == 200


def test_quotas_count_sessions_and_days_and_no_values(rest: str, served: Served) -> None:
    domain = f"more-{next(_numbers)}.example.com"
    QuotaStore(served.store).set(domain, 10)
    key = key_for(served, domain, Permission.REPORT, Permission.SESSIONS)
    served.service._quotas._limits.forget()
    used = [
        post(rest, key, path, JULY | more).headers.get("x-ratelimit-used")
        for path, more in (
            ("sessions", {}), ("values", {"field": "source"}), ("days", {}), ("sessions", {"url": "/a"}),
        )
    ]  # fmt: skip
    assert used == ["1", None, "2", "3"]


def test_limit_and_include_of_a_question_within_another_are_refused(served: Served, opening: str) -> None:
    with grpc.insecure_channel(served.target) as channel:
        stub: Any = pages_pb2_grpc.PageRolesServiceStub(channel)  # type: ignore[no-untyped-call]
        asked = {"metadata": (("authentication", opening),), "timeout": 30}
        for question, field in (
            (pages_pb2.PagesRequest(limit=1), "question.limit"),
            (pages_pb2.PagesRequest(include=[pages_pb2.INCLUDE_DATA]), "question.include"),
        ):
            for call in (
                lambda question=question: stub.PageDays(pages_pb2.PageDaysRequest(question=question), **asked),
                lambda question=question: stub.FilterValues(
                    pages_pb2.FilterValuesRequest(question=question, field="source"), **asked
                ),
                lambda question=question: list(
                    stub.PageSessions(pages_pb2.PageSessionsRequest(question=question), **asked)
                ),
            ):
                with pytest.raises(grpc.RpcError) as refused:
                    call()
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert field in str(refused.value.details())


def test_many_sessions_come_in_parts_and_all_of_them_once(
    rest: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "AT_FIRST", 5)
    monkeypatch.setattr(opened, "AT_ONCE", 7)
    monkeypatch.setattr(opened, "_OF_A_WALK", 20)
    monkeypatch.setattr(opened, "_MESSAGE_BYTES", 300)
    domain = f"many-{next(_numbers)}.example.com"
    rows: list[dict[str, Any]] = [
        {"domain": domain, "session_id": f"s{number}", "user_id": f"u{number % 13}", "started_at": at}
        for number, at in enumerate(f"2025-07-{1 + number % 28:02} 10:00:{number % 60:02}.000" for number in range(100))
    ]
    served.insert("".join(json.dumps(row) + "\n" for row in rows).encode())
    key = key_for(served, domain, Permission.SESSIONS)
    found = post(rest, key, "sessions", JULY).json()
    assert found["total"] == {"sessions": 100, "users": 13}
    assert sorted(each["session_id"] for each in found["sessions"]) == sorted(row["session_id"] for row in rows)
    starts = [each["started_at"] for each in found["sessions"]]
    assert starts == sorted(starts, reverse=True)
    for limit in (6, 7, 8, 27, 30, 99, 100, 101):
        some = post(rest, key, "sessions", JULY | {"limit": limit}).json()
        assert some["sessions"] == found["sessions"][:limit], limit


@pytest.mark.parametrize(
    ("sessions", "pages", "at_once"),
    [(250, 0, [20, 80, 150]), (60, 50, [20, 10, 10, 10, 10])],
)
def test_what_is_in_memory_at_once_is_bounded_in_bytes(
    rest: str, served: Served, monkeypatch: pytest.MonkeyPatch, sessions: int, pages: int, at_once: list[int]
) -> None:
    show, read = opened.Opener.show, list[int]()

    def shown(self: opened.Opener, query: Any, places: Any, call: Call) -> Iterator[pages_pb2.PageSession]:
        read.append(len(places))
        return show(self, query, places, call)

    monkeypatch.setattr(opened.Opener, "show", shown)
    monkeypatch.setattr(opened, "BYTES_AT_ONCE", 56_000)
    domain = f"sized-{next(_numbers)}.example.com"
    row: dict[str, Any] = {
        "domain": domain, "user_id": "u", "started_at": "2025-07-05 10:00:00.000",
        "page_views.url": [f"/{number:02}/{'x' * 96}" for number in range(pages)],
        "page_views.viewed_at": ["2025-07-05 10:00:00.000"] * pages,
    }  # fmt: skip
    rows = [row | {"session_id": f"s{number:03}"} for number in range(sessions)]
    served.insert("".join(json.dumps(each) + "\n" for each in rows).encode())
    key = key_for(served, domain, Permission.SESSIONS)
    found = post(rest, key, "sessions", JULY | {"limit": sessions}).json()["sessions"]
    assert len({each["session_id"] for each in found}) == sessions
    assert read == at_once


def test_a_query_lists_a_bounded_number_of_pages(rest: str, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    page_names = statements.page_names

    def seen(domain: str, page_keys: Sequence[int] | None, *, whole_keys: bool) -> Statement:
        asked.append(len(page_keys or ()))
        return page_names(domain, page_keys, whole_keys=whole_keys)

    domain, views = f"pages-{next(_numbers)}.example.com", 4_000
    row: dict[str, Any] = {"domain": domain, "user_id": "u", "started_at": "2025-07-05 10:00:00.000"}
    sessions = [
        row | {"session_id": name, "page_views.url": [f"/{name}/{number}" for number in range(views)],
               "page_views.viewed_at": [row["started_at"]] * views}
        for name in ("s1", "s2", "s3")
    ]  # fmt: skip
    served.insert("".join(json.dumps(each) + "\n" for each in sessions).encode())
    key = key_for(served, domain, Permission.SESSIONS)
    monkeypatch.setattr(statements, "page_names", seen)
    found = post(rest, key, "sessions", JULY).json()["sessions"]
    pages = {each["session_id"]: each["pages"] for each in found}
    assert pages == {each["session_id"]: each["page_views.url"] for each in sessions}
    assert sum(asked) == 3 * views
    assert max(asked) <= opened.LISTED


def test_a_session_of_many_megabytes_opens(rest: str, served: Served) -> None:
    domain, views = f"large-{next(_numbers)}.example.com", 10_000
    row = {
        "domain": domain, "session_id": "s1", "user_id": "u", "started_at": "2025-07-05 10:00:00.000",
        "page_views.url": [f"/{number}/{'x' * 1000}" for number in range(views)],
        "page_views.viewed_at": ["2025-07-05 10:00:00.000"] * views,
    }  # fmt: skip
    served.insert(json.dumps(row).encode())
    key = key_for(served, domain, Permission.SESSIONS)
    answer = post(rest, key, "sessions", JULY)
    assert answer.status_code == 200, answer.text
    assert answer.json()["sessions"][0]["pages"] == row["page_views.url"]
    with Client(served.target, key) as client:
        (session,) = client.sessions(start_date=JULY["start_date"], end_date=JULY["end_date"])
    assert len(session.pages) == views


def test_what_is_read_for_a_caller_who_is_gone_ends(rest: str, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "AT_FIRST", 1)
    monkeypatch.setattr(opened, "AT_ONCE", 1)
    domain, views = f"gone-{next(_numbers)}.example.com", 100
    row = {
        "domain": domain, "user_id": "u", "started_at": "2025-07-05 10:00:00.000",
        "page_views.url": [f"/{number}/{'x' * 2000}" for number in range(views)],
        "page_views.viewed_at": ["2025-07-05 10:00:00.000"] * views,
    }  # fmt: skip
    sessions = [row | {"session_id": f"s{number}"} for number in range(10)]
    served.insert("".join(json.dumps(each) + "\n" for each in sessions).encode())
    key = key_for(served, domain, Permission.SESSIONS)
    show, shown = opened.Opener.show, itertools.count(1)
    reached, cancelled = threading.Event(), threading.Event()

    def slow(self: opened.Opener, query: Any, places: Any, call: Call) -> Iterator[pages_pb2.PageSession]:
        if next(shown) == 6:
            reached.set()
            call.on_cancel(cancelled.set)
            cancelled.wait(call.remaining())
        return show(self, query, places, call)

    monkeypatch.setattr(opened.Opener, "show", slow)
    with requests.post(
        f"{rest}/api/v1/pages/sessions", json=JULY, timeout=30, stream=True,
        headers={"Authentication": key, "Accept-Encoding": "identity"},
    ) as answer:  # fmt: skip
        assert answer.status_code == 200
        assert reached.wait(30)
    # Nobody cancels a call whose time is over.
    assert cancelled.wait(60)


@pytest.mark.usefixtures("streaming")
def test_what_is_written_meanwhile_takes_no_place_in_the_list(
    rest: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "AT_FIRST", 2)
    monkeypatch.setattr(opened, "AT_ONCE", 2)
    domain = f"meanwhile-{next(_numbers)}.example.com"
    row = {"domain": domain, "user_id": "u"}
    sessions = [row | {"session_id": f"s{day}", "started_at": f"2025-07-{day:02} 10:00:00.000"} for day in range(1, 9)]
    served.insert("".join(json.dumps(each) + "\n" for each in sessions).encode())
    key = key_for(served, domain, Permission.SESSIONS)
    before = post(rest, key, "sessions", JULY).json()
    further = opened.Opener._further

    def written(*given: Any) -> Iterator[bytes]:
        served.insert(json.dumps(row | {"session_id": "new", "started_at": "2025-07-03 11:00:00.000"}).encode())
        return further(*given)

    monkeypatch.setattr(opened.Opener, "_further", written)
    assert post(rest, key, "sessions", JULY).json() == before
    assert post(rest, key, "sessions", JULY).json()["total"]["sessions"] == len(sessions) + 1
    monkeypatch.setattr(opened, "_OF_A_READING", 4)
    served.insert(json.dumps(row | {"session_id": "other", "started_at": "2025-07-01 11:00:00.000"}).encode())
    assert len(post(rest, key, "sessions", JULY).json()["sessions"]) == len(sessions) + 2


def test_hints_name_what_nearly_matched(rest: str, served: Served) -> None:
    domain = f"hints-{next(_numbers)}.example.com"
    conversion = {
        "conversions.url": ["https://a.example/buy?plan=pro"], "conversions.type": ["form"], "conversions.id": ["F1"],
        "conversions.occurred_at": ["2025-07-05 10:00:01.000"],
    }  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"session_id": "s1", "started_at": "2025-07-05 10:00:00.000", "source": "Google.com", **conversion},
        {
            "session_id": "s2",
            "started_at": "2025-07-06 10:00:00.000",
            "source": "google.com/",
            "page_views.url": ["https://a.example/start"],
            "page_views.viewed_at": ["2025-07-06 10:00:00.000"],
        },
        {"session_id": "s3", "started_at": "2025-05-05 10:00:00.000", "source": "bing.com"},
    ]
    served.insert("".join(json.dumps(row | {"domain": domain, "user_id": "u"}) + "\n" for row in rows).encode())
    key = key_for(served, domain, Permission.REPORT)

    def hints(**asked: str) -> list[dict[str, Any]]:
        answer = requests.post(
            f"{rest}/api/v1/pages",
            json=JULY | asked | {"include": ["hints"]},
            headers={"Authentication": key},
            timeout=30,
        ).json()
        assert "message" in answer
        given: list[dict[str, Any]] = answer.get("hints", [])
        for hint in given:
            asked_again = {**JULY, **asked, hint["field"]: hint["value"]}
            again = requests.post(
                f"{rest}/api/v1/pages", json=asked_again, headers={"Authentication": key}, timeout=30
            ).json()
            assert again.get("summary_totals", {"total_sessions": 0})["total_sessions"] == hint["sessions"]
        return given

    def short(given: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
        return [(hint["field"], hint["value"], hint["sessions"]) for hint in given]

    assert short(hints(source="google.com")) == [("source", "Google.com", 1), ("source", "google.com/", 1)]
    assert short(hints(meta_id="f1")) == [("meta_id", "F1", 1)]
    assert short(hints(conversion_page="https://a.example/buy")) == [
        ("conversion_page", "https://a.example/buy?plan=pro", 1)
    ]
    # Several that are wrong at once leave none.
    assert short(hints(source="google.com", meta_id="f1")) == [
        ("meta_id", "F1", 0), ("source", "Google.com", 0), ("source", "google.com/", 0),
    ]  # fmt: skip
    # A page without its site.
    assert short(hints(conversion_page="/buy")) == [("conversion_page", "https://a.example/buy?plan=pro", 1)]
    assert short(hints(landing_page="/start")) == [("landing_page", "https://a.example/start", 1)]
    assert short(hints(landing_page="a.example/START")) == [("landing_page", "https://a.example/start", 1)]
    (elsewhere,) = hints(source="bing.com")
    assert (elsewhere["value"], elsewhere["sessions"]) == ("bing.com", 0)
    assert "2025-05-05" in elsewhere["sentence"]
    assert hints(source="nothing like it") == []
    # Where something matched, there are none.
    full = requests.post(
        f"{rest}/api/v1/pages", json=JULY | {"include": ["hints"]}, headers={"Authentication": key}, timeout=30
    ).json()
    assert "hints" not in full
