"""API keys: made, listed, revoked, and checked at every request.

A key is shown once, when it is made. The store keeps its SHA-256 alone: a key carries 256 bits of chance, so
a plain hash of it can't be turned back, and a slow one would only slow down the check.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from pageroles import sentences
from pageroles.cached import Cached
from pageroles.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.store import Store

# A revoked key stops working within this many seconds of its revocation, plus the time of one look-up.
REFRESH_SECONDS = 10.0
# For so long the keys known last serve on where the store does not answer.
_STALE_SECONDS = 25.0
# An unknown key may be a new one; strangers must not make the store look it up more often than this.
_UNKNOWN_REFRESH_SECONDS = 0.2
_LOOKUP_SECONDS = 5.0

_KEY = re.compile(r"pr_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODY = hashlib.sha256(b"").hexdigest()
_REFUSED = f"the key is unknown or revoked; check {sentences.KEY_PLACE} or ask for a new key"


@dataclasses.dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; never the key itself.

    Attributes:
        id: Names the key in `keys list`, `keys revoke` and in logs.
        domain: The domain whose sessions it reads; empty for all domains.
        all_domains: The caller names the domain at each request.
        created_at: When it was made, UTC.
        revoked_at: When it was revoked, UTC; None while it works.
    """

    id: str
    domain: str
    all_domains: bool
    created_at: datetime
    revoked_at: datetime | None
    hash: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and about which domain."""

    key_id: str
    domain: str


class KeyStore:
    """The keys in the store."""

    def __init__(self, store: Store) -> None:
        """Keep keys in `store`."""
        self._store = store

    def create(self, domain: str | None) -> tuple[str, ApiKey]:
        """Make a key for a domain, or for all domains where None; return the key, to be shown once.

        Raises:
            InvalidArgumentError: The domain is empty.
        """
        if domain is not None and not domain.strip():
            raise InvalidArgumentError("domain", "it is empty; give the domain whose sessions the key may read")
        key_id = secrets.token_hex(6)
        key = f"pr_{key_id}_{secrets.token_urlsafe(32)}"
        record = ApiKey(
            id=key_id,
            domain=domain or "",
            all_domains=domain is None,
            created_at=datetime.now(UTC),
            revoked_at=None,
            hash=_hash(key),
        )
        self._write(record)
        return key, record

    def list(self) -> list[ApiKey]:
        """Return all keys, revoked ones too, oldest first."""
        statement = Statement(
            "SELECT id, domain, all_domains, toUnixTimestamp64Milli(created_at), "
            "toUnixTimestamp64Milli(revoked_at), hash FROM api_keys FINAL ORDER BY created_at, id",
            {},
        )
        rows = self._store.rows(statement, self._store.call(_LOOKUP_SECONDS))
        return [
            ApiKey(
                id=str(key_id),
                domain=str(domain),
                all_domains=bool(all_domains),
                created_at=_instant(created_at),
                revoked_at=None if revoked_at is None else _instant(revoked_at),
                hash=str(digest),
            )
            for key_id, domain, all_domains, created_at, revoked_at, digest in rows
        ]

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key; revoking it again changes nothing.

        Raises:
            InvalidArgumentError: There is no such key.
        """
        for record in self.list():
            if record.id == key_id:
                if record.revoked_at is None:
                    record = dataclasses.replace(record, revoked_at=datetime.now(UTC))  # noqa: PLW2901
                    self._write(record)
                return record
        raise InvalidArgumentError("id", f"there is no key {key_id!r}; `pageroles keys list` shows the ids")

    def _write(self, record: ApiKey) -> None:
        self._store.insert("api_keys", msgspec.json.encode(record))


class KeyRing:
    """Checks keys against a copy of the store's, which is never older than `REFRESH_SECONDS` for long."""

    def __init__(self, keys: KeyStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Check keys of `keys`; the first check reads them."""
        self._known = Cached(
            lambda: {record.id: record for record in keys.list()},
            REFRESH_SECONDS,
            stale_seconds=_STALE_SECONDS,
            clock=clock,
        )

    def forget(self) -> None:
        """Read the keys again for the next caller."""
        self._known.forget()

    def caller(self, key: str | None, domain: str | None) -> Caller:
        """Return who holds a key and the domain the request is about.

        Args:
            key: As it came; None where none did.
            domain: The domain that the request names; None where it names none.

        Raises:
            UnauthenticatedError: No key, or one that is unknown or revoked.
            PermissionDeniedError: A one-domain key that names another domain.
            InvalidArgumentError: An all-domains key that names none.
        """
        if not key:
            raise UnauthenticatedError(f"no API key: send it in {sentences.KEY_PLACE}")
        record = self._find(key)
        if record is None:
            raise UnauthenticatedError(_REFUSED)
        if record.all_domains:
            if not domain:
                raise InvalidArgumentError(
                    "domain", f"this key reads all domains; name the one to read in {sentences.DOMAIN_PLACE}"
                )
            return Caller(record.id, domain)
        if domain and domain != record.domain:
            raise PermissionDeniedError(f"this key does not read that domain; leave out {sentences.DOMAIN_PLACE}")
        return Caller(record.id, record.domain)

    def _find(self, key: str) -> ApiKey | None:
        """Return the record of a working key."""
        form = _KEY.fullmatch(key)
        key_id = form[1] if form else ""
        known = self._known.get()
        if form and key_id not in known:
            known = self._known.newer(_UNKNOWN_REFRESH_SECONDS)
        record = known.get(key_id)
        # Compared also where there is no such key, so that time does not tell which ids exist.
        matches = hmac.compare_digest(_hash(key), record.hash if record else _NOBODY)
        return record if matches and record and record.revoked_at is None else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _instant(milliseconds: object) -> datetime:
    return datetime.fromtimestamp(int(str(milliseconds)) / 1000, UTC)
