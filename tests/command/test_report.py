"""`pageroles report`: what it asks for with its options."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from pageroles.client import Client, Report
from pageroles.command import asking, report
from pageroles.question import window
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from support.served import Served

TODAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("text", "start"),
    [("1d", "2026-03-01"), ("2d", "2026-02-28"), ("30d", "2026-01-31"), ("31d", "2026-01-30"), ("1w", "2026-02-23"),
     ("4w", "2026-02-02"), ("007d", "2026-02-23")],
)  # fmt: skip
def test_the_last_days_are_whole_and_end_with_today(text: str, start: str) -> None:
    first, last = asking.last_days(text, TODAY)
    assert (first, last) == (start, "2026-03-01")
    covered = window.resolve(first, last, datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert covered.is_whole_days
    assert f"{covered.start:%F}" == start, "it is not cut"


@pytest.mark.parametrize(
    "text",
    ["0d", "32d", "5w", "0w", "30", "d", "-1d", "+1d", "1.5d", "30D", "1m", "24h", "1d ", "99999d", "\u0663d", "soon"],
)
def test_what_is_no_window_gets_a_sentence(text: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        asking.last_days(text, TODAY)
    assert caught.value.message.endswith("give a number of days or weeks, as 30d or 4w, from 1d to 31d")
    assert repr(text) in caught.value.message


def run(*args: str) -> tuple[int, str]:
    """Run the command; return its exit code, and what it printed, in one line."""
    done = CliRunner().invoke(report.app, [*args], env={"COLUMNS": "200", "PAGEROLES_KEY": "k"})
    return done.exit_code, " ".join(done.output.replace("\u2502", " ").split())


@pytest.mark.parametrize("option", ["--start-date", "--end-date"])
def test_last_and_a_date_exclude_each_other(option: str) -> None:
    code, said = run("--last", "7d", option, "2025-07-01")
    assert code == 2
    assert "give either --last, or --start-date and --end-date" in said


def test_nonsense_names_the_option() -> None:
    code, said = run("--last", "soon")
    assert code == 2
    assert "Invalid value for --last: can't take 'soon' as a window" in said


def test_the_server_gets_two_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def ask(_: Client, **question: object) -> Report:
        asked.append(question)
        return Report(pages_pb2.PagesResponse(message="nothing"))

    monkeypatch.setattr(Client, "report", ask)
    before = datetime.now(UTC).date()
    code, said = run("--last", "2w", "--json")
    assert (code, said) == (0, '{ "message": "nothing" }')
    assert asked[0]["end_date"] in {f"{before}", f"{datetime.now(UTC).date()}"}
    days = date.fromisoformat(asked[0]["end_date"]) - date.fromisoformat(asked[0]["start_date"])
    assert days.days == 13
    run("--json")
    assert (asked[1]["start_date"], asked[1]["end_date"]) == ("", "")


def test_the_last_days_are_answered(served: Served) -> None:
    now = datetime.now(UTC)
    row = {"domain": "last.example.com", "session_id": "s", "user_id": "u", "started_at": f"{now:%FT%T}Z"}
    served.insert(json.dumps(row).encode())
    code, said = run("--last", "2d", "--json", "--target", served.target, "--key", served.key("last.example.com"))
    assert code == 0
    assert '"total_sessions": 1,' in said


def test_how_a_report_was_made_is_told(served: Served) -> None:
    row = {"domain": "plan.example.com", "session_id": "s", "user_id": "u", "started_at": "2025-07-03T10:00:00Z"}
    served.insert(json.dumps(row).encode())
    asked = ("--start-date", "2025-07-01", "--end-date", "2025-07-31", "--target", served.target,
             "--key", served.key("plan.example.com"))  # fmt: skip
    _, said = run("--plan", "--json", *asked)
    assert "plan: count 1 session in memory (" in said
    _, said = run("--json", *asked)
    assert "plan:" not in said


def test_the_first_pages_and_how_the_sessions_add_up_are_asked_for(served: Served) -> None:
    row = {
        "domain": "limit.example.com",
        "session_id": "s",
        "user_id": "u",
        "started_at": "2025-07-03T10:00:00Z",
        "page_views.url": ["/a", "/b", "/c"],
        "page_views.viewed_at": ["2025-07-03T10:00:00Z"] * 3,
    }
    served.insert(json.dumps(row).encode())
    asked = ("--start-date", "2025-07-01", "--end-date", "2025-07-31", "--target", served.target,
             "--key", served.key("limit.example.com"))  # fmt: skip
    _, said = run(*asked, "--limit", "1", "--balance")
    assert "sessions (users); 2 more pages" in said
    assert "sessions that are sessions users" in said
    assert "dropping off 1 1" in said
    assert "converting without views 0 0" in said
    _, said = run(*asked, "--landing", "--json")
    assert said.count('"landing": { "sessions": 1, "users": 1 }') == 1
    assert said.count('"landing": { "sessions": 0, "users": 0 }') == 2
    _, said = run(*asked, "--landing")
    assert "landed here" in said
    _, said = run(*asked, "--balance", "--source", "nobody")
    assert "No page data" in said
    assert "included 0 0" in said
    _, said = run(*asked, "--limit", "1", "--rows", "1", "--json")
    assert '"omitted": { "conversion_performance": 0, "drop_off_performance": 2 }' in said
    assert "balance" not in said
