"""Fault ↔ gRPC status ↔ HTTP status: the one place where faults meet a wire."""

from __future__ import annotations

import dataclasses
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from pageroles.errors import InvalidArgumentError, OverloadedError, PagerolesError, QuotaExceededError, Status
from pageroles.transport import headers

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from pageroles.errors import QuotaState

# Not in the standard, but known by it: the caller left before the answer.
CLIENT_CLOSED_REQUEST = 499

_HTTP_STATUS = {
    Status.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Status.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Status.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Status.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Status.CANCELLED: CLIENT_CLOSED_REQUEST,
    Status.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Status.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    Status.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
# A gateway's words where not the server but gRPC itself refuses: its own words speak of addresses.
_OF_THE_CONNECTION = {
    Status.UNAVAILABLE: "the server behind this gateway can't be reached; try again",
    Status.DEADLINE_EXCEEDED: "the time for this request is over; ask for a shorter window",
    Status.RESOURCE_EXHAUSTED: "the server behind this gateway is busy; try again",
}
_DEFAULT_RETRY_SECONDS = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What a caller is told of a fault, whichever way it came.

    Attributes:
        status: The status.
        message: A sentence, in gRPC's words.
        field: The field at fault; empty where none is.
        retry_after: Seconds after which to try again; None where the fault does not say.
        quota: The quota that is used up; None where it is not about that.
    """

    status: Status
    message: str
    field: str = ""
    retry_after: float | None = None
    quota: QuotaState | None = None


# ---- fault → refusal ----


def to_refusal(error: PagerolesError, request_id: str) -> Refusal:
    """Return what a caller is told of a fault; of one of ours no more than the id under which the log has the rest."""
    message = f"something went wrong on our side; quote {request_id} when you report it" if error.ours else str(error)
    return Refusal(
        error.status,
        message,
        field=error.field if isinstance(error, InvalidArgumentError) else "",
        retry_after=error.retry_after if isinstance(error, (OverloadedError, QuotaExceededError)) else None,
        quota=error.quota if isinstance(error, QuotaExceededError) else None,
    )


# ---- refusal ↔ gRPC ----


@dataclasses.dataclass(frozen=True)
class _GrpcStatus(grpc.Status):
    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def to_grpc(refusal: Refusal, request_id: str) -> grpc.Status:
    """Return the status with details that a refusal becomes over gRPC."""
    code = grpc.StatusCode[refusal.status.name]
    details = [_packed(detail) for detail in _details(refusal)]
    status = rpc_status.to_status(status_pb2.Status(code=code.value[0], message=refusal.message, details=details))
    # Aborting with a status replaces the trailing metadata that were set before.
    trailing = (
        *status.trailing_metadata,
        (headers.REQUEST_ID.metadata, request_id),
        *headers.quota_metadata(refusal.quota),
    )
    return _GrpcStatus(status.code, status.details, trailing)


def from_grpc(error: grpc.aio.AioRpcError) -> Refusal:
    """Return what a caller is told of a fault that another server refused with."""
    status = Status.__members__.get(error.code().name, Status.INTERNAL)
    trailing = {name: value for name, value in error.trailing_metadata() or () if isinstance(value, str)}
    if headers.REQUEST_ID.metadata not in trailing:
        message = _OF_THE_CONNECTION.get(status, "the server behind this gateway failed; try again")
        return Refusal(status, message)
    field, retry_after, quota = "", None, None
    packed = rpc_status.from_call(cast("grpc.Call", error))  # has what it asks for
    for detail in packed.details if packed else ():
        bad, busy, spent = (
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
            error_details_pb2.QuotaFailure(),
        )
        if detail.Unpack(bad):
            field = bad.field_violations[0].field
        elif detail.Unpack(busy):
            retry_after = float(busy.retry_delay.seconds)
        elif detail.Unpack(spent):
            quota = headers.to_quota(spent.violations[0].subject.removeprefix("domain:"), trailing)
    return Refusal(status, error.details() or error.code().name, field, retry_after, quota)


def _details(refusal: Refusal) -> list[Message]:
    details: list[Message] = []
    if refusal.status is Status.INVALID_ARGUMENT:
        description = refusal.message.removeprefix(f"{refusal.field}: ")
        wrong = error_details_pb2.BadRequest.FieldViolation(field=refusal.field, description=description)
        details.append(error_details_pb2.BadRequest(field_violations=[wrong]))
    if refusal.quota is not None:
        subject = f"domain:{refusal.quota.domain}"
        spent = error_details_pb2.QuotaFailure.Violation(subject=subject, description=refusal.message)
        details.append(error_details_pb2.QuotaFailure(violations=[spent]))
    if refusal.retry_after is not None:
        delay = duration_pb2.Duration(seconds=math.ceil(refusal.retry_after))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


# ---- refusal → HTTP ----


def to_http(refusal: Refusal) -> tuple[int, dict[str, object], dict[str, str]]:
    """Return the HTTP status, the body and the headers that a refusal becomes over REST."""
    status = _HTTP_STATUS[refusal.status]
    body: dict[str, object] = {"error": headers.worded_for_http(refusal.message)}
    named = dict(headers.quota_metadata(refusal.quota))
    if refusal.field:
        body["field"] = refusal.field
    if refusal.quota is not None:
        body |= {"limit": refusal.quota.limit, "used": refusal.quota.used, "domain": refusal.quota.domain}
    if refusal.retry_after is not None:
        named[headers.RETRY_AFTER.metadata] = str(max(math.ceil(refusal.retry_after), 1))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        named[headers.RETRY_AFTER.metadata] = str(_DEFAULT_RETRY_SECONDS)
    return int(status), body, named
