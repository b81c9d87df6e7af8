"""The faults that pageroles knows, each with its status.

PagerolesError
├── InvalidArgumentError     a field of a request is wrong
├── UnauthenticatedError     no key, or one that is unknown or revoked
├── PermissionDeniedError    a key that may not ask this
├── OverloadedError          more work than the server takes on
├── QuotaExceededError       the domain's requests of this month are used up
├── DeadlineError            the caller's time is over
├── CancelledError           the caller gave up
├── InternalError            a fault of ours
├── SettingError             a setting of this machine can't be used
├── LoadError                a source of sessions can't be loaded
│   └── BrokenOffError           a source can't be read to its end
└── StoreError               something about the store
    ├── StoreUnavailableError    ClickHouse can't be reached
    └── StoreLockedError         another process holds the embedded store
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Status(enum.Enum):
    """What a fault means to a caller; the names are those of gRPC's statuses."""

    INVALID_ARGUMENT = enum.auto()
    UNAUTHENTICATED = enum.auto()
    PERMISSION_DENIED = enum.auto()
    RESOURCE_EXHAUSTED = enum.auto()
    DEADLINE_EXCEEDED = enum.auto()
    CANCELLED = enum.auto()
    UNAVAILABLE = enum.auto()
    INTERNAL = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class QuotaState:
    """A domain's quota after a request.

    Attributes:
        domain: The domain.
        limit: Requests a month.
        used: Requests of this month, this one included.
        resets_at: When the month is over, UTC.
    """

    domain: str
    limit: int
    used: int
    resets_at: datetime

    @property
    def remaining(self) -> int:
        """Requests left this month."""
        return max(self.limit - self.used, 0)


class PagerolesError(Exception):
    """The base of every fault below. The text is a sentence for the caller, without SQL, hosts or keys."""

    status: Status = Status.INTERNAL

    @property
    def ours(self) -> bool:
        """Tell whether the fault is ours: then its text is for the log, and callers get an id to quote."""
        return self.status is Status.INTERNAL


class InvalidArgumentError(PagerolesError):
    """A field of a request is wrong.

    Attributes:
        field: The field's name in the contract; empty where the fault is of the whole.
        description: What is wrong and what is accepted.
    """

    status = Status.INVALID_ARGUMENT

    def __init__(self, field: str, description: str) -> None:
        """Name the field and say what to change."""
        super().__init__(f"{field}: {description}" if field else description)
        self.field = field
        self.description = description


class UnauthenticatedError(PagerolesError):
    """No key, or one that is unknown or revoked; the text is the same for the latter two."""

    status = Status.UNAUTHENTICATED


class PermissionDeniedError(PagerolesError):
    """A key that may not ask this."""

    status = Status.PERMISSION_DENIED


class OverloadedError(PagerolesError):
    """More work than the server takes on.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    status = Status.RESOURCE_EXHAUSTED

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

    status = Status.RESOURCE_EXHAUSTED

    def __init__(self, quota: QuotaState, now: datetime) -> None:
        """Say what is used up."""
        super().__init__("API monthly limit exceeded.")
        self.quota = quota
        self.retry_after = (quota.resets_at - now).total_seconds()


class DeadlineError(PagerolesError):
    """The caller's time is over."""

    status = Status.DEADLINE_EXCEEDED


class CancelledError(PagerolesError):
    """The caller gave up."""

    status = Status.CANCELLED


class InternalError(PagerolesError):
    """A fault of ours."""


class SettingError(PagerolesError):
    """A setting of this machine can't be used: an address, a folder, a store without its schema."""


class LoadError(PagerolesError):
    """A source of sessions can't be loaded, or its rejects can't be written; the text names it and says why."""


class BrokenOffError(LoadError):
    """A source can't be read to its end; the rows before that point are fine."""


class StoreError(PagerolesError):
    """Something about the store."""


class StoreUnavailableError(StoreError):
    """ClickHouse can't be reached."""

    status = Status.UNAVAILABLE


class StoreLockedError(StoreError):
    """Another process holds the embedded store."""

    status = Status.UNAVAILABLE
