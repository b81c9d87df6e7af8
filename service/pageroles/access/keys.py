"""API keys: create, list and revoke them, and check them at every request.

A key is shown once, when it is created. The store keeps its SHA-256 only. A key has 256 random bits, so that nobody can
find it by its hash; a slow hash would add no safety and slow down the check.
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
from pageroles.access.domains import other_spelling
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

# A revoked key stops working after this time and that of one look-up.
REFRESH_SECONDS = 10.0
# The age up to which a copy of the keys is used while the store does not answer.
_STALE_SECONDS = 25.0
# An unknown key may be a new one. However many come, the store is asked at most once in this time.
_UNKNOWN_REFRESH_SECONDS = 0.2
_LOOKUP_SECONDS = 5.0

_KEY = re.compile(r"pr_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_NO_HASH = hashlib.sha256(b"").hexdigest()
_REFUSED = f"the key is unknown or revoked; check {sentences.KEY_PLACE} or ask for a new key"


@dataclasses.dataclass(frozen=True, slots=True)
class ApiKey:
    """The record of a key, without the key itself.

    Attributes:
        id: Its name in `keys list`, `keys revoke` and the log.
        domain: The domain whose sessions it may read; empty for all domains.
        all_domains: Whether it may read any domain, which each request names.
        created_at: When it was created, UTC.
        revoked_at: When it was revoked, UTC; None while it works.
        hash: The key's SHA-256, in hexadecimal.
    """

    id: str
    domain: str
    all_domains: bool
    created_at: datetime
    revoked_at: datetime | None
    hash: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose key was checked.

    Attributes:
        key_id: The id of its key.
        domain: The domain that it asks about.
        names_domain: Whether the request names the domain, since the key is for all; else the key does.
    """

    key_id: str
    domain: str
    names_domain: bool


class KeyStore:
    """The keys in the store."""

    def __init__(self, store: Store) -> None:
        """Keep keys in `store`."""
        self._store = store

    def create(self, domain: str | None) -> tuple[str, ApiKey]:
        """Create a key.

        Args:
            domain: The domain whose sessions the key may read; None: all domains.

        Returns:
            The key, which can't be read again, and its record.

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
        """Return all keys, revoked ones included, oldest first."""
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
        """Revoke a key and return its record; revoking it again changes nothing.

        Raises:
            InvalidArgumentError: There is no such key.
        """
        record = next((record for record in self.list() if record.id == key_id), None)
        if record is None:
            raise InvalidArgumentError("id", f"there is no key {key_id!r}; `pageroles keys list` shows the ids")
        if record.revoked_at is None:
            record = dataclasses.replace(record, revoked_at=datetime.now(UTC))
            self._write(record)
        return record

    def _write(self, record: ApiKey) -> None:
        self._store.insert("api_keys", msgspec.json.encode(record))


class KeyRing:
    """Checks keys against a copy of the store's keys, which is read again after `REFRESH_SECONDS`."""

    def __init__(self, keys: KeyStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Check against the keys in `keys`, which the first check reads.

        Args:
            keys: The keys in the store.
            clock: Returns the time in seconds.
        """
        self._records = Cached(
            lambda: {record.id: record for record in keys.list()},
            REFRESH_SECONDS,
            stale_seconds=_STALE_SECONDS,
            clock=clock,
        )

    def forget(self) -> None:
        """Drop the copy: the next check reads the keys again."""
        self._records.forget()

    def caller(self, key: str | None, domain: str | None) -> Caller:
        """Return the caller that a request's key and domain stand for.

        Args:
            key: The key as received; None where there was none.
            domain: The domain that the request names; None where it names none.

        Raises:
            UnauthenticatedError: There is no key, or it is unknown or revoked.
            PermissionDeniedError: The key is for one domain, and the request names another.
            InvalidArgumentError: The key is for all domains, and the request names none.
        """
        if not key:
            raise UnauthenticatedError(f"no API key: send it in {sentences.KEY_PLACE}")
        record = self._find(key)
        if record is None:
            raise UnauthenticatedError(_REFUSED)
        if record.all_domains:
            if not domain:
                raise InvalidArgumentError(
                    "domain", f"this key may read any domain; name the one to read in {sentences.DOMAIN_PLACE}"
                )
            return Caller(record.id, domain, names_domain=True)
        if domain and record.domain not in {domain, other_spelling(domain)}:
            raise PermissionDeniedError(f"this key may not read that domain; leave out {sentences.DOMAIN_PLACE}")
        return Caller(record.id, record.domain, names_domain=False)

    def _find(self, key: str) -> ApiKey | None:
        """Return the record of a key that works, else None."""
        match = _KEY.fullmatch(key)
        key_id = match[1] if match else ""
        records = self._records.get()
        if match and key_id not in records:
            records = self._records.newer(_UNKNOWN_REFRESH_SECONDS)
        record = records.get(key_id)
        # An unknown id takes as long as a known one, so that the time does not show which ids exist.
        matches = hmac.compare_digest(_hash(key), record.hash if record else _NO_HASH)
        return record if matches and record and record.revoked_at is None else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _instant(milliseconds: object) -> datetime:
    return datetime.fromtimestamp(int(str(milliseconds)) / 1000, UTC)
