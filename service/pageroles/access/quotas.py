"""Monthly quotas of requests per domain, counted in the store.

A server sets requests aside before it serves them: it writes the number into the store, reads the sum that all
servers have written, and serves from what it set aside. So a crash or a restart loses no count, and several servers
together never serve more than the quota. What a server has set aside and not yet used is refused to the others; that
is at most a twentieth of what was left, and a single request near the end. It is given back when the server stops; a
crash forfeits it.
"""

from __future__ import annotations

import calendar
import dataclasses
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from pageroles.cached import Cached
from pageroles.errors import InvalidArgumentError, QuotaExceededError, QuotaState, StoreError
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.store import Store

# A changed quota holds within this many seconds in every server.
REFRESH_SECONDS = 10.0
# For so long the limits known last hold on where the store does not answer.
_STALE_SECONDS = 25.0
_LOOKUP_SECONDS = 5.0
# The most that one server sets aside at once, and the share of what is left.
_MOST_SET_ASIDE = 1000
_SHARE_SET_ASIDE = 20
# A server that was refused looks again after this many seconds: another may have given back.
_LOOK_AGAIN_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class DomainQuota:
    """A domain's quota and its count, as `domains list` shows them."""

    domain: str
    limit: int
    used: int


class QuotaStore:
    """The quotas and counts in the store."""

    def __init__(self, store: Store) -> None:
        """Keep quotas in `store`."""
        self._store = store

    def set(self, domain: str, limit: int | None) -> None:
        """Set a domain's requests a month; None: as many as it likes.

        Raises:
            InvalidArgumentError: The domain is empty or the limit negative.
        """
        if not domain.strip():
            raise InvalidArgumentError("domain", "it is empty; give the domain that the quota is for")
        if limit is not None and limit < 0:
            raise InvalidArgumentError("limit", "it is negative; give the number of requests a month")
        self._store.insert("quotas", msgspec.json.encode({"domain": domain, "monthly_limit": limit}))

    def limits(self) -> dict[str, int]:
        """Return the limit of each domain that has one."""
        rows = self._rows("SELECT domain, monthly_limit FROM quotas FINAL WHERE isNotNull(monthly_limit)", {})
        return {str(domain): int(str(limit)) for domain, limit in rows}

    def all(self, month: str) -> list[DomainQuota]:
        """Return every quota with its count in a month, `2025-07`."""
        return [DomainQuota(domain, limit, self.used(domain, month)) for domain, limit in sorted(self.limits().items())]

    def count(self, domain: str, month: str, requests: int) -> None:
        """Add to a domain's count; negative: give back."""
        row = {"domain": domain, "month": f"{month}-01", "requests": requests}
        self._store.insert("quota_usage", msgspec.json.encode(row))

    def used(self, domain: str, month: str) -> int:
        """Return a domain's count in a month, of all servers together."""
        rows = self._rows(
            "SELECT sum(requests) FROM quota_usage WHERE domain = {domain:String} AND month = {month:Date}",
            {"domain": domain, "month": f"{month}-01"},
        )
        return int(str(rows[0][0]))

    def _rows(self, text: str, parameters: dict[str, object]) -> list[tuple[object, ...]]:
        call = self._store.call(_LOOKUP_SECONDS)
        return [tuple(row) for row in self._store.rows(Statement(text, parameters), call)]


@dataclasses.dataclass(slots=True)
class _Reservation:
    """What this server has set aside for a domain in a month."""

    month: str
    resets_at: datetime
    left: int = 0
    # The count of all servers when this one last looked, less what it had not used of it.
    used: int = 0
    refused_at: float = -float("inf")
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


class QuotaMeter:
    """Counts the requests of one server against the quotas."""

    def __init__(
        self,
        quotas: QuotaStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Count in `quotas`; the clocks are for tests."""
        self._quotas = quotas
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._limits = Cached(quotas.limits, REFRESH_SECONDS, stale_seconds=_STALE_SECONDS, clock=clock)
        self._reservations: dict[str, _Reservation] = {}

    def take(self, domain: str) -> QuotaState | None:
        """Count one request of a domain; return the state after it, or None where the domain has no quota.

        Raises:
            QuotaExceededError: The month's requests are used up.
        """
        limit = self._limits.get().get(domain)
        if limit is None:
            return None
        now = self._now()
        reservation = self._reservation(domain, now)
        with reservation.lock:
            if reservation.left == 0:
                self._fill(reservation, domain, limit)
            if reservation.left == 0 or reservation.used >= limit:
                spent = QuotaState(domain, limit, max(reservation.used, limit), reservation.resets_at)
                raise QuotaExceededError(spent, now)
            reservation.left -= 1
            reservation.used += 1
            return QuotaState(domain, limit, reservation.used, reservation.resets_at)

    def give_back(self, taken: QuotaState | None) -> None:
        """Take a request off the count again: it was not answered.

        Args:
            taken: What `take` returned. Where its month is over meanwhile, its count no longer matters.
        """
        if taken is None:
            return
        with self._lock:
            reservation = self._reservations.get(taken.domain)
        if reservation is not None and reservation.resets_at == taken.resets_at:
            with reservation.lock:
                reservation.left += 1
                reservation.used -= 1

    def close(self) -> None:
        """Give back what was set aside and not used."""
        with self._lock:
            reservations, self._reservations = self._reservations, {}
        for domain, reservation in reservations.items():
            self._empty(domain, reservation)

    def _reservation(self, domain: str, now: datetime) -> _Reservation:
        """Return what is set aside for a domain in the month of `now`."""
        month = f"{now:%Y-%m}"
        with self._lock:
            reservation = self._reservations.get(domain)
            if reservation is None or reservation.month != month:
                reservation = self._reservations[domain] = _Reservation(month, _end_of_month(now))
            return reservation

    def _fill(self, reservation: _Reservation, domain: str, limit: int) -> None:
        """Set aside some of what is left: first written, then counted, so that servers can't both have it."""
        if self._clock() - reservation.refused_at < _LOOK_AGAIN_SECONDS:
            return
        used = self._quotas.used(domain, reservation.month)
        share = min(max((limit - used) // _SHARE_SET_ASIDE, 1), _MOST_SET_ASIDE)
        if used < limit:
            self._quotas.count(domain, reservation.month, share)
            used = self._quotas.used(domain, reservation.month)
            if used <= limit:
                reservation.left, reservation.used = share, used - share
                return
            # Others were faster: what is over the limit goes back.
            self._quotas.count(domain, reservation.month, -share)
            used -= share
        reservation.used = used
        reservation.refused_at = self._clock()

    def _empty(self, domain: str, reservation: _Reservation) -> None:
        with reservation.lock:
            if reservation.left:
                try:
                    self._quotas.count(domain, reservation.month, -reservation.left)
                except StoreError:
                    return  # the requests set aside stay counted
                reservation.left = 0


def _end_of_month(now: datetime) -> datetime:
    """Return the first instant of the next month."""
    days = calendar.monthrange(now.year, now.month)[1]
    last = now.replace(day=days, hour=0, minute=0, second=0, microsecond=0)
    return datetime.fromtimestamp(last.timestamp() + 86_400, UTC)
