"""Convert faults to gRPC statuses and HTTP responses, and gRPC statuses back to faults. No other module does.

`Code` is the one table of all errors; docs/rest.md and the OpenAPI document show it.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, cast

import grpc
import grpc.aio
import msgspec
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from starlette.responses import Response

from pageroles.errors import InvalidArgumentError, OverloadedError, PagerolesError, QuotaExceededError, Status
from pageroles.transport import headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

    from pageroles.errors import QuotaState

# A common status outside of the standard: the client closed the connection before the answer.
CLIENT_CLOSED_REQUEST = 499

# Of ErrorInfo: what its reasons belong to.
_DOMAIN = "pageroles"


class Code(enum.Enum):
    """The codes of all errors. A code stays what it is; later versions may add some.

    Over REST a code is its name in lower case; over gRPC the reason of `ErrorInfo` is its name as it stands here.

    Attributes:
        http: The HTTP status.
        status: The gRPC status; None where only REST has such an error.
        when: When a caller gets it, for the reference.
    """

    http: int
    status: Status | None
    when: str

    INVALID_ARGUMENT = (
        400, Status.INVALID_ARGUMENT,
        "a wrong or unknown parameter, named by `field`; broken JSON, gzip or HTTP; two keys or domains in one request",
    )  # fmt: skip
    UNAUTHENTICATED = (401, Status.UNAUTHENTICATED, "no key, or one that is unknown, revoked or expired")
    PERMISSION_DENIED = (
        403,
        Status.PERMISSION_DENIED,
        "the key may not do that, or is not for the domain that the request names",
    )
    NOT_FOUND = (404, None, "there is nothing at this path")
    METHOD_NOT_ALLOWED = (405, None, "the path does not take this method")
    REQUEST_TIMEOUT = (408, None, "the body did not arrive in time")
    PAYLOAD_TOO_LARGE = (413, None, "the body is larger than 64 KiB; of sessions, 64 MiB unpacked")
    HEAD_TOO_LARGE = (431, None, "the path and the headers are larger than 16 KiB")
    UNSUPPORTED_MEDIA_TYPE = (
        415, None,
        "the body is not sent as `application/json`; sessions, not as `application/x-ndjson`, plain or in gzip",
    )  # fmt: skip
    OVERLOADED = (429, Status.RESOURCE_EXHAUSTED, "the server or the store is busy; see `Retry-After`")
    QUOTA_EXCEEDED = (
        429, Status.RESOURCE_EXHAUSTED,
        "the domain's requests of this month are used up, as `limit`, `used` and `domain` tell",
    )  # fmt: skip
    CANCELLED = (CLIENT_CLOSED_REQUEST, Status.CANCELLED, "the caller gave up; over REST nobody is there to read it")
    INTERNAL = (500, Status.INTERNAL, "an error of the server, with an id to quote")
    UNAVAILABLE = (
        503,
        Status.UNAVAILABLE,
        "the store can't be reached or written to, or is damaged, or the server is stopping",
    )
    DEADLINE_EXCEEDED = (
        504,
        Status.DEADLINE_EXCEEDED,
        "the request took too long; ask for a shorter window, or send less",
    )

    def __init__(self, http: int, status: Status | None, when: str) -> None:
        """Keep a row of the table."""
        self.http = http
        self.status = status
        self.when = when

    @property
    def text(self) -> str:
        """The code as REST has it."""
        return self.name.lower()

    @classmethod
    def of_status(cls, status: Status) -> Code:
        """Return the code of a gRPC status that comes without one."""
        return cls.OVERLOADED if status is Status.RESOURCE_EXHAUSTED else cls[status.name]

    @classmethod
    def of_http(cls, status: int) -> Code:
        """Return the first code of an HTTP status; of one that no code has, that of a wrong request."""
        return next((code for code in cls if code.http == status), cls.INVALID_ARGUMENT)


# A gateway's sentences where the connection failed, not the server: gRPC's own would show addresses.
_CONNECTION_SENTENCES = {
    Code.UNAVAILABLE: "the server behind this gateway can't be reached; try again",
    Code.DEADLINE_EXCEEDED: "the request took too long; ask for a shorter window",
    Code.OVERLOADED: "the server behind this gateway is busy; try again",
}
_DEFAULT_RETRY_SECONDS = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What a caller learns of a fault, over gRPC and REST alike.

    Attributes:
        code: What kind of error it is.
        message: What is wrong and what to change, in gRPC's words.
        field: The field at fault; empty where no field is.
        retry_after: Seconds after which to try again; None where trying again does not help.
        quota: The quota that is used up; None for other faults.
    """

    code: Code
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
        Code.QUOTA_EXCEEDED if isinstance(error, QuotaExceededError) else Code.of_status(error.status),
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
    code = grpc.StatusCode[(refusal.code.status or Status.INTERNAL).name]
    details = [_packed(detail) for detail in _details(refusal)]
    status = rpc_status.to_status(status_pb2.Status(code=code.value[0], message=refusal.message, details=details))
    # The status carries all trailing metadata: aborting drops what was set before.
    trailing = (
        *status.trailing_metadata,
        (headers.REQUEST_ID.metadata, request_id),
        *headers.quota_metadata(refusal.quota),
    )
    return _GrpcStatus(status.code, status.details, trailing)


