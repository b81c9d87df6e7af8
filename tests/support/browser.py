"""A headless Chromium, the explorer page as a person uses it, and a stand-in for its gateway."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlsplit

import pytest

import pageroles
from pageroles.question.roles import CONVERSION_ROLES, DROP_OFF_ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

# Start quickly, send nothing to others, and run in containers.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str | None:
    """Return the browser to start: `PAGEROLES_BROWSER`, else one on the PATH."""
    named = os.environ.get("PAGEROLES_BROWSER")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """Start a browser; skip the test where there is none, unless `PAGEROLES_REQUIRE_BROWSER=1`."""
    found = executable()
    if found is None:
        reason = f"no browser: none of {', '.join(_NAMES)} is on the PATH (apt-get install chromium)"
        if os.environ.get("PAGEROLES_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # slow to import, and not needed to skip

    # The profile is a fresh folder that goes with the browser.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        yield browser
        browser.close()


@dataclasses.dataclass
class Watch:
    """Complaints of the browser and requests of a page, from its first moment on."""

    complaints: list[str] = dataclasses.field(default_factory=list)
    requested: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def over(cls, page: Page) -> Watch:
        """Watch a page that has loaded nothing yet."""
        watch = cls()
        page.on("console", watch._console)
        page.on("pageerror", lambda error: watch.complaints.append(f"uncaught: {error}"))
        page.on("request", lambda request: watch.requested.append(request.url))
        # Violations reach the console too; the event names the directive also where the console is silent.
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.violatedDirective));"
        )
        return watch

    def _console(self, message: ConsoleMessage) -> None:
        # The browser itself reports statuses from 400 on; those of the API are answers that the page explains.
        is_status = message.text.startswith("Failed to load resource") and message.location["url"].endswith("/pages")
        if not is_status:
            self.complaints.append(f"{message.type}: {message.text}")


WEB = Path(pageroles.__file__).parent / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KEY = "pr_0123456789ab_" + "k" * 43
NOTHING = "No page data found for the given parameters."
ROLES = {"conversion_performance": CONVERSION_ROLES, "drop_off_performance": DROP_OFF_ROLES}

Reply = tuple[int, dict[str, str], Any]


def rows(side: str, counts: Mapping[str, tuple[int, ...]]) -> list[dict[str, object]]:
    """Return rows of a side from six numbers for each URL."""
    return [
        {"url": url}
        | {
            role: {"sessions": six[2 * at], "users": six[2 * at + 1]} for at, role in enumerate(ROLES[side])
        }
        for url, six in counts.items()
    ]  # fmt: skip


def answer(conversion: Mapping[str, tuple[int, ...]], drop_off: Mapping[str, tuple[int, ...]]) -> dict[str, object]:
    """Return an answer of the API about July 2025."""
    return {
        "time_frame": {"start": "2025-07-01T00:00:00Z", "end": "2025-07-31T23:59:59Z"},
        "summary_totals": {
            "total_sessions": 38220, "total_users": 23908,
            "total_conversion_events": 2922, "total_conversion_users": 2703,
        },
        "conversion_performance": rows("conversion_performance", conversion),
        "drop_off_performance": rows("drop_off_performance", drop_off),
    }  # fmt: skip


JULY = answer(
    {
        "https://example.com/signup": (1591, 1526, 589, 581, 514, 507),
        "https://example.com/demo": (713, 701, 419, 418, 398, 397),
        "https://example.com/contact": (402, 399, 88, 87, 61, 61),
        "https://example.com/pricing": (131, 130, 1204, 1177, 688, 671),
        "https://example.com/features/reporting": (0, 0, 733, 719, 214, 211),
        "https://example.com/blog/page-roles": (0, 0, 350, 344, 366, 361),
        "https://example.com": (0, 0, 311, 305, 602, 590),
        "https://example.com/docs/getting-started": (0, 0, 120, 118, 44, 44),
    },
    {
        "https://example.com": (7597, 6833, 3356, 3184, 13287, 11113),
        "https://example.com/pricing": (5530, 5111, 2467, 2397, 3183, 3043),
        "https://example.com/blog/page-roles": (4310, 4004, 870, 861, 5120, 4702),
        "https://example.com/blog/what-first-touch-leaves-out-and-why-it-matters": (2210, 2170, 410, 404, 2666, 2597),
        "https://example.com/docs/getting-started": (1804, 1502, 1311, 1127, 911, 888),
        "https://example.com/signup": (902, 899, 77, 77, 301, 300),
    },
)  # fmt: skip


class Stub:
    """Serves the page as the gateway does, and answers as a test says.

    Attributes:
        reply: Called with the body of each question; gives status, headers and body.
        asked: Headers and body of each question so far.
        files: What is served instead of a file of the page, by its name.
        open: Replies wait until it is set.
    """

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.reply: Callable[[dict[str, Any]], Reply] = lambda _body: (200, {}, JULY)
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.open = threading.Event()
        self.open.set()
        stub = self

        class Handler(_Handler):
            served = stub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()

    def refuses(self, status: int, error: str, field: str | None = None, **headers: str) -> None:
        """Answer with an error from now on."""
        body = {"error": error} | ({"field": field} if field else {})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.reply = lambda _body: (status, named, body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a browser connects often, and counts a refusal as an error of the page


class _Handler(BaseHTTPRequestHandler):
    served: ClassVar[Stub]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        name = "index.html" if path == "/" else path.removeprefix("/explorer/")
        kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
        file = WEB / name
        if "/" in name or not file.is_file():
            self._send(404, {}, b"")
        else:
            data = self.served.files[name].encode() if name in self.served.files else file.read_bytes()
            self._send(200, {"Content-Type": kinds[file.suffix], "Content-Security-Policy": POLICY}, data)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.served.asked.append((dict(self.headers), body))
        status, headers, payload = self.served.reply(body)
        self.served.open.wait(60)
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._send(status, {"Content-Type": "application/json", "X-Request-Id": "req-7f3a", **headers}, data)

    def _send(self, status: int, headers: dict[str, str], data: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the page cancelled

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Explorer:
    """The explorer page as a person uses it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def open(self, fragment: str = "") -> Self:
        self.page.goto(f"{self.url}/{fragment}")
        self.the("#presets button").first.wait_for()
        return self

    def the(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def fill(self, **fields: str) -> Self:
        """Fill fields by their ids; the dates' inputs take what their kind has."""
        self.page.evaluate("document.getElementById('filters').open = true")
        for name, value in fields.items():
            self.the(f"#{name}").fill(value)
        return self

    def ask(self, key: str = KEY, start_date: str = "2025-07-01", end_date: str = "2025-07-31", **filters: str) -> Self:
        """Ask, and wait for whatever comes."""
        self.fill(key=key, start_date=start_date, end_date=end_date, **filters)
        self.the("#ask").click()
        self.the("#report:visible, #empty:visible, #problem:visible").wait_for()
        return self

    def address(self) -> str:
        """Return the page's address now; the driver's own idea of it lags behind."""
        return str(self.page.evaluate("location.href"))

    def cells(self) -> list[list[str]]:
        """Return the text of the table's rows."""
        script = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        found: list[list[str]] = self.the("#table tbody tr").evaluate_all(script)
        return found

    def pages(self) -> list[str]:
        return [cells[0] for cells in self.cells()]

    def focused(self) -> str:
        """Return the id, else the text, of what has the focus."""
        return str(self.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
