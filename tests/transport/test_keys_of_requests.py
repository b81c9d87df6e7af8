"""A key may come in two headers, over REST, gRPC and the gateway; two that differ are refused."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import msgspec
import pytest

from support.wire import Asked, details
from support.worked import DOMAIN

if TYPE_CHECKING:
    from support.served import Served

UNKNOWN_KEY = f"pr_{'0' * 12}_{'A' * 43}"
# Headers in which {key} works, and those with two keys that differ.
ONE = [
    [("authentication", "{key}")],
    [("authorization", "Bearer {key}")],
    [("authorization", "bearer {key}")],
    [("authorization", "BEARER  {key}")],
    [("authorization", "Bearer {key}"), ("authentication", "{key}")],
    [("authentication", "{key}"), ("authentication", "{key}")],
    [("authorization", "Bearer {key}"), ("authorization", "Bearer {key}")],
    [("authorization", "Basic {unknown}"), ("authentication", "{key}")],
    [("authorization", "Bearer"), ("authentication", "{key}")],
    [("authorization", "{unknown}"), ("authentication", "{key}")],
    [("authentication", ""), ("authorization", "Bearer {key}")],
    [("authorization", "Digest x"), ("authorization", "Bearer {key}")],
]
NONE = [
    [],
    [("authentication", "")],
    [("authorization", "Bearer")],
    [("authorization", "Basic {key}")],
    [("authorization", "{key}")],
    [("authorization", "Bearer{key}")],
    [("authorization", "Basic Bearer {key}")],
]
TWO = [
    [("authentication", "{key}"), ("authorization", "Bearer {unknown}")],
    [("authentication", "{unknown}"), ("authorization", "Bearer {key}")],
    [("authentication", "{key}"), ("authentication", "{unknown}")],
    [("authentication", "{unknown}"), ("authentication", "{key}")],
    [("authorization", "Bearer {key}"), ("authorization", "Bearer {unknown}")],
    [("authentication", "{key}"), ("authentication", "{key}"), ("authentication", "{unknown}")],
]
CASES = [(pairs, outcome) for outcome, cases in (("ok", ONE), ("none", NONE), ("two", TWO)) for pairs in cases]


def filled(pairs: list[tuple[str, str]], key: str) -> list[tuple[str, str]]:
    return [(name, value.format(key=key, unknown=UNKNOWN_KEY)) for name, value in pairs]


def post(rest: str, pairs: list[tuple[str, str]]) -> tuple[int, dict[str, str], dict[str, str]]:
    """Send headers, of which a name may stand several times."""
    parts = urlsplit(rest)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.putrequest("POST", "/api/v1/pages")
        for name, value in pairs:
            connection.putheader(name, value)
        connection.putheader("content-length", "0")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, msgspec.json.decode(response.read()), {k.lower(): v for k, v in response.getheaders()}
    finally:
        connection.close()


@pytest.mark.parametrize(("pairs", "outcome"), CASES)
def test_over_rest(rest: str, key: str, pairs: list[tuple[str, str]], outcome: str) -> None:
    status, body, headers = post(rest, filled(pairs, key))
    if outcome == "ok":
        assert (status, set(body)) == (200, {"message"})
    elif outcome == "none":
        assert (status, body["code"], headers["www-authenticate"]) == (401, "unauthenticated", "Bearer")
        assert body["error"] == "no API key: send it in the header `Authentication`"
    else:
        assert (status, body["code"], body["field"]) == (400, "invalid_argument", "authentication")
        assert "two keys that differ; send one, in the header `Authentication`" in body["error"]
        assert key not in str(body)


@pytest.mark.parametrize(("pairs", "outcome"), CASES)
def test_over_grpc(served: Served, key: str, pairs: list[tuple[str, str]], outcome: str) -> None:
    with Asked(served.target, None) as asked:
        asked.metadata += filled(pairs, key)
        if outcome == "ok":
            assert asked.pages().message
            return
        with pytest.raises(grpc.RpcError) as caught:
            asked.pages()
    if outcome == "none":
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    else:
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert details(caught.value)[0].field_violations[0].field == "authentication"
        assert "two keys that differ; send one, in metadata `authentication`" in (caught.value.details() or "")


@pytest.mark.parametrize("second", [DOMAIN, "other.example.com"])
def test_a_domain_that_is_named_twice_is_one(rest: str, served: Served, key: str, second: str) -> None:
    named = [("authentication", key), ("domain", DOMAIN), ("domain", second)]
    status, body, _ = post(rest, named)
    with Asked(served.target, None) as asked:
        asked.metadata += named
        if second == DOMAIN:
            assert status == 200
            assert asked.pages().message
            return
        with pytest.raises(grpc.RpcError) as caught:
            asked.pages()
    assert (status, body["field"]) == (400, "domain")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_first_of_two_request_ids_holds(rest: str, served: Served) -> None:
    ids = [("x-request-id", "first-1"), ("x-request-id", "second-2")]
    assert post(rest, ids)[2]["x-request-id"] == "first-1"
    with Asked(served.target, None) as asked:
        asked.metadata += ids
        with pytest.raises(grpc.RpcError) as caught:
            asked.pages()
    trailing: Any = caught.value.trailing_metadata()
    assert dict(trailing)["x-request-id"] == "first-1"
