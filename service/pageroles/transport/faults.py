"""Convert faults to gRPC statuses and HTTP responses, and gRPC statuses back to faults. No other module does."""

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

# A common status outside of the standard: the client closed the connection before the answer.
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
# A gateway's sentences where the connection failed, not the server: gRPC's own would show addresses.
_CONNECTION_SENTENCES = {
    Status.UNAVAILABLE: "the server behind this gateway can't be reached; try again",
    Status.DEADLINE_EXCEEDED: "the request took too long; ask for a shorter window",
    Status.RESOURCE_EXHAUSTED: "the server behind this gateway is busy; try again",
}
_DEFAULT_RETRY_SECONDS = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What a caller learns of a fault, over gRPC and REST alike.

    Attributes:
        status: The status.
        message: What is wrong and what to change, in gRPC's words.
        field: The field at fault; empty where no field is.
        retry_after: Seconds after which to try again; None where trying again does not help.
        quota: The quota that is used up; None for other faults.
    """

    status: Status
    message: str
    field: str = ""
    retry_after: float | None = None
    quota: QuotaState | None = None


# ---- fault → refusal ----


def to_refusal(error: PagerolesError, request_id: str) -> Refusal:
    """Return what a caller learns of a fault.

    Of an internal fault that is the request's id alone; the log has the rest under this id.
    """
    message = f"internal error; quote {request_id} when you report it" if error.ours else str(error)
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
    """Return the gRPC status of a refusal, with its details and trailing metadata."""
    code = grpc.StatusCode[refusal.status.name]
    details = [_packed(detail) for detail in _details(refusal)]
    status = rpc_status.to_status(status_pb2.Status(code=code.value[0], message=refusal.message, details=details))
    # The status carries all trailing metadata: aborting drops what was set before.
    trailing = (
        *status.trailing_metadata,
        (headers.REQUEST_ID.metadata, request_id),
        *headers.quota_metadata(refusal.quota),
    )
    return _GrpcStatus(status.code, status.details, trailing)


def from_grpc(error: grpc.aio.AioRpcError) -> Refusal:
    """Return the refusal that another server's gRPC status carries, or one for a connection that failed."""
    status = Status.__members__.get(error.code().name, Status.INTERNAL)
    trailing = {name: value for name, value in error.trailing_metadata() or () if isinstance(value, str)}
    if headers.REQUEST_ID.metadata not in trailing:
        message = _CONNECTION_SENTENCES.get(status, "the server behind this gateway failed; try again")
        return Refusal(status, message)
    field, retry_after, quota = "", None, None
    packed = rpc_status.from_call(cast("grpc.Call", error))  # AioRpcError has the methods that it calls
    for detail in packed.details if packed else ():
        bad_request, retry_info, quota_failure = (
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
            error_details_pb2.QuotaFailure(),
        )
        if detail.Unpack(bad_request):
            field = bad_request.field_violations[0].field
        elif detail.Unpack(retry_info):
            retry_after = float(retry_info.retry_delay.seconds)
        elif detail.Unpack(quota_failure):
            quota = headers.to_quota(quota_failure.violations[0].subject.removeprefix("domain:"), trailing)
    return Refusal(status, error.details() or error.code().name, field, retry_after, quota)


def _details(refusal: Refusal) -> list[Message]:
    details: list[Message] = []
    if refusal.status is Status.INVALID_ARGUMENT:
        description = refusal.message.removeprefix(f"{refusal.field}: ")
        field = error_details_pb2.BadRequest.FieldViolation(field=refusal.field, description=description)
        details.append(error_details_pb2.BadRequest(field_violations=[field]))
    if refusal.quota is not None:
        subject = f"domain:{refusal.quota.domain}"
        quota = error_details_pb2.QuotaFailure.Violation(subject=subject, description=refusal.message)
        details.append(error_details_pb2.QuotaFailure(violations=[quota]))
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
    """Return the HTTP status, the body and the headers of a refusal."""
    status = _HTTP_STATUS[refusal.status]
    body: dict[str, object] = {"error": headers.worded_for_http(refusal.message)}
    response_headers = dict(headers.quota_metadata(refusal.quota))
    if refusal.field:
        body["field"] = refusal.field
    if refusal.quota is not None:
        body |= {"limit": refusal.quota.limit, "used": refusal.quota.used, "domain": refusal.quota.domain}
    if refusal.retry_after is not None:
        response_headers[headers.RETRY_AFTER.metadata] = str(max(math.ceil(refusal.retry_after), 1))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        response_headers[headers.RETRY_AFTER.metadata] = str(_DEFAULT_RETRY_SECONDS)
    return int(status), body, response_headers
