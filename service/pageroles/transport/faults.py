"""PagerolesError ↔ gRPC status with details: the one place where faults meet the wire."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from pageroles.errors import InvalidArgumentError, OverloadedError, PagerolesError, QuotaExceededError
from pageroles.question.model import QuotaState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

# Metadata that a caller may send, and that every answer carries.
REQUEST_ID = "x-request-id"


@dataclasses.dataclass(frozen=True)
class _Status(grpc.Status):
    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def quota_metadata(quota: QuotaState | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata that tell a domain's quota; REST sends them as headers."""
    if quota is None:
        return ()
    return (
        ("x-ratelimit-limit", str(quota.limit)),
        ("x-ratelimit-used", str(quota.used)),
        ("x-ratelimit-remaining", str(quota.remaining)),
        ("x-ratelimit-reset", str(math.ceil(quota.resets_at.timestamp()))),
    )


def quota_part(metadata: Iterable[tuple[str, object]]) -> tuple[tuple[str, str], ...]:
    """Return those of some metadata that tell a domain's quota."""
    return tuple((key, value) for key, value in metadata if key.startswith("x-ratelimit-") and isinstance(value, str))


def _message(error: PagerolesError, request_id: str) -> str:
    """Return what a caller is told; of a fault of ours no more than the id under which the log has the rest."""
    if error.ours:
        return f"something went wrong on our side; quote {request_id} when you report it"
    return str(error)


_OF_THE_TRANSPORT = {
    grpc.StatusCode.UNAVAILABLE: "the server behind this gateway can't be reached; try again",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the time for this request is over; ask for a shorter window",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the server behind this gateway has too much to do; try again",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What a caller is told of a fault, whichever way it came.

    Attributes:
        status: The gRPC status.
        message: A sentence.
        field: The field at fault; empty where none is.
        retry_after: Seconds after which to try again; None where the fault does not say.
        quota: The quota that is used up; None where it is not about that.
        metadata: What goes along as metadata or headers.
    """

    status: grpc.StatusCode
    message: str
    field: str = ""
    retry_after: float | None = None
    quota: QuotaState | None = None
    metadata: tuple[tuple[str, str], ...] = ()


def to_refusal(error: PagerolesError, request_id: str) -> Refusal:
    """Return what a caller is told of a fault of this process."""
    quota = error.quota if isinstance(error, QuotaExceededError) else None
    retry_after = error.retry_after if isinstance(error, (OverloadedError, QuotaExceededError)) else None
    field = error.field if isinstance(error, InvalidArgumentError) else ""
    return Refusal(error.status, _message(error, request_id), field, retry_after, quota, quota_metadata(quota))


def from_wire(error: grpc.aio.AioRpcError) -> Refusal:
    """Return what a caller is told of a fault that another server refused with."""
    field, retry_after, subject = "", None, ""
    status = rpc_status.from_call(cast("grpc.Call", error))  # has what it asks for
    for packed in status.details if status else ():
        bad, busy, spent = (
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
            error_details_pb2.QuotaFailure(),
        )
        if packed.Unpack(bad):
            field = bad.field_violations[0].field
        elif packed.Unpack(busy):
            retry_after = float(busy.retry_delay.seconds)
        elif packed.Unpack(spent):
            subject = spent.violations[0].subject
    trailing = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
    metadata = quota_part(trailing.items())
    quota = None
    if subject:
        quota = QuotaState(
            domain=subject.removeprefix("domain:"),
            limit=int(trailing["x-ratelimit-limit"]),
            used=int(trailing["x-ratelimit-used"]),
            resets_at=datetime.fromtimestamp(int(trailing["x-ratelimit-reset"]), UTC),
        )
    told = error.details() or error.code().name
    if REQUEST_ID not in trailing:
        # Not the server's words but the transport's, which speak of addresses.
        told = _OF_THE_TRANSPORT.get(error.code(), "the server behind this gateway failed; try again")
    return Refusal(error.code(), told, field, retry_after, quota, metadata)


def to_status(error: PagerolesError, request_id: str) -> grpc.Status:
    """Return the status that a fault becomes."""
    refusal = to_refusal(error, request_id)
    details = [_packed(detail) for detail in _details(error)]
    status = rpc_status.to_status(
        status_pb2.Status(code=refusal.status.value[0], message=refusal.message, details=details)
    )
    # Aborting with a status replaces the trailing metadata that were set before.
    trailing = (*status.trailing_metadata, (REQUEST_ID, request_id), *refusal.metadata)
    return _Status(status.code, status.details, trailing)


def _details(error: PagerolesError) -> list[Message]:
    if isinstance(error, InvalidArgumentError):
        wrong = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.description)
        return [error_details_pb2.BadRequest(field_violations=[wrong])]
    if isinstance(error, OverloadedError):
        return [_retry_info(error.retry_after)]
    if isinstance(error, QuotaExceededError):
        spent = error_details_pb2.QuotaFailure.Violation(subject=f"domain:{error.quota.domain}", description=str(error))
        return [error_details_pb2.QuotaFailure(violations=[spent]), _retry_info(error.retry_after)]
    return []


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=math.ceil(seconds)))


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
