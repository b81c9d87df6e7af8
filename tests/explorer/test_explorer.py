"""The explorer page in a real browser: what people see, by mouse, by keyboard, on a phone."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from playwright.sync_api import expect

from pageroles.command import traffic
from pageroles.ingest import loader
from pageroles.question.filters import FILTERS, Filter, Of
from pageroles.question.request import SCOPES
from pageroles.question.roles import DROP_OFF_ROLES
from pageroles.transport import explorer as contract
from support import browser
from support.browser import JULY, KEY, NOTHING, ROLES, WEB, Explorer, Stub, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Request

    from support.served import Served


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """One browser for this module; while it is open, this thread has a running event loop."""
    with browser.started() as opened:
        yield opened


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as serving:
        yield serving


@pytest.fixture
def fresh(chrome: Browser, stub: Stub) -> Iterator[Callable[..., Page]]:
    """Open pages, each in a profile of its own; none may complain."""
    del stub  # ends after the pages
    watches = []
    contexts = []

    def opened(**options: Any) -> Page:
        context = chrome.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        context.set_default_timeout(20_000)
        page = context.new_page()
        contexts.append(context)
        watches.append(browser.Watch.over(page))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [complaint for watch in watches for complaint in watch.complaints] == []


@pytest.fixture
def explorer(fresh: Callable[..., Page], stub: Stub) -> Explorer:
    return Explorer(fresh(), stub.url).open()


# An answer


def test_a_question_and_its_whole_answer(explorer: Explorer, stub: Stub) -> None:
    explorer.ask(source="google.com")

    headers, body = stub.asked[0]
    assert headers["Authentication"] == KEY
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "start_date": "2025-07-01", "end_date": "2025-07-31", "source": "google.com", "touch_scope": "any",
    }  # fmt: skip
    assert explorer.the("#frame").inner_text().split() == [
        "2025-07-01", "00:00:00", "to", "2025-07-31", "23:59:59", "UTC",
    ]  # fmt: skip
    assert explorer.the("#totals dd").all_inner_texts() == ["38,220", "23,908", "2,922", "2,703 11%"]
    assert explorer.the("#report .asked").inner_text().split() == ["any", "session", "source", "google.com"]
    assert explorer.cells()[:2] == [
        ["https://example.com/signup", "1,591", "1,526", "589", "581", "514", "507"],
        ["https://example.com/demo", "713", "701", "419", "418", "398", "397"],
    ]
    assert explorer.focused() == "frame"

    explorer.the("#tab-drop_off").click()
    assert explorer.cells()[0] == ["https://example.com", "7,597", "6,833", "3,356", "3,184", "13,287", "11,113"]
    groups = explorer.the("#table .group").all_inner_texts()
    assert groups == ["Drop-off", "Assist", "Landing"]


def test_every_filter_and_scope_is_sent_under_its_name(explorer: Explorer, stub: Stub) -> None:
    filters = {each.name: f" {each.name}=Ü&x " for each in FILTERS}  # as typed: filters are exact
    explorer.ask(**filters)
    assert explorer.the("#filters-set").inner_text().strip() == str(len(FILTERS))
    scopes = [*SCOPES, SCOPES[0]]
    for scope in scopes[1:]:
        explorer.the(f"input[value={scope}]").check()
        explorer.ask()
    dates = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
    assert [body for _, body in stub.asked] == [{**dates, **filters, "touch_scope": scope} for scope in scopes]


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

    explorer = Explorer(fresh(), stub.url).open()
    field = explorer.page.get_by_label("Country")
    assert field.get_attribute("placeholder") == "NZ"
    assert explorer.the("#country-hint").inner_text() == "Two letters."
    explorer.page.get_by_role("radio", name="Last click").check()
    explorer.ask(country="NZ")
    asked = {"start_date": "2025-07-01", "end_date": "2025-07-31", "country": "NZ", "touch_scope": "last_click"}
    assert stub.asked[0][1] == asked
    assert explorer.the("#report .asked").inner_text().split() == ["last_click", "sessions", "country", "NZ"]

    explorer.the("#tab-drop_off").click()
    assert explorer.the("#table .group").all_inner_texts() == ["Drop-off", "Assist", "Landing", "Quick exit"]
    assert explorer.cells()[0][-2:] == ["77", "66"]
    explorer.page.get_by_role("radio", name="Quick exit").check()
    tops = "bars => bars.map(bar => bar.getBoundingClientRect().top)"
    assert len(set(explorer.the("#chart li:first-child .bar").evaluate_all(tops))) == 1  # all in one line
    other = Explorer(fresh(), stub.url).open(f"#{urlsplit(explorer.address()).fragment}")
    assert other.the("#country").input_value() == "NZ"
    assert other.the("[value=last_click]").is_checked()


def test_ready_made_dates_are_days_of_utc(fresh: Callable[..., Page], stub: Stub) -> None:
    page = fresh(timezone_id="Pacific/Kiritimati")  # there it is tomorrow
    page.clock.set_fixed_time("2025-03-30T23:30:00Z")
    explorer = Explorer(page, stub.url).open()
    button = page.get_by_role("button", name="7 days", exact=True)
    button.click()
    dates = (explorer.the("#start_date").input_value(), explorer.the("#end_date").input_value())
    assert dates == ("2025-03-24", "2025-03-30")
    assert button.get_attribute("aria-pressed") == "true"


def test_times_of_day_and_no_dates_at_all(explorer: Explorer, stub: Stub) -> None:
    explorer.fill(key=KEY, start_date="2025-07-01", end_date="2025-07-02")
    explorer.the("#times").check()
    explorer.ask(start_date="2025-07-01T09:30", end_date="2025-07-02T23:59:59.999")
    explorer.the("#times").uncheck()
    explorer.ask(start_date="", end_date="")
    assert [body for _, body in stub.asked] == [
        {"start_date": "2025-07-01T09:30:00Z", "end_date": "2025-07-02T23:59:59.999Z", "touch_scope": "any"},
        {"touch_scope": "any"},
    ]
    # The window that the server chose is in the link, so that it shows the same tomorrow.
    assert urlsplit(explorer.address()).fragment == "start_date=2025-07-01&end_date=2025-07-31T23:59:59Z"


def test_a_window_that_was_cut_says_so(explorer: Explorer) -> None:
    explorer.ask()
    assert not explorer.the("#cut").is_visible()
    explorer.ask(start_date="2025-05-01")
    assert explorer.the("#cut").is_visible()


# Looking at it


def test_every_column_sorts_both_ways(explorer: Explorer) -> None:
    explorer.ask()
    listed = JULY["conversion_performance"]
    assert isinstance(listed, list)
    assert explorer.pages() == [row["url"] for row in listed]
    headers = explorer.the("#table th[data-column]")
    assert headers.count() == 7
    for at in range(7):
        for _ in range(2):
            header = headers.nth(at)
            header.locator("button").click()
            column, order = header.get_attribute("data-column"), header.get_attribute("aria-sort")
            assert explorer.the("#table [aria-sort]").count() == 1

            def value(row: dict[str, Any], column: str = str(column)) -> Any:
                role, _, measure = column.partition(".")
                return row[role][measure] if measure else row["url"]

            # Both ways keep the order of the answer among equals.
            expected = sorted(listed, key=value, reverse=order == "descending")
            assert explorer.pages() == [row["url"] for row in expected], (column, order)


def test_search_narrows_table_and_chart(explorer: Explorer) -> None:
    explorer.ask()
    explorer.fill(search="DOCS example")
    assert explorer.pages() == ["https://example.com/docs/getting-started"]
    assert explorer.the("#found").inner_text() == "1 of 8 pages"
    explorer.page.get_by_role("radio", name="Landing", exact=True).check()
    assert explorer.the("#chart li .page").all_inner_texts() == ["/docs/getting-started"]
    explorer.the("#tab-drop_off").click()
    assert explorer.pages() == ["https://example.com/docs/getting-started"]
    explorer.fill(search="nowhere")
    assert explorer.the("#none").inner_text() == "No page has these words in its URL."
    assert not explorer.the("#table").is_visible()


def test_the_chart_shows_the_top_pages_of_the_role_that_is_chosen(explorer: Explorer) -> None:
    explorer.ask()
    bars = explorer.the("#chart li").first
    assert bars.all_inner_texts()[0].split() == ["/signup", "Conversion", "1,591", "Assist", "589", "Landing", "514"]
    widths = [svg.get_attribute("width") for svg in bars.locator("svg").all()]
    assert [round(float(str(width).rstrip("%")), 1) for width in widths] == [100, 37.0, 32.3]  # of 1,591
    explorer.page.get_by_role("radio", name="Assist", exact=True).check()
    assert explorer.the("#chart li .page").first.inner_text() == "/pricing"
    explorer.the("#tab-drop_off").click()
    assert explorer.the("#chart li .page").first.inner_text() == "https://example.com"


def test_fifty_thousand_pages_stay_usable(explorer: Explorer, stub: Stub) -> None:
    many = {f"https://example.com/p/{number:05}": (50_000 - number, 1, number, 1, 0, 0) for number in range(50_000)}
    stub.reply = lambda _body: (200, {}, answer(many, {}))
    explorer.ask()
    assert explorer.the("#table tbody tr").count() == 100
    assert explorer.the("#more").inner_text() == "Show 100 more of 49,900"
    explorer.the("#more").click()
    assert explorer.the("#table tbody tr").count() == 200
    assert explorer.the("#said").inner_text() == "200 pages shown"
    explorer.page.get_by_role("button", name="Assist: sessions").click()
    assert explorer.cells()[0][:4] == ["https://example.com/p/49999", "1", "1", "49,999"]
    explorer.fill(search="p/1234")
    assert explorer.pages() == [f"https://example.com/p/1234{last}" for last in range(9, -1, -1)]
    assert not explorer.the("#more").is_visible()
    explorer.the("#tab-drop_off").click()
    assert explorer.the("#none").inner_text() == "No page had a part in a drop-off."


def test_urls_are_text_whatever_they_hold(explorer: Explorer, stub: Stub) -> None:
    nasty = ["<img src=x onerror=alert(1)>", "javascript:alert(1)//x", "/", "https://a.example/\u202e<b>x</b>"]
    stub.reply = lambda _body: (200, {}, answer(dict.fromkeys(nasty, (1, 1, 1, 1, 1, 1)), {}))
    explorer.ask()
    assert explorer.pages() == nasty
    assert explorer.the("#report img, #report b:has-text('x'), #report a").count() == 0


# The link


def test_the_link_reproduces_the_view_without_the_key(
    explorer: Explorer, stub: Stub, fresh: Callable[..., Page]
) -> None:
    explorer.the("input[value=converting]").check()
    explorer.ask(landing_page="https://example.com/a b?&#%", meta_type="html_form")
    explorer.the("#tab-drop_off").click()
    explorer.page.get_by_role("button", name="Assist: users").click()
    explorer.page.get_by_role("button", name="Assist: users").click()
    explorer.page.get_by_role("radio", name="Landing", exact=True).check()
    explorer.fill(search="blog")
    link = explorer.address()
    assert parse_qs(urlsplit(link).fragment) == {
        "start_date": ["2025-07-01"],
        "end_date": ["2025-07-31"],
        "landing_page": ["https://example.com/a b?&#%"],
        "meta_type": ["html_form"],
        "touch_scope": ["converting"],
        "tab": ["drop_off"],
        "drop_off_sort": ["drop_off_assist.users:asc"],
        "drop_off_top": ["landing_assisted_drop_off"],
        "search": ["blog"],
    }

    other = Explorer(fresh(), stub.url).open(f"#{urlsplit(link).fragment}")
    assert other.the("#note").inner_text() == "The form has the question of the link. Give your API key and ask."
    assert other.focused() == "key"
    assert len(stub.asked) == 1
    other.page.keyboard.type(KEY)
    other.page.keyboard.press("Enter")
    other.the("#report").wait_for()
    assert stub.asked[0][1] == stub.asked[1][1]
    assert other.address() == link
    assert other.cells() == explorer.cells()
    assert other.the("#chart li").all_inner_texts() == explorer.the("#chart li").all_inner_texts()
    assert other.the("#table [aria-sort=ascending]").get_attribute("data-column") == "drop_off_assist.users"


def test_copying_the_link(explorer: Explorer, stub: Stub) -> None:
    explorer.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stub.url)
    explorer.ask()
    explorer.the("#copy").click()
    explorer.page.get_by_text("Link copied, without the key").wait_for()
    assert explorer.page.evaluate("navigator.clipboard.readText()") == explorer.address()
    # Over plain HTTP there is no clipboard.
    explorer.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    explorer.the("#copy").click()
    assert explorer.the("#link").input_value() == explorer.address()


def test_back_and_forward_walk_through_the_questions(explorer: Explorer, stub: Stub) -> None:
    explorer.ask(source="a.example")
    explorer.ask(source="b.example")
    explorer.page.go_back()
    explorer.the("#report .asked b:has-text('a.example')").wait_for()
    assert explorer.the("#source").input_value() == "a.example"
    explorer.page.go_forward()
    explorer.the("#report .asked b:has-text('b.example')").wait_for()
    assert [body["source"] for _, body in stub.asked] == ["a.example", "b.example", "a.example", "b.example"]
    stub.open.clear()
    explorer.page.go_back()
    explorer.the("#loading").wait_for()
    explorer.page.go_back()
    explorer.the("#intro").wait_for()
    assert explorer.the("#source").input_value() == ""
    stub.open.set()  # what was under way is not waited for
    assert explorer.the("#intro").is_visible()


@pytest.mark.parametrize(
    "fragment",
    [
        "#start_date=soon&tab=toString&touch_scope=x&conversion_sort=url.length:up&drop_off_top=y&key=z&__proto__=1",
        "#%E0%A4%A",
        "#=&&&=",
    ],
)
def test_a_broken_link_does_no_harm(fresh: Callable[..., Page], stub: Stub, fragment: str) -> None:
    explorer = Explorer(fresh(), stub.url).open(fragment)
    assert explorer.the("#key").input_value() == ""
    explorer.ask()
    assert len(explorer.cells()) == 8


def test_a_date_that_a_link_can_not_show_is_named(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = Explorer(fresh(), stub.url).open("#start_date=2025-02-30&end_date=2025-07-31T10:00:00%2B02:00")
    assert explorer.the("#note").inner_text() == "The start_date in the link is not a date, so it was left empty."
    assert explorer.the("#end_date").input_value() == "2025-07-31T08:00"


# The key


def traces(explorer: Explorer) -> str:
    """Return everything that outlives or surrounds a page: where a key must not be."""
    found = explorer.page.evaluate("""() => JSON.stringify([
        location.href, document.title, document.documentElement.outerHTML, document.cookie, history.state,
        {...localStorage}, {...sessionStorage}, performance.getEntriesByType("resource").map(({name}) => name),
    ])""")
    return str(found) + json.dumps(explorer.page.context.storage_state(indexed_db=True))


def test_the_key_is_kept_in_memory_alone(explorer: Explorer) -> None:
    watch = browser.Watch.over(explorer.page)
    explorer.ask()
    explorer.the("#tab-drop_off").click()
    explorer.the("#copy").click()
    assert KEY not in traces(explorer)
    assert KEY not in "".join(watch.requested)
    explorer.page.reload()
    explorer.the("#presets button").first.wait_for()
    assert explorer.the("#key").input_value() == ""


def test_the_key_is_remembered_in_the_tab_where_asked(
    explorer: Explorer, stub: Stub, fresh: Callable[..., Page]
) -> None:
    explorer.the("#remember").check()
    explorer.ask()
    assert explorer.page.evaluate("({...localStorage})") == {}
    explorer.page.reload()
    explorer.the("#report").wait_for()  # the link asks itself
    assert len(stub.asked) == 2
    assert Explorer(fresh(), stub.url).open().the("#key").input_value() == ""
    explorer.the("#remember").uncheck()
    assert explorer.page.evaluate("({...sessionStorage})") == {}


def test_a_refused_key_is_forgotten(explorer: Explorer, stub: Stub) -> None:
    stub.refuses(401, "the key is unknown, revoked or expired")
    explorer.the("#remember").check()
    explorer.ask()
    assert KEY not in traces(explorer)


@pytest.mark.parametrize("key", [KEY, "another-form-of-key"])
def test_a_key_in_a_filter_is_not_sent_and_not_linked(explorer: Explorer, stub: Stub, key: str) -> None:
    explorer.fill(key=key, source=f"x{key}")
    explorer.the("#ask").click()
    assert "holds your API key" in explorer.the("#source-error").inner_text()
    assert stub.asked == []
    explorer.ask(key=key, source="")
    explorer.fill(search=key)
    assert key not in explorer.address()


@pytest.mark.parametrize("key", ["", "   ", "two words", "schlüssel"])
def test_what_can_be_no_key_is_said_without_asking(explorer: Explorer, stub: Stub, key: str) -> None:
    explorer.fill(key=key)
    explorer.the("#ask").click()
    assert explorer.the("#key").get_attribute("aria-invalid") == "true"
    assert explorer.focused() == "key"
    assert stub.asked == []
    explorer.fill(key="x")
    assert explorer.the("#key-error").count() == 0


def test_a_key_for_all_domains_is_asked_for_its_domain(explorer: Explorer, stub: Stub) -> None:
    assert not explorer.the("#domain").is_visible()
    stub.refuses(400, "this key reads all domains; name the one to read", field="domain")
    explorer.ask()
    assert explorer.focused() == "domain"
    stub.reply = lambda _body: (200, {}, JULY)
    explorer.ask(domain="shop.example.net")
    headers, body = stub.asked[-1]
    assert headers["Domain"] == "shop.example.net"
    assert "domain" not in body
    assert "domain=shop.example.net" in explorer.address()


# What may come instead


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
    explorer = Explorer(page, stub.url).open().ask()
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
    stub.reply = lambda _body: (200, {}, JULY)
    explorer.the("#again").click()
    explorer.the("#report").wait_for()


def test_a_used_up_quota_is_explained(explorer: Explorer, stub: Stub) -> None:
    spent = {"error": "API monthly limit exceeded.", "limit": 1000, "used": 1000, "domain": "example.com"}
    stub.reply = lambda _body: (429, {"Retry-After": str(11 * 86_400 + 5)}, spent)
    explorer.ask()
    assert explorer.the("#problem-title").inner_text() == "No requests are left this month"
    assert (
        explorer.the("#problem-hint").inner_text()
        == "1,000 of 1,000 requests were made. The next month begins in 12 days."
    )


@pytest.mark.parametrize("field", ["start_date", "end_date", "source", "meta_id", "landing_page", "touch_scope"])
def test_a_field_at_fault_is_marked_and_found(explorer: Explorer, stub: Stub, field: str) -> None:
    stub.refuses(400, "there is no such thing; give another", field=field)
    explorer.page.evaluate("document.getElementById('filters').open = false")
    explorer.the("#key").fill(KEY)
    explorer.the("#ask").click()
    said = explorer.the(f"#{field}-error")
    said.wait_for()
    assert said.inner_text() == "There is no such thing; give another."
    assert explorer.the(f"#{field}").get_attribute("aria-invalid") == "true"
    assert f"{field}-error" in str(explorer.page.evaluate("document.activeElement.getAttribute('aria-describedby')"))
    # Changing it takes the mark away, and only that.
    explorer.page.keyboard.press("ArrowDown" if field == "touch_scope" else "1")
    assert said.count() == 0


@pytest.mark.parametrize("field", [None, "", "__proto__", "nothing-like-it", "answer"])
def test_a_field_that_the_page_has_not_is_no_trouble(explorer: Explorer, stub: Stub, field: str | None) -> None:
    stub.refuses(400, "the body is not valid", field=field)
    explorer.ask()
    assert explorer.focused() == "again"
    assert explorer.the("[aria-invalid]").count() == 0


def test_what_is_no_answer_is_said_to_be_none(explorer: Explorer, stub: Stub) -> None:
    stub.reply = lambda _body: (200, {}, b"<html>A proxy's page</html>")
    explorer.ask()
    assert explorer.the("#problem-title").inner_text() == "The reply is not an answer"


def test_no_network(explorer: Explorer) -> None:
    explorer.page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    explorer.ask()
    assert explorer.the("#problem-title").inner_text() == "No answer came"
    assert not explorer.the("#problem-id").is_visible()


def test_an_empty_answer_and_the_way_out(explorer: Explorer, stub: Stub) -> None:
    stub.reply = lambda body: (200, {}, {"message": NOTHING} if "source" in body else JULY)
    explorer.ask(source="Google.com")
    assert explorer.the("#empty-text").inner_text() == NOTHING
    assert explorer.focused() == "empty-text"
    assert explorer.the("#empty .asked").inner_text().split("\n")[0].startswith("2025-07-01 to 2025-07-31")
    explorer.the("#loosen").click()
    explorer.the("#report").wait_for()
    assert stub.asked[-1][1] == {"start_date": "2025-07-01", "end_date": "2025-07-31", "touch_scope": "any"}


# Waiting


@pytest.mark.parametrize("how", ["button", "escape"])
def test_cancelling_stops_the_request_and_brings_back_the_answer(explorer: Explorer, stub: Stub, how: str) -> None:
    explorer.ask()
    stub.open.clear()
    explorer.fill(source="slow.example")
    assert explorer.the("#changed").is_visible()
    with explorer.page.expect_event("requestfailed") as gone:
        explorer.the("#ask").click()
        explorer.the("#loading").wait_for()
        assert explorer.the("#answer").get_attribute("aria-busy") == "true"
        if how == "button":
            explorer.the("#cancel").click()
        else:
            explorer.page.keyboard.press("Escape")
    assert gone.value.failure == "net::ERR_ABORTED"
    assert explorer.the("#report").is_visible()
    assert explorer.the("#said").inner_text() == "Cancelled"
    assert explorer.focused() == "ask"
    assert "slow.example" not in explorer.address()


def test_a_newer_question_replaces_the_one_under_way(explorer: Explorer, stub: Stub) -> None:
    stub.open.clear()
    explorer.fill(key=KEY, source="first.example")
    explorer.the("#ask").click()
    explorer.the("#loading").wait_for()
    explorer.fill(source="second.example")
    with explorer.page.expect_event("requestfailed"):
        explorer.the("#ask").click()
    stub.open.set()
    explorer.the("#report .asked b:has-text('second.example')").wait_for()
    assert "second.example" in explorer.address()


# The real gateway, over real data

DOMAIN = "explorer.example.net"


@pytest.fixture(scope="module")
def real_key(served: Served) -> str:
    """Return a key for a domain with made-up traffic of July 2025."""
    lines = []
    for chunk in traffic.sessions(1_500, seed=11, end=datetime(2025, 7, 31, tzinfo=UTC), days=30):
        lines += [json.dumps(json.loads(line) | {"domain": DOMAIN}).encode() for line in chunk.splitlines()]
    loader.load_chunks(served.store, [b"\n".join(lines)])
    return served.key(DOMAIN)


@pytest.fixture
def real(fresh: Callable[..., Page], rest_in_process: str) -> Explorer:
    return Explorer(fresh(), rest_in_process).open()


def test_a_real_question(real: Explorer, real_key: str) -> None:
    real.the("input[value=converting]").check()
    real.ask(real_key, source="google.com")
    asked = {"start_date": "2025-07-01", "end_date": "2025-07-31", "source": "google.com", "touch_scope": "converting"}
    response = requests.post(
        f"{real.url}/api/v1/pages", json=asked, headers={"Authentication": real_key}, timeout=30
    )  # fmt: skip
    found = response.json()
    totals = [f"{count:,}" for count in found["summary_totals"].values()]
    assert "0" not in totals
    shown = real.the("#totals dd").all_inner_texts()
    assert [text.split()[0] for text in shown] == totals
    for side, tab in (("conversion_performance", "conversion"), ("drop_off_performance", "drop_off")):
        real.the(f"#tab-{tab}").click()
        expected = [
            [row["url"], *(f"{row[role][measure]:,}" for role in ROLES[side] for measure in ("sessions", "users"))]
            for row in found[side]
        ]
        assert real.cells() == expected[:100]
        assert f"{len(expected):,} pages" == real.the("#found").inner_text()


def test_a_real_link_reproduces_the_view(real: Explorer, real_key: str, fresh: Callable[..., Page]) -> None:
    real.ask(real_key, medium="organic", start_date="")
    real.the("#tab-drop_off").click()
    real.fill(search="blog")
    link = real.address()
    assert real_key not in link
    assert "start_date=2025-07-01&" in link  # as the server chose
    other = Explorer(fresh(), real.url).open(f"#{urlsplit(link).fragment}")
    other.the("#key").fill(real_key)
    other.page.keyboard.press("Enter")
    other.the("#report").wait_for()
    assert other.address() == link
    assert other.cells() == real.cells() != []
    assert other.the("#totals").inner_text() == real.the("#totals").inner_text()


def test_real_refusals(real: Explorer, real_key: str) -> None:
    real.ask(real_key, source="no-such.example")
    assert real.the("#empty-text").inner_text() == NOTHING
    real.ask(real_key, start_date="2025-08-01", source="")
    assert real.focused() == "start_date"
    assert "start_date that is not later" in real.the("#start_date-error").inner_text()
    real.ask(f"{real_key}x")
    assert real.the("#problem-title").inner_text() == "The key was not accepted"
    quoted = real.the("#problem-id code").inner_text()
    assert quoted != ""
    real.ask(real_key)
    assert real.the("#report").is_visible()
    assert real_key not in traces(real)


def test_a_real_key_for_all_domains(real: Explorer, real_key: str, served: Served) -> None:
    real.ask(served.all_domains_key)
    assert real.focused() == "domain"
    real.ask(served.all_domains_key, domain=DOMAIN)
    everything = real.the("#totals").inner_text()
    real.ask(real_key, domain="")
    assert real.the("#totals").inner_text() == everything
    real.page.evaluate("document.getElementById('domain').parentElement.hidden = false")
    real.ask(real_key, domain="another.example.net")
    assert real.the("#problem-title").inner_text() == "The key may not read this"


def test_the_reference_is_one_click_away(real: Explorer) -> None:
    real.the("#key").fill(KEY)
    with real.page.expect_navigation():
        real.page.get_by_role("link", name="API reference").click()
    assert real.address() == f"{real.url}/docs"
    real.page.go_back()
    real.the("#presets button").first.wait_for()
    assert real.the("#key").input_value() == ""


# For everyone


def test_by_keyboard_alone(explorer: Explorer, stub: Stub) -> None:
    press, page = explorer.page.keyboard.press, explorer.page

    def tab_to(name: str, most: int = 40) -> None:
        for _ in range(most):
            press("Tab")
            if explorer.focused() == name:
                return
        pytest.fail(f"no way to {name} by Tab")

    press("Tab")
    assert explorer.focused() == "skip"
    press("Enter")
    assert explorer.focused() == "answer"
    assert "#" not in explorer.address()
    page.reload()
    tab_to("key")
    page.keyboard.type(KEY)
    tab_to("Last month")
    press("Space")
    for _ in range(40):
        press("Tab")
        if page.evaluate("document.activeElement.name === 'touch_scope'"):
            break
    press("ArrowDown")
    assert explorer.the("[value=first]").is_checked()
    tab_to("source")
    page.keyboard.type("google.com")
    press("Enter")
    explorer.the("#report").wait_for()
    assert stub.asked[0][1]["touch_scope"] == "first"
    assert explorer.focused() == "frame"
    tab_to("copy", 1)
    tab_to("tab-conversion", 1)
    press("ArrowRight")
    assert explorer.focused() == "tab-drop_off"
    assert explorer.the("#tab-drop_off").get_attribute("aria-selected") == "true"
    tab_to("side", 1)
    press("Tab")
    press("ArrowRight")
    assert explorer.the("#chart input:checked").input_value() == "drop_off_assist"
    tab_to("search", 1)
    page.keyboard.type("docs")
    press("Tab")
    assert explorer.focused() == "Page"
    press("Enter")
    assert explorer.the("#table th.page").get_attribute("aria-sort") == "ascending"
    assert explorer.focused() == "Page"
    assert explorer.the("#said").inner_text() == "Sorted, A first"
    # What has the focus shows it.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_everything_has_a_name(explorer: Explorer) -> None:
    explorer.ask()
    unnamed = explorer.page.evaluate("""() => [...document.querySelectorAll("input, button, fieldset, [role=tabpanel]")]
        .filter(element => !(element.labels?.length || element.textContent.trim() || element.ariaLabel
            || element.getAttribute("aria-labelledby")))
        .map(element => element.outerHTML)""")
    assert unnamed == []
    ids = explorer.page.evaluate("[...document.querySelectorAll('[id]')].map(({id}) => id)")
    assert len(ids) == len(set(ids))
    referred = explorer.page.evaluate("""["aria-describedby", "aria-labelledby", "aria-controls", "for", "list"]
        .flatMap(name => [...document.querySelectorAll(`[${name}]`)].map(one => one.getAttribute(name)))
        .flatMap(names => names.split(" "))""")
    assert set(referred) <= set(ids)


CONTRAST = """() => {
    const channel = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const parts = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map(v => channel(v / 255)).reduce((sum, v, at) =>
        sum + v * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = element => {
        for (let at = element; at; at = at.parentElement) {
            const found = parts(getComputedStyle(at).backgroundColor);
            if (found.length === 3) return found;
        }
    };
    const low = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility()) continue;
        const [one, other] = [luminance(parts(getComputedStyle(element).color)), luminance(ground(element))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) low.push(`${element.tagName}.${element.className}: ${ratio.toFixed(1)}`);
    }
    return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_reads_well_in_every_state(
    fresh: Callable[..., Page], stub: Stub, tmp_path: Path, width: int, scheme: Any
) -> None:
    page = fresh(viewport={"width": width, "height": 740}, color_scheme=scheme, reduced_motion="reduce")
    explorer = Explorer(page, stub.url).open()
    grounds = []

    def look(state: str) -> None:
        path = tmp_path / f"{state}.png"
        page.screenshot(path=path, full_page=True, caret="initial")  # hiding the caret would be an inline style
        assert page.evaluate("document.documentElement.scrollWidth") == width, f"{state}: see {path}"
        assert page.evaluate(CONTRAST) == [], f"{state}: see {path}"
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    look("intro")
    long = "https://example.com/" + "so-long-that-it-must-wrap" * 12
    large = {long: (123_456_789, 98_765_432, 1_234_567, 999_999, 10, 9), "/x": (1, 1, 0, 0, 0, 0)}
    for state, counts in (("large", large), ("long", {long: (999_999,) * 6}), ("answer", None)):
        found = JULY if counts is None else answer(counts, counts)
        stub.reply = lambda _body, found=found: (200, {}, found)  # type: ignore[misc]
        explorer.ask(source=long if state == "long" else "google.com")
        look(state)
        overflowing = "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth + 1).length"
        assert explorer.the("#table tbody :is(td, th)").evaluate_all(overflowing) == 0
    explorer.the("#tab-drop_off").click()
    look("drop-off")
    explorer.the("#times").check()
    stub.reply = lambda _body: (200, {}, {"message": NOTHING})
    explorer.the("#ask").click()
    explorer.the("#empty").wait_for()
    look("empty")
    stub.refuses(400, "there is no date; give one", field="start_date")
    explorer.the("#ask").click()
    explorer.the("#start_date-error").wait_for()
    look("error")
    stub.open.clear()
    explorer.the("#ask").click()
    explorer.the("#loading").wait_for()
    look("loading")
    assert len(set(grounds)) == 1
    assert (int(re.findall(r"\d+", grounds[0])[0]) > 128) == (scheme == "light")


