"""What the explorer says where no answer comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.browser import IN_JULY, Explorer, Stub, july

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page


@pytest.mark.parametrize(
    ("status", "headers", "title", "hint"),
    [
        (401, {}, "The key was not accepted", "Check that you copied all of it"),
        (403, {}, "The key may not read this", "another domain"),
        (429, {"Retry_After": "7"}, "The server is busy", "Ask again in 7 seconds."),
        (429, {}, "The server is busy", "Ask again in a moment."),
        (500, {}, "Something went wrong", "report it"),
        (503, {"Retry_After": "1"}, "The service is not available", "starting or stopping"),
        (504, {}, "It took too long", "shorter window"),
    ],
)
def test_each_status_is_explained(
    fresh: Callable[..., Page], stub: Stub, status: int, headers: dict[str, str], title: str, hint: str
) -> None:
    page = fresh()
    page.clock.install(time="2025-07-31T12:00:00Z")
    page.clock.pause_at("2025-07-31T13:00:00Z")
    stub.refuses(status, "what the server says", **headers)
    explorer = Explorer(page, stub.url).open().enter()
    assert explorer.the("#problem").get_attribute("role") == "alert"
    assert explorer.the("#problem-title").inner_text() == title
    assert explorer.the("#problem-text").inner_text() == "What the server says."
    assert hint in explorer.the("#problem-hint").inner_text()
    assert explorer.the("#problem-id").inner_text() == "Request id, to quote: req-7f3a"
    assert explorer.focused() == ("key" if status in {401, 403} else "again")
    if "Retry_After" in headers and status == 429:
        page.clock.run_for(6_000)
        assert explorer.the("#problem-hint").inner_text() == "Ask again in 1 second."
        page.clock.run_for(2_000)
        assert explorer.the("#problem-hint").inner_text() == "You can ask again now."
    stub.reply = july
    explorer.the("#again").click()
    explorer.the("#frame").wait_for()


def test_a_used_up_quota_is_explained(explorer: Explorer, stub: Stub) -> None:
    spent = {"error": "API monthly limit exceeded.", "limit": 1000, "used": 1000, "domain": "example.com"}
    stub.reply = lambda _body: (429, {"Retry-After": str(11 * 86_400 + 5)}, spent)
    explorer.the("#touch_scope").select_option("first")
    explorer.the("#problem").wait_for()
    assert explorer.the("#problem-title").inner_text() == "No requests are left this month"
    assert (
        explorer.the("#problem-hint").inner_text()
        == "1,000 of 1,000 requests were made. The next month begins in 12 days."
    )


@pytest.mark.parametrize("field", ["start_date", "end_date", "source", "meta_id", "landing_page", "touch_scope"])
def test_a_field_at_fault_is_marked_and_found(explorer: Explorer, stub: Stub, field: str) -> None:
    stub.refuses(400, "there is no such thing; give another", field=field)
    explorer.filter("medium", "organic").settled()
    said = explorer.the(f"#{field}-error")
    said.wait_for()
    assert said.inner_text() == "There is no such thing; give another."
    at = explorer.page.evaluate(
        "[document.activeElement.ariaInvalid, document.activeElement.getAttribute('aria-describedby')?.split(' ')[0]]"
    )
    assert at == ["true", f"{field}-error"]


@pytest.mark.parametrize("field", [None, "", "__proto__", "nothing-like-it", "answer"])
def test_a_field_that_the_page_has_not_is_no_trouble(explorer: Explorer, stub: Stub, field: str | None) -> None:
    stub.refuses(400, "the body is not valid", field=field)
    explorer.filter("medium", "organic").settled()
    assert explorer.focused() == "again"
    assert explorer.the("[aria-invalid]").count() == 0


def test_what_is_no_answer_is_said_to_be_none(fresh: Callable[..., Page], stub: Stub) -> None:
    stub.reply = lambda _body: (200, {}, b"<html>A proxy's page</html>")
    explorer = Explorer(fresh(), stub.url).open().enter()
    assert explorer.the("#problem-title").inner_text() == "The reply is not an answer"


def test_no_network(explorer: Explorer) -> None:
    explorer.page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    explorer.filter("medium", "organic").settled()
    assert explorer.the("#problem-title").inner_text() == "No answer came"
    assert not explorer.the("#problem-id").is_visible()


def test_real_refusals(real: Explorer, real_key: str) -> None:
    real.enter(f"{real_key}x")
    assert real.the("#problem-title").inner_text() == "The key was not accepted"
    assert real.the("#problem-id code").inner_text() != ""
    real.enter(real_key)
    assert real.the("#totals").is_visible()
    real.open("#start_date=2025-08-01&end_date=2025-07-31")
    real.page.reload()
    real.the("#start_date-error").wait_for()
    assert "start_date that is not later" in real.the("#start_date-error").inner_text()
    real.open(f"{IN_JULY}&source=no-such.example")
    real.the("#empty-text").wait_for()
