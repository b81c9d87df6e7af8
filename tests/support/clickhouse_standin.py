"""A stand-in for a ClickHouse server: its HTTP interface over chDB, with faults on demand.

    python -m support.clickhouse_standin --path FOLDER [--port 0] [--user NAME --password WORD]

prints `READY <port>` once it listens on 127.0.0.1, and serves until SIGTERM. Tests start it with `StandIn`.

It speaks what clients send to a server: SQL in the body, the URL or a form, `{x:Type}` parameters, settings, logins,
packed inserts, streamed answers, errors before and within a stream, and it stops the query of a client that hangs up.
It always answers unpacked. It has no sessions, roles, progress headers or revisions of Native later than 0, and makes
formats other than those of `STREAMED` whole before it sends them. Two more addresses are for tests.

`POST /_faults` takes one fault as JSON, in the place of the one before; null as its mode ends it:

    {"mode": "cut", "match": "FROM sessions", "times": 1, "after_bytes": 1024, "seconds": 0.05, "code": 241}

All but `mode` may be left out. `match` is a part of the SQL ("" is every query, and pings); `times` is how often.

    refuse               close the connection; without a `match` before the body is read
    drop                 run the query, then close the connection without an answer
    hang                 answer nothing until the client leaves, for a minute at most
    503                  answer as a proxy does that has no server
    500                  answer as ClickHouse does, with the error `code`
    cut                  send `after_bytes` of the answer, then close the connection without its last chunk
    exception_midstream  the same, with ClickHouse's tagged exception `code` in front of the end
    slow                 send the answer in pieces of `after_bytes`, `seconds` apart

`GET /_stats` returns {"queries": n, "running": [{"query_id", "sql"}], "seen": [the last 50 texts], "cancelled": n},
where `cancelled` counts the clients that left before their answer was complete.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

from support.clickhouse_standin_engine import CutError, Engine, Fault, Query, ServerError, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# How it is started by hand, from this folder.
FOLDER = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "support.clickhouse_standin")

_HANG_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


class Server(ThreadingHTTPServer):
    """The server: who may ask, what runs, what was seen, and what goes wrong."""

    request_queue_size = 128

    def __init__(self, port: int, engine: Engine, login: tuple[str, str]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.engine = engine
        self.login = login
        self.queries = self.cancelled = 0
        self.running: list[Query] = []
        self.seen: deque[str] = deque(maxlen=50)
        self.fault = Fault()
        self.lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def fault_for(self, sql: str, *, unread: bool = False) -> Fault:
        """Return the fault that a query meets, and count it; of an unread query only its connection can suffer."""
        with self.lock:
            fault = self.fault
            if fault.times == 0 or fault.match not in sql or (unread and fault.mode != "refuse"):
                return Fault()
            if fault.times is not None:
                fault.times -= 1
            return dataclasses.replace(fault)

    @contextlib.contextmanager
    def run(self, query: Query) -> Iterator[None]:
        """Hold a query among those that run."""
        with self.lock:
            self.queries += 1
            self.seen.append(query.sql)
            self.running.append(query)
        try:
            yield
        finally:
            with self.lock:
                self.running.remove(query)

    def leave(self, query: Query) -> None:
        """Note that the client of a query left; one that has its answer may."""
        with self.lock:
            self.cancelled += query in self.running and not query.left
            query.left = True

    def stats(self) -> dict[str, object]:
        with self.lock:
            running = [{"query_id": query.query_id, "sql": query.sql} for query in self.running]
            return {"queries": self.queries, "running": running, "seen": list(self.seen), "cancelled": self.cancelled}

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that hang up are what this is for.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def _watch(self) -> None:
        """Stop the queries whose clients left: one without output would not notice."""
        while True:
            time.sleep(_LOOK_SECONDS)
            with self.lock:
                running = [query for query in self.running if query.stoppable]
            for query in filter(Query.gone, running):
                self.leave(query)
                # Again and again until it ends: it may not have begun in the engine yet.
                self.engine.stop(query.query_id)


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/_stats":
            self._reply(200, json.dumps(self.server.stats()))
        elif path == "/_faults":
            self._set_fault()
        elif self._break_off(self.server.fault_for("", unread=True)):
            pass
        elif path != "/ping":
            self._query()
        elif not self._break_off(self.server.fault_for("")):
            self._reply(200, "Ok.\n")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing: `/_stats` tells what came."""

    def _set_fault(self) -> None:
        try:
            self.server.fault = Fault(**json.loads(self._body()))
        except (TypeError, ValueError) as error:
            self._reply(400, str(error))
        else:
            self._reply(200, "{}")

    def _query(self) -> None:
        params = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._body()
        if boundary := self.headers.get_boundary():
            for part in body.split(b"--" + boundary.encode())[1:-1]:
                head, _, value = part.partition(b"\r\n\r\n")
                params[head.partition(b'name="')[2].partition(b'"')[0].decode()] = value[:-2].decode()
            body = b""
        user, password = self._login(params)
        if (user, password) != self.server.login:
            said = "Authentication failed: password is incorrect, or there is no user with such name."
            self._fail(ServerError(f"Code: 516. DB::Exception: {user}: {said} (AUTHENTICATION_FAILED)"))
            return
        query = Query.of(params, body, self.connection)
        fault = self.server.fault_for(query.sql)
        with self.server.run(query), contextlib.closing(self.server.engine.answer(query)) as chunks:
            if fault.mode == "drop":
                with contextlib.suppress(ServerError):
                    deque(chunks, maxlen=0)
            if not self._break_off(fault):
                self._answer(query, chunks, fault)
            elif query.gone():
                self.server.leave(query)

    def _login(self, params: dict[str, str]) -> tuple[str, str]:
        if basic := self.headers.get("Authorization", "").removeprefix("Basic "):
            user, _, password = base64.b64decode(basic).decode().partition(":")
            return user, password
        if "X-ClickHouse-User" not in self.headers:
            return params.get("user", "default"), params.get("password", "")
        # Headers are read as Latin-1, whatever their bytes are.
        named = self.headers["X-ClickHouse-User"], self.headers.get("X-ClickHouse-Key", "")
        return named[0].encode("latin-1").decode(), named[1].encode("latin-1").decode()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self._line().split(b";")[0], 16):
                parts.append(self._read(size))
                self._line()
            self._line()
            body = b"".join(parts)
        else:
            body = self._read(int(self.headers.get("Content-Length", 0)))
        return unpacked(body, self.headers.get("Content-Encoding", ""))

    def _line(self) -> bytes:
        return self._read(1) + self.rfile.readline()

    def _read(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionResetError("the client left before its request was complete")
        return data

    def _break_off(self, fault: Fault) -> bool:
        """Do what leaves no room for an answer; tell whether there was such a fault."""
        if fault.mode == "503":
            self._reply(503, "no server is available to handle this request\n")
        elif fault.mode == "500":
            self._fail(fault.error)
        elif fault.mode in {"refuse", "drop", "hang"}:
            if fault.mode == "hang":
                select.select([self.connection], [], [], _HANG_SECONDS)
            self.close_connection = True
        else:
            return False
        return True

    def _answer(self, query: Query, chunks: Iterator[bytes], fault: Fault) -> None:
        tag = secrets.token_hex(8).encode()
        begun = False
        try:
            # The status can tell of an error up to the first piece, or up to the last where the client asks for it.
            first = b"".join(chunks) if query.params.get("wait_end_of_query") == "1" else next(chunks, b"")
            self._head(query, tag.decode())
            begun = True
            for chunk in fault.spoil(itertools.chain([first], chunks)):
                self._send(chunk)
            self.wfile.write(b"0\r\n\r\n")
        except ServerError as error:
            if not begun:
                self._fail(error)
                return
            said = error.text.encode() + b"\n"
            self._send(b"\r\n__exception__\r\n%b\r\n" % tag + said + b"%d %b\r\n__exception__\r\n" % (len(said), tag))
            self.close_connection = True
        except CutError:
            self.close_connection = True
        except ConnectionError:
            self.server.leave(query)
            raise

    def _head(self, query: Query, tag: str) -> None:
        self.send_response(200)
        summary = {"read_rows": "0", "read_bytes": "0", "written_rows": str(query.written), "written_bytes": "0"}
        for name, value in {
            "Content-Type": "application/octet-stream",
            "Transfer-Encoding": "chunked",
            "X-ClickHouse-Query-Id": query.query_id,
            "X-ClickHouse-Format": query.format,
            "X-ClickHouse-Timezone": self.server.engine.timezone,
            "X-ClickHouse-Summary": json.dumps(summary),
            "X-ClickHouse-Exception-Tag": tag,
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, chunk: bytes) -> None:
        # An empty chunk would end the answer.
        if chunk:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.flush()

    def _fail(self, error: ServerError) -> None:
        self._reply(error.status, error.text + "\n", {"X-ClickHouse-Exception-Code": str(error.code)})

    def _reply(self, status: int, text: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class StandIn:
    """A stand-in in a process of its own, for tests. Use as a context manager, or call `stop`."""

    def __init__(self, process: subprocess.Popen[str], port: int, user: str, password: str) -> None:
        self._process = process
        self.port = port
        self.dsn = f"clickhouse://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{port}/default"

    @classmethod
    def start(cls, path: Path | str, *, user: str = "default", password: str = "", port: int = 0) -> Self:
        """Start one on a folder, and wait until it listens.

        Raises:
            RuntimeError: It ended instead, and said why on standard error, or it took too long.
        """
        options = {"--path": str(Path(path).resolve()), "--user": user, "--password": password, "--port": str(port)}
        process = subprocess.Popen(
            [*COMMAND, *itertools.chain(*options.items()), "--until-stdin-closes"],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
        word, _, number = (process.stdout.readline() if ready else "").partition(" ")
        standin = cls(process, int(number or 0), user, password)
        if word != "READY":
            standin.stop()
            raise RuntimeError(f"the stand-in did not start: {process.returncode}")
        return standin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def faults(self, mode: str | None, **fields: str | float) -> None:
        """Let queries go wrong from now on; None ends it. The fields are those of `Fault`."""
        self._ask("POST", "/_faults", json.dumps({"mode": mode, **fields}))

    def stats(self) -> dict[str, Any]:
        """Tell what ran, runs and was left."""
        stats: dict[str, Any] = json.loads(self._ask("GET", "/_stats"))
        return stats

    def stop(self) -> None:
        """End the process, by force where it does not end by itself."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise ValueError(text.decode())
            return text


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="A stand-in for a ClickHouse server.")
    parser.add_argument("--path", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started it")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server = Server(options.port, Engine(options.path), (options.user, options.password))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if options.until_stdin_closes:
        threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    sys.stdout.write(f"READY {server.server_port}\n")
    sys.stdout.flush()
    ended.wait()
    server.server_close()
    for query in server.running.copy():
        server.engine.stop(query.query_id)
    # Threads may still be in the engine, which would not survive being taken down around them.
    os._exit(0)


if __name__ == "__main__":
    main()
