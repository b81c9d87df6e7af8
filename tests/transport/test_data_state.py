"""Answers say what they were made from, and an answer that a caller has is not sent again."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from pageroles.access.quotas import QuotaStore
from pageroles.report import plan
from pageroles.report.data_state import DataState
from pageroles.report.residents import Residents
from pageroles.transport import headers
from pageroles.v1 import pages_pb2, pages_pb2_grpc
from support import worked

if TYPE_CHECKING:
    from support.served import Served

JULY = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
DATA = JULY | {"include": "data"}
_numbers = itertools.count()


@pytest.fixture
def domain(served: Served) -> str:
    """A domain of one test alone, with the sessions of the worked case."""
    name = f"data-{next(_numbers)}.example.com"
    served.insert(worked.rows().replace(worked.DOMAIN.encode(), name.encode()))
    return name


@pytest.fixture
def its_key(served: Served, domain: str) -> str:
    return served.key(domain)


@pytest.fixture(params=["in memory", "streamed"])
def _made_from(request: pytest.FixtureRequest) -> None:
    if request.param == "streamed":
        request.getfixturevalue("streaming")


def get(rest: str, key: str, question: dict[str, Any], **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Authentication": key, "Accept-Encoding": "identity"} | named
    return requests.get(f"{rest}/api/v1/pages", params=question, headers=sent, timeout=30)


def instant(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


@given(st.integers(0, 10**9), st.one_of(st.just(0), st.integers(0, 999_999)))
def test_an_instant_is_written_in_one_form(second: int, microsecond: int) -> None:
    state = DataState("a-1", datetime.fromtimestamp(second, UTC).replace(microsecond=microsecond))
    answer: Any = SimpleNamespace(state=state)
    told = dict(headers.told(None, answer, with_tag=False))
    assert told["x-complete-through"] == state.message().complete_through.ToJsonString()


def one_more(served: Served, domain: str, name: str) -> None:
    row = {"domain": domain, "session_id": name, "user_id": name, "started_at": "2025-07-05 10:00:00.000"}
    served.insert(json.dumps(row).encode())


@pytest.mark.usefixtures("_made_from")
def test_equal_versions_mean_equal_bytes_and_a_write_ends_them(
    rest: str, served: Served, domain: str, its_key: str
) -> None:
    first, again = get(rest, its_key, DATA), get(rest, its_key, DATA)
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert first.headers["etag"] == again.headers["etag"]
    data = first.json()["data"]
    assert data == {
        "version": first.headers["x-data-version"], "complete_through": first.headers["x-complete-through"],
    }  # fmt: skip
    before = datetime.now(UTC)
    assert instant(data["complete_through"]) <= before
    one_more(served, domain, "one more")
    acknowledged = datetime.now(UTC)
    time.sleep(0.002)  # the instant of an answer is in whole milliseconds
    later = get(rest, its_key, DATA)
    assert later.json()["summary_totals"]["total_sessions"] == first.json()["summary_totals"]["total_sessions"] + 1
    assert later.headers["x-data-version"] != first.headers["x-data-version"]
    assert later.headers["etag"] != first.headers["etag"]
    # So a writer who waits for its instant is never left waiting.
    assert instant(later.headers["x-complete-through"]) >= acknowledged.replace(
        microsecond=acknowledged.microsecond // 1000 * 1000
    )


def test_others_writes_leave_the_version_of_a_domain_in_memory(rest: str, served: Served, its_key: str) -> None:
    def stays() -> bool:
        first = get(rest, its_key, DATA)
        one_more(served, f"other-{next(_numbers)}.example.com", "s1")
        return get(rest, its_key, DATA).content == first.content

    # The engine may merge the other's part with the domain's own just then, which is read again for that.
    assert any(stays() for _ in range(5))


@pytest.mark.usefixtures("_made_from")
def test_an_answer_that_the_caller_has_is_not_sent_again(rest: str, served: Served, domain: str, its_key: str) -> None:
    QuotaStore(served.store).set(domain, 100)
    served.service._quotas._limits.forget()
    first = get(rest, its_key, JULY)
    assert (first.headers["cache-control"], first.headers["x-ratelimit-used"]) == ("private, no-cache", "1")
    assert "Authentication" in first.headers["vary"]
    tag = first.headers["etag"]
    for has in (tag, f'"another", {tag}', f"W/{tag}", "*"):
        known = get(rest, its_key, JULY, If_None_Match=has)
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag), has
        assert known.headers["x-data-version"] == first.headers["x-data-version"]
    # None of them was counted.
    other = get(rest, its_key, JULY | {"limit": "1"}, If_None_Match=tag)
    assert (other.status_code, other.headers["x-ratelimit-used"]) == (200, "2")
    assert other.headers["etag"] != tag
    one_more(served, domain, "one more")
    changed = get(rest, its_key, JULY, If_None_Match=tag)
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)


def test_a_post_has_a_tag_and_is_always_answered(rest: str, its_key: str) -> None:
    got = get(rest, its_key, JULY)
    posted = requests.post(
        f"{rest}/api/v1/pages", json=JULY, timeout=30,
        headers={"Authentication": its_key, "If-None-Match": got.headers["etag"], "Accept-Encoding": "identity"},
    )  # fmt: skip
    assert (posted.status_code, posted.headers["etag"]) == (200, got.headers["etag"])
    assert (posted.content, posted.headers["cache-control"]) == (got.content, "no-store")


def test_each_encoding_has_a_tag_of_its_own(rest: str, served: Served, its_key: str, domain: str) -> None:
    views = [{"url": f"/page-{number}", "viewed_at": "2025-07-05 10:00:00.000"} for number in range(60)]
    rows = [
        {
            "domain": domain, "session_id": f"long {number}", "user_id": "u", "started_at": "2025-07-05 10:00:00.000",
            "page_views.url": [view["url"]], "page_views.viewed_at": [view["viewed_at"]],
        }
        for number, view in enumerate(views)
    ]  # fmt: skip
    served.insert("".join(json.dumps(row) + "\n" for row in rows).encode())
    plain = get(rest, its_key, JULY)
    pool = urllib3.PoolManager()
    url = f"{rest}/api/v1/pages?start_date=2025-07-01&end_date=2025-07-31"
    packed = pool.request(
        "GET", url, headers={"Authentication": its_key, "Accept-Encoding": "gzip"}, decode_content=False
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.content
    assert packed.headers["etag"] == plain.headers["etag"][:-1] + '-gzip"'
    # A cache takes a 304 for what it has under the very tag.
    for tag in (packed.headers["etag"], plain.headers["etag"]):
        known = get(rest, its_key, JULY, If_None_Match=tag)
        assert (known.status_code, known.headers["etag"]) == (304, tag)
    for refused in ("gzip;q=0", "identity, gzip; q=0.0", "deflate"):
        unpacked = get(rest, its_key, JULY, Accept_Encoding=refused)
        assert (unpacked.headers.get("content-encoding"), unpacked.headers["etag"]) == (None, plain.headers["etag"])
    assert get(rest, its_key, JULY, Accept_Encoding="gzip;q=0.5").headers["content-encoding"] == "gzip"


def test_a_caller_may_have_many_answers(rest: str, its_key: str) -> None:
    tag = get(rest, its_key, JULY).headers["etag"]
    others = [f'"{number:032x}"' for number in range(390)]
    assert get(rest, its_key, JULY, If_None_Match=", ".join(others)).status_code == 200
    assert get(rest, its_key, JULY, If_None_Match=", ".join([tag, *others])).status_code == 304


def test_a_window_that_ends_with_now_is_another_question_each_second(rest: str, its_key: str) -> None:
    first = get(rest, its_key, {})
    time.sleep(1.1)
    later = get(rest, its_key, {}, If_None_Match=first.headers["etag"])
    assert (later.status_code, later.headers["etag"] != first.headers["etag"]) == (200, True)
    assert later.headers["x-data-version"] == first.headers["x-data-version"]


def test_grpc_tells_it_in_metadata_and_where_asked_in_the_answer(served: Served, its_key: str) -> None:
    july = {"start_date": "2025-07-01", "end_date": "2025-07-31"}
    question = pages_pb2.PagesRequest(
        start_date=july["start_date"], end_date=july["end_date"], include=[pages_pb2.INCLUDE_DATA]
    )
    with grpc.insecure_channel(served.target) as channel:
        stub: Any = pages_pb2_grpc.PageRolesServiceStub(channel)  # type: ignore[no-untyped-call]
        whole, call = stub.Pages.with_call(question, metadata=(("authentication", its_key),), timeout=30)
        stream = stub.StreamPages(question, metadata=(("authentication", its_key),), timeout=30)
        first, *rest = list(stream)
        bare = stub.Pages(
            pages_pb2.PagesRequest(start_date=july["start_date"], end_date=july["end_date"]),
            metadata=(("authentication", its_key),),
            timeout=30,
        )
    metadata = {each.key: each.value for each in call.initial_metadata()}
    assert whole.data.version == metadata["x-data-version"]
    assert whole.data.complete_through.ToJsonString() == metadata["x-complete-through"]
    assert first.data == whole.data
    assert not any(message.HasField("data") for message in rest)
    assert not bare.HasField("data")


def test_hints_that_are_left_out_have_a_version_of_their_own(
    rest: str, served: Served, domain: str, its_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"domain": domain, "session_id": "s", "user_id": "u", "started_at": "2025-07-05 10:00:00.000"}
    served.insert(json.dumps(row | {"utm_term": "Shoes"}).encode())
    asked = JULY | {"include": "hints,data", "term": "shoes"}
    with monkeypatch.context() as patched:
        # As a large domain that is not in memory.
        patched.setattr(Residents, "fresh", lambda *_: None)
        patched.setattr(plan, "SMALL_ROWS", 0)
        few = get(rest, its_key, asked)
    all_of_them = get(rest, its_key, asked)
    assert "hints" not in few.json()
    assert [hint["value"] for hint in all_of_them.json()["hints"]] == ["Shoes"]
    assert few.headers["x-data-version"] != all_of_them.headers["x-data-version"]
    assert get(rest, its_key, asked, If_None_Match=few.headers["etag"]).status_code == 200


def test_an_empty_answer_says_it_too(rest: str, its_key: str) -> None:
    empty = get(rest, its_key, DATA | {"source": "nothing"})
    assert set(empty.json()) == {"message", "data"}
    assert get(rest, its_key, DATA | {"source": "nothing"}, If_None_Match=empty.headers["etag"]).status_code == 304
