"""Makes the pictures of README: the explorer with an answer, and the way of a request. `make pictures` calls this.

Both ask the demo's made-up traffic, in a store and a server of their own.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import way
from PIL import Image

from pageroles import serving, settings
from pageroles.access.keys import KeyStore
from pageroles.command import demo, traffic
from pageroles.command.processes import set_up_logs
from pageroles.ingest import loader
from pageroles.settings import ServerSettings
from pageroles.store.store import Store
from support import browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
_WIDTH, _HEIGHT = 1200, 864
_COLOURS = 256
_WARM_UP, _RUNS = 5, 20


def main() -> None:
    """Make both pictures."""
    set_up_logs("warning")
    tracer = way.Tracer()
    tracer.install()
    with _served() as (address, key):
        (HERE / "request.svg").write_text(_request(tracer, address, key))
        (HERE / "explorer.png").write_bytes(_explorer(f"http://{address}", key))
    for name in ("request.svg", "explorer.png"):
        sys.stdout.write(f"docs/pictures/{name}: {(HERE / name).stat().st_size:,} bytes\n")


@contextlib.contextmanager
def _served() -> Iterator[tuple[str, str]]:
    """Serve the demo's traffic; give the address of REST and a key."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    wanted = ServerSettings(grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", grace=1)
    with tempfile.TemporaryDirectory() as folder, Store.open(f"chdb://{folder}/store") as store:
        made_up = traffic.sessions(settings.DEMO_SESSIONS, seed=demo.SEED, end=today, days=demo.DAYS)
        loader.load_chunks(store, made_up)
        key, _ = KeyStore(store).create(demo.DOMAIN)
        with serving.serving(store, wanted) as served:
            yield str(served.http), key


def _request(tracer: way.Tracer, address: str, key: str) -> str:
    """Return the drawing of a question without filters about the last 30 days."""
    connection = http.client.HTTPConnection(address)

    def ask() -> bytes:
        headers = {"Authentication": key, "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/pages", b"{}", headers)
        return connection.getresponse().read()

    for _ in range(_WARM_UP):
        answer = msgspec.json.decode(ask())
    found = min((tracer.trace(ask) for _ in range(_RUNS)), key=lambda one: one.seconds)
    untraced = min(_seconds(ask) for _ in range(_RUNS))
    connection.close()
    sessions = answer["summary_totals"]["total_sessions"]
    title = f"The way of a request: {sessions:,} sessions of 30 days, in {way.milliseconds_of(found.seconds)}"
    note = (
        f"Embedded store, {os.cpu_count()} cores, {datetime.now(UTC):%-d %B %Y}. One run, the fastest of {_RUNS}; "
        f"{way.milliseconds_of(untraced)} where none is traced. Gaps: sockets and threads."
    )
    return way.drawn(found, title, note)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _explorer(url: str, key: str) -> bytes:
    """Return a screenshot of the explorer with the answer to a question."""
    with browser.started() as chrome:
        page = chrome.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="light")
        browser.Explorer(page, url).open("#period=last-30-days&source=google.com").enter(key)
        page.evaluate("document.activeElement.blur()")
        taken = page.screenshot(caret="initial")
    with Image.open(io.BytesIO(taken)) as picture:
        few = picture.convert("RGB").quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        packed = io.BytesIO()
        few.save(packed, "PNG", optimize=True)
    return packed.getvalue()


if __name__ == "__main__":
    main()
