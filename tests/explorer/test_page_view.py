"""The view of one page: its roles and days, the sessions behind them, parts of the journey, what follows a landing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from pageroles.access.keys import KeyStore, Permission
from support.browser import IN_JULY, Explorer, Stub

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from support.served import Served

SIGNUP = "https://example.com/signup"


def opened(fresh: Callable[..., Page], stub: Stub) -> Explorer:
    explorer = Explorer(fresh(), stub.url).open(f"{IN_JULY}&page={SIGNUP}").enter()
    explorer.the("#roles svg").nth(6).wait_for()
    return explorer


def test_a_row_leads_to_its_page_and_back(explorer: Explorer, stub: Stub) -> None:
    explorer.the("#list-convert a.path").first.press("Enter")
    assert explorer.the("#frame").inner_text() == "/signup"
    assert explorer.focused() == "frame"
    assert explorer.the("#url").inner_text() == SIGNUP
    assert f"page={SIGNUP}" in explorer.address()
    assert explorer.page.title() == "/signup – pageroles"  # noqa: RUF001
    explorer.the("#roles svg").nth(6).wait_for()
    assert sorted(one.path for one in stub.asked[3:]) == ["", "/days"]
    explorer.page.go_back()
    explorer.the("#totals").wait_for()
    explorer.the("#list-leave tbody tr").nth(1).click()  # anywhere on the row
    assert explorer.the("#frame").inner_text() == "/pricing"


def test_six_roles_with_their_change_and_days(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = opened(fresh, stub)
    cells = {row[0].rstrip("?"): row[1:4] for row in explorer.cells("#roles")}
    assert cells == {
        "Landings": ["815", "815", "0 %"],
        "Converted here": ["1,591", "1,526", "+6.1 %"],
        "Read before converting": ["589", "581", "−1.8 %"],  # noqa: RUF001
        "Landed here, converted": ["514", "507", "0 %"],
        "Left from here": ["902", "899", "new"],
        "Step before leaving": ["77", "77", "new"],
        "Landed here, left": ["301", "300", "new"],
    }
    assert (
        explorer.the("#roles svg").nth(0).get_attribute("aria-label")
        == "Landings by day: from 21 to 51, most on 31 Jul"
    )
    assert "Of 815 sessions that began here, 514 converted: 63 %" in explorer.the("#rate").inner_text()
    assert explorer.texts("#flow h4") == ["Landed here", "Read before converting", "Converted on"]
    assert stub.at("")[-1]["landing_page"] == SIGNUP


def test_the_sessions_behind_a_number(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = opened(fresh, stub)
    explorer.page.get_by_role("button", name="Sessions: Converted here").click()
    explorer.the("ol.sessions").wait_for()
    assert stub.at("/sessions")[-1] == {
        "start_date": "2025-07-01", "end_date": "2025-07-31", "touch_scope": "any",
        "url": SIGNUP, "role": "conversion", "limit": 10,
    }  # fmt: skip
    assert explorer.the("#sessions-said").inner_text() == "The latest 1 of 1,591, of 1,526 users. Times are UTC."
    assert explorer.texts(".sessions b") == ["31 Jul 2025, 22:10"]
    assert explorer.texts(".steps li") == ["/", "/signup"]
    assert explorer.texts(".goals li") == ["html_form trial at 22:14 on /signup?plan=pro"]
    assert explorer.focused() == "sessions-title"


def test_a_key_that_may_not_see_sessions_is_told_so(real: Explorer, served: Served, real_key: str) -> None:
    del real_key  # its domain has sessions
    key = KeyStore(served.store).create("explorer.example.net", permissions=[Permission.REPORT])[0]
    served.service._keys.forget()
    real.open(f"{IN_JULY}").enter(key)
    real.the("#list-convert a.path").first.click()
    real.page.get_by_role("button", name="Sessions: Converted here").click()
    expect(real.the("#sessions-said")).to_contain_text("lacks the permission “sessions”")
    assert not real.the(".sessions-of").first.is_visible()


def test_parts_of_the_journey_are_asked_for_when_wanted(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = opened(fresh, stub)
    stub.asked.clear()
    explorer.the("#show-scopes").click()
    explorer.the("#scopes table").wait_for()
    assert sorted(one.body["touch_scope"] for one in stub.asked) == ["after", "assist", "converting", "first"]
    rows = explorer.cells("#scopes table")
    assert [row[0].rstrip("?") for row in rows] == [
        "Every session", "First sessions", "Converting sessions", "On the way", "After converting",
    ]  # fmt: skip
    assert rows[0][1:3] == ["1,591", "589"]
    assert rows[1][1] == f"{sum(day % 9 for day in range(1, 32)):,}"


def test_its_page_becomes_the_landing_page_that_is_asked_for(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = opened(fresh, stub)
    explorer.the("#only").click()
    explorer.the("#totals").wait_for()
    explorer.settled()
    assert stub.reports()[-1]["landing_page"] == SIGNUP
    assert explorer.texts("#chips .chip") == [f"Landing page: {SIGNUP}"]
    assert "page=" not in explorer.address().replace("landing_page=", "")


def test_a_page_without_a_role_and_parts_that_do_not_come(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = Explorer(fresh(), stub.url).open(f"{IN_JULY}&page=https://example.com/none").enter()
    assert "had no role" in explorer.the("#view").inner_text()
    first = stub.others["/days"]
    stub.others["/days"] = lambda body: (503, {}, {"error": "stopping"}) if "url" in body else first(body)
    explorer.page.get_by_role("link", name="Overview").click()
    explorer.the("#list-convert a.path").first.click()
    expect(explorer.the("#note")).to_have_text("The days of this page did not come: The service is not available.")
    assert explorer.cells("#roles")[0][1] == "815"  # what is there stays


def test_real_sessions_are_those_of_the_number(real: Explorer, real_key: str, served: Served) -> None:
    key = KeyStore(served.store).create("explorer.example.net", permissions=[Permission.REPORT, Permission.SESSIONS])[0]
    served.service._keys.forget()
    del real_key
    real.enter(key)
    real.the("#list-convert a.path").first.click()
    number = next(row[1] for row in real.cells("#roles") if row[0].startswith("Converted here"))
    real.page.get_by_role("button", name="Sessions: Converted here").click()
    expect(real.the("#sessions-said")).to_contain_text(f"of {number}, of")
    assert real.the(".sessions > li").count() == 10
    assert real.the(".sessions .here").count() >= 10
