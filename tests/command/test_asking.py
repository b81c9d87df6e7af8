"""The commands that ask: days, comparisons, sessions, values, as tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from pageroles import Client
from pageroles.access.keys import KeyStore, Permission
from pageroles.command import comparing, outputs
from pageroles.command.app import app
from pageroles.command.comparing import Change
from pageroles.errors import InvalidArgumentError
from pageroles.question import window
from pageroles.transport.faults import Code
from support import worked
from support.answering import answering, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.reference import Session
    from support.served import Served

NOW = datetime(2025, 7, 31, 12, tzinfo=UTC)
JULY = ("--start-date", "2025-07-01", "--end-date", "2025-07-31")
WEEK = ("--start-date", "2025-07-08", "--end-date", "2025-07-14")


def _session(number: int, user: str, day: int, pages: list[str], converted: list[str], source: str = "") -> Session:
    at = f"2025-07-{day:02}T10:00:0{number}.{number:03}Z"
    return {
        "domain": "example.com", "session_id": f"s{number}", "user_id": user, "started_at": at, "source": source,
        "page_views": [{"url": url, "viewed_at": at} for url in pages],
        "conversions": [{"url": url, "type": "form", "id": "f1", "occurred_at": at} for url in converted],
    }  # fmt: skip


WORLD = [
    _session(1, "u1", 3, ["/", "/pricing"], [], "google.com"),
    _session(2, "u1", 5, ["/pricing?ref=mail", "/signup"], ["/signup?plan=pro"], "mail"),
    _session(3, "u1", 9, ["/docs", '/a,"b"\r\n\x1b[31m'], [], "google.com"),
    _session(4, "u2", 10, ["/signup"], ["/signup"], "google.com"),
    _session(5, "u3", 11, ["/pricing", "/signup"], ["/signup"], "google.com"),
    _session(6, "u4", 11, [], []),
]  # fmt: skip


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with answering(WORLD, NOW) as (_, address):
        yield address


def run(target: str, *args: str) -> Result:
    return CliRunner().invoke(app, [args[0], "--target", target, "--key", "k", *args[1:]])


def said(target: str, *args: str) -> str:
    """Return what a command prints, which succeeds, each line with single spaces."""
    done = run(target, *args)
    assert done.exit_code == 0, done.output
    return "\n".join(" ".join(line.split()) for line in done.stdout.splitlines())


def table(target: str, *args: str) -> list[dict[str, str]]:
    """Return what a command prints as CSV."""
    done = run(target, *args, "--csv")
    assert done.exit_code == 0, done.output
    lines = done.stdout_bytes.decode()
    assert lines.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(lines, newline="")))


# ---- a real server ----


@pytest.mark.parametrize(
    ("args", "path", "body"),
    [
        (["report"], "", {}),
        (["report", "--days"], "/days", {}),
        (["report", "--days", "--url", "/signup"], "/days", {"url": "/signup"}),
        (
            ["sessions", "--url", "/signup", "--role", "conversion"],
            "/sessions",
            {"url": "/signup", "role": "conversion"},
        ),
        (["sessions", "--limit", "1", "--source", "google.com"], "/sessions", {"limit": 1, "source": "google.com"}),
        (["values", "landing_page", "--contains", "/S"], "/values", {"field": "landing_page", "contains": "/S"}),
    ],
)
def test_json_is_what_rest_answers(
    args: list[str], path: str, body: dict[str, Any], served: Served, key: str, rest_in_process: str
) -> None:
    assert key, "it stores the sessions"
    opening, _ = KeyStore(served.store).create(worked.DOMAIN, permissions=[Permission.REPORT, Permission.SESSIONS])
    served.service._keys.forget()
    answer = requests.post(
        f"{rest_in_process}/api/v1/pages{path}", headers={"Authentication": opening}, timeout=30,
        json={"start_date": "2025-07-01", "end_date": "2025-07-31", **body},
    )  # fmt: skip
    command, *more = args
    done = CliRunner().invoke(app, [command, *more, "--json", "--target", served.target, "--key", opening, *JULY])
    assert json.loads(done.stdout) == answer.json()
    assert len(answer.json()) >= 1


def test_a_report_without_sessions_tells_what_nearly_matches(served: Served, key: str) -> None:
    def asked(*args: str) -> str:
        done = CliRunner().invoke(app, ["report", "--target", served.target, "--key", key, *JULY, *args])
        return " ".join(done.stdout.split())

    told = asked("--source", "Google.com")
    assert told.startswith("No page data found for the given parameters. What nearly matches option value sessions why")
    assert "--source google.com 4 'google.com' is stored: it differs from 'Google.com'" in told
    assert "nearly" not in asked("--source", "nobody")
    assert "nearly" not in asked()
    assert json.loads(asked("--source", "Google.com", "--json")).keys() == {"message"}


# ---- days ----


def test_days_are_a_table(target: str) -> None:
    told = said(target, "report", "--days", *WEEK)
    assert "day sessions users conversions users who convert" in told
    assert "2025-07-08 0 0 0 0\n2025-07-09 1 1 0 0\n2025-07-10 1 1 1 1\n2025-07-11 2 2 1 1" in told
    assert "landed here" not in told


def test_days_of_a_page_have_its_roles(target: str) -> None:
    told = said(target, "report", "--days", "--url", "/signup?x", *WEEK)
    assert "2025-07-10 1 (1) 1 (1) 1 (1) 0 (0) 0 (0) 0 (0) 1 (1)" in told
    assert "2025-07-11 1 (1) 0 (0) 0 (0) 0 (0) 0 (0) 0 (0) 0 (0)" in told


def test_days_are_json_and_csv(target: str) -> None:
    told = json.loads(run(target, "report", "--days", "--url", "/signup", "--json", *WEEK).stdout)["days"]
    rows = table(target, "report", "--days", "--url", "/signup", *WEEK)
    assert (
        [day["date"] for day in told] == [row["date"] for row in rows] == [f"2025-07-{day:02}" for day in range(8, 15)]
    )
    assert told[2]["roles"]["conversion"] == told[2]["landing"] == {"sessions": 1, "users": 1}
    assert (rows[2]["conversion_sessions"], rows[2]["landing_users"], rows[2]["drop_off_users"]) == ("1", "1", "0")
    told = json.loads(run(target, "report", "--days", "--json", *WEEK).stdout)["days"]
    assert told[3].keys() == {"date", "summary_totals"}


# ---- sessions ----


def test_a_number_is_opened(target: str) -> None:
    told = said(target, "sessions", "--url", "/signup", "--role", "conversion", *JULY)
    assert told.startswith("3 sessions of 3 users\n")
    assert "2025-07-11 10:00:05 u3 s5 /pricing 10:00:05 form f1 /signup" in told
    assert told.index("s5") < told.index("s4") < told.index("s2")
    told = said(target, "sessions", "--limit", "2", *JULY)
    assert told.startswith("6 sessions of 4 users\n")
    assert "4 earlier sessions not shown" in told
    assert said(target, "sessions", "--source", "nobody", *JULY) == "0 sessions of 0 users"


def test_sessions_are_json_and_csv(target: str) -> None:
    body = json.loads(run(target, "sessions", "--json", *JULY).stdout)
    assert body["total"] == {"sessions": 6, "users": 4}
    assert [each["session_id"] for each in body["sessions"]] == ["s6", "s5", "s4", "s3", "s2", "s1"]
    assert body["sessions"][4] == {
        "session_id": "s2", "user_id": "u1", "started_at": "2025-07-05T10:00:02.002Z",
        "pages": ["/pricing", "/signup"],
        "conversions": [
            {"url": "/signup?plan=pro", "type": "form", "id": "f1", "occurred_at": "2025-07-05T10:00:02.002Z"}
        ],
    }  # fmt: skip
    rows = table(target, "sessions", *JULY)
    assert [json.loads(row["pages"]) for row in rows] == [each["pages"] for each in body["sessions"]]
    assert [json.loads(row["conversions"]) for row in rows] == [each["conversions"] for each in body["sessions"]]
    assert [row["started_at"] for row in rows] == [each["started_at"] for each in body["sessions"]]
    assert len(table(target, "sessions", "--limit", "1", *JULY)) == 1


def test_a_table_of_sessions_asks_for_no_more_than_it_shows() -> None:
    with answering(WORLD, NOW) as (servicer, address):
        for more, limit in (((), 20), (("--json",), 0), (("--csv",), 0), (("--limit", "0"), 0)):
            assert run(address, "sessions", *more).exit_code == 0
            assert servicer.calls[-1].request.limit == limit


# ---- values ----


def test_values_are_listed(target: str) -> None:
    assert "google.com 4\n" in said(target, "values", "source", *JULY) + "\n"
    assert table(target, "values", "source", "--source", "x", "--contains", "A", *JULY) == [
        {"value": "mail", "sessions": "1"}
    ]
    body = json.loads(run(target, "values", "source", "--limit", "1", "--json", *JULY).stdout)
    assert body == {"values": [{"value": "google.com", "sessions": 4}]}
    assert said(target, "values", "campaign", *JULY) == "no value of campaign is stored for this question"
    assert "/signup 2" in said(target, "values", "conversion_page", *JULY)


# ---- rows as CSV ----


def test_rows_are_csv_as_they_are(target: str) -> None:
    rows = table(target, "report", "--landing", *JULY)
    with Client(target, "k") as client:
        report = client.report(
            start_date=JULY[1], end_date=JULY[3], include=["landing"]
        )  # fmt: skip
    sides = [("conversion", page) for page in report.conversion_performance]
    assert [(row["side"], row["url"]) for row in rows] == [
        *((side, page.url) for side, page in sides), *(("drop_off", page.url) for page in report.drop_off_performance),
    ]  # fmt: skip
    signup = rows[0]
    assert (signup["conversion_sessions"], signup["landing_sessions"], signup["drop_off_sessions"]) == ("3", "1", "")
    assert next(row for row in rows if '"' in row["url"])["url"] == '/a,"b"\r\n\x1b[31m'
    assert "landing_sessions" not in table(target, "report", *JULY)[0]
    assert table(target, "report", "--source", "nobody", *JULY) == []


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_no_control_codes_of_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", terminal)
    outputs.print_csv(["url"], [["/a\x1b[31m\r\n\u202e"]])
    assert terminal.buffer.getvalue() == b"url\r\n/a\\x1b[31m\\r\\n\\u202e\r\n"  # type: ignore[attr-defined]


# ---- comparisons ----


def test_a_comparison_tells_both_windows_and_the_changes(target: str) -> None:
    told = said(target, "report", "--compare", *WEEK)
    assert told.startswith(
        "2025-07-08T00:00:00Z to 2025-07-14T23:59:59Z, compared with the period of the same length directly before,\n"
        "2025-07-01T00:00:00Z to 2025-07-07T23:59:59Z\n"
    )
    assert "sessions 4 2 +2, +100.0%" in told
    assert "users 4 1 +3, +300.0%" in told
    assert "conversion events 2 1 +1, +100.0%" in told
    assert "/signup 2 (+1, +100.0%) 1 (+1) 1 (+1)" in told
    assert "/pricing 0 (0) 1 (0) 1 (0)" in told
    assert "/docs now 0 (0) 1 (+1) 1 (+1)" in told
    assert "/pricing before 0 (-1, -100.0%) 0 (0) 0 (0)" in told
    assert "sessions (change); 0 pages now only, 0 before only" in told
    assert "sessions (change); 2 pages now only, 2 before only" in told
    told = said(target, "report", "--compare", "--rows", "1", *WEEK)
    assert "sessions (change); 2 pages now only, 2 before only; 3 more pages" in told.replace("\n", " ")


def test_a_comparison_is_json_and_csv(target: str) -> None:
    body = json.loads(run(target, "report", "--compare", "--json", *WEEK).stdout)
    assert body["now"]["time_frame"]["start"] == "2025-07-08T00:00:00Z"
    assert body["before"]["time_frame"] == {"start": "2025-07-01T00:00:00Z", "end": "2025-07-07T23:59:59Z"}
    rows = {(row["side"], row["url"]): row for row in table(target, "report", "--compare", *WEEK)}
    signup, pricing = rows["conversion", "/signup"], rows["drop_off", "/pricing"]
    assert (signup["conversion_sessions"], signup["conversion_sessions_before"]) == ("2", "1")
    assert (pricing["drop_off_sessions"], pricing["drop_off_sessions_before"]) == ("0", "1")
    assert (signup["drop_off_sessions"], signup["drop_off_sessions_before"]) == ("", "")
    assert len(rows) == 2 + 4


def test_what_was_empty_can_be_compared(target: str) -> None:
    told = said(target, "report", "--compare", "--start-date", "2025-07-03", "--end-date", "2025-07-03")
    assert "sessions 1 0 +1\n" in told
    told = said(target, "report", "--compare", "--source", "nobody")
    assert "sessions 0 0 0\n" in told


def test_numbers_change_in_numbers_and_percent() -> None:
    assert [str(Change(*pair)) for pair in ((5, 5), (0, 0), (3, 0), (0, 4), (1500, 1000), (2, 3))] == [
        "0", "0", "+3", "-4, -100.0%", "+500, +50.0%", "-1, -33.3%",
    ]  # fmt: skip


EARLIEST, LATEST = datetime(2020, 1, 1), datetime(2030, 1, 1)  # noqa: DTZ001 - hypothesis wants them so
moments = st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC))


@given(
    moments, st.timedeltas(timedelta(0), timedelta(days=32)), st.sampled_from(["days", "minutes", "seconds", "ms", ""])
)
def test_the_period_before_ends_where_the_window_starts_and_is_as_long(
    start: datetime, length: timedelta, unit: str
) -> None:
    end = start + length
    forms = {"days": "%F", "minutes": "%FT%H:%MZ", "seconds": "%FT%TZ"}
    first, last = (
        (at.strftime(forms[unit]) if unit in forms else at.isoformat(timespec="milliseconds")) if unit else ""
        for at in (start, end)
    )
    now = end + timedelta(days=1)
    given = window.resolve(first, last, now)
    if given.start.microsecond == 1000:
        with pytest.raises(InvalidArgumentError):
            comparing.windows(first, last, now)
        return
    here, there = (window.resolve(*dates, now) for dates in comparing.windows(first, last, now))
    assert (here.start, here.end) == (given.start, given.end)
    millisecond = timedelta(milliseconds=1)
    assert there.end + millisecond == here.start
    assert there.end - there.start == here.end - here.start


def test_a_month_is_compared_with_as_many_days() -> None:
    assert comparing.windows("2025-07-01", "2025-07-31", NOW)[1] == ("2025-05-31T00:00:00Z", "2025-06-30T23:59:59Z")
    assert comparing.windows("", "", NOW) == (
        ("2025-07-01T12:00:00Z", "2025-07-31T12:00:00Z"), ("2025-06-01T11:59:59Z", "2025-07-01T11:59:59Z"),
    )  # fmt: skip


# ---- what is refused ----


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["report", "--json", "--csv"], "give either --json or --csv"),
        (["report", "--days", "--compare"], "give either --days or --compare"),
        (["report", "--days", "--limit", "3"], "give either --days or --limit"),
        (["report", "--compare", "--landing"], "give either --compare or --landing"),
        (["report", "--url", "/"], "a page is given with --days"),
        (["report", "--compare", "--start-date", "soon"], "can't read 'soon' as a date"),
        (["report", "--compare", "--start-date", "2025-07-01T00:00:00.001", "--end-date", "2025-07-02"],
         "give one in whole seconds to compare"),
        (["report", "--compare", "--start-date", "0001-01-01", "--end-date", "0001-01-02"],
         "there are no dates before it"),
        (["sessions", "--role", "conversion"], "give --url, too"),
        (["sessions", "--url", "/", "--role", "exit"], "there is no role 'exit'; give one of conversion,"),
        (["sessions", "--json", "--csv"], "give either --json or --csv"),
        (["values", "touch_scope"], "there is no filter 'touch_scope'; give one of conversion_page,"),
        (["values", "source", "--json", "--csv"], "give either --json or --csv"),
        (["values", "source", "--limit", "1001"], "should be less than or equal to 1000"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_it_is_asked(args: list[str], says: str) -> None:
    done = run("127.0.0.1:1", *args)
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.output.replace("\u2502", " ").split())


@pytest.mark.parametrize(
    "args", [["report"], ["report", "--days"], ["report", "--compare"], ["sessions"], ["values", "source"]]
)
def test_a_refusal_is_told_by_its_code(args: list[str]) -> None:
    with answering(WORLD, NOW) as (servicer, address):
        servicer.refusals = [refusal(Code.PERMISSION_DENIED)]
        done = run(address, *args)
    assert (done.exit_code, done.stderr, done.stdout) == (1, "PERMISSION_DENIED: this is permission_denied\n", "")


def test_a_spent_quota_is_told_from_an_overload() -> None:
    with answering(WORLD, NOW) as (servicer, address):
        servicer.refusals = [refusal(Code.QUOTA_EXCEEDED, retry_after=1.0)]
        assert run(address, "report").stderr == "QUOTA_EXCEEDED: this is quota_exceeded\n"


def test_all_commands_that_ask_take_the_same_question() -> None:
    with answering(WORLD, NOW) as (servicer, address):
        question = ["--source", "google.com", "--touch-scope", "converting", "--meta-id", "f1", *JULY]
        for args in (["report"], ["report", "--days"], ["sessions"], ["values", "medium"]):
            assert run(address, *args, *question).exit_code == 0
    report, *others = (call.request for call in servicer.calls)
    report.ClearField("include")  # what nearly matches
    assert all(other.question == report for other in others)
