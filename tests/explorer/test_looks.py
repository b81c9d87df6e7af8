"""The explorer for everyone: axe finds nothing, it fits, reads well, prints on one page, and works by keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from support.browser import IN_JULY, KEY, NOTHING, WEB, Explorer, Stub, answer, findings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

SIGNUP = "https://example.com/signup"


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (360, "dark"),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((360, "light"), (1280, "dark"))),
    ],
)
def test_every_view_and_state_fits_and_reads_well(  # noqa: PLR0915
    fresh: Callable[..., Page], stub: Stub, tmp_path: Path, width: int, scheme: Any
) -> None:
    page = fresh(viewport={"width": width, "height": 740}, color_scheme=scheme, reduced_motion="reduce")
    explorer = Explorer(page, stub.url).open()
    grounds = []

    def look(state: str) -> None:
        path = tmp_path / f"{state}.png"
        page.screenshot(path=path, full_page=True, caret="initial")  # hiding the caret would be an inline style
        assert page.evaluate("document.documentElement.scrollWidth") == width, f"{state}: see {path}"
        assert findings(page) == [], f"{state}: see {path}"
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    look("key")
    explorer.enter()
    look("overview")
    page.get_by_text("Each day as a table").click()
    look("days")
    explorer.the("#list-land .help").first.click()
    look("definition")
    page.keyboard.press("Escape")
    explorer.the("#add").click()
    explorer.the("#values [role=option]").first.wait_for()
    page.keyboard.press("ArrowDown")
    look("editor")
    page.keyboard.press("Enter")
    explorer.settled()
    explorer.the("#touch_scope").select_option("first")
    explorer.settled()
    look("filters")
    for name in ("land", "all"):
        page.goto(f"{stub.url}/{IN_JULY}&list={name}")
        explorer.the("#table").wait_for()
        explorer.settled()
        look(name)
    page.goto(f"{stub.url}/{IN_JULY}&page={SIGNUP}")
    explorer.the("#roles svg").nth(6).wait_for()
    explorer.the("#show-scopes").click()
    explorer.the("#scopes table").wait_for()
    explorer.the(".sessions-of").first.click()
    explorer.the("ol.sessions").wait_for()
    look("page")
    long = "https://example.com/" + "so-long-that-it-must-be-cut" * 12
    large = {long: (123_456_789, 98_765_432, 1_234_567, 999_999, 10, 9), "https://b.example/x": (1, 1, 0, 0, 0, 0)}
    stub.reply = lambda _body: (200, {}, answer(large, large))
    explorer.filter("source", long).settled()
    look("large page")
    explorer.page.get_by_role("link", name="Overview").click()
    look("large")
    stub.reply = lambda _body: (200, {}, {"message": NOTHING})
    explorer.the("#touch_scope").select_option("converting")
    explorer.the("#empty").wait_for()
    look("empty")
    stub.refuses(400, "there is no date; give one", field="start_date")
    explorer.the("#compare").uncheck()
    explorer.the("#touch_scope").select_option("after")
    explorer.the("#start_date-error").wait_for()
    look("error")
    stub.refuses(401, "the key is unknown")
    explorer.the("#again").click()
    explorer.the("#key-error").wait_for()
    look("key refused")
    stub.open.clear()
    explorer.the("#again").click()
    explorer.the("#loading").wait_for()
    look("loading")
    assert len(set(grounds)) == 1
    assert (int(re.findall(r"\d+", grounds[0])[0]) > 128) == (scheme == "light")


@pytest.mark.parametrize("viewport", [(1440, 900), (1280, 720)])
def test_the_first_screen_has_all_that_asks(fresh: Callable[..., Page], stub: Stub, viewport: tuple[int, int]) -> None:
    width, height = viewport
    explorer = Explorer(fresh(viewport={"width": width, "height": height}), stub.url).open("")
    seen = "element => element.getBoundingClientRect().bottom <= innerHeight"
    assert explorer.the("#enter").evaluate(seen)
    explorer.enter()
    for selector in (
        "#periods",
        "#touch_scope",
        "#add",
        "#totals",
        "#list-convert .list-head",
        "#list-read .list-head",
    ):
        assert explorer.the(selector).evaluate(seen), selector
    if height == 900:
        assert explorer.the("#list-leave").evaluate(seen)
    explorer.the("#add").click()
    assert explorer.the("#editor").evaluate(seen)


def test_a_view_prints_on_one_page(explorer: Explorer) -> None:
    def pages() -> int:
        return len(re.findall(rb"/Type\s*/Page\b", explorer.page.pdf(prefer_css_page_size=True)))

    assert pages() == 1
    explorer.the("#list-convert a.path").first.click()
    explorer.the("#roles svg").nth(6).wait_for()
    assert pages() == 1
    explorer.page.emulate_media(media="print")
    for selector in ("#question", ".top", ".tools", "#show-scopes"):
        assert not explorer.the(selector).is_visible()


def test_by_keyboard_alone(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = Explorer(fresh(), stub.url).open("")
    press, page = explorer.page.keyboard.press, explorer.page

    def tab_to(name: str, most: int = 40) -> None:
        for _ in range(most):
            press("Tab")
            if explorer.focused() == name:
                return
        pytest.fail(f"no way to {name} by Tab")

    assert explorer.focused() == "key"
    page.keyboard.type(KEY)
    press("Enter")
    explorer.settled()
    assert explorer.focused() == "frame"
    tab_to("copy", 1)
    page.reload()
    explorer.the("#frame").wait_for()
    explorer.settled()
    explorer.the("#skip").focus()
    press("Enter")
    assert explorer.focused() == "answer"
    explorer.the("#skip").focus()
    tab_to("Last month")
    press("Space")
    explorer.settled()
    tab_to("touch_scope")
    press("ArrowDown")
    explorer.settled()
    assert stub.reports()[-1]["touch_scope"] == "first"
    tab_to("add")
    press("Enter")
    assert explorer.focused() == "value"
    page.keyboard.type("google.com")
    press("Enter")
    explorer.settled()
    assert stub.reports()[-1]["source"] == "google.com"
    assert explorer.focused() == "add"
    tab_to("All 9 pages", 60)
    press("Enter")
    assert explorer.focused() == "frame"
    tab_to("search", 20)
    page.keyboard.type("signup")
    tab_to("/signup", 20)
    # What has the focus shows it: the whole row.
    shown = "getComputedStyle(document.activeElement, '::after').outlineStyle"
    assert page.evaluate(shown) == "solid"
    press("Enter")
    assert explorer.the("#url").inner_text() == SIGNUP


def test_ids_are_unique_and_lead_somewhere(explorer: Explorer) -> None:
    ids = explorer.page.evaluate("[...document.querySelectorAll('[id]')].map(({id}) => id)")
    assert len(ids) == len(set(ids))
    referred = explorer.page.evaluate("""["aria-describedby", "aria-labelledby", "aria-controls", "for", "list"]
        .flatMap(name => [...document.querySelectorAll(`[${name}]`)].map(one => one.getAttribute(name)))
        .flatMap(names => names.split(" "))""")
    assert set(referred) <= set(ids)


def test_the_page_needs_no_one_else() -> None:
    for name, scripts in (("index.html", "explorer.js"), ("docs.html", "docs.js")):
        text = (WEB / name).read_text()
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", text) == []
        found = set(re.findall(r'(?:src|href)="([^"#]*)"', text)) - {""}
        assert f"/explorer/{scripts}" in found
        assert all(link.startswith("/") and not link.startswith("//") for link in found)
    for file in WEB.glob("*.js"):
        source = file.read_text()
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b|localStorage|console\.", source) == []


def test_without_scripts_it_says_what_to_do(fresh: Callable[..., Page], stub: Stub) -> None:
    page = fresh(java_script_enabled=False)
    page.goto(stub.url)
    assert "needs JavaScript" in page.locator("noscript").inner_text()
