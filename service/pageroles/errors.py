"""The faults that pageroles knows, each with the gRPC status it becomes.

PagerolesError
├── InvalidArgumentError     a field of a request is wrong
├── UnauthenticatedError     no key, or one that is unknown or revoked
├── PermissionDeniedError    a key that may not ask this
├── OverloadedError          more work than the server takes on
├── DeadlineError            the caller's time is over
├── CancelledError           the caller gave up
├── InternalError            a fault of ours
├── SettingError             a setting of this machine can't be used
└── StoreError               something about the store
    ├── StoreUnavailableError    ClickHouse can't be reached
    └── StoreLockedError         another process holds the embedded store
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from datetime import datetime

    from pageroles.question.model import QuotaState


class PagerolesError(Exception):
    """The base of every fault below. The text is a sentence for the caller, without SQL, hosts or keys."""

    status: grpc.StatusCode = grpc.StatusCode.INTERNAL

    @property
    def ours(self) -> bool:
        """Tell whether the fault is ours: then its text is for the log, and callers get an id to quote."""
        return self.status is grpc.StatusCode.INTERNAL


class InvalidArgumentError(PagerolesError):
    """A field of a request is wrong.

    Attributes:
        field: The field's name in the contract; empty where the fault is of the whole.
        description: What is wrong and what is accepted.
    """

    status = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(self, field: str, description: str) -> None:
        """Name the field and say what to change."""
        super().__init__(f"{field}: {description}" if field else description)
        self.field = field
        self.description = description


class UnauthenticatedError(PagerolesError):
    """No key, or one that is unknown or revoked; the text is the same for the latter two."""

    status = grpc.StatusCode.UNAUTHENTICATED


class PermissionDeniedError(PagerolesError):
    """A key that may not ask this."""

    status = grpc.StatusCode.PERMISSION_DENIED


class OverloadedError(PagerolesError):
    """More work than the server takes on.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, message: str, retry_after: float) -> None:
        """Say what is exhausted and when to come back."""
        super().__init__(message)
        self.retry_after = retry_after


class QuotaExceededError(PagerolesError):
    """The domain's requests of this month are used up.

    Attributes:
        quota: The quota's state.
        retry_after: Seconds until the month is over.
    """

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, quota: QuotaState, now: datetime) -> None:
        """Say what is used up."""
        super().__init__("API monthly limit exceeded.")
        self.quota = quota
        self.retry_after = (quota.resets_at - now).total_seconds()


class DeadlineError(PagerolesError):
    """The caller's time is over."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED


class CancelledError(PagerolesError):
    """The caller gave up."""

    status = grpc.StatusCode.CANCELLED


class InternalError(PagerolesError):
    """A fault of ours."""


class SettingError(PagerolesError):
    """A setting of this machine can't be used: an address, a folder, a store without its schema."""


class StoreError(PagerolesError):
    """Something about the store."""


class StoreUnavailableError(StoreError):
    """ClickHouse can't be reached."""

    status = grpc.StatusCode.UNAVAILABLE


class StoreLockedError(StoreError):
    """Another process holds the embedded store."""

    status = grpc.StatusCode.UNAVAILABLE
