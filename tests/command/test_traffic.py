"""Made-up traffic can be loaded and repeated, lies in its span, and looks like real traffic."""

from __future__ import annotations

import collections
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from pageroles.command import traffic
from pageroles.ingest.session import parse_line

END = datetime(2025, 7, 31, 15, 20, 30, 123_000, tzinfo=UTC)
DAYS = 45
COUNT = 20_000


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return b"".join(traffic.sessions(COUNT, seed=1, end=END, days=DAYS)).splitlines()


@pytest.fixture(scope="module")
def sessions(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def visitors(sessions: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    by_user: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for session in sessions:
        by_user[session["user_id"]].append(session)
    return list(by_user.values())


def events(session: dict[str, Any]) -> list[str]:
    viewed = [view["viewed_at"] for view in session["page_views"]]
    return viewed + [conversion["occurred_at"] for conversion in session["conversions"]]


def share(sessions: list[dict[str, Any]], what: str = "conversions") -> float:
    return sum(bool(session[what]) for session in sessions) / len(sessions)


def test_every_line_is_a_good_row(lines: list[bytes]) -> None:
    assert len({parse_line(line).key for line in lines}) == len(lines) == COUNT


def test_a_seed_gives_the_same_bytes() -> None:
    def generated(count: int, seed: int) -> list[bytes]:
        return list(traffic.sessions(count, seed=seed, end=END, days=DAYS))

    assert generated(2_500, 7) == generated(2_500, 7)
    assert b"".join(generated(3_000, 7)).startswith(b"".join(generated(2_500, 7)))
    assert generated(100, 7) != generated(100, 8)


def test_chunks_are_whole_lines() -> None:
    chunks = list(traffic.sessions(2_500, seed=1, end=END, days=DAYS))
    assert [chunk.count(b"\n") for chunk in chunks] == [1_000, 1_000, 500]
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert list(traffic.sessions(0, seed=1, end=END, days=DAYS)) == []


@pytest.mark.parametrize("days", [1, 2, 45, 400])
def test_everything_lies_in_the_span(days: int) -> None:
    first = (END - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.123Z")
    last = END.strftime("%Y-%m-%dT%H:%M:%S.123Z")
    text = b"".join(traffic.sessions(3_000, seed=2, end=END, days=days))
    for session in map(json.loads, text.splitlines()):
        assert first <= session["started_at"] == session["page_views"][0]["viewed_at"]
        assert max(events(session)) <= last


def test_a_span_of_no_day_is_refused() -> None:
    with pytest.raises(ValueError, match="days must be at least 1, not 0"):
        next(traffic.sessions(1, seed=1, end=END, days=0))


def test_the_sessions_of_a_visitor_follow_each_other(visitors: list[list[dict[str, Any]]]) -> None:
    for journey in visitors:
        assert len({session["domain"] for session in journey}) == 1
        for before, after in itertools.pairwise(journey):
            assert max(events(before)) < after["started_at"]
    for session in itertools.chain.from_iterable(visitors):
        viewed = [view["viewed_at"] for view in session["page_views"]]
        assert viewed == sorted(viewed)


def test_domains_have_their_own_pages(sessions: list[dict[str, Any]]) -> None:
    domains = collections.Counter(session["domain"] for session in sessions)
    assert set(domains) == {site.domain for site in traffic.SITES}
    assert min(domains.values()) > COUNT / 10
    for session in sessions:
        for view in session["page_views"]:
            assert urlsplit(view["url"]).netloc == session["domain"]


def test_visits_end_early_or_go_deep(sessions: list[dict[str, Any]]) -> None:
    depths = [len(session["page_views"]) for session in sessions]
    assert 0.3 < depths.count(1) / COUNT < 0.6
    assert 2.5 < sum(depths) / COUNT < 4.5
    assert max(depths) > 15


def test_visitors_return_and_convert_the_more_often_the_longer_they_know_the_site(
    visitors: list[list[dict[str, Any]]],
) -> None:
    returning = [journey for journey in visitors if len(journey) > 1]
    assert 0.3 < len(returning) / len(visitors) < 0.6
    first = share([journey[0] for journey in visitors])
    second = share([journey[1] for journey in returning])
    later = share(list(itertools.chain.from_iterable(journey[2:] for journey in returning)))
    assert 0.01 < first < second < later < 0.25
    spans = [
        datetime.fromisoformat(journey[-1]["started_at"]) - datetime.fromisoformat(journey[0]["started_at"])
        for journey in returning
    ]
    assert sum(span > timedelta(days=7) for span in spans) > len(returning) / 10
    after = [journey for journey in visitors if any(session["conversions"] for session in journey[:-1])]
    assert len(after) > 100


def test_conversions_are_of_several_types_and_some_lack_url_or_id(sessions: list[dict[str, Any]]) -> None:
    conversions = [conversion for session in sessions for conversion in session["conversions"]]
    assert {conversion["type"] for conversion in conversions} == {"hubspot_form", "html_form", "custom"}
    assert len({conversion["id"] for conversion in conversions}) > 5
    for name in ("url", "id"):
        assert 0.01 < sum(not conversion[name] for conversion in conversions) / len(conversions) < 0.12


def test_traffic_comes_on_many_ways(sessions: list[dict[str, Any]]) -> None:
    with_utm = [session for session in sessions if session.get("utm_campaign")]
    assert 0.1 < len(with_utm) / COUNT < 0.5
    for session in with_utm:
        assert f"utm_campaign={session['utm_campaign']}" in session["page_views"][0]["url"]
    assert any("referrer" in session and "source" not in session for session in sessions)
    assert any(not {"referrer", "source", "utm_source"} & set(session) for session in sessions)
    urls = [view["url"] for session in sessions for view in session["page_views"]]
    assert any("#" in url for url in urls)
    assert any(url.endswith("/") for url in urls)


def test_days_and_hours_have_their_shape() -> None:
    text = b"".join(traffic.sessions(20_000, seed=3, end=datetime(2025, 6, 30, tzinfo=UTC), days=28))
    starts = [datetime.fromisoformat(json.loads(line)["started_at"]) for line in text.splitlines()]
    weekend = sum(start.weekday() >= 5 for start in starts) / len(starts)
    night = sum(start.hour < 6 for start in starts) / len(starts)
    assert 0.12 < weekend < 0.26
    assert night < 0.1
