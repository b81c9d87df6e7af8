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
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self
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
        is_status = message.text.startswith("Failed to load resource") and "/api/v1/pages" in message.location["url"]
        if not is_status:
            self.complaints.append(f"{message.type}: {message.text}")


WEB = Path(pageroles.__file__).parent / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KEY = "pr_0123456789ab_" + "k" * 43
NOTHING = "No page data found for the given parameters."
IN_JULY = "#start_date=2025-07-01&end_date=2025-07-31"
ROLES = {"conversion_performance": CONVERSION_ROLES, "drop_off_performance": DROP_OFF_ROLES}

Reply = tuple[int, dict[str, str], Any]


def rows(side: str, counts: Mapping[str, tuple[int, ...]]) -> list[dict[str, object]]:
    """Return rows of a side from six numbers for each URL, and a seventh: its landings (else those of its role)."""
    found: list[dict[str, object]] = []
    for url, numbers in counts.items():
        roles = {role: _count(*numbers[2 * at : 2 * at + 2]) for at, role in enumerate(ROLES[side])}
        found.append({"url": url, **roles, "landing": _count(*(numbers[6:7] or numbers[4:5]) * 2)})
    return found


def _count(sessions: int, users: int) -> dict[str, int]:
    return {"sessions": sessions, "users": users}


def answer(conversion: Mapping[str, tuple[int, ...]], drop_off: Mapping[str, tuple[int, ...]]) -> dict[str, object]:
    """Return an answer of the API about July 2025."""
    return {
        "time_frame": {"start": "2025-07-01T00:00:00Z", "end": "2025-07-31T23:59:59Z"},
        "summary_totals": totals(38220, 23908, 2922, 2703),
        "conversion_performance": rows("conversion_performance", conversion),
        "drop_off_performance": rows("drop_off_performance", drop_off),
        "balance": {"included": _count(38220, 23908), "converting": _count(2890, 2703)},
        "data": {"version": "a-1", "complete_through": "2025-08-01T06:30:00Z"},
    }


def totals(sessions: int, users: int, conversions: int, converted: int) -> dict[str, int]:
    """Return the totals of an answer, or of a day."""
    return {
        "total_sessions": sessions, "total_users": users,
        "total_conversion_events": conversions, "total_conversion_users": converted,
    }  # fmt: skip


_HOME = "https://example.com"
JULY = answer(
    {
        f"{_HOME}/signup": (1591, 1526, 589, 581, 514, 507, 815),
        f"{_HOME}/demo": (713, 701, 419, 418, 398, 397, 1204),
        f"{_HOME}/contact": (402, 399, 88, 87, 61, 61, 61),
        f"{_HOME}/pricing": (131, 130, 1204, 1177, 688, 671, 3871),
        f"{_HOME}/features/reporting": (0, 0, 733, 719, 214, 211, 1002),
        f"{_HOME}/blog/page-roles": (0, 0, 350, 344, 366, 361, 5486),
        _HOME: (0, 0, 311, 305, 602, 590, 13889),
        f"{_HOME}/docs/getting-started": (0, 0, 120, 118, 44, 44, 955),
    },
    {
        _HOME: (7597, 6833, 3356, 3184, 13287, 11113, 13889),
        f"{_HOME}/pricing": (5530, 5111, 2467, 2397, 3183, 3043, 3871),
        f"{_HOME}/blog/page-roles": (4310, 4004, 870, 861, 5120, 4702, 5486),
        f"{_HOME}/blog/was-first-touch-%C3%BCbersieht-und-warum-es-z%C3%A4hlt": (2210, 2170, 410, 404, 2666, 2597),
        f"{_HOME}/docs/getting-started": (1804, 1502, 1311, 1127, 911, 888, 955),
        f"{_HOME}/signup": (902, 899, 77, 77, 301, 300, 815),
    },
)
JUNE = answer({f"{_HOME}/signup": (1500, 1450, 600, 581, 514, 507, 815)}, {}) | {
    "time_frame": {"start": "2025-05-31T00:00:00Z", "end": "2025-06-30T23:59:59Z"},
    "summary_totals": totals(40000, 25000, 2922, 2500),
}
DAYS = {
    "days": [
        {
            "date": f"2025-07-{day:02}",
            "summary_totals": totals(1000 + 10 * day, 900 + day, 90 + day % 7, 80 + day % 5),
            "roles": {role: _count(day % 9, day % 9) for role in (*CONVERSION_ROLES, *DROP_OFF_ROLES)},
            "landing": _count(20 + day, 20 + day),
        }
        for day in range(1, 32)
    ]
}
SESSIONS = {
    "total": _count(1591, 1526),
    "sessions": [
        {
            "session_id": "s1", "user_id": "visitor-1", "started_at": "2025-07-31T22:10:05.123Z",
            "pages": [_HOME, f"{_HOME}/signup"],
            "conversions": [
                {"url": f"{_HOME}/signup?plan=pro", "type": "html_form", "id": "trial",
                 "occurred_at": "2025-07-31T22:14:00Z"}
            ],
        }
    ],
}  # fmt: skip
VALUES = {"values": [{"value": "google.com", "sessions": 812}, {"value": "news.google.com", "sessions": 7}]}


