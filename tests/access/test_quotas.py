"""Monthly quotas: durable, and never exceeded by several servers together."""

from __future__ import annotations

import asyncio
import itertools
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import grpc
import pytest
import structlog.testing

from pageroles.access.quotas import REFRESH_SECONDS, QuotaMeter, QuotaStore
from pageroles.errors import InvalidArgumentError, OverloadedError, QuotaExceededError
from pageroles.incoming import Incoming, Origin
from pageroles.transport import grpc_server
from pageroles.transport.backends import LocalBackend, RefusedError
from pageroles.v1 import pages_pb2
from support.served import serving_with
from support.wire import Asked, details

if TYPE_CHECKING:
    from pageroles.store.store import Store
    from support.served import Served

JULY = datetime(2025, 7, 31, 23, 59, 59, tzinfo=UTC)
AUGUST = datetime(2025, 8, 1, tzinfo=UTC)
_numbers = itertools.count()


@pytest.fixture
def domain() -> str:
    return f"d{next(_numbers)}.quotas.example.com"


@pytest.fixture
def quotas(store: Store) -> QuotaStore:
    return QuotaStore(store)


def meter(quotas: QuotaStore, now: datetime = JULY, *, pace: float = 2.0) -> QuotaMeter:
    """Return the meter of one server, whose clock advances by `pace` seconds each time it is read."""
    ticks = itertools.count(0, pace)
    return QuotaMeter(quotas, clock=lambda: float(next(ticks)), now=lambda: now)


def take_all(quota_meter: QuotaMeter, domain: str) -> int:
    """Take requests until the quota is used up; return how many there were."""
    for number in itertools.count():
        try:
            quota_meter.take(domain)
        except QuotaExceededError:
            return number
    raise AssertionError


def test_a_domain_without_a_quota_is_not_counted(quotas: QuotaStore, domain: str) -> None:
    assert meter(quotas).take(domain) is None
    assert quotas.used(domain, "2025-07") == 0


@pytest.mark.parametrize("limit", [0, 1, 2, 21, 60])
def test_one_server_serves_the_quota_exactly(quotas: QuotaStore, domain: str, limit: int) -> None:
    quotas.set(domain, limit)
    assert take_all(meter(quotas), domain) == limit
    assert quotas.used(domain, "2025-07") == limit


def test_the_state_counts_every_request(quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 30)
    quota_meter = meter(quotas)
    states = [quota_meter.take(domain) for _ in range(30)]
    assert [state.used for state in states if state] == list(range(1, 31))
    assert [state.remaining for state in states if state] == list(range(29, -1, -1))
    assert {state.resets_at for state in states if state} == {AUGUST}
    with pytest.raises(QuotaExceededError) as caught:
        quota_meter.take(domain)
    assert (caught.value.quota.used, caught.value.quota.limit, caught.value.retry_after) == (30, 30, 1.0)


def test_a_restart_loses_no_count_and_forfeits_nothing(quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 100)
    served = 0
    for _ in range(5):
        quota_meter = meter(quotas)
        for _ in range(7):
            quota_meter.take(domain)
            served += 1
        quota_meter.close()
        assert quotas.used(domain, "2025-07") == served
    assert served + take_all(meter(quotas), domain) == 100


def test_a_crash_loses_no_count(quotas: QuotaStore, domain: str) -> None:
    """What a server had reserved when it crashed stays counted: at most a twentieth of what was left."""
    quotas.set(domain, 100)
    meter(quotas).take(domain)
    used = quotas.used(domain, "2025-07")
    assert 1 <= used <= 5
    assert take_all(meter(quotas), domain) == 100 - used


