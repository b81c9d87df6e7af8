"""The first screen and the lists behind it: totals, rates, changes, and the pages that answer each question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests

from support.browser import IN_JULY, JULY, Explorer, Stub, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page


def test_totals_have_their_change_their_days_and_a_rate_with_words(explorer: Explorer) -> None:
    assert explorer.the("#frame").inner_text() == "1 – 31 Jul 2025"  # noqa: RUF001
    assert explorer.texts("#view .asked > span") == [
        "compared with 31 May – 30 Jun 2025", "Every session", "data until 1 Aug 2025, 06:30 UTC",  # noqa: RUF001
    ]  # fmt: skip
    assert explorer.texts("#totals .value") == ["38,220 −4.5 %", "23,908 −4.4 %", "2,922 0 %", "2,703 +8.1 %"]  # noqa: RUF001
    assert explorer.texts("#total_conversion_users .rate-line") == ["11 % of all users?"]
    chart = explorer.the("#total_sessions svg")
    assert chart.locator("g").count() == 31
    assert chart.get_attribute("aria-label") == "Sessions by day: from 1,010 to 1,310, most on 31 Jul"
    explorer.page.get_by_text("Each day as a table").click()
    assert explorer.cells(".plain-table")[0] == ["Tue 1 Jul", "1,010", "901", "91", "81"]


def test_four_questions_are_answered_by_pages(explorer: Explorer) -> None:
    assert explorer.texts(".list h3") == [
        "Where people convert", "What they read before", "Where they land", "Where they leave",
    ]  # fmt: skip
    assert explorer.cells("#list-convert") == [
        ["/signup", "1,591", "+6.1 %"], ["/demo", "713", "new"], ["/contact", "402", "new"], ["/pricing", "131", "new"],
    ]  # fmt: skip
    # The page that is read most stands first, on a scale of its own.
    assert explorer.cells("#list-read")[0][:2] == ["/pricing", "1,204"]
    bar = explorer.the("#list-read .bar").first
    assert bar.evaluate("bar => bar.style.getPropertyValue('--share')") == "100%"
    assert explorer.cells("#list-land")[:2] == [
        ["/", "13,889", "4.3 %", "new"],
        ["/blog/page-roles", "5,486", "6.7 %", "new"],
    ]
    assert explorer.texts("#list-convert .all") == ["Open as a list"]
    assert explorer.texts("#list-land .all") == ["All 9 pages"]


def test_few_landings_are_marked_not_hidden(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = Explorer(fresh(), stub.url).open(f"{IN_JULY}&list=land").enter()
    contact = next(cells for cells in explorer.cells("#table") if cells[0] == "/contact")
    assert contact[1:4] == ["61", "61", "few 100 %"]
    assert "94 % and 100 %" in str(explorer.the("tr:has-text('/contact') .rate").get_attribute("title"))


def test_no_rate_stands_where_the_question_decides_it(explorer: Explorer) -> None:
    explorer.filter("meta_type", "html_form").settled()
    assert explorer.the(".rate-line").count() == 0
    assert explorer.the("#list-land .rate").count() > 0
    explorer.the("#clear").click()
    explorer.settled()
    explorer.the("#touch_scope").select_option("assist")
    explorer.settled()
    assert explorer.the(".rate-line, #list-land .rate").count() == 0


def test_words_have_their_definition_at_hand(explorer: Explorer) -> None:
    opener = explorer.the("#list-read .help").first
    opener.press("Enter")
    said = explorer.the("#definition")
    assert "visited before a conversion" in said.inner_text()
    assert opener.get_attribute("aria-expanded") == "true"
    explorer.page.keyboard.press("Escape")
    assert not said.is_visible()
    assert opener.get_attribute("aria-expanded") == "false"
    box = explorer.the("#list-leave .help").first
    box.click()
    assert said.evaluate(
        "box => { const at = box.getBoundingClientRect(); return at.right <= innerWidth && at.bottom <= innerHeight }"
    )


def test_urls_read_well_and_hold_no_markup(fresh: Callable[..., Page], stub: Stub) -> None:
    nasty = [
        "https://a.example/caf%C3%A9", "https://b.example/caf%C3%A9", "<img src=x onerror=alert(1)>",
        "javascript:alert(1)//x", "/", "https://a.example/\u202e<b>x</b>",
    ]  # fmt: skip
    stub.reply = lambda _body: (200, {}, answer(dict.fromkeys(nasty, (1, 1, 1, 1, 1, 1)), {}))
    explorer = Explorer(fresh(), stub.url).open(f"{IN_JULY}&list=convert").enter()
    names = [cells[0] for cells in explorer.cells("#table")]
    assert names[:3] == ["/caféa.example", "/caféb.example", "<img src=x onerror=alert(1)>"]
    assert explorer.the("#view img, #table b").count() == 0
    assert [
        link
        for link in explorer.the("#table a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        if link[0] != "#"
    ] == []
    assert explorer.the("#table a.path").first.get_attribute("title") == nasty[0]


def test_lists_sort_find_and_go_along(explorer: Explorer, stub: Stub) -> None:
    explorer.the("#list-land .all").click()
    assert explorer.the("#frame").inner_text() == "Where they land"
    assert explorer.focused() == "frame"
    headers = explorer.the("#table th[data-column]")
    assert headers.count() == 5
    for at in range(5):
        for _ in range(2):
            header = headers.nth(at)
            header.locator("button").first.click()
            assert header.get_attribute("aria-sort") in {"ascending", "descending"}
            assert explorer.the("#table [aria-sort]").count() == 1
    explorer.page.get_by_role("button", name="Page", exact=True).click()
    assert explorer.cells("#table")[0][0] == "/"
    assert explorer.the("#said").inner_text() == "Sorted by Page, A first"
    explorer.the("#search").fill("DOCS example")
    assert [cells[0] for cells in explorer.cells("#table")] == ["/docs/getting-started"]
    assert explorer.the("#found").inner_text() == "1 of 9 pages"
    explorer.the("#search").fill("zählt")
    assert explorer.cells("#table")[0][0] == "/blog/was-first-touch-übersieht-und-warum-es-zählt"
    explorer.the("#table a.path").first.click()
    explorer.page.get_by_role("link", name="List").click()
    assert explorer.the("#search").input_value() == "zählt"  # the way back leads to the list as it was
    explorer.the("#search").fill("nowhere")
    assert explorer.the("#none").inner_text() == "No page has these words in its URL."
    assert len(stub.reports()) == 1  # looking asks nothing again
    explorer.page.get_by_role("link", name="All pages, all roles").click()
    assert len(explorer.cells("#table")) == 9
    assert explorer.the("#table th[data-column]").count() == 8


def test_what_is_shown_goes_along_as_csv(explorer: Explorer) -> None:
    with explorer.page.expect_download() as saved:
        explorer.the("#csv").click()
    lines = saved.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("page,conversion sessions,conversion users,conversion_assist sessions")
    assert "https://example.com/signup,1591,1526,589,581,514,507,902,899,77,77,301,300,815,815" in lines
    explorer.the("#list-land .all").click()
    explorer.the("#search").fill("signup")
    with explorer.page.expect_download() as saved:
        explorer.the("#csv").click()
    assert saved.value.path().read_text("utf-8-sig").splitlines() == [
        (
            "page,landing sessions,landing users,landing_assisted_conversion sessions,landing_assisted_conversion users,"  # noqa: E501
            "landing_rate,landing sessions before"
        ),
        "https://example.com/signup,815,815,514,507,0.6307,815",
    ]


def test_a_real_answer(real: Explorer, real_key: str) -> None:
    real.open(f"{IN_JULY}&list=all&touch_scope=converting").enter(real_key)
    body = {"start_date": "2025-07-01", "end_date": "2025-07-31", "touch_scope": "converting"}
    response = requests.post(f"{real.url}/api/v1/pages", json=body, headers={"Authentication": real_key}, timeout=30)
    found = response.json()
    row = found["conversion_performance"][0]
    roles = ("conversion", "conversion_assist", "landing_assisted_conversion")
    expected = [f"{row[role]['sessions']:,}" for role in roles]
    assert real.cells("#table")[0][1:4] == expected
    assert "0" not in expected[:1]
    real.page.get_by_role("link", name="Overview").click()
    shown = real.texts("#totals .value b")
    assert shown == [f"{count:,}" for count in found["summary_totals"].values()]


def test_one_answer_has_all_of_july(explorer: Explorer) -> None:
    listed = JULY["conversion_performance"]
    assert isinstance(listed, list)
    explorer.the("#list-read .all").click()
    assert len(explorer.cells("#table")) == len(listed)
