"""A domain is named as UTF-8 or in its ASCII form, over each transport, and finds the sessions of either spelling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from pageroles.access.domains import other_spelling
from pageroles.access.quotas import QuotaStore
from pageroles.v1 import pages_pb2, pages_pb2_grpc
from support.wire import details

if TYPE_CHECKING:
    from support.served import Served

PATIENCE = 60
JULY: dict[str, Any] = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
# Each pair: the letters, the ASCII form, and which of them are stored.
LETTERS, ASCII = "münchen.example", "xn--mnchen-3ya.example"
STORED = {
    "letters": ("münchen.example", "xn--mnchen-3ya.example"),
    "ascii": ("пример.example", "xn--e1afmkfd.example"),
    "both": ("straße.例え.example", "xn--strae-oqa.xn--r8jz45g.example"),
}
# What is no name: no UTF-8, and control characters where the transport lets them pass.
NO_NAMES = [b"caf\xe9.example", b"\xff", b"a\xc2\x85b.example", b"tab\there.example"]
SAYS = "not UTF-8, or has control characters; give the domain in UTF-8 or in its ASCII form"


@pytest.fixture(scope="module")
def stored(served: Served) -> Served:
    """Sessions of each pair: one of the letters, two of the ASCII form."""
    for case, (letters, ascii_form) in STORED.items():
        sessions = {letters: 1} if case != "ascii" else {}
        sessions |= {ascii_form: 2} if case != "letters" else {}
        rows = [
            {"domain": domain, "session_id": f"s{number}", "user_id": "u", "started_at": "2025-07-03T10:00:00Z"}
            for domain, count in sessions.items()
            for number in range(count)
        ]
        served.insert("\n".join(map(json.dumps, rows)).encode())
    return served


def over_rest(rest: str, key: str, domain: bytes) -> tuple[int, Any]:
    response = requests.post(
        f"{rest}/api/v1/pages", json=JULY, headers={"Authentication": key, "Domain": domain}, timeout=PATIENCE
    )
    return response.status_code, response.json()


def over_grpc(target: str, *metadata: tuple[str, str | bytes]) -> int:
    """Ask; give the number of sessions."""
    with grpc.insecure_channel(target) as channel:
        stub: Any = pages_pb2_grpc.PageRolesServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = stub.Pages(pages_pb2.PagesRequest(**JULY), metadata=metadata, timeout=PATIENCE)
    return int(answer.summary_totals.total_sessions)


def expected(case: str, given_as: str) -> int:
    """Return what is stored under the name as it is given, or else under the other one."""
    return {"letters": 1, "ascii": 2, "both": 1 if given_as == "letters" else 2}[case]


@pytest.mark.parametrize("case", STORED)
@pytest.mark.parametrize("given_as", ["letters", "ascii"])
def test_either_spelling_finds_the_sessions(stored: Served, rest: str, case: str, given_as: str) -> None:
    domain = STORED[case][given_as == "ascii"]
    key, count = stored.all_domains_key, expected(case, given_as)
    status, body = over_rest(rest, key, domain.encode())
    assert status == 200, body
    assert body["summary_totals"]["total_sessions"] == count
    places: list[tuple[str, str | bytes]] = [("domain-bin", domain.encode())]
    places += [("domain", domain)] if domain.isascii() else []
    for place in places:
        assert over_grpc(stored.target, ("authentication", key), place) == count
    assert over_grpc(stored.target, ("authentication", key), *places) == count, "two places may say the same"
    assert reported(stored, key, domain) == (0, count)


def reported(served: Served, key: str, domain: str | bytes) -> tuple[int, Any]:
    """Run `pageroles report`; give its exit code, and the number of sessions or what it says."""
    command = Path(sys.executable).with_name("pageroles")
    options = ["--target", served.target, "--key", key, "--start-date", JULY["start_date"], "--end-date", "2025-07-31"]
    done = subprocess.run(
        [command, "report", *options, "--json", "--domain", domain], env={**os.environ, "COLUMNS": "200"},
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    if done.returncode:
        return done.returncode, done.stderr.decode()
    return 0, json.loads(done.stdout)["summary_totals"]["total_sessions"]


def test_a_key_for_one_domain_may_name_it_in_either_spelling(stored: Served, rest: str) -> None:
    for domain in (LETTERS, ASCII):
        assert over_rest(rest, stored.key(LETTERS), domain.encode())[0] == 200
        assert over_rest(rest, stored.key(ASCII), domain.encode())[0] == 200
        assert over_rest(rest, stored.key("munchen.example"), domain.encode())[0] == 403
        assert over_grpc(stored.target, ("authentication", stored.key(LETTERS)), ("domain-bin", domain.encode())) == 1


def test_a_quota_holds_for_either_spelling(stored: Served, rest: str) -> None:
    QuotaStore(stored.store).set(STORED["ascii"][1], 0)
    stored.service._quotas._limits.forget()
    try:
        for domain in STORED["ascii"]:
            status, body = over_rest(rest, stored.all_domains_key, domain.encode())
            assert (status, body["domain"]) == (429, STORED["ascii"][1])
    finally:
        QuotaStore(stored.store).set(STORED["ascii"][1], None)
        stored.service._quotas._limits.forget()


@pytest.mark.parametrize("domain", NO_NAMES)
def test_what_is_no_name_is_refused(stored: Served, rest: str, domain: bytes) -> None:
    status, body = over_rest(rest, stored.all_domains_key, domain)
    assert (status, body["field"]) == (400, "domain")
    assert body["error"].startswith("domain: the header `Domain` is ")
    assert SAYS in body["error"]
    with pytest.raises(grpc.RpcError) as caught:
        over_grpc(stored.target, ("authentication", stored.all_domains_key), ("domain-bin", domain))
    call: Any = caught.value
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert call.details().startswith("domain: metadata `domain` is ")
    assert details(caught.value)[0].field_violations[0].field == "domain"
    code, says = reported(stored, stored.all_domains_key, domain)
    assert (code, "INVALID_ARGUMENT" in says, SAYS in says) == (1, True, True)


def test_two_names_are_refused(stored: Served) -> None:
    with pytest.raises(grpc.RpcError, match="names two domains"):
        over_grpc(
            stored.target, ("authentication", stored.all_domains_key), ("domain", "a.example"), ("domain-bin", b"b")
        )


def test_a_key_of_other_letters_is_unknown(stored: Served, rest: str) -> None:
    for key in ("clé", "ключ", "\x80"):
        assert over_rest(rest, key.encode().decode("latin-1"), b"")[0] == 401
        code, says = reported(stored, key, "a.example")
        assert (code, says.partition(":")[0]) == (1, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "domain",
    ["example.com", "xn--", "xn--.example", "xn--abc-.example", "xn--99999999.example", "xn--a b.example", "..", "",
     f"xn--{'9' * 59}.example", "ü" * 64, "XN--MNCHEN-3YA.example"],
)  # fmt: skip
def test_other_names_have_one_spelling(domain: str) -> None:
    assert other_spelling(domain) is None


LABELS = st.text(st.characters(codec="utf-8", exclude_characters="."), max_size=70) | st.from_regex(
    r"xn--[a-z0-9-]{0,62}", fullmatch=True
)


@given(st.lists(LABELS, min_size=1, max_size=4).map(".".join))
def test_each_spelling_is_the_other_one_of_the_other(domain: str) -> None:
    other = other_spelling(domain)
    if other is not None:
        assert other.encode() != domain.encode()
        if domain.isascii() or "xn--" not in domain:
            assert other_spelling(other) == domain
        else:
            assert other.isascii(), "in both spellings at once: all of it in ASCII"
