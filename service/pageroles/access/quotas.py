"""Monthly quotas of requests per domain, counted in the store.

A server reserves requests before it serves them: it adds their number to the count in the store, reads the count, which
all servers share, and serves from its reservation. So a crash or a restart loses no count, and several servers together
never serve more than the quota. The others can't use what one server has reserved and not used: at most a twentieth of
what was left, and near the end a single request. A server returns it when it stops; after a crash it stays counted.
"""

from __future__ import annotations

import calendar
import dataclasses
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import structlog

from pageroles.cached import Cached
from pageroles.counts import Counts
from pageroles.errors import (
    InternalError,
    InvalidArgumentError,
    PagerolesError,
    QuotaExceededError,
    QuotaState,
    StoreUnavailableError,
    StoreUnwritableError,
)
from pageroles.store import audit
from pageroles.store.audit import Action
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.store import Store

_log = structlog.get_logger(__name__)

# Every server applies a changed quota within this time.
REFRESH_SECONDS = 10.0
# The age up to which a copy of the quotas is used while the store does not answer.
_STALE_SECONDS = 25.0
_LOOKUP_SECONDS = 5.0
# A reservation is this part of what is left, and at most this number of requests.
_RESERVED_PART = 20
_MOST_RESERVED = 1000
# After a refusal the count is read again only after this time; another server may have returned some.
_LOOK_AGAIN_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class DomainQuota:
    """A domain's quota and count of a month, as `domains list` shows them.

    Attributes:
        domain: The domain.
        limit: Requests that it may make in the month.
        used: Requests that are counted, reserved ones included.
    """

    domain: str
    limit: int
    used: int


class QuotaStore:
    """The quotas and counts in the store."""

    def __init__(self, store: Store) -> None:
        """Keep quotas in `store`."""
        self._store = store

    def set(self, domain: str, limit: int | None) -> None:
        """Set a domain's quota.

        Args:
            domain: The domain.
            limit: Requests that it may make in a month; None: no quota.

        Raises:
            InvalidArgumentError: The domain is empty or the limit negative.
        """
        if not domain.strip():
            raise InvalidArgumentError("domain", "it is empty; give the domain that the quota is for")
        if limit is not None and limit < 0:
            raise InvalidArgumentError("limit", "it is negative; give the number of requests a month")
        audit.record(self._store, Action.QUOTA_SET, domain=domain, details={"requests_a_month": limit})
        self._store.insert("quotas", msgspec.json.encode({"domain": domain, "monthly_limit": limit}))

    def limits(self) -> dict[str, int]:
        """Return the limits of the domains that have a quota, by domain."""
        rows = self._rows("SELECT domain, monthly_limit FROM quotas FINAL WHERE isNotNull(monthly_limit)", {})
        return {str(domain): int(str(limit)) for domain, limit in rows}

    def all(self, month: str) -> list[DomainQuota]:
        """Return every quota with its count of a month (`2025-07`), in the order of the domains."""
        return [DomainQuota(domain, limit, self.used(domain, month)) for domain, limit in sorted(self.limits().items())]

    def count(self, domain: str, month: str, requests: int) -> None:
        """Add requests to a domain's count of a month (`2025-07`); a negative number returns some."""
        row = {"domain": domain, "month": f"{month}-01", "requests": requests}
        self._store.insert("quota_usage", msgspec.json.encode(row), seconds=_LOOKUP_SECONDS)

    def used(self, domain: str, month: str) -> int:
        """Return a domain's count of a month (`2025-07`), that of all servers together; 0 where there is none."""
        rows = self._rows(
            "SELECT sum(requests) FROM quota_usage WHERE domain = {domain:String} AND month = {month:Date}",
            {"domain": domain, "month": f"{month}-01"},
        )
        return int(str(rows[0][0]))

    def _rows(self, text: str, parameters: dict[str, object]) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self._store.look_up(Statement(text, parameters), _LOOKUP_SECONDS)]


@dataclasses.dataclass(slots=True)
class _Reservation:
    """The requests that this server has reserved for a domain in a month.

    Attributes:
        month: The month, `2025-07`.
        resets_at: When the month is over, UTC.
        left: Requests that are reserved and not used.
        used: The count of all servers when this one last read it, without `left`.
        refused_at: When the quota was last found to be used up, on the meter's clock.
        lock: Held while the above change.
    """

    month: str
    resets_at: datetime
    left: int = 0
    used: int = 0
    refused_at: float = -float("inf")
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


