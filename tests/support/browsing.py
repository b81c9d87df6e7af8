"""Fixtures of the explorer: a browser, pages that complain about nothing, a stand-in for the gateway, real traffic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pageroles.command import traffic
from pageroles.ingest import loader
from support import browser
from support.browser import Explorer, Stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from support.served import Served

DOMAIN = "explorer.example.net"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """One browser for a module; while it is open, this thread has a running event loop."""
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
    """The page with the answer of July."""
    return Explorer(fresh(), stub.url).open().enter()


@pytest.fixture(scope="session")
def real_key(served: Served) -> str:
    """Return a key for a domain with made-up traffic of July 2025; it may see sessions."""
    lines = []
    for chunk in traffic.sessions(1_500, seed=11, end=datetime(2025, 7, 31, tzinfo=UTC), days=30):
        lines += [json.dumps(json.loads(line) | {"domain": DOMAIN}).encode() for line in chunk.splitlines()]
    loader.load_chunks(served.store, [b"\n".join(lines)])
    return served.key(DOMAIN)


@pytest.fixture
def real(fresh: Callable[..., Page], rest_in_process: str) -> Explorer:
    return Explorer(fresh(), rest_in_process).open()
