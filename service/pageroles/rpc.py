"""PagerolesError → gRPC status with details: the one place where faults meet the wire."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from pageroles.errors import InvalidArgumentError, OverloadedError, PagerolesError

if TYPE_CHECKING:
    from google.protobuf.message import Message


# Metadata that a caller may send, and that every answer carries.
REQUEST_ID = "x-request-id"


@dataclasses.dataclass(frozen=True)
class _Status(grpc.Status):
    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def to_status(error: PagerolesError, request_id: str) -> grpc.Status:
    """Return the status that a fault becomes.

    A fault of ours tells no more than the id under which the log has the rest.
    """
    code = error.status.value[0]
    message = str(error)
    if is_ours(error):
        message = f"something went wrong on our side; quote {request_id} when you report it"
    details = [_packed(detail) for detail in _details(error)]
    status = rpc_status.to_status(status_pb2.Status(code=code, message=message, details=details))
    # Aborting with a status replaces the trailing metadata that were set before.
    return _Status(status.code, status.details, (*status.trailing_metadata, (REQUEST_ID, request_id)))


def is_ours(error: PagerolesError) -> bool:
    """Tell whether a fault is ours, so that its text must not leave the house."""
    return error.status is grpc.StatusCode.INTERNAL


def _details(error: PagerolesError) -> list[Message]:
    if isinstance(error, InvalidArgumentError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.description)
        return [error_details_pb2.BadRequest(field_violations=[violation])]
    if isinstance(error, OverloadedError):
        delay = duration_pb2.Duration(seconds=math.ceil(error.retry_after))
        return [error_details_pb2.RetryInfo(retry_delay=delay)]
    return []


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
