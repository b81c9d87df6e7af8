"""Every status of the contract, as a gRPC client sees it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pageroles import turns
from pageroles.access import keys as keys_module
from pageroles.access.keys import ApiKey, KeyRing, KeyStore
from pageroles.errors import UnauthenticatedError
from pageroles.turns import Turns
from pageroles.v1 import pages_pb2
from support.served import serving_with
from support.wire import Asked, details

if TYPE_CHECKING:
    from support.served import Served

DOMAIN = "statuses.example.com"
NO_RESULTS = "No page data found for the given parameters."


@pytest.fixture(scope="module")
def key(served: Served) -> str:
    row = {
        "domain": DOMAIN,
        "session_id": "s1",
        "user_id": "u1",
        "started_at": "2025-07-03T10:00:00Z",
        "page_views.url": ["/a", "/b"],
        "page_views.viewed_at": ["2025-07-03T10:00:00Z", "2025-07-03T10:01:00Z"],
    }
    served.insert(json.dumps(row).encode())
    return served.key(DOMAIN)


def refused(served: Served, key: str | None, domain: str | None = None, **fields: Any) -> Any:
    """Call both methods, check that they refuse alike, and return the refusal."""
    with Asked(served.target, key, domain) as asked:
        with pytest.raises(grpc.RpcError) as unary:
            asked.pages(**fields)
        with pytest.raises(grpc.RpcError) as stream:
            list(asked.stream(**fields))
    assert unary.value.code() == stream.value.code()
    assert unary.value.details() == stream.value.details() or "quote" in (unary.value.details() or "")
    return unary.value


def test_no_session_is_a_message_and_ok(served: Served, key: str) -> None:
    with Asked(served.target, key) as asked:
        response = asked.pages(start_date="2025-01-01", end_date="2025-01-02")
        assert response == pages_pb2.PagesResponse(message=NO_RESULTS)
        assert list(asked.stream(start_date="2025-01-01", end_date="2025-01-02")) == [response]


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"start_date": "soon"}, "start_date", "give a date (2025-07-01)"),
        ({"end_date": "2025-02-30"}, "end_date", "there is no date"),
        ({"start_date": "2025-07-02", "end_date": "2025-07-01"}, "start_date", "after its end"),
        ({"touch_scope": 6}, "touch_scope", "TOUCH_SCOPE_AFTER (5)"),
        ({"touch_scope": -1}, "touch_scope", "there is no scope -1"),
        ({"source": "x" * 8193}, "source", "8,192 bytes"),
        ({"meta_id": "é" * 4097}, "meta_id", "8,192 bytes"),
    ],
)
def test_bad_fields_are_named(served: Served, key: str, fields: dict[str, Any], field: str, says: str) -> None:
    error = refused(served, key, **fields)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    (bad,) = details(error)
    (violation,) = bad.field_violations
    assert violation.field == field
    assert says in violation.description
    assert error.details() == f"{field}: {violation.description}"


def test_no_key(served: Served) -> None:
    error = refused(served, None)
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "authentication" in error.details()
    assert refused(served, "").code() == grpc.StatusCode.UNAUTHENTICATED


def test_unknown_and_revoked_keys_get_one_message(served: Served, key: str) -> None:
    revoked, record = KeyStore(served.store).create(DOMAIN)
    with Asked(served.target, revoked) as asked:
        time.sleep(keys_module._UNKNOWN_REFRESH_SECONDS)
        asked.pages()
    KeyStore(served.store).revoke(record.id)
    served.service._keys.forget()
    answers = {
        (error.code(), error.details())
        for error in (
            refused(served, revoked),
            refused(served, revoked[:-1] + ("A" if revoked[-1] != "A" else "B")),
            refused(served, f"pr_{'0' * 12}_{'A' * 43}"),
            refused(served, "anything else"),
            refused(served, f"{key} "),
        )
    }
    assert len(answers) == 1
    assert answers.pop()[0] == grpc.StatusCode.UNAUTHENTICATED


def test_a_key_of_one_domain_reads_no_other(served: Served, key: str) -> None:
    error = refused(served, key, "other.example.com")
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    with Asked(served.target, key, DOMAIN) as asked:
        assert asked.pages(start_date="2025-07-01", end_date="2025-07-05").summary_totals.total_sessions == 1


@pytest.mark.usefixtures("key")
def test_a_key_for_all_domains_must_name_one(served: Served) -> None:
    error = refused(served, served.all_domains_key)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(error)[0].field_violations[0].field == "domain"
    with Asked(served.target, served.all_domains_key, DOMAIN) as asked:
        assert asked.pages(start_date="2025-07-01", end_date="2025-07-05").summary_totals.total_sessions == 1
    with Asked(served.target, served.all_domains_key, "nobody.example.com") as asked:
        assert asked.pages().message == NO_RESULTS


def test_more_requests_than_places_are_told_when_to_come_back(served: Served, key: str) -> None:
    with serving_with(served.store, max_requests=1) as (target, service, _), Asked(target, key) as asked:
        with service.admission.place(), pytest.raises(grpc.RpcError) as caught:
            asked.pages()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details(caught.value)[0].retry_delay.seconds >= 1
        asked.pages()


def test_a_request_whose_turn_does_not_come_is_told_when_to_come_back(served: Served, key: str) -> None:
    with serving_with(served.store) as (target, service, _), Asked(target, key) as asked:
        service.turns = Turns(1, line_seconds=0.01)
        other = service.turns.take("other", 1)
        for ask in (asked.pages, lambda: list(asked.stream())):
            with pytest.raises(grpc.RpcError) as caught:
                ask()
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert details(caught.value)[0].retry_delay.seconds >= 1
        assert service.admission.taken == 0
        other.leave()
        asked.pages()


@pytest.mark.parametrize("memory", [0, None], ids=["streaming", "in memory"])
def test_a_turn_comes_back_however_a_request_ends(
    served: Served, key: str, memory: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An answer that is taken late ends a turn, too: not here.
    monkeypatch.setattr(turns, "_HAND_OVER_SECONDS", 600.0)
    with serving_with(served.store, memory=memory) as (target, service, _), Asked(target, key) as asked:
        service.turns = Turns(1, line_seconds=30)
        for _ in range(3):
            asked.pages()
            list(asked.stream())
            with pytest.raises(grpc.RpcError):
                asked.pages(start_date="no date")
        monkeypatch.setattr(service._answerer, "answer", lambda *_: 1 / 0)
        with pytest.raises(grpc.RpcError) as caught:
            asked.pages()
        assert caught.value.code() == grpc.StatusCode.INTERNAL
        service.turns.take("other", 30).leave()


@pytest.mark.usefixtures("streaming")
def test_a_fault_of_ours_tells_an_id_and_nothing_else(
    served: Served, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pageroles.report.statements.conversions",
        lambda *_: (_ for _ in ()).throw(RuntimeError("SELECT secret FROM host")),
    )
    error = refused(served, key)
    assert error.code() == grpc.StatusCode.INTERNAL
    trailing = dict(error.trailing_metadata())
    with Asked(served.target, key) as asked:
        asked.metadata.append(("x-request-id", "quote-me.1"))
        with pytest.raises(grpc.RpcError) as again:
            asked.pages()
    assert "quote-me.1" in (again.value.details() or "")
    assert trailing["x-request-id"] in error.details()
    assert "secret" not in error.details()
    assert "host" not in error.details()


def _stub(kind: Any, channel: grpc.Channel) -> Any:
    """Create a stub of a package without types."""
    return kind(channel)


def test_health_and_reflection_are_served(served: Served) -> None:
    with grpc.insecure_channel(served.target) as channel:
        for name in ("", "pageroles.v1.PageRolesService"):
            response = _stub(health_pb2_grpc.HealthStub, channel).Check(
                health_pb2.HealthCheckRequest(service=name), timeout=5
            )
            assert response.status == health_pb2.HealthCheckResponse.SERVING
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        stub = _stub(reflection_pb2_grpc.ServerReflectionStub, channel)
        (listed,) = stub.ServerReflectionInfo(iter(asked), timeout=5)
    names = {service.name for service in listed.list_services_response.service}
    assert {"pageroles.v1.PageRolesService", "grpc.health.v1.Health"} <= names


def test_a_new_key_works_at_once_and_a_revoked_one_stops_within_30_seconds(served: Served) -> None:
    """The times are those of the test's own clock."""
    now = [0.0]
    keys = KeyStore(served.store)
    ring = KeyRing(keys, clock=lambda: now[0])
    key, record = keys.create(DOMAIN)
    assert ring.caller(key, None).domain == DOMAIN
    keys.revoke(record.id)
    now[0] = 9.9
    assert ring.caller(key, None).key_id == record.id
    now[0] = 29.9
    with pytest.raises(UnauthenticatedError):
        ring.caller(key, None)
    later, _ = keys.create(DOMAIN)
    now[0] = 31.0
    assert ring.caller(later, None).domain == DOMAIN


def test_unknown_keys_do_not_overload_the_store(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyStore(served.store)
    readings: list[int] = []
    records = keys.list()

    def look() -> list[ApiKey]:
        readings.append(1)
        return records

    monkeypatch.setattr(keys, "list", look)
    ring = KeyRing(keys, clock=lambda: 5.0)
    for number in range(100):
        with pytest.raises(UnauthenticatedError):
            ring.caller(f"pr_{number:012x}_{'A' * 43}", None)
    assert len(readings) == 1


def test_only_hashes_are_stored(served: Served) -> None:
    key, record = KeyStore(served.store).create(DOMAIN)
    secret = key.split("_", 2)[2]
    with served.store._engine.writer() as client:
        stored = client.query("SELECT * FROM api_keys").result_rows
    assert any(record.id in row for row in stored)
    assert secret not in repr(stored)
    assert secret not in repr(record)