def from_grpc(error: grpc.aio.AioRpcError | grpc.Call) -> Refusal:
    """Return the refusal that another server's gRPC status carries, or one for a connection that failed."""
    code = Code.of_status(Status.__members__.get(error.code().name, Status.INTERNAL))
    trailing = {name: value for name, value in error.trailing_metadata() or () if isinstance(value, str)}
    if headers.REQUEST_ID.metadata not in trailing:
        message = _CONNECTION_SENTENCES.get(code, "the server behind this gateway failed; try again")
        return Refusal(code, message)
    field, retry_after, quota = "", None, None
    packed = rpc_status.from_call(cast("grpc.Call", error))  # AioRpcError has the methods that it calls
    for detail in packed.details if packed else ():
        error_info, bad_request, retry_info, quota_failure = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
            error_details_pb2.QuotaFailure(),
        )
        if detail.Unpack(error_info):
            # A later version of the server may have codes that are not known here.
            code = Code.__members__.get(error_info.reason, code)
        elif detail.Unpack(bad_request):
            field = bad_request.field_violations[0].field
        elif detail.Unpack(retry_info):
            retry_after = float(retry_info.retry_delay.seconds)
        elif detail.Unpack(quota_failure):
            quota = headers.to_quota(quota_failure.violations[0].subject.removeprefix("domain:"), trailing)
    return Refusal(code, error.details() or error.code().name, field, retry_after, quota)


def _details(refusal: Refusal) -> list[Message]:
    details: list[Message] = []
    if refusal.code is Code.INVALID_ARGUMENT:
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
    # Last: clients that were written before it read the first of the details.
    details.append(error_details_pb2.ErrorInfo(reason=refusal.code.name, domain=_DOMAIN))
    return details


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


# ---- refusal → HTTP ----


def to_response(refusal: Refusal, more_headers: Mapping[str, str] | None = None) -> Response:
    """Return the HTTP response of a refusal, with `more_headers` among its headers."""
    body: dict[str, object] = {"error": headers.worded_for_http(refusal.message), "code": refusal.code.text}
    response_headers = headers.NOT_KEPT | dict(headers.quota_metadata(refusal.quota)) | dict(more_headers or {})
    if refusal.field:
        body["field"] = refusal.field
    if refusal.quota is not None:
        body |= {"limit": refusal.quota.limit, "used": refusal.quota.used, "domain": refusal.quota.domain}
    if refusal.retry_after is not None:
        response_headers[headers.RETRY_AFTER.metadata] = str(max(math.ceil(refusal.retry_after), 1))
    elif refusal.code is Code.UNAVAILABLE:
        response_headers[headers.RETRY_AFTER.metadata] = str(_DEFAULT_RETRY_SECONDS)
    if refusal.code is Code.UNAUTHENTICATED:
        # HTTP wants a 401 to say how to authenticate; its registry has no scheme for `Authentication`.
        response_headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body), refusal.code.http, response_headers, "application/json")
