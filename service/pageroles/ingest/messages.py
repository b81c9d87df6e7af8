"""Sessions as messages of the contract: read as rows of the store, and made from rows.

The rules are those of `session.py`, whichever way a session comes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from pageroles.ingest.session import (
    FIRST_YEAR,
    LAST_YEAR,
    MAX_ID_BYTES,
    NUL,
    YEARS,
    BadRowError,
    StoredSession,
    TimeForm,
    check_strings,
    in_utc,
    to_row,
)
from pageroles.v1 import sessions_pb2

if TYPE_CHECKING:
    from pageroles.ingest.session import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
_END_SECOND = int(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp())
_SECOND_NANOS = 1_000_000_000
_DAY_SECONDS = 86_400

_stored = msgspec.json.Decoder(StoredSession).decode


def read(message: sessions_pb2.Session) -> Row:
    """Check a session, and turn it into the store's form.

    Raises:
        BadRowError: It breaks a rule.
    """
    if not (message.domain and message.session_id and message.user_id):
        empty = next(name for name in ("domain", "session_id", "user_id") if not getattr(message, name))
        raise BadRowError(f"{empty} must not be empty")
    urls = [view.url for view in message.page_views]
    if not all(urls):
        raise BadRowError(f"page_views[{urls.index('')}].url must not be empty")
    row = to_row(message, _TIMESTAMPS, message.written_at if message.HasField("written_at") else None)
    # No string is longer than the row, so most rows need no look at each string.
    if len(row.line) > MAX_ID_BYTES or NUL in row.line:
        check_strings(message)
    return row


def make(row: Row) -> sessions_pb2.Session:
    """Return the message of a session that was checked; read again, it gives the same row."""
    stored = _stored(row.line)
    message = sessions_pb2.Session(
        domain=stored.domain,
        session_id=stored.session_id,
        user_id=stored.user_id,
        started_at=_timestamp(stored.started_at),
        source=stored.source,
        medium=stored.medium,
        referrer=stored.referrer,
        utm_source=stored.utm_source,
        utm_medium=stored.utm_medium,
        utm_campaign=stored.utm_campaign,
        utm_content=stored.utm_content,
        utm_term=stored.utm_term,
        page_views=[
            sessions_pb2.PageView(url=url, viewed_at=_timestamp(at))
            for url, at in zip(stored.page_urls, stored.viewed_at, strict=True)
        ],
        conversions=[
            sessions_pb2.Conversion(url=url, type=kind, id=name, occurred_at=_timestamp(at))
            for url, kind, name, at in zip(
                stored.conversion_urls,
                stored.conversion_types,
                stored.conversion_ids,
                stored.occurred_at,
                strict=True,
            )
        ],
    )
    if row.written_at is not None:
        message.written_at.CopyFrom(_timestamp(row.written_at))
    return message


def _instant(timestamp: Timestamp) -> datetime:
    """Return the time of a Timestamp in UTC, cut to microseconds."""
    seconds, nanos = timestamp.seconds, timestamp.nanos
    if not _FIRST_SECOND <= seconds < _END_SECOND:
        if not (seconds or nanos):
            raise ValueError(f"is missing; it {YEARS}")
        raise ValueError(f"{YEARS}, not at {seconds:,} seconds since 1970")
    if not nanos:
        return datetime.fromtimestamp(seconds, UTC)
    if not 0 < nanos < _SECOND_NANOS:
        raise ValueError(f"must have nanos from 0 to {_SECOND_NANOS - 1:,}, not {nanos:,}")
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000)


def _beyond_microseconds(timestamp: Timestamp) -> int:
    return timestamp.nanos % 1000


_TIMESTAMPS = TimeForm(_instant, lambda timestamp: timestamp.nanos % 1000 > 0, _beyond_microseconds)


def _timestamp(instant: datetime) -> Timestamp:
    since = in_utc(instant) - _EPOCH
    return Timestamp(seconds=since.days * _DAY_SECONDS + since.seconds, nanos=since.microseconds * 1000)
