"""The key in the explorer: in memory, in this tab where asked, never in a URL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support import browser
from support.browser import KEY, Explorer, Stub, july

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from support.served import Served


def traces(explorer: Explorer, *, session: bool = True) -> str:
    """Return everything that outlives or surrounds a page: where a key must not be."""
    found = explorer.page.evaluate(
        """session => JSON.stringify([
        location.href, document.title, document.documentElement.outerHTML, document.cookie, history.state,
        {...localStorage}, session ? {...sessionStorage} : {},
        performance.getEntriesByType("resource").map(({name}) => name),
    ])""",
        session,
    )
    return str(found) + json.dumps(explorer.page.context.storage_state(indexed_db=True))


def test_the_key_has_the_focus_and_is_all_that_is_asked(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = Explorer(fresh(), stub.url).open("")
    assert explorer.focused() == "key"
    assert not explorer.the("#question").is_visible()
    explorer.page.keyboard.type(KEY)
    explorer.page.keyboard.press("Enter")
    explorer.the("#frame").wait_for()
    assert explorer.focused() == "frame"
    assert not explorer.the("#key-form").is_visible()


def test_the_key_is_kept_in_memory_alone_where_asked(fresh: Callable[..., Page], stub: Stub) -> None:
    page = fresh()
    watch = browser.Watch.over(page)
    explorer = Explorer(page, stub.url).open()
    explorer.the("#remember").uncheck()
    explorer.enter()
    explorer.the("#list-convert a.path").first.click()
    explorer.the("#copy").click()
    assert KEY not in traces(explorer)
    assert KEY not in "".join(watch.requested)
    explorer.page.reload()
    explorer.the("#key-form:visible").wait_for()
    assert explorer.the("#key").input_value() == ""


def test_the_key_is_remembered_in_the_tab(explorer: Explorer, stub: Stub, fresh: Callable[..., Page]) -> None:
    assert KEY not in traces(explorer, session=False)
    explorer.page.reload()
    explorer.the("#frame").wait_for()  # the link asks itself
    assert len(stub.reports()) == 2
    assert Explorer(fresh(), stub.url).open().the("#key").input_value() == ""
    explorer.the("#change-key").click()
    explorer.the("#remember").uncheck()
    assert explorer.page.evaluate("({...sessionStorage})") == {}


def test_a_refused_key_is_forgotten(explorer: Explorer, stub: Stub) -> None:
    stub.refuses(401, "the key is unknown, revoked or expired")
    explorer.the("#change-key").click()
    explorer.enter("another-key-of-mine")
    assert explorer.focused() == "key"
    assert explorer.page.evaluate("({...sessionStorage})") == {}


@pytest.mark.parametrize("key", [KEY, "another-form-of-key"])
def test_a_key_in_a_filter_is_not_sent_and_not_linked(fresh: Callable[..., Page], stub: Stub, key: str) -> None:
    explorer = Explorer(fresh(), stub.url).open().enter(key)
    asked = len(stub.reports())
    explorer.filter("source", f"x{key}")
    assert "holds your API key" in explorer.the("#source-error").inner_text()
    assert len(stub.reports()) == asked
    explorer.the("#close").click()
    explorer.the("#list-convert .all").click()
    explorer.the("#search").fill(key)
    assert key not in explorer.address()


@pytest.mark.parametrize("key", ["", "   ", "two words", "schlüssel"])
def test_what_can_be_no_key_is_said_without_asking(fresh: Callable[..., Page], stub: Stub, key: str) -> None:
    explorer = Explorer(fresh(), stub.url).open()
    explorer.the("#key").fill(key)
    explorer.the("#enter").click()
    assert explorer.the("#key").get_attribute("aria-invalid") == "true"
    assert explorer.focused() == "key"
    assert stub.asked == []
    explorer.the("#key").fill("x")
    assert explorer.the("#key-error").count() == 0


def test_a_key_for_all_domains_is_asked_for_its_domain(fresh: Callable[..., Page], stub: Stub) -> None:
    explorer = Explorer(fresh(), stub.url).open()
    assert not explorer.the("#domain").is_visible()
    stub.refuses(400, "this key reads all domains; name the one to read", field="domain")
    explorer.enter()
    assert explorer.focused() == "domain"
    stub.reply = july
    explorer.the("#domain").fill("shop.example.net")
    explorer.the("#enter").click()
    explorer.the("#frame").wait_for()
    named = [one for one in stub.asked if one.headers.get("Domain") == "shop.example.net"]
    assert "" in {one.path for one in named}
    assert not any("domain" in one.body for one in named)
    assert "domain=shop.example.net" in explorer.address()


def test_a_real_key_for_all_domains(real: Explorer, real_key: str, served: Served) -> None:
    del real_key
    real.enter(served.all_domains_key)
    assert real.focused() == "domain"
    real.the("#domain").fill("explorer.example.net")
    real.the("#enter").click()
    real.the("#frame").wait_for()
    assert real.texts("#totals .value b")[0] != "0"
