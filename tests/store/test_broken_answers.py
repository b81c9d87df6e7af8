"""What breaks off or reads as nothing is never taken for an answer, nor waited for longer than a query may take."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from typing import TYPE_CHECKING, Self

import pytest

from pageroles import _core
from pageroles.errors import DeadlineError, StoreUnavailableError
from pageroles.store.statement import Statement
from pageroles.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EMPTY = HEAD + b"0\r\n\r\n"
QUERY = Statement("SELECT toUInt64(1) AS user_key")
# A block of one column with one number.
BLOCK = b"\x01\x01\x08user_key\x06UInt64" + bytes(8)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Canned:
    """A server that says the same to every query of a test, and then ends the connection, or falls silent."""

    def __init__(self) -> None:
        self.answer = EMPTY
        self.is_silent = False
        self.open = 0
        self._ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def dsn(self) -> str:
        return f"clickhouse://127.0.0.1:{self._listening.getsockname()[1]}/default"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        self.open += 1
        with connection, connection.makefile("rb") as lines:
            while head := b"".join(iter(lines.readline, b"\r\n")) if lines.peek(1) else b"":
                size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                text = lines.read(int(size[1]) if size else 0)
                if QUERY.text.encode() not in text:
                    version = b"26.9\tUTC\n" if b"version()" in text else b""
                    connection.sendall(HEAD + (chunk(version) if version else b"") + b"0\r\n\r\n")
                    continue
                if self.is_silent:
                    self._ended.wait(60)
                else:
                    connection.sendall(self.answer)
                break
        self.open -= 1


@pytest.fixture
def canned() -> Iterator[Canned]:
    with Canned() as server:
        yield server


@pytest.fixture
def store(canned: Canned) -> Iterator[Store]:
    with Store.open(canned.dsn, readers=2, silence=60) as opened:
        yield opened


def streamed(store: Store) -> None:
    """Read the stream as the core does."""
    tally = _core.Tally(1, False, True, False, False)
    with store.stream(QUERY, store.call(30)) as chunks:
        for piece in chunks:
            tally.feed_users(piece)
    tally.finish_unit()


# Up to which byte of the head, from its first line on.
@pytest.mark.parametrize("length", [len(b"HTTP/1.1 200 OK\r\n"), 30, len(HEAD) - 20, len(HEAD) - 6, len(HEAD) - 2])
def test_a_head_that_breaks_off_is_no_answer_without_rows(canned: Canned, store: Store, length: int) -> None:
    """The end of a connection reads as the end of the head, and the rest as an answer without bytes."""
    canned.answer = HEAD[:length]
    with pytest.raises(StoreUnavailableError):
        store.rows(QUERY, store.call(30))
    with pytest.raises(StoreUnavailableError):
        streamed(store)


def test_an_answer_without_rows_is_one(canned: Canned, store: Store) -> None:
    for answer in (EMPTY, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        canned.answer = answer
        assert list(store.rows(QUERY, store.call(30))) == []
        streamed(store)


@pytest.mark.parametrize(
    "words", [b"<html>502 Bad Gateway</html>", b"\r\n__exception__\r\n0123456789abcdef\r\nCode: 2"]
)
@pytest.mark.parametrize("before", [b"", BLOCK, BLOCK[:15]])
def test_words_in_an_answer_that_breaks_off_are_no_fault_of_ours(
    canned: Canned, store: Store, before: bytes, words: bytes
) -> None:
    canned.answer = HEAD + chunk(before + words)
    with pytest.raises(StoreUnavailableError, match="broke off"):
        streamed(store)
    with pytest.raises(StoreUnavailableError):
        store.rows(QUERY, store.call(30))


def test_a_query_waits_for_a_silent_server_no_longer_than_it_may_take(canned: Canned, store: Store) -> None:
    """And not for as long as a connection may stay silent, which is for the longest request."""
    canned.is_silent = True
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        store.look_up(QUERY, 0.2)
    with pytest.raises(DeadlineError):
        store.rows(QUERY, store.call(0.2))


def test_a_store_that_is_closed_leaves_no_connection(canned: Canned) -> None:
    with Store.open(canned.dsn, readers=2):
        assert canned.open == 1
    canned._threads[-1].join(30)
    assert canned.open == 0
