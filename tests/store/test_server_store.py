"""The service on a ClickHouse server: the same answers, and faults of the connection as statuses."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pageroles.access.keys import KeyStore
from pageroles.access.quotas import QuotaStore
from pageroles.errors import SettingError, StoreUnavailableError
from pageroles.rest_shape import to_answer
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from pageroles.v1 import pages_pb2
from support import reference, worlds
from support.clickhouse_standin import StandIn
from support.endless import PATIENCE, until
from support.served import serving_with
from support.wire import Asked, details

if TYPE_CHECKING:
    from collections.abc import Iterator

DOMAIN = "faults.example.com"
JULY: dict[str, Any] = {"start_date": "2025-07-01", "end_date": "2025-07-31"}


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with StandIn.start(tmp_path_factory.mktemp("server"), user="reports", password="secret") as started:
        yield started


@pytest.fixture(scope="module")
def remote(standin: StandIn) -> Iterator[Store]:
    with Store.open(standin.dsn, silence=3) as store:
        with pytest.raises(SettingError, match="pageroles schema"):
            store.check()
        store.command("CREATE TABLE sessions (domain String) ENGINE = Memory")
        with pytest.raises(SettingError, match="an early version"):
            store.check()
        store.command("DROP TABLE sessions")
        store.apply_schema()
        row = {
            "domain": DOMAIN,
            "session_id": "s1",
            "user_id": "u1",
            "started_at": "2025-07-03T10:00:00Z",
            "page_views.url": ["/a", "/b"],
            "page_views.viewed_at": ["2025-07-03T10:00:00Z", "2025-07-03T10:01:00Z"],
        }
        store.insert("sessions", json.dumps(row).encode())
        yield store


@pytest.fixture(scope="module")
def target(remote: Store) -> Iterator[str]:
    with serving_with(remote, max_seconds=PATIENCE) as (address, _, _):
        yield address


@pytest.fixture(scope="module")
def key(remote: Store) -> str:
    return KeyStore(remote).create(None)[0]


@pytest.fixture(autouse=True)
def whole(standin: StandIn) -> Iterator[None]:
    """Remove the server's faults after each test."""
    yield
    standin.faults(None)


def ask(target: str, key: str, domain: str, question: dict[str, Any]) -> dict[str, Any]:
    scope = f"TOUCH_SCOPE_{question.get('touch_scope', 'any').upper()}"
    fields = {**question, "touch_scope": pages_pb2.TouchScope.Value(scope)}
    with Asked(target, key, domain) as asked:
        return dict(to_answer([asked.pages(**fields).SerializeToString()]))


def test_worlds_agree_with_the_reference(remote: Store, target: str, key: str) -> None:
    now = datetime.now(UTC)
    all_worlds = [worlds.world(random.Random(seed), now).renamed(f"-{seed}-remote") for seed in range(40)]
    for batch in worlds.rounds([delivery for world in all_worlds for delivery in world.deliveries]):
        remote.insert("sessions", worlds.to_store_rows(batch))
    for seed, world in enumerate(all_worlds):
        rng = random.Random(f"{seed} remote")
        question = worlds.request(rng, world)
        if not (question.get("start_date") and question.get("end_date")):
            question |= {"end_date": f"{now:%Y-%m-%d}", "start_date": f"{now:%Y-%m}-01"}
        domain = worlds.domain(rng, world)
        try:
            expected = reference.report(world.deliveries, domain, question, now)
        except reference.InvalidRequestError:
            continue
        assert ask(target, key, domain, question) == expected, f"world {seed}: {question}"


def refused(target: str, key: str, timeout: float = PATIENCE) -> Any:
    with Asked(target, key, DOMAIN) as asked, pytest.raises(grpc.RpcError) as caught:
        asked.pages(timeout=timeout, **JULY)
    return caught.value


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("mode", ["refuse", "drop", "503"])
def test_a_server_that_cannot_be_reached_is_unavailable(standin: StandIn, target: str, key: str, mode: str) -> None:
    standin.faults(mode, match="FROM sessions")
    error = refused(target, key)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert "127.0.0.1" not in error.details()
    standin.faults(None)
    assert ask(target, key, DOMAIN, JULY)["summary_totals"]["total_sessions"] == 1


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("mode", ["503", "500", pytest.param("refuse", marks=pytest.mark.slow)])
def test_a_server_that_refuses_many_times_and_recovers_is_asked_again(
    standin: StandIn, target: str, key: str, mode: str
) -> None:
    """More refusals than there are connections: none of them may be lost."""
    for _ in range(2):
        standin.faults(mode, match="FROM sessions")
        for _ in range(6):
            refused(target, key)
        standin.faults(None)
        assert ask(target, key, DOMAIN, JULY)["summary_totals"]["total_sessions"] == 1


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize(
    ("code", "status"), [(241, "RESOURCE_EXHAUSTED"), (159, "DEADLINE_EXCEEDED"), (47, "INTERNAL")]
)
@pytest.mark.parametrize("after_bytes", [1, 20, 60])
def test_a_fault_at_the_very_start_of_a_stream_has_the_status_that_it_means(
    standin: StandIn, target: str, key: str, after_bytes: int, code: int, status: str
) -> None:
    for _ in range(3):
        standin.faults("exception_midstream", match="FROM sessions AS s FINAL", after_bytes=after_bytes, code=code)
        assert refused(target, key).code().name == status


