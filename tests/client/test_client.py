"""`pageroles.Client` and `AsyncClient`: the same answers, as Python has them, and refusals as errors."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import inspect
import json
import socket
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast, get_args

import grpc
import pandas as pd
import pyarrow as pa
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

import pageroles
from pageroles import AsyncClient, Client
from pageroles.access.keys import KeyStore, Permission
from pageroles.client import (
    CancelledError,
    DeadlineExceededError,
    InvalidArgumentError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    Report,
    RequestError,
    RoleCount,
    UnauthenticatedError,
    UnavailableError,
    answers,
    blocking,
    calls,
    errors,
    questions,
)
from pageroles.errors import QuotaState
from pageroles.ingest import loader
from pageroles.question.filters import FILTERS
from pageroles.transport.faults import Code
from pageroles.v1 import pages_pb2
from support import worked
from support.answering import REQUEST_ID, Answering, answering, refusal
from support.endless import PATIENCE
from support.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from google.protobuf.message import Message

    from support.reference import Session
    from support.served import Served

NOW = datetime(2025, 7, 31, 12, tzinfo=UTC)
DOMAIN = "client.example.com"
JULY: dict[str, Any] = {"start_date": "2025-07-01", "end_date": "2025-07-31"}


def _session(number: int, user: str, day: int, pages: list[str], converted: list[str], **more: Any) -> Session:
    at = f"2025-07-{day:02}T10:00:0{number}.{number:03}Z"
    return {
        "domain": DOMAIN, "session_id": f"s{number}", "user_id": user, "started_at": at,
        "page_views": [{"url": url, "viewed_at": at} for url in pages],
        "conversions": [{"url": url, "type": "form", "id": "f1", "occurred_at": at} for url in converted],
        **more,  # type: ignore[typeddict-item]
    }  # fmt: skip


# The worked case of docs/semantics.md, and a session without a view.
WORLD = [
    _session(1, "u1", 3, ["/", "/features", "/pricing"], [], source="google.com"),
    _session(2, "u1", 5, ["/pricing?ref=mail", "/signup"], ["/signup?plan=pro"], source="Mail"),
    _session(3, "u1", 9, ["/docs", "/docs/"], [], source="google.com"),
    _session(4, "u2", 6, ["/signup"], ["/signup"], source="google.com"),
    _session(5, "u3", 6, [], []),
]


@pytest.fixture
def served_here() -> Iterator[tuple[Answering, str]]:
    with answering(WORLD, NOW) as serving:
        yield serving


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Any:
    """Ask one question with either client; of sessions, give the total, the state and the list."""

    def blocked(target: str, method: str, *args: Any, timeout: float | None = 30, retries: int = 3, **more: Any) -> Any:
        with Client(target, "key-1", timeout=timeout, retries=retries) as client:
            found = getattr(client, method)(*args, **more)
            return (found.total, found.data, list(found)) if method == "sessions" else found

    def awaited(target: str, method: str, *args: Any, timeout: float | None = 30, retries: int = 3, **more: Any) -> Any:
        async def asking() -> Any:
            async with AsyncClient(target, "key-1", timeout=timeout, retries=retries) as client:
                found = await getattr(client, method)(*args, **more)
                if method == "sessions":
                    return found.total, found.data, [each async for each in found]
                return found

        return asyncio.run(asking())

    return {"blocking": blocked, "asyncio": awaited}[request.param]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pause no time, and remember how long it would have been."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("pageroles.client.blocking.sleep", found.append)
    monkeypatch.setattr("pageroles.client.asynchronous.sleep", sleep)
    return found


# ---- reports ----


def test_a_report_has_the_numbers_of_the_worked_case(served: Served, key: str) -> None:
    with Client(served.target, key) as client:
        report = client.report(**JULY, include=["balance", "landing"], limit=3)
    assert report.time_frame == answers.TimeFrame(
        datetime(2025, 7, 1, tzinfo=UTC), datetime(2025, 7, 31, 23, 59, 59, tzinfo=UTC)
    )
    assert report.summary_totals == answers.SummaryTotals(4, 2, 2, 2)
    signup, pricing = report.conversion_performance
    assert signup == answers.ConversionPage(
        "/signup", RoleCount(2, 2), RoleCount(1, 1), RoleCount(1, 1), RoleCount(1, 1)
    )
    assert report.conversion_performance[-1] == pricing == report.conversion_performance[1:][0]
    assert [page.url for page in report.drop_off_performance] == ["/docs", "/pricing", "/features"]
    assert report.drop_off_performance[0].landing == RoleCount(1, 1)
    assert report.omitted == answers.Omitted(0, 1)
    assert report.balance is not None
    assert (report.balance.included, report.balance.both) == (RoleCount(4, 2), RoleCount(0, 0))
    assert (report.message, report.data, report.hints, report.plan) == ("", None, (), None)
    assert "total_sessions=4" in repr(report)
    assert repr(report.conversion_performance) == "<Pages: 2>"


def test_what_was_not_asked_for_is_none(served: Served, key: str) -> None:
    with Client(served.target, key) as client:
        report = client.report(**JULY)
    assert (report.balance, report.omitted, report.conversion_performance[0].landing) == (None, None, None)


def test_an_empty_report_says_so_and_has_no_rows(served: Served, key: str) -> None:
    with Client(served.target, key) as client:
        report = client.report(**JULY, source="nobody", include=["balance"])
    assert report.message == "No page data found for the given parameters."
    assert (report.time_frame, len(report.conversion_performance), len(report.drop_off_performance)) == (None, 0, 0)
    assert report.summary_totals == answers.SummaryTotals(0, 0, 0, 0)
    assert report.balance is not None
    assert report.to_arrow().num_rows == 0
    assert report.conversion_performance.to_pandas().dtypes["conversion_users"] == "int64"


def test_a_large_report_streams_unseen(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [f"/{number:06}/{'long' * 20}" for number in range(20_000)]
    at = "2025-07-03T10:00:00Z"
    row = {
        "domain": "large.example.com", "session_id": "s", "user_id": "u", "started_at": at,
        "page_views.url": urls, "page_views.viewed_at": [at] * len(urls), "conversions.url": ["/end"],
        "conversions.type": [""], "conversions.id": [""], "conversions.occurred_at": [at],
    }  # fmt: skip
    served.insert(json.dumps(row).encode())
    key = served.key("large.example.com")
    messages: list[int] = []
    whole = calls.whole

    def counted(came: list[pages_pb2.PagesResponse]) -> pages_pb2.PagesResponse:
        messages.append(len(came))
        return whole(came)

    monkeypatch.setattr(calls, "whole", counted)
    with Client(served.target, key) as client, Asked(served.target, key) as asked:
        report = client.report(**JULY)
        assert messages[0] > 2
        assert report.response.SerializeToString() == b"".join(
            message.SerializeToString() for message in asked.stream(**JULY)
        )
    assert len(report.conversion_performance) == len(urls) + 1
    assert [page.url for page in report.conversion_performance[1:]] == urls


def test_either_client_gives_what_the_server_has(ask: Any, served_here: tuple[Answering, str]) -> None:
    servicer, target = served_here
    report = ask(target, "report", **JULY, source="google.com", touch_scope="any", include=["landing"], plan=True)
    assert isinstance(report, Report)
    assert report.summary_totals.total_sessions == 3
    assert report.plan == "count them all"
    (call,) = servicer.calls
    assert call.request == pages_pb2.PagesRequest(
        **JULY, source="google.com", touch_scope="TOUCH_SCOPE_ANY", include=["INCLUDE_LANDING"]
    )
    assert (call.metadata["authentication"], call.metadata["x-plan"]) == ("key-1", "1")
    assert 20 < call.seconds < 40


# ---- sessions, days, values ----


def test_the_sessions_behind_each_number_are_as_many(ask: Any, served_here: tuple[Answering, str]) -> None:
    _, target = served_here
    report = ask(target, "report", **JULY, include=["landing"])
    cells = report.to_arrow().to_pylist()
    assert len(cells) > 15
    for cell in cells:
        total, data, found = ask(target, "sessions", url=cell["url"] + "?x", role=cell["role"], **JULY)
        assert (total.sessions, total.users) == (cell["sessions"], cell["users"]), cell
        assert len(found) == total.sessions
        assert data == answers.DataState("v1", NOW)


def test_sessions_come_whole_and_in_order(ask: Any, served_here: tuple[Answering, str]) -> None:
    _, target = served_here
    total, _, found = ask(target, "sessions", **JULY)
    assert total == RoleCount(5, 3)
    assert [each.session_id for each in found] == ["s3", "s5", "s4", "s2", "s1"]
    at = datetime(2025, 7, 5, 10, 0, 2, 2000, tzinfo=UTC)
    assert found[3] == answers.Session(
        "s2", "u1", at, ("/pricing", "/signup"), (answers.Conversion("/signup?plan=pro", "form", "f1", at),)
    )
    total, _, found = ask(target, "sessions", limit=2, **JULY)
    assert (total.sessions, len(found)) == (5, 2)
    _, _, found = ask(target, "sessions", url="/signup", conversion_page="/signup", **JULY)
    assert [each.session_id for each in found] == ["s4"]


def test_days_have_every_day_and_a_page(ask: Any, served_here: tuple[Answering, str]) -> None:
    _, target = served_here
    days = ask(target, "days", **JULY)
    assert [day.date for day in days] == [date(2025, 7, number) for number in range(1, 32)]
    assert [day.summary_totals.total_sessions for day in days[2:6]] == [1, 0, 1, 2]
    assert (days[2].roles, days[2].landing) == (None, None)
    days = ask(target, "days", url="/signup/", **JULY)
    assert days[5].roles.conversion == RoleCount(1, 1)
    assert (days[5].landing, days[4].landing) == (RoleCount(1, 1), RoleCount(0, 0))


def test_values_are_counted_without_their_own_filter(ask: Any, served_here: tuple[Answering, str]) -> None:
    _, target = served_here
    found = ask(target, "values", "source", source="Mail", **JULY)
    assert [(each.value, each.sessions) for each in found] == [("google.com", 3), ("(direct)", 1), ("Mail", 1)]
    assert [each.value for each in ask(target, "values", "source", contains="MA", limit=1, **JULY)] == ["Mail"]


def test_a_real_server_gives_what_the_reference_does(
    served: Served, served_here: tuple[Answering, str], tmp_path: Path
) -> None:
    file = tmp_path / "world.jsonl"
    file.write_text("\n".join(map(json.dumps, WORLD)))
    loader.load(served.store, [str(file)])
    key, _ = KeyStore(served.store).create(DOMAIN, permissions=[Permission.REPORT, Permission.SESSIONS])
    served.service._keys.forget()
    with Client(served.target, key) as real, Client(served_here[1], "k") as there:
        for more in ({}, {"source": "google.com"}, {"conversion_page": "/signup"}, {"touch_scope": "after"}):
            question: Any = JULY | more
            report = real.report(include=["landing", "balance", "data"], **question)
            assert report.data
            assert report.to_arrow() == there.report(include=["landing"], **question).to_arrow()
            for url in ("", "/pricing", "/signup/?x", "/never"):
                assert list(real.days(url=url, **question)) == list(there.days(url=url, **question))
                for role in (None, *get_args(questions.Role)) if url else (None,):
                    ours, theirs = (each.sessions(url=url, role=role, **question) for each in (real, there))
                    assert ours.total == theirs.total, (url, role)
                    assert list(ours) == list(theirs)
                    assert ours.data
                    assert ours.data.version == report.data.version
            for field in get_args(questions.Field):
                assert list(real.values(field, **question)) == list(there.values(field, **question)), field
        (hint,) = real.report(include=["hints"], **JULY, source="MAIL").hints
        assert (hint.field, hint.value, hint.sessions) == ("source", "Mail", 1)


def test_sessions_need_a_key_that_may_see_them(served: Served, key: str) -> None:
    with Client(served.target, key) as client, pytest.raises(PermissionDeniedError):
        client.sessions(**JULY)


def test_sessions_end_where_they_are_closed(served_here: tuple[Answering, str]) -> None:
    servicer, target = served_here
    servicer.holds = True
    with Client(target, "k") as client:
        with client.sessions(**JULY) as sessions:
            assert next(sessions).session_id == "s3"
        assert servicer.given_up.wait(PATIENCE)
        assert list(sessions) == []


def test_sessions_end_where_nobody_has_them_any_more(served_here: tuple[Answering, str]) -> None:
    servicer, target = served_here
    servicer.holds = True
    with Client(target, "k") as client:
        sessions = client.sessions(**JULY)
        del sessions
        gc.collect()
        assert servicer.given_up.wait(PATIENCE)


@pytest.mark.parametrize("way", ["closed", "cancelled"])
def test_sessions_of_asyncio_end_with_their_task(way: str, served_here: tuple[Answering, str]) -> None:
    servicer, target = served_here
    servicer.holds = True

    async def asking() -> None:
        async with AsyncClient(target, "k") as client:
            sessions = await client.sessions(**JULY)
            if way == "closed":
                async with sessions:
                    assert (await anext(sessions)).session_id == "s3"
                assert [each async for each in sessions] == []
            else:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(sessions.to_arrow(), 0.2)
            assert await asyncio.to_thread(servicer.given_up.wait, PATIENCE)

    asyncio.run(asking())


def test_a_report_that_is_given_up_ends_in_the_server(served_here: tuple[Answering, str]) -> None:
    servicer, target = served_here
    servicer.holds = True

    async def asking() -> None:
        async with AsyncClient(target, "k") as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.report(**JULY), 0.2)
            assert await asyncio.to_thread(servicer.given_up.wait, PATIENCE)

    asyncio.run(asking())


def test_a_report_that_is_interrupted_ends_in_the_server(
    served_here: tuple[Answering, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    servicer, target = served_here
    servicer.holds = True

    def interrupted(call: Iterator[object]) -> None:
        next(call)
        raise KeyboardInterrupt

    # What Ctrl-C does while the messages are read.
    monkeypatch.setattr(blocking, "list", interrupted, raising=False)
    with Client(target, "k") as client:
        with pytest.raises(KeyboardInterrupt) as caught:  # and holds what its frames hold
            client.report(**JULY)
        assert servicer.given_up.wait(PATIENCE)
        assert caught.tb


# ---- tables ----


def test_a_report_is_a_tidy_table(served_here: tuple[Answering, str]) -> None:
    _, target = served_here
    with Client(target, "k") as client:
        report = client.report(**JULY, include=["landing"])
    table = report.to_arrow()
    assert table.schema == pa.schema(
        [("url", pa.string()), ("role", pa.string()), ("sessions", pa.int64()), ("users", pa.int64())]
    )
    cells = {(each["url"], each["role"]): each["sessions"] for each in table.to_pylist()}
    assert len(cells) == table.num_rows, "each page and role once"
    assert cells["/signup", "conversion"] == 2
    assert cells["/signup", "landing"] == 1
    frame = report.to_pandas()
    assert frame.to_dict("records") == table.to_pylist()


def test_each_list_is_a_table_with_a_row_a_page(served_here: tuple[Answering, str]) -> None:
    _, target = served_here
    with Client(target, "k") as client:
        report = client.report(**JULY, include=["landing"])
    table = report.drop_off_performance.to_arrow()
    roles = ("drop_off", "drop_off_assist", "landing_assisted_drop_off", "landing")
    assert table.column_names == ["url", *(f"{role}_{unit}" for role in roles for unit in ("sessions", "users"))]
    assert table.to_pylist()[0]["url"] == report.drop_off_performance[0].url
    assert report.drop_off_performance.to_pandas().to_dict("records") == table.to_pylist()


def test_days_values_and_sessions_are_tables(served_here: tuple[Answering, str]) -> None:
    _, target = served_here
    with Client(target, "k") as client:
        days = client.days(url="/signup", **JULY)
        values = client.values("source", **JULY)
        sessions = client.sessions(**JULY).to_arrow()
        frame = client.sessions(**JULY).to_pandas()
    assert days.to_arrow().schema.field("date").type == pa.date32()
    assert days.to_arrow().to_pylist()[5] | {"date": ""} == {
        "date": "", "total_sessions": 2, "total_users": 2, "total_conversion_events": 1, "total_conversion_users": 1,
        **{f"{role}_{unit}": int(role in {"conversion", "conversion_assist", "landing_assisted_conversion", "landing"})
           for role in (*answers.ROLES, "landing") for unit in ("sessions", "users")},
    }  # fmt: skip
    assert days.to_pandas()["date"][0] == pd.Timestamp("2025-07-01")
    assert values.to_arrow().to_pylist() == values.to_pandas().to_dict("records")
    assert sessions.schema.field("started_at").type == pa.timestamp("ms", tz="UTC")
    second = sessions.to_pylist()[3]
    assert second["pages"] == ["/pricing", "/signup"]
    assert second["conversions"][0]["url"] == "/signup?plan=pro"
    assert frame["started_at"][3] == second["started_at"]
    assert frame["conversions"][3] == second["conversions"]


def test_sessions_of_asyncio_are_tables(served_here: tuple[Answering, str]) -> None:
    async def asking() -> tuple[Any, Any]:
        async with AsyncClient(served_here[1], "k") as client:
            return await (await client.sessions(**JULY)).to_arrow(), await (await client.sessions(**JULY)).to_pandas()

    table, frame = asyncio.run(asking())
    assert table.num_rows == len(frame) == 5


@pytest.mark.parametrize(("library", "method"), [("pyarrow", "to_arrow"), ("pandas", "to_pandas")])
def test_a_library_that_is_missing_is_named(library: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ImportError, match=f"^{library} makes this table, and is not installed: run `pip install {library}`"
    ):
        getattr(Report(pages_pb2.PagesResponse()), method)()


# ---- refusals ----


def test_a_server_refuses_with_typed_errors(served: Served, key: str) -> None:
    with Client(served.target, "nothing") as client, pytest.raises(UnauthenticatedError) as unknown:
        client.report()
    assert unknown.value.code == "unauthenticated"
    assert unknown.value.request_id
    with Client(served.target, key) as client, pytest.raises(InvalidArgumentError) as wrong:
        client.report(start_date="tomorrow")
    assert wrong.value.field == "start_date"
    assert str(wrong.value).startswith("start_date: can't read 'tomorrow' as a date")
    with Client(served.target, key, domain="münchen.example") as client, pytest.raises(PermissionDeniedError):
        client.report()


def test_a_key_for_all_domains_names_one(served: Served, key: str) -> None:  # noqa: ARG001 - it stores the sessions
    with Client(served.target, served.all_domains_key, domain=worked.DOMAIN) as client:
        assert client.report(**JULY).summary_totals.total_sessions == 4


def test_a_spent_quota_is_told_and_not_tried_again(
    ask: Any, served_here: tuple[Answering, str], pauses: list[float]
) -> None:
    servicer, target = served_here
    quota = QuotaState("example.com", 10, 10, NOW + timedelta(hours=1))
    servicer.refusals = [refusal(Code.QUOTA_EXCEEDED, retry_after=3600.0, quota=quota)]
    with pytest.raises(QuotaExceededError) as caught:
        ask(target, "report", timeout=None)
    assert (caught.value.retry_after, caught.value.status) == (3600, "RESOURCE_EXHAUSTED")
    assert (len(servicer.calls), pauses) == (1, [])


@pytest.mark.parametrize("code", [code for code in Code if code.status is not None])
def test_each_code_has_a_class_of_its_own(code: Code, ask: Any, served_here: tuple[Answering, str]) -> None:
    servicer, target = served_here
    servicer.refusals = [refusal(code, field="source")]
    with pytest.raises(RequestError, match=f"this is {code.text}") as caught:
        ask(target, "values", "source", retries=0)
    assert caught.value.code == code.text == type(caught.value).CODE
    assert caught.value.request_id == REQUEST_ID
    assert caught.value.field == ("source" if code is Code.INVALID_ARGUMENT else "")


def test_a_code_of_a_later_server_is_kept(served_here: tuple[Answering, str], monkeypatch: pytest.MonkeyPatch) -> None:
    servicer, target = served_here
    monkeypatch.setattr(errors, "_OF_CODES", {})
    servicer.refusals = [refusal(Code.UNAVAILABLE)]
    with Client(target, "k") as client, pytest.raises(RequestError) as caught:
        client.report()
    assert (type(caught.value), caught.value.code) == (RequestError, "unavailable")


class FailedError(grpc.RpcError):
    """A call that failed, as grpc raises it."""

    def __init__(self, code: grpc.StatusCode, packed: bytes | None) -> None:
        self._code = code
        self._packed = packed

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "no"

    def trailing_metadata(self) -> Any:
        return () if self._packed is None else (("grpc-status-details-bin", self._packed),)


def packed(*details: Message) -> bytes:
    status = status_pb2.Status()
    for detail in details:
        status.details.add().Pack(detail)
    return bytes(status.SerializeToString())


_RETRY = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000))
_QUOTA = error_details_pb2.QuotaFailure(violations=[error_details_pb2.QuotaFailure.Violation(subject="domain:a")])
_OTHER = error_details_pb2.ErrorInfo(reason="QUOTA_EXCEEDED", domain="proxy.example")


@pytest.mark.parametrize(
    ("status", "details", "code", "retry_after"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, packed(_QUOTA, _RETRY), "quota_exceeded", 1.5),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, packed(_RETRY), "overloaded", 1.5),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None, "resource_exhausted", None),
        (grpc.StatusCode.UNAVAILABLE, packed(_OTHER), "unavailable", None),
        (grpc.StatusCode.UNAVAILABLE, b"no details", "unavailable", None),
        (grpc.StatusCode.UNKNOWN, b"", "unknown", None),
    ],
)
def test_a_refusal_without_a_code_of_pageroles_is_read_by_its_status(
    status: grpc.StatusCode, details: bytes | None, code: str, retry_after: float | None
) -> None:
    found = errors.refused(FailedError(status, details))
    assert (found.code, found.retry_after, found.status) == (code, retry_after, status.name)
    assert found.is_temporary == (code in {"overloaded", "unavailable"})


def test_a_method_that_an_older_server_lacks_is_named(
    served: Served, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(served.target, key) as client:
        later: Any = client._channel.unary_unary(
            "/pageroles.v1.Later/Method", pages_pb2.PageDaysRequest.SerializeToString
        )
        monkeypatch.setattr(client._stub, "PageDays", later)
        with pytest.raises(RequestError) as caught:
            client.days()
    assert caught.value.code == "unimplemented"
    assert str(caught.value) == "the server does not have this method: it is older than this client"


# ---- again ----


@pytest.mark.parametrize("method", ["report", "sessions", "days", "values"])
def test_what_may_help_is_tried_again(
    method: str, ask: Any, served_here: tuple[Answering, str], pauses: list[float]
) -> None:
    servicer, target = served_here
    servicer.refusals = [
        refusal(Code.OVERLOADED, retry_after=2.0),
        refusal(Code.UNAVAILABLE),
        refusal(Code.UNAVAILABLE),
    ]
    assert ask(target, method, *(["source"] if method == "values" else []), **JULY)
    assert len(servicer.calls) == 4
    told, first, second = pauses
    assert 2 <= told <= 2.5
    assert first < second


@pytest.mark.parametrize(
    "code", [Code.INVALID_ARGUMENT, Code.UNAUTHENTICATED, Code.PERMISSION_DENIED, Code.INTERNAL, Code.DEADLINE_EXCEEDED,
             Code.CANCELLED, Code.OVERLOADED],
)  # fmt: skip
def test_nothing_else_is_tried_again(
    code: Code, ask: Any, served_here: tuple[Answering, str], pauses: list[float]
) -> None:
    servicer, target = served_here
    servicer.refusals = [refusal(code)]
    with pytest.raises(RequestError):
        ask(target, "report", **JULY)
    assert (len(servicer.calls), pauses) == (1, [])


def test_a_pause_that_would_pass_the_timeout_is_not_made(
    ask: Any, served_here: tuple[Answering, str], pauses: list[float]
) -> None:
    servicer, target = served_here
    servicer.refusals = [refusal(Code.OVERLOADED, retry_after=40.0)]
    with pytest.raises(OverloadedError) as caught:
        ask(target, "report", timeout=30)
    assert caught.value.retry_after == 40
    assert pauses == []


def test_tries_end(ask: Any, served_here: tuple[Answering, str], pauses: list[float]) -> None:
    servicer, target = served_here
    servicer.refusals = [refusal(Code.UNAVAILABLE)] * 9
    with pytest.raises(UnavailableError):
        ask(target, "days", retries=2)
    assert (len(servicer.calls), len(pauses)) == (3, 2)


def test_a_report_that_breaks_off_is_asked_for_again(
    ask: Any, served_here: tuple[Answering, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it was given."""
    servicer, target = served_here
    servicer.breaks_with = refusal(Code.UNAVAILABLE)

    async def mended(_: float) -> None:
        servicer.breaks_with = None

    monkeypatch.setattr("pageroles.client.blocking.sleep", lambda _: asyncio.run(mended(0)))
    monkeypatch.setattr("pageroles.client.asynchronous.sleep", mended)
    assert len(ask(target, "report", **JULY).conversion_performance) == 2
    assert len(servicer.calls) == 2


