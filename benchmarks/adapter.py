"""How the benchmarks open, serve and ask pageroles; no other module here knows its insides."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import grpc
import structlog

from benchmarks.cases import EMPTY_WINDOW, LAST_DAY
from benchmarks.threads import in_threads
from pageroles import _core, serving
from pageroles.access.keys import KeyStore, Permission
from pageroles.ingest import loader
from pageroles.question.request import to_query
from pageroles.report.run import Reporter
from pageroles.settings import ServerSettings
from pageroles.store import schema
from pageroles.store.store import Store
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.cases import Question
    from pageroles.question.model import PagesQuery
    from pageroles.report.answers import Report
    from pageroles.report.plan import Plan
    from pageroles.store.statement import Statement

METHOD = "/pageroles.v1.PageRolesService/Pages"
READERS = 4
_SECONDS = 300.0


def build() -> str:
    """Return the build profile of the core, `release` or `debug`."""
    return _core.__build__


def refuse_debug_build() -> None:
    """End the command where the core is not a release build: its figures would mean nothing."""
    if build() != "release":
        raise SystemExit(f"the core is a {build()} build: run `make setup`, which makes a release build")


def version() -> str:
    """Return the version of pageroles."""
    return _core.__version__


def schema_fingerprint() -> str:
    """Return a text that changes with the columns of the tables that hold traffic."""
    plain = [" ".join(re.sub(r"--.*", "", text.partition("SETTINGS")[0]).split()) for text in schema.statements()]
    kept = [
        text for text in plain if not re.match(r"CREATE TABLE IF NOT EXISTS (api_keys|quota|schema_versions)", text)
    ]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


@contextlib.contextmanager
def open_store(folder: Path, *, merges: bool = True, readers: int = READERS) -> Iterator[Store]:
    """Open an embedded store; without `merges` its parts stay as they are."""
    with Store.open(f"chdb://{folder.resolve()}", readers=readers) as store:
        if not merges:
            store.command("SYSTEM STOP MERGES")
        yield store


def joined(dsn: str) -> Store:
    """Open an embedded store that a server holds, through that server."""
    return Store.open(dsn, create=False)


def rows(store: Store, text: str, parameters: dict[str, object] | None = None) -> list[tuple[Any, ...]]:
    """Return the rows of a small answer."""
    from pageroles.store.statement import Statement  # noqa: PLC0415 - needed at run time only here

    return [tuple(row) for row in store.rows(Statement(text, parameters or {}), store.call(_SECONDS))]


def request(question: Question) -> pages_pb2.PagesRequest:
    """Return a question as a request of the contract."""
    asked = pages_pb2.PagesRequest(
        start_date=question.first_day.isoformat(),
        end_date=question.last_day.isoformat(),
        touch_scope=f"TOUCH_SCOPE_{question.scope.upper()}",
    )
    if question.filter:
        setattr(asked, *question.filter)
    return asked


# ---- reports in this process ----


class Asking:
    """Asks a reporter in this process about one domain."""

    def __init__(self, store: Store, domain: str, reporter: Reporter) -> None:
        """Ask a reporter of a store."""
        self._store, self._domain, self._reporter = store, domain, reporter

    def plan(self, question: Question) -> Plan:
        """Find the facts, and plan."""
        return self._reporter.plan(self._query(question), self._store.call(_SECONDS))

    def run(self, question: Question, plan: Plan) -> Report:
        """Make a report by a plan."""
        return self._reporter.run(self._query(question), plan, self._store.call(_SECONDS))

    def _query(self, question: Question) -> PagesQuery:
        return to_query(request(question), self._domain, datetime.now(UTC))


@contextlib.contextmanager
def asking(store: Store, domain: str, source: str) -> Iterator[Asking]:
    """Make reports in this process while the block runs: from `memory`, once the domain is there, or the `store`."""
    reporter = Reporter(store, memory=0 if source == "store" else None)
    try:
        found = Asking(store, domain, reporter)
        while found.plan(EMPTY_WINDOW).source != source:
            time.sleep(0.1)
        yield found
    finally:
        reporter.close()


# ---- the server, in a process of its own ----


class ServerProcess:
    """A server in a process of its own, and a channel to it."""

    def __init__(
        self, folder: Path, *, merges: bool, memory: int | None = None, readers: int = READERS, http: bool = False
    ) -> None:
        """Start it on an embedded store, and wait until it serves.

        Args:
            folder: Of the store.
            merges: Whether parts are merged meanwhile.
            memory: The most bytes of domains in memory; None: half of the machine's; 0: every report streams.
            readers: The most queries at once.
            http: Whether REST is served too.
        """
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if memory is None else memory
        options = {"folder": str(folder), "merges": merges, "memory": most, "readers": readers, "http": http}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.adapter", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self._process.wait()}")
        started = json.loads(line)
        self.pid = self._process.pid
        self.target: str = started["grpc"]
        self.http: str = started["http"]
        self.key, self.other_key = started["keys"]
        self._channel = grpc.insecure_channel(self.target, [("grpc.max_receive_message_length", -1)])
        self._pages = self._channel.unary_unary(
            METHOD, request_serializer=pages_pb2.PagesRequest.SerializeToString, response_deserializer=bytes
        )

    def ask(self, question: pages_pb2.PagesRequest, domain: str) -> bytes:
        """Ask over gRPC, and return the bytes of the answer."""
        metadata = (("authentication", self.key), ("domain", domain))
        answer: bytes = self._pages(question, metadata=metadata, timeout=_SECONDS)
        return answer

    def keep(self, question: pages_pb2.PagesRequest, domain: str) -> dict[str, float]:
        """Ask until a domain is in memory; return `sessions`, `bytes` and `seconds`, which reading it took.

        Raises:
            TimeoutError: It is not.
        """
        ends = time.monotonic() + _SECONDS
        while time.monotonic() < ends:
            self.ask(question, domain)
            if found := self._command("kept", domain):
                return found
            time.sleep(0.1)
        raise TimeoutError(f"{domain} is not kept in memory")

    @contextlib.contextmanager
    def fed(self, domain: str, per_second: int, batch: int) -> Iterator[None]:
        """Have sessions written into a domain while the block runs, so many a second, in batches."""
        self._command("feed", domain, per_second, batch)
        try:
            yield
        finally:
            self.written = int(self._command("rest")["sessions"])

    def _command(self, *words: object) -> dict[str, float]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(words) + "\n")
        stdin.flush()
        answer: dict[str, float] = json.loads(stdout.readline())
        return answer

    def close(self) -> None:
        """End the server."""
        self._channel.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self.close()


class _Kept:
    """What the log says of the domains in memory."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}

    def __call__(self, _logger: object, _name: str, event: Any) -> Any:
        if event["event"] == "domain kept in memory":
            seconds = event["milliseconds"] / 1000
            self.found[event["domain"]] = {
                "sessions": event["sessions"],
                "bytes": event["bytes"],
                "seconds": seconds,
            }
        elif event["event"] == "domain forgotten":
            self.found.pop(event["domain"], None)
        if event["level"] in {"debug", "info"}:
            raise structlog.DropEvent
        return event