@pytest.mark.usefixtures("streaming")
def test_one_dropped_connection_is_tried_again(standin: StandIn, target: str, key: str) -> None:
    standin.faults("drop", match="FROM sessions", times=1)
    assert ask(target, key, DOMAIN, JULY)["summary_totals"]["total_sessions"] == 1


@pytest.mark.usefixtures("streaming")
def test_a_stream_that_is_cut_is_never_an_answer(standin: StandIn, target: str, key: str) -> None:
    standin.faults("cut", match="FROM sessions AS s FINAL", after_bytes=20)
    assert refused(target, key).code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.usefixtures("streaming")
def test_a_fault_in_the_middle_of_a_stream_is_never_an_answer(standin: StandIn, target: str, key: str) -> None:
    standin.faults("exception_midstream", match="FROM sessions AS s FINAL", after_bytes=20)
    error = refused(target, key)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "SELECT" not in error.details()


@pytest.mark.usefixtures("streaming")
def test_a_query_that_is_refused_is_our_fault(target: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pageroles.report.statements.sessions", lambda *_: Statement("SELECT nonsense FROM sessions", {})
    )
    error = refused(target, key)
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "nonsense" not in error.details()
    assert "quote" in error.details()


@pytest.mark.usefixtures("streaming")
def test_a_server_that_hangs_does_not_hold_the_caller(standin: StandIn, target: str, key: str) -> None:
    standin.faults("hang", match="FROM sessions AS s FINAL", times=1)
    began = time.monotonic()
    assert refused(target, key, timeout=1.0).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < PATIENCE
    standin.faults(None)
    assert ask(target, key, DOMAIN, JULY)["summary_totals"]["total_sessions"] == 1


@pytest.mark.usefixtures("streaming")
def test_a_server_that_hangs_is_left_at_our_own_limit(standin: StandIn, remote: Store, key: str) -> None:
    with serving_with(remote, max_seconds=1.0) as (target, _, _):
        ask(target, key, DOMAIN, JULY)
        standin.faults("hang", match="FROM sessions AS s FINAL", times=1)
        error = refused(target, key)
        standin.faults(None)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "shorter window" in error.details()


@pytest.mark.usefixtures("streaming")
def test_a_cancel_stops_the_query_on_the_server(
    standin: StandIn, target: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "SELECT toUInt64(number) AS user_key FROM numbers(1000000000000) WHERE sipHash64(number) = 0"
    monkeypatch.setattr("pageroles.report.statements.sessions", lambda *_: Statement(endless, {}))

    def runs() -> bool:
        return any("numbers(1000000000000)" in str(query) for query in standin.stats()["running"])

    with Asked(target, key, DOMAIN) as asked:
        call = asked.future(timeout=PATIENCE, **JULY)
        assert until(runs)
        call.cancel()
        assert until(lambda: not runs())


def test_a_wrong_password_says_so(standin: StandIn) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        Store.open(standin.dsn.replace("secret", "wrong"))
    assert "wrong" not in str(caught.value)


@pytest.mark.usefixtures("streaming")
def test_a_busy_server_says_when_to_try_again(standin: StandIn, target: str, key: str) -> None:
    standin.faults("500", match="FROM sessions AS s FINAL")  # with ClickHouse's code of a memory limit
    error = refused(target, key)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "SELECT" not in error.details()
    assert details(error)[0].retry_delay.seconds >= 1


def test_a_count_that_is_sent_again_counts_once(standin: StandIn, remote: Store) -> None:
    """The connection drops after the insert, and the driver sends it again."""
    quotas = QuotaStore(remote)
    for _ in range(2):
        standin.faults("drop", match="quota_usage", times=1)
        quotas.count(DOMAIN, "2025-07", 3)
    assert quotas.used(DOMAIN, "2025-07") == 6
