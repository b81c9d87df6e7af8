"""Asks a server, as `pageroles report` and the demo do, and gives the answer in the public REST shape."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

import grpc

from pageroles.v1 import pages_pb2, pages_pb2_grpc

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

CONVERSION_ROLES = ("conversion", "conversion_assist", "landing_assisted_conversion")
DROP_OFF_ROLES = ("drop_off", "drop_off_assist", "landing_assisted_drop_off")


class Answer(TypedDict, total=False):
    """The public shape of an answer: either `message`, or all the rest."""

    time_frame: dict[str, str]
    summary_totals: dict[str, int]
    conversion_performance: list[dict[str, object]]
    drop_off_performance: list[dict[str, object]]
    message: str


def ask(
    target: str,
    key: str,
    request: pages_pb2.PagesRequest,
    *,
    domain: str | None = None,
    seconds: float | None = None,
) -> Answer:
    """Ask a server for a report of any size.

    Args:
        target: The server, `host:port`.
        key: The API key.
        request: The question.
        domain: The domain to read; with a key for all domains only.
        seconds: How long to wait; None: as long as the server works on it.

    Raises:
        grpc.RpcError: What the server refused, or that it can't be reached.
    """
    metadata = [("authentication", key)] + ([("domain", domain)] if domain else [])
    with grpc.insecure_channel(target) as channel:
        stub = pages_pb2_grpc.PageRolesServiceStub(channel)  # type: ignore[no-untyped-call]
        whole = pages_pb2.PagesResponse()
        for message in stub.StreamPages(request, metadata=metadata, timeout=seconds):
            whole.MergeFrom(message)
    return to_answer(whole)


def to_answer(response: pages_pb2.PagesResponse) -> Answer:
    """Return a response in the public shape."""
    if response.message:
        return {"message": response.message}
    totals = response.summary_totals
    return {
        "time_frame": {"start": _shown(response.time_frame.start), "end": _shown(response.time_frame.end)},
        "summary_totals": {
            "total_sessions": totals.total_sessions,
            "total_users": totals.total_users,
            "total_conversion_events": totals.total_conversion_events,
            "total_conversion_users": totals.total_conversion_users,
        },
        "conversion_performance": [_row(page, CONVERSION_ROLES) for page in response.conversion_performance],
        "drop_off_performance": [_row(page, DROP_OFF_ROLES) for page in response.drop_off_performance],
    }


def _row(page: pages_pb2.ConversionPage | pages_pb2.DropOffPage, roles: tuple[str, ...]) -> dict[str, object]:
    counts = {role: getattr(page, role) for role in roles}
    return {"url": page.url} | {
        role: {"sessions": count.sessions, "users": count.users} for role, count in counts.items()
    }


def _shown(instant: Timestamp) -> str:
    """Return an instant as `2025-07-01T00:00:00Z`, with milliseconds where it has any."""
    moment = datetime(1970, 1, 1) + timedelta(seconds=instant.seconds, microseconds=instant.nanos // 1000)  # noqa: DTZ001
    return moment.isoformat(timespec="milliseconds" if instant.nanos else "seconds") + "Z"