def test_several_servers_together_never_serve_more(quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 100)
    servers = [meter(quotas) for _ in range(4)]
    counts = [0] * len(servers)

    def serve(index: int) -> None:
        counts[index] = take_all(servers[index], domain)

    threads = [threading.Thread(target=serve, args=(index,)) for index in range(len(servers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Servers that reserved the last request at once may all have returned it; then it is still there.
    assert sum(counts) <= 100
    assert sum(counts) + take_all(meter(quotas), domain) == 100


def test_a_new_month_begins_anew(quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 3)
    assert take_all(meter(quotas), domain) == 3
    assert take_all(meter(quotas, AUGUST), domain) == 3


def test_a_month_that_ends_while_serving(quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 50)
    now = [JULY]
    ticks = itertools.count(0, 100)
    quota_meter = QuotaMeter(quotas, clock=lambda: float(next(ticks)), now=lambda: now[0])
    quota_meter.take(domain)
    now[0] = AUGUST
    assert take_all(quota_meter, domain) == 50


def test_a_quota_can_be_raised_lowered_and_lifted(quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 2)
    quota_meter = meter(quotas, pace=REFRESH_SECONDS)
    assert take_all(quota_meter, domain) == 2
    quotas.set(domain, 4)
    assert take_all(quota_meter, domain) == 2
    quotas.set(domain, 1)
    assert take_all(quota_meter, domain) == 0
    quotas.set(domain, None)
    assert quota_meter.take(domain) is None


def test_what_was_not_answered_is_given_back(quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 2)
    quota_meter = meter(quotas)
    quota_meter.give_back(quota_meter.take(domain))
    quota_meter.give_back(None)
    assert take_all(quota_meter, domain) == 2


def test_a_busy_store_does_not_keep_a_server_from_stopping(
    quotas: QuotaStore, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has reserved stays counted, as after a crash."""
    quotas.set(domain, 1000)
    quota_meter = meter(quotas)
    quota_meter.take(domain)
    reserved = quotas.used(domain, "2025-07")

    def refuse(*_: object) -> None:
        raise OverloadedError("ClickHouse is busy", 1.0)

    monkeypatch.setattr(quotas, "count", refuse)
    quota_meter.close()
    assert quotas.used(domain, "2025-07") == reserved


def test_what_is_given_back_after_the_months_end_is_not_of_the_next(quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 2)
    now = [JULY]
    ticks = itertools.count(0, 100)
    quota_meter = QuotaMeter(quotas, clock=lambda: float(next(ticks)), now=lambda: now[0])
    of_july = quota_meter.take(domain)
    now[0] = AUGUST
    quota_meter.take(domain)
    quota_meter.give_back(of_july)
    assert take_all(quota_meter, domain) == 1


@pytest.mark.parametrize(("domain", "limit"), [("", 1), ("  ", 1), ("a.example", -1)])
def test_bad_quotas_are_refused(quotas: QuotaStore, domain: str, limit: int) -> None:
    with pytest.raises(InvalidArgumentError):
        quotas.set(domain, limit)


def test_a_spent_quota_over_grpc(served: Served, quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 1)
    with serving_with(served.store) as (target, _, _), Asked(target, served.all_domains_key, domain) as asked:
        call = asked.stream_call(timeout=10)
        list(call)
        assert dict(call.trailing_metadata())["x-ratelimit-remaining"] == "0"
        assert dict(call.initial_metadata())["x-ratelimit-limit"] == "1"
        with pytest.raises(grpc.RpcError) as caught:
            asked.pages()
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.details() == "API monthly limit exceeded."
    spent, retry = details(caught.value)
    assert spent.violations[0].subject == f"domain:{domain}"
    assert retry.retry_delay.seconds > 0


def test_a_bad_request_costs_nothing(served: Served, quotas: QuotaStore, domain: str) -> None:
    quotas.set(domain, 5)
    with serving_with(served.store) as (target, _, _), Asked(target, served.all_domains_key, domain) as asked:
        with pytest.raises(grpc.RpcError):
            asked.pages(start_date="soon")
        asked.pages()
    assert quotas.used(domain, f"{datetime.now(UTC):%Y-%m}") == 1


@pytest.mark.parametrize("way", ["whole", "stream", "rest"])
def test_an_answer_that_is_not_handed_over_costs_nothing_and_is_told(
    served: Served, quotas: QuotaStore, domain: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    quotas.set(domain, 5)

    def full(*_: object) -> NoReturn:
        raise OverloadedError("too many large answers are on their way; try again", 1.0)

    async def ask_as_the_gateway() -> None:
        backend = LocalBackend(pages_service)
        incoming = Incoming(Origin("POST /api/v1/pages", "r1"), served.all_domains_key, domain)
        with pytest.raises(RefusedError, match="try again"):
            async for _ in (await backend.answer(incoming, pages_pb2.PagesRequest())).messages:
                pass
        await backend.close()

    monkeypatch.setattr(grpc_server, "COUNTED_BYTES", 0)
    with (
        serving_with(served.store) as (target, pages_service, _),
        Asked(target, served.all_domains_key, domain) as asked,
        structlog.testing.capture_logs() as logs,
    ):
        with monkeypatch.context() as while_full:
            while_full.setattr(pages_service.admission, "answer", full)
            if way == "rest":
                asyncio.run(ask_as_the_gateway())
            else:
                with pytest.raises(grpc.RpcError, match="try again"):
                    asked.pages() if way == "whole" else list(asked.stream_call())
        asked.pages()
    assert quotas.used(domain, f"{datetime.now(UTC):%Y-%m}") == 1
    lines = {line["event"]: line for line in reversed(logs)}
    assert lines["answer not sent"]["request_id"] == lines["request"]["request_id"]
