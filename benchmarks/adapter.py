"""The one place that knows how pageroles is opened, served and asked. When its insides change, change this."""

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


def version() -> str:
    """Return the version of pageroles."""
    return _core.__version__


def schema_mark() -> str:
    """Return a mark that changes with the columns of the tables of traffic."""
    plain = [" ".join(re.sub(r"--.*", "", text.partition("SETTINGS")[0]).split()) for text in schema.statements()]
    kept = [
        text for text in plain if not re.match(r"CREATE TABLE IF NOT EXISTS (api_keys|quota|schema_versions)", text)
    ]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


@contextlib.contextmanager
def opened(folder: Path, *, merges: bool = True, readers: int = READERS) -> Iterator[Store]:
    """Open an embedded store; without `merges` its parts stay as they are."""
    with Store.open(f"chdb://{folder.resolve()}", readers=readers) as store:
        if not merges:
            store.command("SYSTEM STOP MERGES")
        yield store


def rows(store: Store, text: str, parameters: dict[str, object] | None = None) -> list[tuple[Any, ...]]:
    """Return the rows of a small answer."""
    from pageroles.store.statement import Statement  # noqa: PLC0415 - at run time here alone

    return [tuple(row) for row in store.rows(Statement(text, parameters or {}), store.call(_SECONDS))]


def request(question: Question) -> pages_pb2.PagesRequest:
    """Return a question as the contract has it."""
    asked = pages_pb2.PagesRequest(
        start_date=question.first_day.isoformat(),
        end_date=question.last_day.isoformat(),
        touch_scope=f"TOUCH_SCOPE_{question.scope.upper()}",
    )
    if question.filter:
        setattr(asked, *question.filter)
    return asked


def contract() -> bytes:
    """Return the contract and all that it imports, as a serialized FileDescriptorSet."""
    found = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: Any) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for needed in file.dependencies:
                add(needed)
            file.CopyToProto(found.file.add())

    add(pages_pb2.DESCRIPTOR)
    return found.SerializeToString()


# ---- the server, in a process of its own ----


class Running:
    """A server process and a channel to it; an answer is the bytes of its message."""

    def __init__(self, folder: Path, *, merges: bool, readers: int = READERS, http: bool = False) -> None:
        """Start it on an embedded store and wait until it serves."""
        how = {"folder": str(folder), "merges": merges, "readers": readers, "http": http}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.adapter", json.dumps(how)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self._process.wait()}")
        told = json.loads(line)
        self.pid = self._process.pid
        self.target: str = told["grpc"]
        self.http: str = told["http"]
        self.key: str = told["key"]
        self._channel = grpc.insecure_channel(self.target, [("grpc.max_receive_message_length", -1)])
        self._pages = self._channel.unary_unary(
            METHOD, request_serializer=pages_pb2.PagesRequest.SerializeToString, response_deserializer=bytes
        )

    def ask(self, question: pages_pb2.PagesRequest, domain: str) -> bytes:
        """Ask over gRPC, and return the message unread."""
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
        opened(folder, merges=merges, readers=readers) as store,
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


# ---- the floor: what the report reads, read and dropped ----


class _Recorder:
    """A store that notes what is asked of it."""

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
    """All that a report asks of the store, to be asked again without a report."""

    def __init__(self, store: Store, question: Question, domain: str) -> None:
        """Make one report to learn it."""
        self._store = store
        self._asked = _recorded(store, question, domain).asked

    def run(self) -> None:
        """Ask for all of it, in order, and drop the answers."""
        call = self._store.call(_SECONDS)
        for is_stream, statement in self._asked:
            if is_stream:
                with self._store.stream(statement, call) as chunks:
                    deque(chunks, maxlen=0)
            else:
                self._store.rows(statement, call)
        call.finish()


def _recorded(store: Store, question: Question, domain: str) -> _Recorder:
    from datetime import UTC, datetime  # noqa: PLC0415

    recorder = _Recorder(store)
    reporter = Reporter(recorder)  # type: ignore[arg-type]
    try:
        # Only the second shows what a report asks once the reporter knows the domain.
        for _ in range(2):
            recorder.statements, recorder.asked = [], []
            reporter.report(to_query(request(question), domain, datetime.now(UTC)), store.call(_SECONDS))
    finally:
        reporter.close()
    if not recorder.statements:
        raise RuntimeError("the report reads no streams any more: the floor must follow it")
    return recorder


def drain(store: Store, statements: list[Statement], threads: int) -> int:
    """Read streams to their ends, some at once, and return how many bytes they had."""
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

    given = json.loads(sys.argv[1])
    _serve(Path(given["folder"]), merges=given["merges"], readers=given["readers"], http=given["http"])
    # The embedded engine's threads need not be waited for.
    sys.stdout.flush()
    os._exit(0)