class Asked(NamedTuple):
    """A question that came: its path below `/api/v1/pages`, its headers and its body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


def july(body: dict[str, Any]) -> Reply:
    """Answer with July; with June where the window is that before it."""
    return 200, {}, JUNE if body.get("start_date", "") < "2025-07" else JULY


class Stub:
    """Serves the page as the gateway does, and answers as a test says.

    Attributes:
        reply: Called with the body of each question for a report; gives status, headers and body.
        others: The same for the further questions, by their path.
        asked: Each question so far. Those of one moment come side by side, in any order: see `at` and `paths`.
        files: What is served instead of a file of the page, by its name.
        open: Replies wait until it is set.
    """

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.reply: Callable[[dict[str, Any]], Reply] = july
        self.others: dict[str, Callable[[dict[str, Any]], Reply]] = {
            "/days": lambda _body: (200, {}, DAYS),
            "/sessions": lambda _body: (200, {}, SESSIONS),
            "/values": lambda _body: (200, {}, VALUES),
        }
        self.asked: list[Asked] = []
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

    def at(self, path: str) -> list[dict[str, Any]]:
        """Return the body of each question with a path."""
        return [asked.body for asked in self.asked if asked.path == path]

    def paths(self) -> list[str]:
        """Return the path of each question, sorted."""
        return sorted(asked.path for asked in self.asked)

    def reports(self) -> list[dict[str, Any]]:
        """Return the body of each question for a report, but those of the period before and of what followed."""
        return [body for body in self.at("") if "data" in body.get("include", ())]

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
        path = urlsplit(self.path).path.removeprefix("/api/v1/pages")
        self.served.asked.append(Asked(path, dict(self.headers), body))
        status, headers, payload = self.served.others.get(path, self.served.reply)(body)
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


def findings(page: Page) -> list[str]:
    """Return what axe-core finds against accessibility: rule, impact and element of each."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  # as Playwright, not needed to skip

    found = Axe().run(page).response["violations"]
    return [f"{rule['id']} ({rule['impact']}): {node['html'][:160]}" for rule in found for node in rule["nodes"]]


class Explorer:
    """The explorer page as a person uses it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def open(self, fragment: str = IN_JULY) -> Self:
        """Open the page by a link."""
        self.page.goto(f"{self.url}/{fragment}")
        self.the("#key-form:visible, #question:visible").first.wait_for()
        return self

    def enter(self, key: str = KEY) -> Self:
        """Give the key, and wait for whatever comes."""
        self.the("#key").fill(key)
        self.the("#enter").click()
        return self.settled()

    def settled(self) -> Self:
        """Wait until nothing is asked any more."""
        self.the("#answer:not([aria-busy=true])").wait_for()
        self.the("#view:visible, #empty:visible, #problem:visible").wait_for()
        return self

    def filter(self, name: str, value: str) -> Self:
        """Set a filter as a person does: by its name, with a value, and Enter."""
        if not self.the("#editor").is_visible():
            self.the("#add").click()
        self.the("#filter").select_option(name)
        self.the("#value").fill(value)
        self.page.keyboard.press("Enter")
        return self

    def the(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def address(self) -> str:
        """Return the page's address now; the driver's own idea of it lags behind."""
        return str(self.page.evaluate("location.href"))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of what there is, each without spaces around it."""
        return [" ".join(text.split()) for text in self.the(selector).all_text_contents()]

    def cells(self, table: str) -> list[list[str]]:
        """Return the text of a table's rows."""
        script = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
        found: list[list[str]] = self.the(f"{table} tbody tr").evaluate_all(script)
        return found

    def focused(self) -> str:
        """Return the id, else the text, of what has the focus."""
        return str(self.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
