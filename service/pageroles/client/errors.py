"""The errors that a client raises, one for each code of the contract.

RequestError
├── InvalidArgumentError     a parameter is wrong
├── UnauthenticatedError     there is no key, or it is unknown, revoked or expired
├── PermissionDeniedError    the key may not do what the request asks for
├── OverloadedError          the server or its store is busy
├── QuotaExceededError       the domain's requests of this month are used up
├── UnavailableError         the server or its store can't be reached
├── DeadlineExceededError    the answer did not come in time
├── CancelledError           the request was cancelled
└── InternalError            the server failed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from pageroles import sentences

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc

_DOMAIN = "pageroles"
_STATUS_METADATA = "grpc-status-details-bin"
# How grpc tells that it met another protocol, such as the REST port's.
_SPEAKS_NO_GRPC = ("Failed parsing HTTP/2", "http1.x server")
_REQUEST_ID_METADATA = "x-request-id"
# Python's callers give arguments there.
_ARGUMENTS = {sentences.KEY_PLACE: "`key`", sentences.DOMAIN_PLACE: "`domain`"}


class RequestError(Exception):
    """A request was refused or failed. Its text says what is wrong and what to change.

    The class itself stands for what has no class of its own: a code of a later server, or a refusal of gRPC's.

    Attributes:
        code: What kind of error it is, as REST names it: `invalid_argument`, `quota_exceeded`, …; it stays what it is.
            Without one of pageroles, gRPC's status in lower case.
        field: The parameter at fault; empty where none is.
        retry_after: Seconds after which to try again; None where the server does not say.
        status: The name of the gRPC status.
        request_id: What the server's log has the request under; empty where the server was not asked, or did not say.
    """

    CODE: ClassVar[str] = ""

    def __init__(
        self,
        sentence: str,
        *,
        code: str = "",
        field: str = "",
        retry_after: float | None = None,
        status: str = "",
        request_id: str = "",
    ) -> None:
        """Keep what is known of the error; without a code, the one of the class."""
        super().__init__(sentence)
        self.code = code or self.CODE
        self.field = field
        self.retry_after = retry_after
        self.status = status or self.code.upper()
        self.request_id = request_id

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may soon be answered: the server can't be reached, or said when to try again."""
        return False


class InvalidArgumentError(RequestError, ValueError):
    """A parameter is wrong; `field` names it. Raised before a request is sent, or by the server."""

    CODE = "invalid_argument"


class UnauthenticatedError(RequestError):
    """There is no key, or it is unknown, revoked or expired."""

    CODE = "unauthenticated"


class PermissionDeniedError(RequestError):
    """The key may not do what the request asks for, or is not for the domain that it names."""

    CODE = "permission_denied"


class OverloadedError(RequestError):
    """The server or its store is busy."""

    CODE = "overloaded"

    @property
    def is_temporary(self) -> bool:
        """Whether the server said when to try again."""
        return self.retry_after is not None


class QuotaExceededError(RequestError):
    """The domain's requests of this month are used up; `retry_after` is the time until the next month."""

    CODE = "quota_exceeded"


class UnavailableError(RequestError):
    """The server or its store can't be reached, or the server is stopping."""

    CODE = "unavailable"

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may soon be answered: yes."""
        return True


class DeadlineExceededError(RequestError):
    """The answer did not come within the client's timeout or the server's limit."""

    CODE = "deadline_exceeded"


class CancelledError(RequestError):
    """The request was cancelled, as where its client is closed meanwhile."""

    CODE = "cancelled"


class InternalError(RequestError):
    """The server failed; the text has an id to quote."""

    CODE = "internal"


_OF_CODES = {
    each.CODE: each
    for each in (
        InvalidArgumentError, UnauthenticatedError, PermissionDeniedError, OverloadedError, QuotaExceededError,
        UnavailableError, DeadlineExceededError, CancelledError, InternalError,
    )
}  # fmt: skip


def refused(error: grpc.RpcError, timeout: float | None = None) -> RequestError:
    """Return what a failed call of gRPC means.

    Args:
        error: What grpc or grpc.aio raised.
        timeout: The longest time that the call was given, in seconds.
    """
    call = cast("grpc.Call", error)
    status, sentence = call.code().name, call.details() or ""
    trailing = cast("Iterable[tuple[str, str | bytes]]", call.trailing_metadata() or ())
    metadata = dict(iter(trailing))  # grpc.aio's is a mapping of its own, whose items come one by one

    reason = error_details_pb2.ErrorInfo()
    wrong = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    quota = error_details_pb2.QuotaFailure()
    for detail in _details(metadata.get(_STATUS_METADATA)).details:
        any(detail.Unpack(each) for each in (reason, wrong, retry, quota))

    if reason.domain == _DOMAIN:
        code = reason.reason.lower()
    elif status == "RESOURCE_EXHAUSTED" and quota.violations:
        code = QuotaExceededError.CODE
    elif status == "RESOURCE_EXHAUSTED" and retry.HasField("retry_delay"):
        code = OverloadedError.CODE
    else:
        code = status.lower()
    if code == DeadlineExceededError.CODE and reason.domain != _DOMAIN and timeout is not None:
        sentence = f"no answer came within {timeout:g} seconds"
    if code == UnavailableError.CODE and any(words in sentence for words in _SPEAKS_NO_GRPC):
        sentence = "what listens at this address does not speak gRPC; give the address of the server's gRPC port"
    if code == "unimplemented":
        sentence = "the server does not have this method: it is older than this client"
    for place, argument in _ARGUMENTS.items():
        sentence = sentence.replace(place, argument)
    delay = retry.retry_delay
    return _OF_CODES.get(code, RequestError)(
        sentence or status,
        code=code,
        field=wrong.field_violations[0].field if wrong.field_violations else "",
        retry_after=delay.seconds + delay.nanos / 1e9 if retry.HasField("retry_delay") else None,
        status=status,
        request_id=str(metadata.get(_REQUEST_ID_METADATA, "")),
    )


def _details(packed: object) -> status_pb2.Status:
    """Read the details of a refusal; those that can't be read are none."""
    status = status_pb2.Status()
    if isinstance(packed, bytes):
        try:
            status.ParseFromString(packed)
        except DecodeError:
            status.Clear()
    return status
