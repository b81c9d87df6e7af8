"""The reference at `/docs`: in the dress of the explorer, for everyone, with the explorer's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import expect

from support.browser import NOTHING, findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Request

    from support.browser import Explorer


def _open(page: Page) -> None:
    """Open the question that is posted, whatever stands before it."""
    page.locator(
        "#operations-pages-pages .opblock-summary-control, .opblock-post .opblock-summary-control"
    ).first.click()


def _sent(page: Page) -> Request:
    with page.expect_request(lambda request: urlsplit(request.url).path == "/api/v1/pages") as caught:
        page.locator(".opblock-post.is-open button.execute").click()
    return caught.value


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (360, "light"),
        (1280, "dark"),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((360, "dark"), (1280, "light"))),
    ],
)
def test_axe_finds_nothing_in_the_reference(
    fresh: Callable[..., Page], rest_in_process: str, width: int, scheme: Any
) -> None:
    page = fresh(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(f"{rest_in_process}/docs")
    page.locator(".opblock").first.wait_for()
    assert findings(page) == []
    _open(page)
    page.locator(".opblock-post.is-open .body-param textarea").fill(
        '{"start_date": "2025-07-01", "end_date": "2025-07-02"}'
    )
    _sent(page)
    page.locator(".live-responses-table .response").first.wait_for()
    assert findings(page) == []
    page.locator(".auth-wrapper > button.authorize").click()
    page.locator(".modal-ux").wait_for()
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_reference_is_one_click_away_and_so_is_the_way_back(real: Explorer, real_key: str) -> None:
    real.enter(real_key)
    real.page.get_by_role("link", name="API reference").click()
    real.page.locator(".opblock").first.wait_for()
    assert real.address() == f"{real.url}/docs"
    assert real.the("#given").is_visible()
    _open(real.page)
    real.page.locator(".opblock-post.is-open .body-param textarea").fill('{"start_date": "2025-07-01"}')
    assert _sent(real.page).headers["authentication"] == real_key
    assert real_key not in real.address()
    real.page.get_by_role("link", name="Explorer").click()
    real.the("#question:visible").wait_for()


def test_without_a_key_none_is_sent(real: Explorer, real_key: str) -> None:
    real.the("#remember").uncheck()
    real.enter(real_key)
    real.page.get_by_role("link", name="API reference").click()
    real.page.locator(".opblock").first.wait_for()
    assert not real.the("#given").is_visible()
    _open(real.page)
    assert "authentication" not in _sent(real.page).headers


@pytest.mark.parametrize("scheme", ["key", "bearer"])
def test_the_reference_takes_a_key_and_tries_a_request(
    fresh: Callable[..., Page], rest_in_process: str, real_key: str, scheme: str
) -> None:
    page = fresh()
    page.goto(f"{rest_in_process}/docs")
    page.locator(".auth-wrapper > button.authorize").click()
    form = page.locator(".auth-container").filter(has_text=f"{scheme} (")
    form.locator("input").fill(real_key)
    form.locator("button.authorize").click()
    page.locator(".auth-btn-wrapper .btn-done").first.click()
    _open(page)
    page.locator(".opblock-post.is-open .body-param textarea").fill(
        '{"start_date": "2025-07-01", "end_date": "2025-07-31"}'
    )
    asked = _sent(page)
    assert urlsplit(asked.url).query == "", "no example of a parameter is sent beside the body"
    header = {"key": ("authentication", real_key), "bearer": ("authorization", f"Bearer {real_key}")}[scheme]
    assert header in asked.headers.items()
    answered = page.locator(".live-responses-table .response").first
    expect(answered).to_contain_text("200")
    expect(answered).to_contain_text("total_sessions")
    page.locator(".opblock-post.is-open tr[data-param-name=source] input").fill("a b+c")
    assert parse_qsl(urlsplit(_sent(page).url).query) == [("source", "a b+c")]
    expect(answered).to_contain_text(NOTHING)
