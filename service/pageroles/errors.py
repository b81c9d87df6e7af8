"""The errors of pageroles, each with its status.

PagerolesError
├── InvalidArgumentError     a field of a request is wrong
├── UnauthenticatedError     there is no key, or it is unknown, revoked or expired
├── PermissionDeniedError    the key may not read what the request asks for
├── OverloadedError          the server or ClickHouse is busy
├── QuotaExceededError       the domain's requests of this month are used up
├── DeadlineError            the request took too long
├── CancelledError           the caller cancelled the request
├── InternalError            pageroles failed
├── SettingError             a setting can't be used
├── LoadError                a source of sessions can't be loaded
│   └── BrokenOffError           a source can't be read to its end
└── StoreError               the store can't be used
    ├── StoreUnavailableError    ClickHouse can't be reached, or refuses the connection
    ├── StoreUnwritableError     the store can be read, and not be written to: its disk is full, or read-only
    ├── StoreChangedError        what an answer is made of changed again and again while it was read
    ├── StoreDamagedError        rows are lost to damaged files, and answers would lack them
    └── StoreLockedError         another process holds the embedded store
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path


class Status(enum.Enum):
    """What an error means to a caller; the names are those of the gRPC statuses."""

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
        """The requests left this month; at least 0."""
        return max(self.limit - self.used, 0)


class PagerolesError(Exception):
    """The base of all errors below.

    The text says to the caller what is wrong and what to change, without SQL, hosts and keys. Only the text of an error
    of status INTERNAL is for the log.

    Attributes:
        status: The status that callers get.
    """

    status: Status = Status.INTERNAL

    @property
    def ours(self) -> bool:
        """Whether the error is internal: then its text is for the log, and callers get an id to quote."""
        return self.status is Status.INTERNAL


class InvalidArgumentError(PagerolesError):
    """A field of a request is wrong.

    Attributes:
        field: The field's name in the contract; empty where the whole request is wrong.
        description: What is wrong and what is accepted.
    """

    status = Status.INVALID_ARGUMENT

    def __init__(self, field: str, description: str) -> None:
        """Describe a field; the text is `field: description`."""
        super().__init__(f"{field}: {description}" if field else description)
        self.field = field
        self.description = description


class UnauthenticatedError(PagerolesError):
    """There is no key, or it is unknown, revoked or expired; of the latter three the text does not say which."""

    status = Status.UNAUTHENTICATED


class PermissionDeniedError(PagerolesError):
    """The key may not read what the request asks for."""

    status = Status.PERMISSION_DENIED


class OverloadedError(PagerolesError):
    """The server or ClickHouse is busy.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    status = Status.RESOURCE_EXHAUSTED

    def __init__(self, message: str, retry_after: float) -> None:
        """Keep the sentence, and when to try again."""
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
        """Keep the quota; `now` says how long its month still lasts."""
        super().__init__("API monthly limit exceeded.")
        self.quota = quota
        self.retry_after = (quota.resets_at - now).total_seconds()


class DeadlineError(PagerolesError):
    """The request took longer than the caller's deadline or the server's limit."""

    status = Status.DEADLINE_EXCEEDED


class CancelledError(PagerolesError):
    """The caller cancelled the request."""

    status = Status.CANCELLED


class InternalError(PagerolesError):
    """Pageroles failed, or ClickHouse refused its query."""


class SettingError(PagerolesError):
    """A setting can't be used: an address, a folder, or a store whose schema is missing."""


class LoadError(PagerolesError):
    """A source of sessions can't be loaded, or its rejects can't be written; the text says which and why."""


class BrokenOffError(LoadError):
    """A source can't be read to its end; the rows before that point are good."""


class StoreError(PagerolesError):
    """The store can't be used."""


class StoreUnavailableError(StoreError):
    """ClickHouse can't be reached, or refuses the connection."""

    status = Status.UNAVAILABLE


class StoreUnwritableError(StoreError):
    """The store can be read, and not be written to: its disk is full, or read-only."""

    status = Status.UNAVAILABLE


class StoreChangedError(StoreError):
    """What an answer is made of changed again and again while it was read."""

    status = Status.UNAVAILABLE


class StoreDamagedError(StoreError):
    """Rows are lost to damaged files, and answers would lack them.

    Attributes:
        parts: The parts that hold them, each as `table: part`.
    """

    status = Status.UNAVAILABLE

    def __init__(self, parts: Sequence[str]) -> None:
        """Name the tables; only the log names the parts."""
        tables = sorted({part.partition(":")[0] for part in parts})
        super().__init__(
            f"the store is damaged, and answers would lack rows of {', '.join(tables)}; its operator has to run "
            "`pageroles check`"
        )
        self.parts = tuple(parts)


class StoreLockedError(StoreError):
    """Another process holds the embedded store.

    Attributes:
        folder: The folder of the store.
    """

    status = Status.UNAVAILABLE

    def __init__(self, message: str, folder: Path) -> None:
        """Keep the folder."""
        super().__init__(message)
        self.folder = folder
