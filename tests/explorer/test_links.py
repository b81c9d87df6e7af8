"""The link of the explorer: it stands for what is asked and looked at, stays relative, and never holds a key."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from support.browser import Explorer, Stub

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page


def test_a_link_reproduces_the_view_without_the_key(explorer: Explorer, stub: Stub, fresh: Callable[..., Page]) -> None:
    explorer.the("#touch_scope").select_option("converting")
    explorer.settled()
    explorer.filter("landing_page", "https://example.com/a b?&#%").settled()
    explorer.the("#list-leave .all").click()
    explorer.page.get_by_role("button", name="Step before leaving", exact=True).click()
    explorer.the("#search").fill("blog")
    link = explorer.address()
    assert parse_qs(urlsplit(link).fragment) == {
        "start_date": ["2025-07-01"],
        "end_date": ["2025-07-31"],
        "landing_page": ["https://example.com/a b?&#%"],
        "touch_scope": ["converting"],
        "list": ["leave"],
        "sort": ["drop_off_assist:desc"],
        "search": ["blog"],
    }
    other = Explorer(fresh(), stub.url).open(f"#{urlsplit(link).fragment}")
    assert other.focused() == "key"
    other.enter()
    assert stub.reports()[0].keys() <= stub.reports()[-1].keys()
    assert stub.reports()[-1]["landing_page"] == "https://example.com/a b?&#%"
    assert other.address() == link
    assert other.cells("#table") == explorer.cells("#table") != []


def test_the_last_30_days_stay_the_last_30_days(fresh: Callable[..., Page], stub: Stub) -> None:
    for today, start in (("2025-07-31", "2025-07-01"), ("2025-09-01", "2025-08-02")):
        page = fresh()
        page.clock.set_fixed_time(f"{today}T12:00:00Z")
        Explorer(page, stub.url).open("#period=last-30-days").enter()
        assert stub.reports()[-1]["start_date"] == start


def test_copying_the_link(explorer: Explorer, stub: Stub) -> None:
    explorer.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stub.url)
    explorer.the("#copy").click()
    explorer.page.get_by_text("Link copied, without the key").wait_for()
    assert explorer.page.evaluate("navigator.clipboard.readText()") == explorer.address()
    # Over plain HTTP there is no clipboard.
    explorer.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    explorer.the("#copy").click()
    explorer.the("#link").wait_for()
    assert explorer.the("#link").input_value() == explorer.address()


def test_back_and_forward_walk_through_questions_and_views(explorer: Explorer, stub: Stub) -> None:
    explorer.filter("source", "a.example").settled()
    explorer.the("#list-land .all").click()
    explorer.the("#table").wait_for()
    explorer.page.go_back()
    explorer.the("#totals").wait_for()
    explorer.page.go_back()
    explorer.settled()
    assert explorer.texts("#chips .chip") == []
    stub.open.clear()
    explorer.page.go_forward()
    explorer.the("#loading").wait_for()
    explorer.page.go_back()
    explorer.the("#loading").wait_for(state="hidden")
    assert explorer.texts("#chips .chip") == []
    stub.open.set()
    explorer.settled()


@pytest.mark.parametrize(
    "fragment",
    [
        "#list=toString&touch_scope=x&sort=url.length:up&key=z&__proto__=1&period=no-such",
        "#%E0%A4%A",
        "#=&&&=",
        "#page=%3Cimg%20src=x%3E",
    ],
)
def test_a_broken_link_does_no_harm(fresh: Callable[..., Page], stub: Stub, fragment: str) -> None:
    explorer = Explorer(fresh(), stub.url).open(fragment)
    assert explorer.the("#key").input_value() == ""
    explorer.enter()
    assert explorer.the("#frame").is_visible()


def test_a_date_that_is_none_is_named(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = Explorer(fresh(), stub.url).open("#start_date=2025-02-30&end_date=2025-07-31T10:00:00%2B02:00")
    said = "The start_date in the link can’t be read as a date, so you see the last 30 days."  # noqa: RUF001
    assert explorer.the("#note").inner_text() == said
