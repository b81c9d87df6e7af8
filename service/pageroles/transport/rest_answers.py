"""The messages of answers as JSON, piece by piece."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import msgspec

from pageroles import sentences
from pageroles._core import JsonAnswer
from pageroles.transport import rest_schema
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.timestamp_pb2 import Timestamp

_encode = msgspec.json.encode


async def report(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give the JSON of a report."""
    answer = JsonAnswer()
    async for message in messages:
        # At most 1 MiB, a few milliseconds: not worth another thread.
        yield answer.feed(message)
    yield answer.finish()


async def sessions(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give the JSON of the sessions behind a number."""
    opening, follows = True, False
    async for message in messages:
        part = pages_pb2.PageSessionsResponse.FromString(message)
        if opening:
            yield b'{"total":' + _encode(_count(part.total)) + b',"sessions":['
            opening = False
        if part.sessions:
            texts = b",".join(_encode(_session(each)) for each in part.sessions)
            yield b"," + texts if follows else texts
            follows = True
    yield b"]}"


async def days(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give the JSON of the days of a window."""
    answer = pages_pb2.PageDaysResponse.FromString(b"".join([each async for each in messages]))
    yield _encode(rest_schema.PageDays([_day(each) for each in answer.days]))


async def values(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give the JSON of the values of a filter."""
    answer = pages_pb2.FilterValuesResponse.FromString(b"".join([each async for each in messages]))
    listed = [rest_schema.FilterValue(each.value, each.sessions) for each in answer.values]
    yield _encode(rest_schema.FilterValues(listed))


def _count(count: pages_pb2.RoleCount) -> rest_schema.RoleCount:
    return rest_schema.RoleCount(count.sessions, count.users)


def _session(session: pages_pb2.PageSession) -> rest_schema.PageSession:
    conversions = [
        rest_schema.SessionConversion(each.url, each.type, each.id, _instant(each.occurred_at))
        for each in session.conversions
    ]
    return rest_schema.PageSession(
        session.session_id, session.user_id, _instant(session.started_at), list(session.pages), conversions
    )


def _day(day: pages_pb2.PageDay) -> rest_schema.PageDay:
    totals = day.summary_totals
    # A column of each totals message has the same name here.
    shown: Any = {name: getattr(totals, name) for name in rest_schema.SummaryTotals.__struct_fields__}
    answer = rest_schema.PageDay(day.date, rest_schema.SummaryTotals(**shown))
    if day.HasField("roles"):
        roles = (_count(getattr(day.roles, name)) for name in rest_schema.PageRoles.__struct_fields__)
        answer.roles = rest_schema.PageRoles(*roles)
        answer.landing = _count(day.landing)
    return answer


def _instant(at: Timestamp) -> str:
    return sentences.instant(at.ToDatetime(UTC))
