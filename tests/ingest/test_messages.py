"""A session as a message of the contract is the same row as in JSON, and breaks the same rules."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from pageroles.ingest import messages, session
from pageroles.ingest.session import BadRowError, parse_line
from pageroles.v1 import sessions_pb2

AT = Timestamp(seconds=1_751_536_800)  # 2025-07-03T10:00:00Z
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = TEXTS.filter(lambda text: text != "" and text == text.strip())
TIMES = st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)).map(  # noqa: DTZ001 - UTC where there is no offset
    lambda at: at.replace(tzinfo=UTC).isoformat()
)
VIEWS = st.fixed_dictionaries({"url": NAMES, "viewed_at": TIMES})
CONVERSIONS = st.fixed_dictionaries({"url": TEXTS, "type": TEXTS, "id": TEXTS, "occurred_at": TIMES})
SESSIONS = st.fixed_dictionaries(
    {"domain": NAMES, "session_id": NAMES, "user_id": NAMES, "started_at": TIMES},
    optional={
        **dict.fromkeys(("source", "medium", "referrer", "utm_source", "utm_medium", "utm_campaign"), TEXTS),
        **dict.fromkeys(("utm_content", "utm_term"), TEXTS),
        "page_views": st.lists(VIEWS, max_size=4),
        "conversions": st.lists(CONVERSIONS, max_size=3),
        "written_at": TIMES,
    },
)


def made(**more: Any) -> sessions_pb2.Session:
    fields: dict[str, Any] = {"domain": "a.com", "session_id": "s1", "user_id": "u1", "started_at": AT}
    return sessions_pb2.Session(**fields | more)


@given(SESSIONS)
def test_a_row_is_the_same_after_it_was_a_message(given_session: dict[str, Any]) -> None:
    row = parse_line(json.dumps(given_session).encode())
    sent = sessions_pb2.Session.FromString(messages.make(row).SerializeToString())
    assert messages.read(sent) == row


def test_a_message_is_the_row_of_the_same_json() -> None:
    line = {
        "domain": "a.com", "session_id": "s1", "user_id": "u1", "started_at": "2025-07-03T10:00:00Z",
        "utm_source": "mail",
        "page_views": [{"url": "/b", "viewed_at": "2025-07-03T10:00:00.000001002Z"},
                       {"url": "/a", "viewed_at": "2025-07-03T10:00:00.000001001Z"}],
        "conversions": [{"type": "custom", "occurred_at": "2025-07-03T10:00:00Z"}],
        "written_at": "2025-07-04T00:00:00.000001Z",
    }  # fmt: skip
    message = made(
        utm_source="mail",
        page_views=[
            sessions_pb2.PageView(url="/b", viewed_at=Timestamp(seconds=AT.seconds, nanos=1002)),
            sessions_pb2.PageView(url="/a", viewed_at=Timestamp(seconds=AT.seconds, nanos=1001)),
        ],
        conversions=[sessions_pb2.Conversion(type="custom", occurred_at=AT)],
        written_at=Timestamp(seconds=1_751_587_200, nanos=1000),
    )
    row = messages.read(message)
    assert row == parse_line(json.dumps(line).encode())
    assert json.loads(row.line)["page_views.url"] == ["/a", "/b"], "finer digits order the views"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"domain": ""}, "domain must not be empty"),
        ({"session_id": ""}, "session_id must not be empty"),
        ({"user_id": ""}, "user_id must not be empty"),
        ({"domain": " a.com"}, "domain must have no space around it, not ' a.com'"),
        ({"started_at": None}, "started_at is missing; it must lie in the years 1990 to 2099"),
        (
            {"started_at": Timestamp(seconds=1)},
            "started_at must lie in the years 1990 to 2099, not at 1 seconds",
        ),
        ({"started_at": Timestamp(seconds=1 << 62)}, "started_at must lie in the years 1990 to 2099, not at 4,611,686"),
        ({"started_at": Timestamp(seconds=AT.seconds, nanos=-1)}, "started_at must have nanos from 0 to 999,999,999"),
        ({"written_at": Timestamp()}, "written_at is missing"),
        ({"page_views": [sessions_pb2.PageView(viewed_at=AT)]}, "page_views[0].url must not be empty"),
        (
            {"page_views": [sessions_pb2.PageView(url="/", viewed_at=AT), sessions_pb2.PageView(url="/")]},
            "page_views[1].viewed_at is missing",
        ),
        ({"conversions": [sessions_pb2.Conversion(url="/")]}, "conversions[0].occurred_at is missing"),
        ({"user_id": "u\0"}, "user_id must not hold a NUL character"),
        ({"session_id": "é" * 513}, "session_id has 1,026 bytes; at most 1,024 are accepted"),
        ({"referrer": "r" * 8193}, "referrer has 8,193 bytes; at most 8,192 are accepted"),
        (
            {"conversions": [sessions_pb2.Conversion(occurred_at=AT)] * (session.MAX_CONVERSIONS + 1)},
            "conversions has 1,001 entries; at most 1,000 are accepted",
        ),
    ],
)
def test_a_message_that_breaks_a_rule_is_told(more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRowError) as caught:
        messages.read(made(**more))
    assert str(caught.value).startswith(says)
