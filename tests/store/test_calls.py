"""Deadlines, cancellation and stops: the query ends in ClickHouse too, and the caller gets the right status in time."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pageroles.errors import CancelledError, DeadlineError
from pageroles.report import statements
from pageroles.store.statement import Statement
from support.endless import ENDLESS, PATIENCE, running, until
from support.served import serving_with
from support.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.call import Call
    from pageroles.store.store import Store
    from support.served import Served

DOMAIN = "calls.example.com"


@pytest.mark.usefixtures("endless")
def test_the_callers_deadline_stops_the_query(served: Served) -> None:
    began = time.monotonic()
    with Asked(served.target, served.all_domains_key, DOMAIN) as asked, pytest.raises(grpc.RpcError) as caught:
        asked.pages(timeout=1.0)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < PATIENCE
    assert until(lambda: running(served.store) == 0)


@pytest.mark.usefixtures("endless")
def test_the_servers_own_limit_is_a_deadline_too(served: Served) -> None:
    with serving_with(served.store, max_seconds=0.5) as (target, _, _):
        with Asked(target, served.all_domains_key, DOMAIN) as asked, pytest.raises(grpc.RpcError) as caught:
            asked.pages(timeout=PATIENCE)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "shorter window" in (caught.value.details() or "")
        assert until(lambda: running(served.store) == 0)


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("method", ["Pages", "StreamPages"])
def test_a_cancel_stops_the_query(served: Served, method: str) -> None:
    with Asked(served.target, served.all_domains_key, DOMAIN) as asked:
        call = asked.future(timeout=PATIENCE) if method == "Pages" else asked.stream_call(timeout=PATIENCE)
        assert until(lambda: running(served.store) > 0)
        call.cancel()
        assert until(lambda: running(served.store) == 0)
        assert call.code() == grpc.StatusCode.CANCELLED


@pytest.mark.usefixtures("streaming")
def test_a_stop_lets_requests_in_flight_finish_and_takes_no_new_ones(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = threading.Event(), threading.Event()
    conversions = statements.conversions

    def slow(query: Any, keys: Any, reading: Any) -> Statement:
        entered.set()
        assert leave.wait(PATIENCE)
        return conversions(query, keys, reading)

    monkeypatch.setattr(statements, "conversions", slow)
    with (
        serving_with(served.store) as (target, _, server),
        Asked(target, served.all_domains_key, DOMAIN) as asked,
    ):
        inflight = asked.future(timeout=PATIENCE)
        assert entered.wait(PATIENCE)
        stopping = threading.Thread(target=server.stop, kwargs={"grace": PATIENCE})
        stopping.start()
        assert until(lambda: refuses(target, served.all_domains_key))
        assert not inflight.done()
        leave.set()
        assert inflight.result().message
        stopping.join(PATIENCE)
        assert not stopping.is_alive()


def refuses(target: str, key: str) -> bool:
    """Return whether a server refuses new requests."""
    with Asked(target, key, DOMAIN) as asked, contextlib.suppress(grpc.FutureTimeoutError):
        try:
            asked.pages(timeout=0.5)
        except grpc.RpcError as error:
            return error.code() == grpc.StatusCode.UNAVAILABLE
    return False


def test_a_call_tells_why_it_ended(store: Store) -> None:
    cancelled = store.call(10)
    cancelled.cancel()
    with pytest.raises(CancelledError):
        cancelled.remaining()
    with pytest.raises(DeadlineError):
        store.call(0).remaining()


class Stopped:
    """A client, or what it streams from, whose call is cancelled when the last of an answer comes."""

    def __init__(self, real: Any, call: Call) -> None:
        self._real = real
        self._call = call

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if not callable(value) or name == "close":
            return value

        def run(*args: Any, **more: Any) -> Any:
            found = value(*args, **more)
            if name == "raw_stream":
                return Stopped(found, self._call)
            if name != "read" or not found:
                self._call.cancel()
            return found

        return run


def rows_of(store: Store, name: str, call: Call) -> object:
    """Ask for five numbers in one of the ways that a store has."""
    one = Statement("SELECT number FROM numbers(5)", {})
    if name == "stream":
        with store.stream(one, call) as chunks:
            return list(chunks)
    if name == "broken_parts":
        return store.broken_parts("sessions", call)
    return getattr(store, name)(one, call)


@pytest.mark.parametrize("name", ["rows", "scan", "value", "stream", "broken_parts"])
def test_what_a_stopped_query_answers_is_not_taken_for_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert rows_of(store, name, store.call(PATIENCE)) is not None
    reader = store._engine.reader

    @contextlib.contextmanager
    def lent(seconds: float) -> Iterator[Any]:
        with reader(seconds) as client:
            yield Stopped(client, call)

    monkeypatch.setattr(store._engine, "reader", lent)
    call = store.call(PATIENCE)
    with pytest.raises(CancelledError):
        rows_of(store, name, call)


def test_chdb_may_answer_a_stopped_query_as_if_it_was_whole(store: Store) -> None:
    """About one in twenty of these had no rows, and after one in a thousand the next query had some that were left."""
    one = Statement("SELECT count(), max(number) FROM numbers(200000) WHERE sipHash64(number) % 3 = 0", {})
    whole = store.rows(one, store.call(PATIENCE))
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            store.rows(one, store.call(PATIENCE))

    beside = [threading.Thread(target=work) for _ in range(2)]
    for thread in beside:
        thread.start()
    rng, stopped = random.Random(1), 0
    for number in range(150):
        call = store.call(PATIENCE)
        timer = threading.Timer(rng.uniform(0, 0.012), call.cancel)
        timer.start()
        try:
            assert store.rows(one, call) == whole
        except CancelledError:
            stopped += 1
        assert store.rows(Statement(f"SELECT {number} AS own", {}), store.call(PATIENCE)) == [(number,)]
        timer.join()
    over.set()
    for thread in beside:
        thread.join()
    assert stopped


def test_a_finished_call_stops_nothing(store: Store) -> None:
    stopped: list[int] = []
    call = store.call(10)
    call.on_cancel(lambda: stopped.append(1))
    call.finish()
    call.cancel()
    assert not stopped
    late = store.call(10)
    late.cancel()
    late.on_cancel(lambda: stopped.append(2))
    assert stopped == [2]


def test_a_reader_is_free_again_after_every_end(store: Store) -> None:
    """Three times as many streams as there are readers end early, and all readers are free afterwards."""
    for _ in range(3 * store.readers):
        call = store.call(0.2)
        with pytest.raises(DeadlineError), store.stream(ENDLESS, call) as chunks:
            for _chunk in chunks:
                pass
    call = store.call(10)
    streams = [contextlib.ExitStack() for _ in range(store.readers)]
    for stack in streams:
        assert list(stack.enter_context(store.stream(Statement("SELECT toUInt64(1) AS user_key", {}), call)))
    for stack in streams:
        stack.close()
