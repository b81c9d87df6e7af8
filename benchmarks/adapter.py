"""How the benchmarks open, serve and ask pageroles; no other module here knows its insides."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import grpc
import structlog
from google.protobuf import descriptor_pb2

from benchmarks.threads import in_threads
from pageroles import _core, serving
from pageroles.access.keys import KeyStore
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


def descriptors() -> bytes:
    """Return the contract and all that it imports, as a serialized FileDescriptorSet."""
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: Any) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for needed in file.dependencies:
                add(needed)
            file.CopyToProto(files.file.add())

    add(pages_pb2.DESCRIPTOR)
    return files.SerializeToString()


# ---- the server, in a process of its own ----


class ServerProcess:
    """A server in a process of its own, and a channel to it."""

    def __init__(self, folder: Path, *, merges: bool, readers: int = READERS, http: bool = False) -> None:
        """Start it on an embedded store, and wait until it serves."""
        options = {"folder": str(folder), "merges": merges, "readers": readers, "http": http}
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
        self.key: str = started["key"]
        self._channel = grpc.insecure_channel(self.target, [("grpc.max_receive_message_length", -1)])
        self._pages = self._channel.unary_unary(
            METHOD, request_serializer=pages_pb2.PagesRequest.SerializeToString, response_deserializer=bytes
        )

    def ask(self, question: pages_pb2.PagesRequest, domain: str) -> bytes:
        """Ask over gRPC, and return the bytes of the answer."""
        metadata = (("authentication", self.key), ("domain", domain))
        answer: bytes = self._pages(question, metadata=metadata, timeout=_SECONDS)
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


def _serve(folder: Path, *, merges: bool, readers: int, http: bool) -> None:
    """Serve until standard input ends."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
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
            ),
        ) as served,
    ):
        key, _ = KeyStore(store).create(None)
        sys.stdout.write(json.dumps({"grpc": served.grpc, "http": served.http, "key": key}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


# ---- the floor: a report's reading without the report ----


class _RecordingStore:
    """A store that keeps the statements that it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.statements: list[Statement] = []
        self.asked: list[tuple[bool, Statement]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def stream(self, statement: Statement, call: Any) -> Any:
        self.statements.append(statement)
        self.asked.append((True, statement))
        return self._store.stream(statement, call)

    def rows(self, statement: Statement, call: Any) -> Any:
        self.asked.append((False, statement))
        return self._store.rows(statement, call)


def streams(store: Store, question: Question, domain: str) -> list[Statement]:
    """Return the statements whose streams a report reads, in the order in which it asks for them."""
    return _recorded(store, question, domain).statements


class Replay:
    """All that a report asks of the store, asked again without a report."""

    def __init__(self, store: Store, question: Question, domain: str) -> None:
        """Make a report, and keep what it asks."""
        self._store = store
        self._asked = _recorded(store, question, domain).asked

    def run(self) -> None:
        """Ask for all of it in order, and drop the results."""
        call = self._store.call(_SECONDS)
        for is_stream, statement in self._asked:
            if is_stream:
                with self._store.stream(statement, call) as chunks:
                    deque(chunks, maxlen=0)
            else:
                self._store.rows(statement, call)
        call.finish()


def _recorded(store: Store, question: Question, domain: str) -> _RecordingStore:
    from datetime import UTC, datetime  # noqa: PLC0415

    recorder = _RecordingStore(store)
    reporter = Reporter(recorder)  # type: ignore[arg-type]
    try:
        # The first also asks what the reporter then remembers of the domain; the second shows what a report asks.
        for _ in range(2):
            recorder.statements, recorder.asked = [], []
            reporter.report(to_query(request(question), domain, datetime.now(UTC)), store.call(_SECONDS))
    finally:
        reporter.close()
    if not recorder.statements:
        raise RuntimeError("the report reads no streams: change the floor as the report was changed")
    return recorder


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
