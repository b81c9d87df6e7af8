"""The network between the service and the made-up ClickHouse: connections, and what goes wrong with them.

It takes the place of sockets beneath the driver, so that the driver's own repeats and translations of errors are part
of what is tried. Each request to the server, in their order, may meet a fault.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import traceback
import urllib.parse
from collections import deque
from typing import TYPE_CHECKING, Any

import urllib3.connection

from support.simulated.clickhouse import ClickHouse, ClickHouseError, Statement
from support.simulated.threads import SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from support.simulated.threads import _Task

# How long a request is under way, and how long a piece of the answer.
_LATENCY = 0.000_5
_MOST_BLOCK_ROWS = 40
# What a slow answer takes at most.
_SLOWEST = 40.0
CODES = {
    202: "TOO_MANY_SIMULTANEOUS_QUERIES", 241: "MEMORY_LIMIT_EXCEEDED", 252: "TOO_MANY_PARTS",
    439: "CANNOT_SCHEDULE_TASK", 159: "TIMEOUT_EXCEEDED", 160: "TOO_SLOW",
}  # fmt: skip
_TAG = b"0123456789abcdef"
_END = b"0\r\n\r\n"


class _End:
    """The connection ends: the server closes it, or it is reset."""

    def __init__(self, *, reset: bool) -> None:
        self.reset = reset


@dataclasses.dataclass
class _Pause:
    """Nothing comes for so long; where the server does the waiting, a query that is stopped meanwhile ends.

    Between two blocks it may end as if there were no more of them: chDB was seen to do so.
    """

    seconds: float
    of_server: bool = False
    between_blocks: bool = False


_SILENCE = _Pause(math.inf)
_Event = bytes | _End | _Pause


@dataclasses.dataclass
class Fault:
    """What goes wrong with some requests.

    Attributes:
        kind: A key of `KINDS`.
        after: How many requests go well before.
        times: How many requests meet it, one after the other.
        match: A part of the statements that may meet it, and count.
    """

    kind: str
    after: int = 0
    times: int = 1
    match: str = ""


@dataclasses.dataclass(eq=False)
class Exchange:
    """A request and its answer, of which a part may have been read."""

    statement: Statement
    form: str
    events: deque[_Event]
    began: float
    is_begun: bool = False
    is_stopped: bool = False
    waiting: _Task | None = None


class Network:
    """All connections to one server.

    Attributes:
        server: The server.
        requests: How many came to it.
        met: How many faults were met, by their kinds.
        last_met: When the last one was.
        faults: What goes wrong next.
        down_until: When the server listens again.
        is_cut_off: Whether the server can't be reached at all.
    """

    def __init__(self, server: ClickHouse, rng: Random) -> None:
        self.server = server
        self.requests = 0
        self.met: dict[str, int] = {}
        self.last_met = -math.inf
        self.faults: list[Fault] = []
        self.is_cut_off = False
        self.texts: list[str] = []
        self._rng = rng
        self.down_until = 0.0
        self._sockets: list[Socket] = []

    # ---- connections ----

    def connect(self, timeout: float | None) -> Socket:
        """Open a connection.

        Raises:
            OSError: The server can't be reached.
        """
        SCHEDULE.sleep(_LATENCY)
        if self.is_cut_off or SCHEDULE.seconds < self.down_until or self._next_fault("", "refuse"):
            raise ConnectionRefusedError(111, "Connection refused")
        self._sockets = [each for each in self._sockets if not each.is_closed]
        opened = Socket(self, timeout)
        self._sockets.append(opened)
        return opened

    @property
    def running(self) -> list[Exchange]:
        """What is under way: requests of whose answers the server has something left, over open connections."""
        exchanges = [each.exchange for each in self._sockets if not each.is_closed and each.exchange is not None]
        return [each for each in exchanges if not isinstance(each.events[0], _End)]

    @property
    def open_connections(self) -> int:
        return sum(not each.is_closed for each in self._sockets)

    def end_connections(self) -> None:
        """Reset all connections, as a server that dies."""
        for each in self._sockets:
            each.fail()

    # ---- one request ----

    def exchange(self, params: dict[str, str], body: bytes, form: str) -> Exchange:
        """Let the server answer, or let something go wrong."""
        statement = Statement.of(params, body)
        fault = "refuse" if self.is_cut_off else self._next_fault(statement.text, None)
        self.requests += 1
        self.texts.append(f"{SCHEDULE.seconds:.6f} {fault or '-'} {statement.text[:200]}")
        made = Exchange(statement, form, deque(), SCHEDULE.seconds)
        try:
            made.events.extend(self._spoilt(statement, form, fault))
        except Exception:
            # A fault of the simulation itself, which the service would take for one of the server.
            SCHEDULE.failures.append(f"{statement}\n{traceback.format_exc()}")
            raise
        return made

    def stop(self, tag: str) -> None:
        """Stop the queries of a call."""
        for each in self.running:
            if each.statement.tag == tag:
                each.is_stopped = True
                if each.waiting is not None:
                    SCHEDULE.wake(each.waiting)

    def stopped(self, exchange: Exchange, pause: _Pause) -> list[_Event]:
        """Return what still comes of a query that is stopped."""
        how = "stop as whole" if pause.between_blocks and self._rng.random() < 1 / 2 else "stop"
        self.met[how] = self.met.get(how, 0) + 1
        if how == "stop as whole":
            return [_END] if exchange.is_begun else [_head(exchange.form), _END]
        error = ClickHouseError(394, "QUERY_WAS_CANCELLED")
        return [_exception(error), _End(reset=False)] if exchange.is_begun else [_failed(error)]

    def _next_fault(self, text: str, only: str | None) -> str | None:
        """Return the fault that a request meets, and count it; a connection that is opened can only be refused."""
        for fault in self.faults:
            if fault.match not in text or not fault.times or (only and fault.kind != only):
                continue
            if fault.after:
                fault.after -= only is None
                return None
            fault.times -= 1
            self.met[fault.kind] = self.met.get(fault.kind, 0) + 1
            self.last_met = SCHEDULE.seconds
            return fault.kind
        return None

    def _spoilt(self, statement: Statement, form: str, fault: str | None) -> Iterable[_Event]:
        """Return what comes of a request."""
        end = _End(reset=self._rng.random() < 1 / 2)
        if fault in _UNANSWERED:
            return _UNANSWERED[fault](self, statement, end)
        answer = self._answer(statement, form)
        if fault is not None:
            return _SPOILT[fault](self, answer, statement, end)
        pause = _Pause(_LATENCY, of_server=True, between_blocks=True)
        return itertools.chain.from_iterable((pause, piece) for piece in answer)

    def _answer(self, statement: Statement, form: str) -> list[bytes]:
        """Return the pieces of an answer that goes well: its head, its blocks and its end."""
        if statement.text.startswith("KILL QUERY"):
            self.stop(statement.values["tag"])
            return [_head(form), _END]
        try:
            blocks = self.server.answer(statement, form, self._rng.randint(1, _MOST_BLOCK_ROWS))
        except ClickHouseError as error:
            return [_failed(error)]
        return [_head(form), *(_chunk(block) for block in blocks if block), _END]

    def _cut(self, answer: list[bytes]) -> bytes:
        """Return what comes of an answer that breaks off: in its head, between two pieces, or anywhere."""
        lengths = list(itertools.accumulate(map(len, answer)))
        within_head = self._rng.randrange(len(answer[0]))
        place = self._rng.choice((within_head, self._rng.choice(lengths), self._rng.randrange(lengths[-1])))
        return b"".join(answer)[: min(place, lengths[-1] - self._rng.randint(1, 5))]

    def _garbled(self) -> bytes:
        """Return what a proxy writes. Nobody could tell numbers that are changed from others; TCP sees to those."""
        return b"<html>502 Bad Gateway</html>\r\n" * self._rng.randint(1, 9)

    def _refusal(self) -> bytes:
        return _failed(ClickHouseError(*self._rng.choice(sorted(CODES.items()))))

    def _broken(self, answer: list[bytes]) -> list[bytes]:
        """Return an answer up to some place, and what ClickHouse writes there; that may break off as well."""
        head, *chunks = answer[:-1] if len(answer) > 1 else [_head("Native")]
        whole = chunks[: self._rng.randint(0, len(chunks))]
        part = chunks[len(whole)].partition(b"\r\n")[2][:-2] if len(whole) < len(chunks) else b""
        part = part[: self._rng.choice((0, self._rng.randint(0, len(part))))]
        said = _exception(ClickHouseError(*self._rng.choice(sorted(CODES.items()))))
        if self._rng.random() < 1 / 4:
            said = said[: self._rng.randrange(len(said))]
        return [head, *whole, _chunk(part) if part else b"", said]

    def _slow(self, answer: list[bytes], statement: Statement) -> list[_Event]:
        """Return an answer in pieces with time between them, to its end or to the limit of the query."""
        whole = b"".join(answer)
        pause = self._rng.choice((0.01, 0.5, 5.0))
        size = len(whole) // self._rng.randint(1, min(30, int(_SLOWEST / pause))) + 1
        events: list[_Event] = []
        spent = 0.0
        for at in range(0, len(whole), size):
            spent += pause
            if spent > statement.seconds + 1.0:
                return [*events, _exception(ClickHouseError(159, CODES[159])), _End(reset=False)]
            events += [_Pause(pause, of_server=True), whole[at : at + size]]
        return events

    def _late(self, answer: list[bytes], statement: Statement) -> list[_Event]:
        """Return an answer that takes its time, or what the server says at the limit of the query."""
        seconds = self._rng.choice((1.0, 10.0, 100.0))
        if seconds <= statement.seconds:
            return [_Pause(seconds, of_server=True, between_blocks=True), *answer]
        return [_Pause(statement.seconds, of_server=True), _failed(ClickHouseError(159, CODES[159]))]

    def _die(self, statement: Statement) -> list[_Event]:
        """Let the server die, perhaps within what it is asked for."""
        if statement.text.startswith("INSERT"):
            self.server.die_within(statement)
        else:
            self.server.start_anew()
        self.down_until = SCHEDULE.seconds + self._rng.choice((0.0, 0.05, 2.0, 20.0))
        self.end_connections()
        return [_End(reset=True)]


# What a request may meet, so that there is no answer.
_UNANSWERED: dict[str | None, Callable[[Network, Statement, _End], list[_Event]]] = {
    "refuse": lambda _, __, ___: [_End(reset=True)],
    "lose": lambda _, __, end: [end],
    "hang": lambda _, __, ___: [_SILENCE],
    "error": lambda network, _, __: [network._refusal()],
    "503": lambda _, __, ___: [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 10\r\n\r\nno server\n"],
    "die": lambda network, statement, _: network._die(statement),
}
# What an answer may meet, once the server has done what it was asked.
_SPOILT: dict[str, Callable[[Network, list[bytes], Statement, _End], list[_Event]]] = {
    "drop": lambda _, __, ___, end: [end],
    "hang after": lambda _, __, ___, ____: [_SILENCE],
    "stall": lambda network, answer, _, __: [network._cut(answer), _SILENCE],
    "cut": lambda network, answer, _, end: [network._cut(answer), end],
    "garble": lambda network, answer, _, end: [network._cut(answer), network._garbled(), end],
    "broken": lambda network, answer, _, end: [*network._broken(answer), end],
    "slow": lambda network, answer, statement, _: network._slow(answer, statement),
    "late": lambda network, answer, statement, _: network._late(answer, statement),
}
KINDS = tuple(map(str, (*_UNANSWERED, *_SPOILT)))


def _head(form: str) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n"
        b"X-ClickHouse-Query-Id: made-up\r\nX-ClickHouse-Timezone: UTC\r\nX-ClickHouse-Summary: {}\r\n"
        b"X-ClickHouse-Format: " + form.encode() + b"\r\nX-ClickHouse-Exception-Tag: " + _TAG + b"\r\n\r\n"
    )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _failed(error: ClickHouseError) -> bytes:
    said = f"{error}\n".encode()
    return b"HTTP/1.1 500 Error\r\nContent-Length: %d\r\nX-ClickHouse-Exception-Code: %d\r\n\r\n%b" % (
        len(said), error.code, said,
    )  # fmt: skip


def _exception(error: ClickHouseError) -> bytes:
    """Return what ClickHouse writes into an answer that breaks off."""
    said = f"{error}\n".encode()
    return _chunk(b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (_TAG, said, len(said), _TAG))


class Socket:
    """One end of a connection, as the driver has it."""

    def __init__(self, network: Network, timeout: float | None) -> None:
        self._network = network
        self._timeout = timeout
        self._sent = bytearray()
        self._failed = False
        self.is_closed = False
        self.exchange: Exchange | None = None

    # ---- for the network ----

    def fail(self) -> None:
        self._failed = True
        if self.exchange is not None and self.exchange.waiting is not None:
            SCHEDULE.wake(self.exchange.waiting)

    # ---- for the driver ----

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    def setsockopt(self, *_: object) -> None:
        """Do nothing: there is nothing to set."""

    def sendall(self, data: bytes) -> None:
        if self._failed or self.is_closed:
            raise BrokenPipeError(32, "Broken pipe")
        self._sent += data

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self))

    def shutdown(self, _: int) -> None:
        self.fail()

    def close(self) -> None:
        self.is_closed = True

    def has_ended(self) -> bool:
        """Tell whether the other end is known to be gone."""
        return self._failed

    def read(self, size: int) -> bytes:
        """Return what comes next, empty at the end.

        Raises:
            OSError: The connection broke, or nothing came in time.
        """
        if self.exchange is None:
            self._ask()
        exchange = self.exchange
        assert exchange is not None
        while not self._failed:
            event = exchange.events[0]
            if isinstance(event, _Pause):
                self._pause(exchange, event)
            elif isinstance(event, _End):
                if not event.reset:
                    return b""
                self._failed = True
            elif event:
                return self._taken(exchange, event, size)
            else:
                exchange.events.popleft()
        raise ConnectionResetError(104, "Connection reset by peer")

    def _taken(self, exchange: Exchange, event: bytes, size: int) -> bytes:
        """Return the beginning of what comes, and keep the rest of it."""
        exchange.is_begun = True
        exchange.events[0] = event[size:]
        if not exchange.events[0]:
            exchange.events.popleft()
        if not exchange.events:
            self.exchange = None
        return event[:size]

    def _pause(self, exchange: Exchange, pause: _Pause) -> None:
        patience = math.inf if self._timeout is None else self._timeout
        until = SCHEDULE.seconds + min(pause.seconds, patience)
        exchange.waiting = SCHEDULE.current
        while SCHEDULE.seconds < until and not self._failed and not (pause.of_server and exchange.is_stopped):
            SCHEDULE.wait(until)
        exchange.waiting = None
        if pause.of_server and exchange.is_stopped:
            exchange.events = deque(self._network.stopped(exchange, pause))
        elif not self._failed:
            if pause.seconds > patience:
                raise TimeoutError("timed out")
            exchange.events.popleft()

    def _ask(self) -> None:
        head, _, rest = bytes(self._sent).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        size = int(headers.get("content-length", 0))
        assert len(rest) == size, "a request comes whole"
        self._sent.clear()
        params = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(first.split(" ")[1]).query, keep_blank_values=True))
        form = params.get("default_format", "")
        if not form:
            ends = (name for name in ("Native", "RawBLOB") if rest.endswith(f"FORMAT {name}".encode()))
            form = next(ends, "TabSeparated")
        SCHEDULE.sleep(_LATENCY)
        if not self._failed:
            self.exchange = self._network.exchange(params, rest, form)
        else:
            raise ConnectionResetError(104, "Connection reset by peer")


class _Raw(io.RawIOBase):
    def __init__(self, of: Socket) -> None:
        self._of = of

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._of.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def take_over(network: Network) -> None:
    """Let all connections of the driver be those of a network."""
    urllib3.connection.connection.create_connection = lambda _, timeout, **__: network.connect(  # type: ignore[attr-defined]
        timeout if isinstance(timeout, (int, float)) else None
    )
    urllib3.connection.wait_for_read = lambda sock, **_: sock.has_ended()  # type: ignore[attr-defined]