class _Feed:
    """Writes new sessions into a domain, as the loader does, until it is stopped."""

    def __init__(self, store: Store, domain: str, per_second: int, batch: int) -> None:
        self._store, self._domain = store, domain
        self._per_second, self._batch = per_second, batch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feed")
        self.sessions = 0
        self._thread.start()

    def stop(self) -> int:
        """Stop, and return how many sessions were written."""
        self._over.set()
        self._thread.join()
        return self.sessions

    def _work(self) -> None:
        began = time.monotonic()
        while not self._over.wait(max(began + self.sessions / self._per_second - time.monotonic(), 0)):
            numbers = range(self.sessions, self.sessions + self._batch)
            loader.load_chunks(self._store, [session(self._domain, number) for number in numbers])
            self.sessions += self._batch


def session(domain: str, number: int) -> bytes:
    """Return a new session of the traffic's last day as a line that the loader reads; one in 25 converts."""
    start = datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, tzinfo=UTC) + timedelta(
        milliseconds=number * 7919 % 86_400_000
    )
    text = start.isoformat(timespec="milliseconds")
    pages = [f"https://{domain}/catalogue/page-{number * by % 4999}" for by in (31, 77, 113)]
    row = {
        "domain": domain,
        "session_id": f"fed-{number}",
        "user_id": f"fed-{number // 2}",
        "started_at": text,
        "source": "google.com",
        "page_views": [{"url": page, "viewed_at": text} for page in pages],
        "conversions": [{"type": "custom", "id": "f", "occurred_at": text}] if number % 25 == 0 else [],
    }
    return json.dumps(row).encode() + b"\n"


def _serve(folder: Path, *, merges: bool, memory: int, readers: int, http: bool) -> None:
    """Serve until standard input ends; each of its lines is a command."""
    kept = _Kept()
    structlog.configure(
        processors=[structlog.processors.add_log_level, kept, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with (
        open_store(folder, merges=merges, readers=readers) as store,
        serving.serving(
            store,
            ServerSettings(
                grpc_address="127.0.0.1:0",
                http_address="127.0.0.1:0" if http else None,
                max_seconds=_SECONDS,
                grace=5,
                memory=memory,
            ),
        ) as served,
    ):
        keys = [KeyStore(store).create(None, permissions=Permission)[0] for _ in range(2)]
        _say({"grpc": served.grpc, "http": served.http, "keys": keys})
        feed: _Feed | None = None
        for line in sys.stdin:
            command, *words = json.loads(line)
            if command == "kept":
                _say(kept.found.get(words[0], {}))
            elif command == "feed":
                feed = _Feed(store, *words)
                _say({})
            elif feed is not None:
                _say({"sessions": feed.stop()})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


# ---- the floor: a report's reading without the report ----


class _RecordingStore:
    """A store that keeps the statements whose streams it is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.statements: list[Statement] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def stream(self, statement: Statement, call: Any) -> Any:
        self.statements.append(statement)
        return self._store.stream(statement, call)


def streams(store: Store, question: Question, domain: str) -> list[Statement]:
    """Return the statements whose streams a report reads, in the order in which it asks for them."""
    recorder = _RecordingStore(store)
    reporter = Reporter(recorder, memory=0)  # type: ignore[arg-type]
    try:
        reporter.report(to_query(request(question), domain, datetime.now(UTC)), store.call(_SECONDS))
    finally:
        reporter.close()
    if not recorder.statements:
        raise RuntimeError("the report reads no streams: change the floor as the report was changed")
    return recorder.statements


def drain(store: Store, statements: list[Statement], threads: int) -> int:
    """Read streams to their ends in several threads, and return how many bytes they had."""
    pending = deque(statements)
    total = [0] * threads

    def work(worker: int) -> None:
        while True:
            try:
                statement = pending.popleft()
            except IndexError:
                return
            with store.stream(statement, store.call(_SECONDS)) as chunks:
                total[worker] += sum(map(len, chunks))

    in_threads(work, threads)
    return sum(total)


if __name__ == "__main__":
    from pathlib import Path

    options = json.loads(sys.argv[1])
    _serve(Path(options.pop("folder")), **options)
    # Do not wait for the threads of the embedded engine.
    sys.stdout.flush()
    os._exit(0)
