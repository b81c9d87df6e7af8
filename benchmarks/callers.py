"""Those who call a server during a soak: they write, ask, command, and some of them behave badly.

Each of them works in a thread, at times that are drawn, until all are told to stop. What a caller may not see, such as
an answer that is not what the reference says, is a fault of the soak.

The traffic lives in a time of its own, in which a minute is a day. Small domains begin with as many sessions as they
have later on, since old ones are erased as new ones come; of large ones the sessions change, and none is new. So the
store holds as much at the end as at the beginning, and memory may not grow with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import requests

from pageroles.ingest import messages
from pageroles.ingest.session import parse_line
from pageroles.rest_shape import to_answer
from pageroles.v1 import pages_pb2, pages_pb2_grpc, sessions_pb2, sessions_pb2_grpc

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support import reference
from support.reference import Erase, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COMMAND = Path(sys.executable).with_name("pageroles")
_PATIENCE = 120.0
_FIRST_DAY = datetime(2025, 7, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_SECONDS_A_DAY = 60.0
# Versions that carry a time of their own carry one before all others: they come late.
_LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
# Days that are kept of a small domain, and the sessions that it has each day, as drawn by `Site.next`.
_KEPT_DAYS = 10
_SESSIONS_A_DAY = 16
_PAGES = 40
_RECENT = 300
_SCOPES = ("any", "first", "converting", "assist", "after")


@dataclasses.dataclass(frozen=True)
class Server:
    """Where the server is, and the keys to it.

    Attributes:
        grpc: The address of gRPC, `host:port`.
        http: The address of REST, with its scheme.
        metrics: The address of the metrics, with its path.
        dsn: The store, which the commands reach through the server.
        key: Opens all domains, for all that callers do.
    """

    grpc: str
    http: str
    metrics: str
    dsn: str
    key: str

    def command(self, *words: str, text: str = "") -> str:
        """Run a command on the store, and return what it printed.

        Raises:
            AssertionError: It failed.
        """
        return command(self.dsn, *words, text=text)


def command(dsn: str, *words: str, text: str = "") -> str:
    """Run a command on a store, and return what it printed."""
    done = subprocess.run(
        [str(_COMMAND), *words], input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False,
        env={**os.environ, "PAGEROLES_STORE": dsn, "NO_COLOR": "1"},
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"pageroles {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Site:
    """A domain: what was delivered of it, in order, and what comes next.

    Attributes:
        name: The domain.
        lock: Is held by the one who writes, or compares.
        deliveries: All that was delivered and acknowledged.
    """

    def __init__(self, name: str, seed: int, *, sessions: int | None = None) -> None:
        """Begin with sessions of the days before: a small domain with those that it keeps, a large one with some."""
        self.name = name
        self.lock = threading.Lock()
        self.rng = random.Random(seed)
        self.is_large = sessions is not None
        sessions = _KEPT_DAYS * _SESSIONS_A_DAY if sessions is None else sessions
        self._began = time.monotonic()
        self._made = 0
        self._recent: list[Session] = []
        self.deliveries: list[Session | Erase] = [self._new(-self.rng.random() * _KEPT_DAYS) for _ in range(sessions)]

    def today(self) -> datetime:
        """Return the time of the traffic."""
        return _FIRST_DAY + (time.monotonic() - self._began) / _SECONDS_A_DAY * _DAY

    def next(self) -> list[Session]:
        """Return what is delivered next: sessions that are new, other versions of known ones, the same ones again."""
        number = self.rng.choice((1, 1, 1, 5, 20))
        if not self.is_large and self.rng.random() < 0.4:
            return [self._new(self.rng.random() / 4) for _ in range(number)]
        known = self.rng.sample(self._recent, min(number, len(self._recent)))
        kind = self.rng.random()
        if kind < 0.4:
            return known
        if kind < 0.8:
            return [self._version(each) for each in known]
        late = (_LONG_AGO + timedelta(microseconds=self.rng.randrange(10**9)) for _ in known)
        return [
            {**self._version(each), "written_at": at.isoformat(timespec="microseconds")}
            for each, at in zip(known, late, strict=True)
        ]

    def erasure(self) -> tuple[list[str], Erase]:
        """Return what somebody wants to be erased, as options of the command and as the reference takes it."""
        one = self.rng.choice(self._recent)
        if self.rng.random() < 0.5:
            return ["--user", one["user_id"]], Erase(self.name, user_id=one["user_id"])
        return ["--session", one["session_id"]], Erase(self.name, session_id=one["session_id"])

    def too_old(self) -> tuple[list[str], Erase]:
        """Return what is no longer kept, in the same form."""
        day = f"{self.today() - _KEPT_DAYS * _DAY:%Y-%m-%d}"
        return ["--before", day], Erase(self.name, before=day)

    def question(self) -> dict[str, str]:
        """Return a question about it."""
        end = self.today() + _DAY
        asked = {
            "start_date": f"{end - self.rng.randrange(2, 30) * _DAY:%Y-%m-%d}",
            "end_date": f"{end:%Y-%m-%d}",
            "touch_scope": self.rng.choice(_SCOPES),
        }
        if self.rng.random() < 0.3:
            asked["campaign"] = f"c{self.rng.randrange(3)}"
        if self.rng.random() < 0.2:
            asked["meta_type"] = "custom"
        return asked

    def expected(self, asked: dict[str, str]) -> dict[str, Any]:
        """Return the answer of the reference."""
        return reference.report(self.deliveries, self.name, asked, datetime.now(UTC))

    def _new(self, days: float) -> Session:
        self._made += 1
        made = self._session(f"s{self._made}", self.today() + days * _DAY)
        self._recent = [*self._recent[-_RECENT:], made]
        return made

    def _version(self, session: Session) -> Session:
        """Return another version of a session, which may have moved to another user or day."""
        moved = self.rng.choice((0.0, 0.0, 0.3, 1.0))
        return self._session(session["session_id"], datetime.fromisoformat(session["started_at"]) + moved * _DAY)

    def _session(self, name: str, start: datetime) -> Session:
        def after(minutes: int) -> str:
            return (start + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")

        def page() -> str:
            return f"https://{self.name}/page-{int(self.rng.random() ** 2 * _PAGES)}"

        return {
            "domain": self.name,
            "session_id": name,
            "user_id": f"u{self.rng.randrange(max(self._made // 2, 20))}",
            "started_at": after(0),
            "referrer": self.rng.choice(("", "https://www.google.com/", "https://news.example.org/a")),
            "utm_campaign": self.rng.choice(("", "c0", "c1")),
            "page_views": [{"url": page(), "viewed_at": after(at)} for at in range(self.rng.randrange(1, 6))],
            "conversions": [
                {"url": page(), "type": self.rng.choice(("custom", "hubspot_form")), "id": "f", "occurred_at": after(3)}
                for _ in range(self.rng.random() < 0.2)
            ],
        }


class Callers:
    """All who call, each in a thread of its own, from `start` to `stop`.

    Attributes:
        done: How often each thing was done.
        faults: What went wrong.
    """

    def __init__(self, server: Server, sites: list[Site], rate: float) -> None:
        """Call a server about some domains.

        Args:
            server: The server.
            sites: The domains, which have been delivered as far as their `deliveries` say.
            rate: 1: as it is meant; else so many times as often.
        """
        self.done: dict[str, int] = {}
        self.faults: list[str] = []
        self._server, self._sites, self._rate = server, sites, rate
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._rng = random.Random(1)
        self._channel = grpc.insecure_channel(server.grpc)
        self._http = requests.Session()
        halves = (sites[::2], sites[1::2])
        self._threads = [
            *(self._thread(0.7, functools.partial(self._write, half)) for half in halves),
            *(self._thread(1.5, self._ask) for _ in range(2)),
            self._thread(0.3, self._misbehave),
            self._thread(1 / 40, self._command),
            self._thread(1 / 20, self._forget),
            self._thread(1 / 30, self._compare),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Have all of them end, and compare each domain once more."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        with self._noting():
            for site in self._sites:
                self._agree(site)
            self._server.command("check")
        self._channel.close()
        self._http.close()

    def _thread(self, per_second: float, work: Callable[[], None]) -> threading.Thread:
        rng = random.Random(self._rng.random())

        def run() -> None:
            while not self._over.wait(rng.expovariate(per_second * self._rate)):
                with self._noting():
                    work()

        return threading.Thread(target=run, daemon=True)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Exception as fault:  # noqa: BLE001 - told at the end
            with self._lock:
                self.faults.append(f"{datetime.now(UTC):%H:%M:%S} {type(fault).__name__}: {fault}"[:2000])

    def _count(self, what: str) -> None:
        with self._lock:
            self.done[what] = self.done.get(what, 0) + 1

    # ---- writing ----

    def _write(self, sites: list[Site]) -> None:
        site = self._rng.choice(sites)
        with site.lock:
            sessions = site.next()
            if self._rng.random() < 0.1:
                self._write_and_leave(sessions)
            writing = self._rng.choice((self._write_grpc, self._write_rest))
            assert writing(sessions) == len(sessions)
            site.deliveries += sessions
        self._count(writing.__name__.removeprefix("_").replace("_", ", "))

    def _write_grpc(self, sessions: list[Session], channel: grpc.Channel | None = None) -> int:
        stub: Any = sessions_pb2_grpc.SessionServiceStub(channel or self._channel)  # type: ignore[no-untyped-call]
        answer = stub.WriteSessions(_requests(sessions), metadata=self._metadata(), timeout=_PATIENCE)
        return int(answer.stored)

    def _write_rest(self, sessions: list[Session]) -> int:
        body = gzip.compress(_lines(sessions))
        answer = self._http.post(
            f"{self._server.http}/api/v1/sessions",
            data=body,
            headers={
                "Authentication": self._server.key,
                "Content-Type": "application/x-ndjson",
                "Content-Encoding": "gzip",
            },
            timeout=_PATIENCE,
        )
        assert answer.status_code == 200, answer.text
        return int(answer.json()["stored"])

    def _write_and_leave(self, sessions: list[Session]) -> None:
        """Hang up while sessions are written: they may be stored or not, so they are sent again."""
        if self._rng.random() < 0.5:
            with grpc.insecure_channel(self._server.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub: Any = sessions_pb2_grpc.SessionServiceStub(channel)  # type: ignore[no-untyped-call]
                call = stub.WriteSessions.future(_requests(sessions), metadata=self._metadata(), timeout=_PATIENCE)
                self._over.wait(self._rng.random() * 0.05)
                call.cancel()
        else:
            body = _lines(sessions)
            head = _head("/api/v1/sessions", self._server.key, len(body), "application/x-ndjson")
            self._send(head + body[: self._rng.choice((len(body) // 2, len(body)))])
        # What was on its way is stored before what is sent again: the order of both is clear.
        self._over.wait(0.5)
        self._count("hang up while writing")

    # ---- asking ----

    def _ask(self) -> None:
        site = self._rng.choice(self._sites)
        asked = site.question()
        kind = self._rng.choice(("Pages", "StreamPages", "REST", "new channel"))
        if kind == "REST":
            self._ask_rest(site.name, asked)
        elif kind == "new channel":
            with grpc.insecure_channel(self._server.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                self._ask_grpc(site.name, asked, channel=channel)
        else:
            self._ask_grpc(site.name, asked, method=kind)
        self._count(f"ask, {kind}")

    def _ask_grpc(
        self, domain: str, asked: dict[str, str], method: str = "Pages", channel: grpc.Channel | None = None
    ) -> dict[str, Any]:
        stub: Any = pages_pb2_grpc.PageRolesServiceStub(channel or self._channel)  # type: ignore[no-untyped-call]
        answer = getattr(stub, method)(_message(asked), metadata=self._metadata(domain), timeout=_PATIENCE)
        parts = [answer] if method == "Pages" else list(answer)
        return dict(to_answer([part.SerializeToString() for part in parts]))

    def _ask_rest(self, domain: str, asked: dict[str, str]) -> dict[str, Any]:
        answer = self._http.post(
            f"{self._server.http}/api/v1/pages",
            json=asked,
            headers={"Authentication": self._server.key, "Domain": domain},
            timeout=_PATIENCE,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def _compare(self) -> None:
        with self._lock:
            site = self._rng.choice([each for each in self._sites if self._rng.random() < 0.3 or not each.is_large])
        self._agree(site)

    def _agree(self, site: Site) -> None:
        """Compare answers about a domain with the reference's."""
        with site.lock:
            for ask in (self._ask_grpc, self._ask_rest):
                asked = site.question()
                found, expected = ask(site.name, asked), site.expected(asked)
                assert found == expected, f"{site.name}, {asked}: {found} is not {expected}"[:1500]
                self._count("answers compared")

    # ---- commands ----

    def _command(self) -> None:
        kind = self._rng.choice(("status", "keys", "check", *("erase",) * 4))
        if kind == "status":
            assert json.loads(self._server.command("status", "--json"))["store"]["domains"]
        elif kind == "check":
            self._server.command("check")
        elif kind == "keys":
            self._server.command("keys", "create", "--domain", self._sites[0].name, "--name", "soak")
            assert "soak" in self._server.command("keys", "list")
        else:
            self._erase(self._rng.choice(self._sites), Site.erasure)
        self._count(f"command, {kind}")

    def _forget(self) -> None:
        """Erase what is too old of a small domain, as a job does each night."""
        self._erase(self._rng.choice([site for site in self._sites if not site.is_large]), Site.too_old)
        self._count("command, erase what is old")

    def _erase(self, site: Site, what: Callable[[Site], tuple[list[str], Erase]]) -> None:
        with site.lock:
            options, erased = what(site)
            self._server.command("erase", "--domain", site.name, *options)
            site.deliveries.append(erased)

    # ---- what callers should not do ----

    def _misbehave(self) -> None:
        kind = self._rng.choice((self._bad_key, self._leave_question, self._connect_only, self._half_a_head))
        kind()
        self._count(kind.__name__.removeprefix("_").replace("_", " "))

    def _bad_key(self) -> None:
        asked = self._sites[0].question()
        if self._rng.random() < 0.5:
            stub: Any = pages_pb2_grpc.PageRolesServiceStub(self._channel)  # type: ignore[no-untyped-call]
            call = stub.Pages.future(_message(asked), metadata=[("authentication", f"no-key-{self._rng.random()}")])
            assert call.code() is grpc.StatusCode.UNAUTHENTICATED, call
        else:
            answer = self._http.post(
                f"{self._server.http}/api/v1/pages",
                json=asked,
                headers={"Authentication": f"no-key-{self._rng.random()}"},
                timeout=_PATIENCE,
            )
            assert answer.status_code == 401, answer.text

    def _leave_question(self) -> None:
        site = self._rng.choice(self._sites)
        if self._rng.random() < 0.5:
            stub: Any = pages_pb2_grpc.PageRolesServiceStub(self._channel)  # type: ignore[no-untyped-call]
            call = stub.StreamPages(_message(site.question()), metadata=self._metadata(site.name))
            self._over.wait(self._rng.random() * 0.01)
            call.cancel()
        else:
            body = json.dumps(site.question()).encode()
            self._send(_head("/api/v1/pages", self._server.key, len(body), "application/json", site.name) + body)

    def _connect_only(self) -> None:
        address = self._rng.choice((self._server.grpc, self._server.http.removeprefix("http://")))
        self._send(self._rng.choice((b"", b"\x16\x03\x01\x02\x00garbage")), address)

    def _half_a_head(self) -> None:
        self._send(b"POST /api/v1/pages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    def _send(self, sent: bytes, address: str = "") -> None:
        """Send bytes and hang up, at once or a moment later."""
        host, _, port = (address or self._server.http.removeprefix("http://")).rpartition(":")
        with socket.create_connection((host, int(port)), timeout=_PATIENCE) as connection:
            connection.sendall(sent)
            self._over.wait(self._rng.choice((0.0, 0.005, 0.2)))

    def _metadata(self, domain: str = "") -> list[tuple[str, str]]:
        return [("authentication", self._server.key), *([("domain", domain)] if domain else [])]


def _lines(sessions: list[Session]) -> bytes:
    return b"".join(json.dumps(session).encode() + b"\n" for session in sessions)


def _requests(sessions: list[Session]) -> Iterator[sessions_pb2.WriteSessionsRequest]:
    """Return the sessions as one message, or as a message each."""
    made = [messages.make(parse_line(json.dumps(session).encode())) for session in sessions]
    if len(made) % 2:
        return iter([sessions_pb2.WriteSessionsRequest(sessions=made)])
    return iter([sessions_pb2.WriteSessionsRequest(sessions=[each]) for each in made])


def _message(asked: dict[str, str]) -> pages_pb2.PagesRequest:
    fields: dict[str, Any] = {name: value for name, value in asked.items() if name != "touch_scope"}
    return pages_pb2.PagesRequest(**fields, touch_scope=f"TOUCH_SCOPE_{asked['touch_scope'].upper()}")


def _head(path: str, key: str, length: int, media_type: str, domain: str = "") -> bytes:
    named = f"Domain: {domain}\r\n" if domain else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthentication: {key}\r\nContent-Type: {media_type}\r\n{named}"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