def test_sessions_that_break_off_are_not(ask: Any, served_here: tuple[Answering, str], pauses: list[float]) -> None:
    """Some of them were given."""
    servicer, target = served_here
    servicer.breaks_with = refusal(Code.UNAVAILABLE)
    with pytest.raises(UnavailableError, match="this is unavailable"):
        ask(target, "sessions", **JULY)
    assert (len(servicer.calls), pauses) == (1, [])


def test_nobody_there_is_unavailable(ask: Any, pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UnavailableError):
        ask(f"127.0.0.1:{port}", "report", retries=1)
    assert len(pauses) == 1


def test_a_timeout_is_told_in_seconds(ask: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DeadlineExceededError) as caught:
        ask(f"127.0.0.1:{silent.getsockname()[1]}", "report", timeout=0.2, retries=0)
    assert str(caught.value) == "no answer came within 0.2 seconds"


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"<html>no such thing</html>\n" * 10]
)
def test_a_port_of_another_protocol_is_told(ask: Any, says: bytes) -> None:
    """Such as that of REST."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            while True:
                try:
                    connection, _ = other.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(says)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(UnavailableError, match="does not speak gRPC; give the address of the server's gRPC port"):
            ask(f"127.0.0.1:{other.getsockname()[1]}", "report", timeout=10, retries=0)
        other.shutdown(socket.SHUT_RDWR)


def test_a_client_that_is_closed_ends_what_is_under_way(served_here: tuple[Answering, str]) -> None:
    client = Client(served_here[1], "k")
    sessions = client.sessions(**JULY)
    client.close()
    with pytest.raises(CancelledError):
        list(sessions)


# ---- parameters ----


def test_dates_may_be_pythons() -> None:
    request = questions.pages_request(
        {"start_date": date(2025, 7, 1), "end_date": datetime(2025, 7, 2, 3, 4, 5, 6000, timezone(timedelta(hours=2)))}
    )
    assert (request.start_date, request.end_date) == ("2025-07-01", "2025-07-02T03:04:05.006000+02:00")


@pytest.mark.parametrize(
    ("field", "given", "more"),
    [
        ("start_date", {"start_date": datetime(2025, 7, 1)}, {}),  # noqa: DTZ001 - that is the fault
        ("touch_scope", {"touch_scope": "unspecified"}, {}),
        ("touch_scope", {"touch_scope": "Any"}, {}),
        ("limit", {}, {"limit": -1}),
        ("limit", {}, {"limit": 1 << 32}),
        ("include", {}, {"include": ["balance", "nothing"]}),
    ],
)
def test_what_can_not_be_asked_is_refused_here(field: str, given: Any, more: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        questions.pages_request(given, **more)
    assert (caught.value.field, caught.value.code, caught.value.request_id) == (field, "invalid_argument", "")
    assert isinstance(caught.value, ValueError)


def test_a_role_that_there_is_not_is_refused_here() -> None:
    with pytest.raises(InvalidArgumentError, match="role: there is no 'exit'; known are conversion,"):
        questions.sessions_request({}, "/", "exit", None)


@pytest.mark.parametrize(
    ("named", "ask"),
    [
        ("sauce", lambda: questions.pages_request({"sauce": "x"})),
        ("include", lambda: questions.pages_request({}, include="balance")),
        ("include", lambda: questions.pages_request({}, include=[cast("str", 1)])),
        ("source", lambda: questions.pages_request({"source": 5})),
        ("start_date", lambda: questions.pages_request({"start_date": 20250701})),
        ("touch_scope", lambda: questions.pages_request({"touch_scope": 1})),
        ("limit", lambda: questions.pages_request({}, cast("int", 5.0))),
        ("limit", lambda: questions.pages_request({}, cast("int", "5"))),
        ("limit", lambda: questions.pages_request({}, True)),
        ("url", lambda: questions.days_request({}, cast("str", b"/"))),
        ("url", lambda: questions.sessions_request({}, cast("str", None), None, None)),
        ("role", lambda: questions.sessions_request({}, "/", cast("str", 1), None)),
        ("field", lambda: questions.values_request(cast("str", 1), {}, "", None)),
        ("contains", lambda: questions.values_request("source", {}, cast("str", 1), None)),
    ],
)
def test_mistakes_of_the_program_are_type_errors_that_name_the_parameter(named: str, ask: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=named):
        ask()


def test_what_is_none_is_not_set() -> None:
    assert questions.pages_request(dict.fromkeys(questions.Question.__annotations__)) == pages_pb2.PagesRequest()


# ---- the client is the contract ----


def test_names_are_those_of_the_contract() -> None:
    of_request = {field.name for field in pages_pb2.PagesRequest.DESCRIPTOR.fields}
    assert set(questions.Question.__annotations__) == of_request - {"limit", "include"}
    assert get_args(questions.Field) == tuple(each.name for each in FILTERS)
    for literal, enum, prefix in (
        (questions.TouchScope, pages_pb2.TouchScope, "TOUCH_SCOPE_"),
        (questions.Include, pages_pb2.Include, "INCLUDE_"),
        (questions.Role, pages_pb2.Role, "ROLE_"),
    ):
        assert get_args(literal) == tuple(name.removeprefix(prefix).lower() for name in enum.keys()[1:])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (answers.RoleCount, pages_pb2.RoleCount), (answers.ConversionPage, pages_pb2.ConversionPage),
        (answers.DropOffPage, pages_pb2.DropOffPage), (answers.PageRoles, pages_pb2.PageRoles),
        (answers.TimeFrame, pages_pb2.TimeFrame), (answers.SummaryTotals, pages_pb2.SummaryTotals),
        (answers.DataState, pages_pb2.DataState), (answers.Balance, pages_pb2.Balance),
        (answers.Omitted, pages_pb2.OmittedPages), (answers.Hint, pages_pb2.Hint),
        (answers.Conversion, pages_pb2.SessionConversion), (answers.Session, pages_pb2.PageSession),
        (answers.Day, pages_pb2.PageDay), (answers.FilterValue, pages_pb2.FilterValue),
    ],
)  # fmt: skip
def test_values_have_the_fields_of_the_contract(kind: Any, message: Any) -> None:
    assert [field.name for field in dataclasses.fields(kind)] == [field.name for field in message.DESCRIPTOR.fields]
    assert kind.__dataclass_params__.frozen


def test_a_report_has_the_fields_of_the_contract() -> None:
    assert all(hasattr(Report, field.name) for field in pages_pb2.PagesResponse.DESCRIPTOR.fields)


def test_data_and_hints_are_read() -> None:
    response = pages_pb2.PagesResponse(
        message="none", data={"version": "v"}, hints=[{"field": "source", "value": "a", "sessions": 1, "sentence": "s"}]
    )
    report = Report(response)
    assert report.data == answers.DataState("v", datetime(1970, 1, 1, tzinfo=UTC))
    assert report.hints == (answers.Hint("source", "a", 1, "s"),)


def test_both_clients_take_the_same() -> None:
    names = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert names == {"report", "sessions", "days", "values", "close"}
    for name in ("__init__", *names):
        ours, theirs = (inspect.signature(getattr(kind, name)).parameters for kind in (Client, AsyncClient))
        assert [str(each) for each in ours.values()] == [str(each) for each in theirs.values()], name


# ---- what it needs ----

_UNNEEDED = (
    "clickhouse_connect", "chdb", "starlette", "uvicorn", "structlog", "msgspec", "prometheus_client", "jinja2",
    "pageroles._core", "typer", "rich", "pyarrow", "pandas", "cachetools", "h11", "grpc_status",
)  # fmt: skip
_ASK = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in {_UNNEEDED}:
            raise ImportError("the client imports " + name)

sys.meta_path.insert(0, Refuse())
import pageroles
assert "grpc" not in sys.modules and "pageroles.client" not in sys.modules
from pageroles import AsyncClient, Client, RequestError
with Client(sys.argv[1], sys.argv[2]) as client:
    print(client.report(start_date="2025-07-01", end_date="2025-07-31").summary_totals.total_sessions)
    try:
        client.report(start_date="soon")
    except RequestError as error:
        print(error.field)
"""


def test_the_client_needs_nothing_of_a_server(served: Served, key: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASK, served.target, key], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["4", "start_date"], done.stderr


def test_what_the_package_does_not_have_is_no_attribute() -> None:
    assert pageroles.Client is Client
    with pytest.raises(AttributeError, match="has no attribute 'Klient'"):
        _ = pageroles.Klient
