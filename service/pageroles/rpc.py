"""PagerolesError ↔ gRPC status with details: the one place where faults meet the wire."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from pageroles.errors import InvalidArgumentError, OverloadedError, PagerolesError, QuotaExceededError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from pageroles.quotas import QuotaState

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


def message(error: PagerolesError, request_id: str) -> str:
    """Return what a caller is told; of a fault of ours no more than the id under which the log has the rest."""
    if error.ours:
        return f"something went wrong on our side; quote {request_id} when you report it"
    return str(error)


def to_status(error: PagerolesError, request_id: str) -> grpc.Status:
    """Return the status that a fault becomes."""
    details = [_packed(detail) for detail in _details(error)]
    status = rpc_status.to_status(
        status_pb2.Status(code=error.status.value[0], message=message(error, request_id), details=details)
    )
    quota = error.quota if isinstance(error, QuotaExceededError) else None
    # Aborting with a status replaces the trailing metadata that were set before.
    trailing = (*status.trailing_metadata, (REQUEST_ID, request_id), *quota_metadata(quota))
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