def test_the_page_needs_no_one_else() -> None:
    text = (WEB / "index.html").read_text()
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", text) == []
    assert set(re.findall(r'(?:src|href)="([^"#]*)"', text)) == {
        "/docs", "/explorer/explorer.css", "/explorer/explorer.js", "/explorer/favicon.svg",
    }  # fmt: skip
    for file in WEB.glob("*.js"):
        if file.name != "docs.js":
            source = file.read_text()
            assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b|localStorage|console\.", source) == []


def test_without_scripts_it_says_what_to_do(fresh: Callable[..., Page], stub: Stub) -> None:
    page = fresh(java_script_enabled=False)
    page.goto(stub.url)
    assert "needs JavaScript" in page.locator("noscript").inner_text()


# The reference


@pytest.mark.parametrize("scheme", ["key", "bearer"])
def test_the_reference_takes_a_key_and_tries_a_request(
    fresh: Callable[..., Page], rest_in_process: str, real_key: str, scheme: str
) -> None:
    page = fresh()

    def sent() -> Request:
        with page.expect_request(lambda request: urlsplit(request.url).path == "/api/v1/pages") as caught:
            page.locator("button.execute").click()
        return caught.value

    page.goto(f"{rest_in_process}/docs")
    page.locator(".auth-wrapper > button.authorize").click()
    form = page.locator(".auth-container").filter(has_text=f"{scheme} (")
    form.locator("input").fill(real_key)
    form.locator("button.authorize").click()
    page.locator(".auth-btn-wrapper .btn-done").first.click()
    page.locator(".opblock-summary-control").first.click()
    page.locator(".body-param textarea").fill('{"start_date": "2025-07-01", "end_date": "2025-07-31"}')
    asked = sent()
    assert urlsplit(asked.url).query == "", "no example of a parameter is sent beside the body"
    header = {"key": ("authentication", real_key), "bearer": ("authorization", f"Bearer {real_key}")}[scheme]
    assert header in asked.headers.items()
    answered = page.locator(".live-responses-table .response").first
    expect(answered).to_contain_text("200")
    expect(answered).to_contain_text("total_sessions")
    page.locator("tr[data-param-name=source] input").fill("a b+c")
    assert parse_qsl(urlsplit(sent().url).query) == [("source", "a b+c")]
    expect(answered).to_contain_text(NOTHING)
