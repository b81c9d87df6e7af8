"""Asking in the explorer: each change asks at once, by mouse and by keyboard, and nothing stale stands under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from pageroles.question.filters import FILTERS, Filter, Of
from pageroles.question.request import SCOPES
from pageroles.question.roles import DROP_OFF_ROLES
from pageroles.transport import explorer as contract
from support.browser import IN_JULY, JULY, KEY, NOTHING, Explorer, Stub, answer, july

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

# Types in the page itself: its timers keep their order, however busy the machine is.
_TYPE = """async (input, typed) => {
  for (const text of typed) {
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}"""
DATES = {"start_date": "2025-07-01", "end_date": "2025-07-31"}


def test_one_screen_asks_three_times_and_two_without_comparison(explorer: Explorer, stub: Stub) -> None:
    asked = [(one.path, one.body.get("start_date"), one.body.get("end_date")) for one in stub.asked]
    assert sorted(asked) == [
        ("", "2025-05-31", "2025-06-30"), ("", "2025-07-01", "2025-07-31"), ("/days", "2025-07-01", "2025-07-31"),
    ]  # fmt: skip
    assert {one.headers["Authentication"] for one in stub.asked} == {KEY}
    stub.asked.clear()
    explorer.the("#compare").uncheck()
    explorer.settled()
    assert explorer.the(".delta, .total .change").count() == 0
    assert stub.asked == []  # what is there is not asked again
    explorer.filter("source", "google.com").settled()
    assert [path for path in stub.paths() if path != "/values"] == ["", "/days"]
    stub.asked.clear()
    explorer.the("#compare").check()
    explorer.the(".total .change").first.wait_for()
    assert [(one.path, one.body["start_date"]) for one in stub.asked] == [("", "2025-05-31")]


def test_every_filter_and_scope_is_sent_under_its_name(explorer: Explorer, stub: Stub) -> None:
    filters = {each.name: f" {each.name}=Ü&x " for each in FILTERS}  # as typed: filters are exact
    for name, value in filters.items():
        explorer.filter(name, value).settled()
    assert explorer.the("#chips li").count() == len(FILTERS)
    for scope in SCOPES[1:]:
        explorer.the("#touch_scope").select_option(scope)
        explorer.settled()
    asked = [{name: value for name, value in body.items() if name != "include"} for body in stub.reports()]
    expected = [DATES | {"touch_scope": scope} | filters for scope in SCOPES]
    assert asked[-len(SCOPES) :] == expected


def test_what_the_contract_gains_appears_without_an_edit_of_the_page(
    fresh: Callable[..., Page], stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    country = Filter(
        "country", Of.SESSION, column="country", help="", label="Country", example="NZ", hint="Two letters."
    )
    monkeypatch.setattr(contract, "FILTERS", (*FILTERS, country))
    monkeypatch.setattr(contract, "SCOPES", (*SCOPES, "last_click"))
    monkeypatch.setattr(contract, "DROP_OFF_ROLES", (*DROP_OFF_ROLES, "quick_exit"))
    stub.files["contract.js"] = contract.contract_module()
    listed = JULY["drop_off_performance"]
    assert isinstance(listed, list)
    rows = [row | {"quick_exit": {"sessions": 77, "users": 66}} for row in listed]
    stub.reply = lambda _body: (200, {}, JULY | {"drop_off_performance": rows})

    explorer = Explorer(fresh(), stub.url).open().enter()
    explorer.filter("country", "NZ").settled()
    explorer.the("#add").click()
    explorer.the("#filter").select_option("country")
    assert explorer.the("#value").get_attribute("placeholder") == "such as NZ"
    assert explorer.the("#value-hint").inner_text() == "Two letters."
    explorer.the("#touch_scope").select_option("last_click")
    explorer.settled()
    assert {"country": "NZ", "touch_scope": "last_click"}.items() <= stub.reports()[-1].items()
    assert "Last click" in explorer.the("#view .asked").first.inner_text()
    other = Explorer(fresh(), stub.url).open(f"{IN_JULY}&country=NZ&touch_scope=last_click&list=all").enter()
    assert "Quick exit" in "".join(other.texts("#table thead th"))
    assert "77" in other.cells("#table")[0]


def test_named_periods_ask_at_once_for_days_of_utc(fresh: Callable[..., Page], stub: Stub) -> None:
    page = fresh(timezone_id="Pacific/Kiritimati")  # there it is tomorrow
    page.clock.set_fixed_time("2025-03-30T23:30:00Z")
    explorer = Explorer(page, stub.url).open("").enter()
    assert {"start_date": "2025-02-28", "end_date": "2025-03-29"}.items() <= stub.reports()[-1].items()
    button = page.get_by_role("button", name="Last 7 days")
    button.click()
    explorer.settled()
    assert {"start_date": "2025-03-23", "end_date": "2025-03-29"}.items() <= stub.reports()[-1].items()
    assert button.get_attribute("aria-pressed") == "true"
    assert explorer.address().endswith("#period=last-7-days")
    assert explorer.focused() == "Last 7 days"


def test_days_and_times_of_ones_own(explorer: Explorer, stub: Stub) -> None:
    with explorer.page.expect_request("**/days"):
        explorer.the("#end_date").fill("2025-07-10")
    explorer.settled()
    assert {"start_date": "2025-07-01", "end_date": "2025-07-10"}.items() <= stub.reports()[-1].items()
    explorer.the("#times").check()
    with explorer.page.expect_request("**/days"):
        explorer.the("#start_date").fill("2025-07-01T09:30")
    explorer.settled()
    assert {
        "start_date": "2025-07-01T09:30:00Z", "end_date": "2025-07-10T23:59:59.999Z",
    }.items() <= stub.reports()[-1].items()  # fmt: skip


def test_a_window_that_was_cut_says_so(fresh: Callable[..., Page], stub: Stub) -> None:
    stub.reply = lambda _body: (200, {}, JULY)
    explorer = Explorer(fresh(), stub.url).open("#start_date=2025-05-01&end_date=2025-07-31").enter()
    assert explorer.the("#cut").is_visible()
    assert explorer.the("#frame").inner_text() == "1 – 31 Jul 2025"  # noqa: RUF001
    # The period before is that of the window that was used.
    assert {body["end_date"] for body in stub.at("")} >= {"2025-06-30T23:59:59.999Z", "2025-07-31"}
    assert [body["end_date"] for body in stub.at("/days")] == ["2025-07-31T23:59:59Z"]


def test_values_are_suggested_as_one_types(explorer: Explorer, stub: Stub) -> None:
    explorer.filter("medium", "organic").settled()
    explorer.the("#add").click()
    options = explorer.the("#values [role=option]")
    expect(options).to_have_count(2)
    assert ["".join(text.split()) for text in options.all_inner_texts()] == ["google.com812", "news.google.com7"]
    with explorer.page.expect_response("**/values"):
        explorer.the("#value").evaluate(_TYPE, ["g", "go", "goo", "goog"])
    asked = [body for body in stub.at("/values") if body.get("medium") == "organic"]
    assert [body.get("contains", "") for body in asked] == ["", "goog"], "once typing paused"
    assert {body["field"] for body in asked} == {"source"}
    press = explorer.page.keyboard.press
    expect(options).to_have_count(2)
    press("ArrowDown")
    press("ArrowDown")
    assert explorer.the("#value").get_attribute("aria-activedescendant") == "value-1"
    press("Enter")
    explorer.settled()
    assert stub.reports()[-1]["source"] == "news.google.com"
    assert explorer.texts("#chips .chip") == ["Source: news.google.com", "Medium: organic"]
    assert not explorer.the("#editor").is_visible()


@pytest.mark.parametrize("how", ["click", "tap"])
def test_a_suggestion_is_taken_with_mouse_or_finger(fresh: Callable[..., Page], stub: Stub, how: str) -> None:
    explorer = Explorer(fresh(has_touch=True), stub.url).open().enter()
    explorer.the("#add").click()
    option = explorer.the("#values [role=option]").nth(1)
    option.tap() if how == "tap" else option.click()
    explorer.settled()
    assert stub.reports()[-1]["source"] == "news.google.com"
    explorer.the("#add").click()
    expect(explorer.the("#values [role=option]")).to_have_count(2)
    explorer.the("#touch_scope").focus()
    expect(explorer.the("#values")).to_be_hidden()


def test_filters_are_changed_and_taken_away(explorer: Explorer, stub: Stub) -> None:
    explorer.filter("source", "a.example").settled()
    explorer.page.get_by_role("button", name="Source: a.example").click()
    assert explorer.the("#value").input_value() == "a.example"
    explorer.the("#value").fill("b.example")
    explorer.the("#apply").click()
    explorer.settled()
    assert stub.reports()[-1]["source"] == "b.example"
    explorer.page.get_by_role("button", name="Remove Source").click()
    explorer.settled()
    assert "source" not in stub.reports()[-1]
    assert explorer.focused() == "add"
    explorer.the("#add").click()
    explorer.page.keyboard.press("Escape")
    explorer.page.keyboard.press("Escape")
    assert not explorer.the("#editor").is_visible()


def test_an_old_answer_is_dimmed_and_out_of_reach_until_the_new_one_is_there(explorer: Explorer, stub: Stub) -> None:
    stub.open.clear()
    explorer.the("#touch_scope").select_option("first")
    explorer.the("#loading").wait_for()
    assert explorer.the("#answer").get_attribute("aria-busy") == "true"
    assert explorer.the("#view").evaluate("view => view.inert && getComputedStyle(view).opacity < 0.6")
    assert "Every session" in explorer.the("#view .asked").first.inner_text()  # the heading is that of its numbers
    stub.open.set()
    explorer.settled()
    assert "First sessions" in explorer.the("#view .asked").first.inner_text()
    assert not explorer.the("#view").evaluate("view => view.inert")


@pytest.mark.parametrize("how", ["button", "escape"])
def test_cancelling_stops_the_requests_and_brings_back_the_question(explorer: Explorer, stub: Stub, how: str) -> None:
    link = explorer.address()
    stub.open.clear()
    with explorer.page.expect_event("requestfailed") as gone:
        explorer.the("#touch_scope").select_option("first")
        explorer.the("#loading").wait_for()
        if how == "button":
            explorer.the("#cancel").click()
        else:
            explorer.page.keyboard.press("Escape")
    assert gone.value.failure == "net::ERR_ABORTED"
    assert explorer.the("#touch_scope").input_value() == "any"
    assert explorer.the("#said").inner_text() == "Cancelled"
    assert explorer.address() == link


def test_a_newer_question_replaces_the_one_under_way(explorer: Explorer, stub: Stub) -> None:
    stub.open.clear()
    explorer.the("#touch_scope").select_option("first")
    explorer.the("#loading").wait_for()
    with explorer.page.expect_event("requestfailed"):
        explorer.the("#touch_scope").select_option("after")
    stub.open.set()
    explorer.settled()
    assert "After converting" in explorer.the("#view .asked").first.inner_text()
    assert "touch_scope=after" in explorer.address()


def test_an_empty_answer_and_the_ways_out(explorer: Explorer, stub: Stub) -> None:
    hints = [{"field": "source", "value": "google.com", "sessions": 812, "sentence": "x"}]
    empty = {"message": NOTHING, "hints": hints}
    stub.reply = lambda body: (200, {}, empty) if body.get("source") == "Google.com" else july(body)
    explorer.filter("source", "Google.com").settled()
    assert explorer.the("#empty-text").inner_text() == NOTHING
    assert "Google.com" in explorer.the("#empty-asked").inner_text()
    explorer.the("#hints button").click()
    explorer.the("#frame").wait_for()
    assert stub.reports()[-1]["source"] == "google.com"
    explorer.page.go_back()
    explorer.the("#empty-text").wait_for()
    explorer.the("#loosen").click()
    explorer.the("#frame").wait_for()
    assert "source" not in stub.reports()[-1]


def test_nothing_before_is_no_failure(explorer: Explorer, stub: Stub) -> None:
    stub.reply = lambda body: (200, {}, {"message": NOTHING}) if body["start_date"] < "2025-07" else july(body)
    explorer.the("#touch_scope").select_option("first")
    explorer.settled()
    assert explorer.texts("#total_sessions .change") == ["new"]


def test_five_thousand_pages(explorer: Explorer, stub: Stub) -> None:
    many = {f"https://example.com/p/{number:05}": (5_000 - number, 1, number, 1, 0, 0) for number in range(5_000)}
    stub.reply = lambda _body: (200, {}, answer(many, {}))
    explorer.the("#touch_scope").select_option("first")
    explorer.settled()
    explorer.page.get_by_role("link", name="All 5,000 pages").first.click()
    assert explorer.the("#table tbody tr").count() == 100
    assert explorer.the("#more").inner_text() == "Show 100 more of 4,900"
    explorer.the("#more").click()
    assert explorer.the("#table tbody tr").count() == 200
    assert explorer.the("#said").inner_text() == "200 pages shown"
    explorer.the("#search").fill("p/0123")
    assert len(explorer.cells("#table")) == 10
    assert not explorer.the("#more").is_visible()