class QuotaMeter:
    """Counts the requests of one server against the quotas; safe to use from many threads.

    Attributes:
        counts: The requests of domains with a quota: those `spent`, `returned` since they failed, and `refused`.
    """

    def __init__(
        self,
        quotas: QuotaStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Count in `quotas`.

        Args:
            quotas: The quotas and counts in the store.
            clock: Returns the time in seconds.
            now: Returns the time that says which month it is.
        """
        self._quotas = quotas
        self._clock = clock
        self._now = now
        self.counts = Counts("spent", "returned", "refused")
        self._lock = threading.Lock()
        self._limits = Cached(quotas.limits, REFRESH_SECONDS, stale_seconds=_STALE_SECONDS, clock=clock)
        self._reservations: dict[str, _Reservation] = {}

    def take(self, domain: str) -> QuotaState | None:
        """Count a request of a domain; return its quota after it, or None where it has no quota.

        Raises:
            QuotaExceededError: The month's requests are used up.
            StoreUnavailableError: The store can't be read or written to, so the request can't be counted.
        """
        limit = self._limits.get().get(domain)
        if limit is None:
            return None
        now = self._now()
        reservation = self._reservation(domain, now)
        with reservation.lock:
            if reservation.left == 0:
                try:
                    self._fill(reservation, domain, limit)
                except (InternalError, StoreUnwritableError) as error:
                    # A quota is a promise: what can't be counted is not answered.
                    _log.warning("requests can't be counted against a quota", domain=domain, error=str(error))
                    raise StoreUnavailableError(
                        "the request can't be counted against the domain's quota; try again later"
                    ) from error
            if reservation.left == 0 or reservation.used >= limit:
                state = QuotaState(domain, limit, max(reservation.used, limit), reservation.resets_at)
                self.counts.add("refused")
                raise QuotaExceededError(state, now)
            reservation.left -= 1
            reservation.used += 1
            self.counts.add("spent")
            return QuotaState(domain, limit, reservation.used, reservation.resets_at)

    def give_back(self, taken: QuotaState | None) -> None:
        """Take a request that was not answered off the count.

        Args:
            taken: What `take` returned; nothing is done where its month is over.
        """
        if taken is None:
            return
        with self._lock:
            reservation = self._reservations.get(taken.domain)
        if reservation is not None and reservation.resets_at == taken.resets_at:
            with reservation.lock:
                reservation.left += 1
                reservation.used -= 1
                self.counts.add("returned")

    def forget(self) -> None:
        """Drop the copy of the quotas: the next request reads them again."""
        self._limits.forget()

    def close(self) -> None:
        """Return what is reserved and not used."""
        with self._lock:
            reservations, self._reservations = self._reservations, {}
        for domain, reservation in reservations.items():
            self._release(domain, reservation)

    def _reservation(self, domain: str, now: datetime) -> _Reservation:
        """Return the reservation of a domain in the month of `now`."""
        month = f"{now.year}-{now.month:02}"
        with self._lock:
            reservation = self._reservations.get(domain)
            if reservation is None or reservation.month != month:
                reservation = self._reservations[domain] = _Reservation(month, _end_of_month(now))
            return reservation

    def _fill(self, reservation: _Reservation, domain: str, limit: int) -> None:
        """Reserve a part of what is left: first add, then read, so that two servers never reserve the same."""
        if self._clock() - reservation.refused_at < _LOOK_AGAIN_SECONDS:
            return
        used = self._quotas.used(domain, reservation.month)
        share = min(max((limit - used) // _RESERVED_PART, 1), _MOST_RESERVED)
        if used < limit:
            self._quotas.count(domain, reservation.month, share)
            used = self._quotas.used(domain, reservation.month)
            if used <= limit:
                reservation.left, reservation.used = share, used - share
                return
            # Other servers were faster, and the count is over the limit.
            self._quotas.count(domain, reservation.month, -share)
            used -= share
        reservation.used = used
        reservation.refused_at = self._clock()

    def _release(self, domain: str, reservation: _Reservation) -> None:
        with reservation.lock:
            if reservation.left:
                try:
                    self._quotas.count(domain, reservation.month, -reservation.left)
                except PagerolesError:
                    return  # the reserved requests stay counted
                reservation.left = 0


def _end_of_month(now: datetime) -> datetime:
    """Return the first instant of the next month."""
    days = calendar.monthrange(now.year, now.month)[1]
    last = now.replace(day=days, hour=0, minute=0, second=0, microsecond=0)
    return datetime.fromtimestamp(last.timestamp() + 86_400, UTC)
