"""API keys: create, list and revoke them, check them at every request, and keep when they were last used.

A key is shown once, when it is created. The store keeps its SHA-256 only. A key has 256 random bits, so that nobody can
find it by its hash; a slow hash would add no safety and slow down the check.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import re
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from pageroles import sentences
from pageroles.access.domains import other_spelling
from pageroles.admission import Failures
from pageroles.cached import Cached
from pageroles.counts import Counts
from pageroles.errors import (
    InternalError,
    InvalidArgumentError,
    OverloadedError,
    PagerolesError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from pageroles.store import audit
from pageroles.store.audit import Action
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pageroles.store.store import Store

_log = structlog.get_logger(__name__)

# A revoked key stops working after this time and that of one look-up.
REFRESH_SECONDS = 10.0
# The age up to which a copy of the keys is used while the store does not answer.
_STALE_SECONDS = 25.0
# An unknown key may be a new one. However many come, the store is asked at most once in this time.
_UNKNOWN_REFRESH_SECONDS = 0.2
_LOOKUP_SECONDS = 5.0

_KEY = re.compile(r"pr_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_NO_HASH = hashlib.sha256(b"").hexdigest()
_REFUSED = f"the key is unknown, revoked or expired; check {sentences.KEY_PLACE} or ask for a new key"
_TOO_MANY = "too many keys that do not work came from this address; try again later"
_TOO_MANY_SECONDS = 10.0
_LONGEST_NAME = 200
# How often a server tells when keys were last used.
_USES_SECONDS = 60.0


class Permission(enum.StrEnum):
    """What a key may do."""

    REPORT = "report"
    SESSIONS = "sessions"
    WRITE = "write"


# What a request that lacks a permission is told, after "this key may not ".
_DOES = {
    Permission.REPORT: "ask for reports",
    Permission.SESSIONS: "see single sessions",
    Permission.WRITE: "write sessions",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ApiKey:
    """The record of a key, without the key itself.

    Attributes:
        id: Its name in `keys list`, `keys revoke` and the log.
        domain: The domain whose sessions it may read; empty for all domains.
        all_domains: Whether it may read any domain, which each request names.
        created_at: When it was created, UTC.
        revoked_at: When it was revoked, UTC; None while it works.
        name: What it was named when it was created; may be empty.
        expires_at: From when on it no longer works, UTC; None: it works until it is revoked.
        permissions: What it may do.
        hash: The key's SHA-256, in hexadecimal.
    """

    id: str
    domain: str
    all_domains: bool
    created_at: datetime
    revoked_at: datetime | None
    name: str
    expires_at: datetime | None
    permissions: tuple[Permission, ...]
    hash: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose key was checked.

    Attributes:
        key_id: The id of its key.
        domain: The domain that it asks about; empty: it writes sessions of any domain.
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

    def create(
        self,
        domain: str | None,
        *,
        permissions: Iterable[Permission] = (Permission.REPORT,),
        name: str = "",
        expires_at: datetime | None = None,
    ) -> tuple[str, ApiKey]:
        """Create a key.

        Args:
            domain: The domain whose sessions the key is for; None: all domains.
            permissions: What it may do; at least one.
            name: What `list` shows it by, at most 200 characters.
            expires_at: From when on it no longer works; None: it works until it is revoked.

        Returns:
            The key, which can't be read again, and its record.

        Raises:
            InvalidArgumentError: The domain is empty or has space around it, there is no permission, the name is too
                long or has control characters, or the end has passed.
        """
        now = _now()
        _check_domain(domain)
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise InvalidArgumentError("name", f"it is long or has control characters; give at most {_LONGEST_NAME}")
        wanted = set(permissions)
        allowed = tuple(permission for permission in Permission if permission in wanted)
        if not allowed:
            raise InvalidArgumentError("allow", f"nothing is allowed; give one or more of {', '.join(Permission)}")
        if expires_at is not None and expires_at <= now:
            raise InvalidArgumentError("expires", "it has passed; give a date or a date-time to come")
        key_id = secrets.token_hex(6)
        key = f"pr_{key_id}_{secrets.token_urlsafe(32)}"
        record = ApiKey(
            id=key_id,
            domain=domain or "",
            all_domains=domain is None,
            created_at=now,
            revoked_at=None,
            name=name,
            expires_at=None if expires_at is None else _in_milliseconds(expires_at),
            permissions=allowed,
            hash=_hash(key),
        )
        details = {"name": name, "allow": ",".join(allowed), "expires": record.expires_at}
        self._audit(Action.KEY_CREATED, record, {name: value for name, value in details.items() if value})
        self._write(record)
        return key, record

    def list(self) -> list[ApiKey]:
        """Return all keys, revoked ones included, oldest first."""
        statement = Statement(
            "SELECT id, domain, all_domains, toUnixTimestamp64Milli(created_at), toUnixTimestamp64Milli(revoked_at), "
            "name, toUnixTimestamp64Milli(expires_at), permissions, hash FROM api_keys FINAL ORDER BY created_at, id",
            {},
        )
        rows: Any = self._store.look_up(statement, _LOOKUP_SECONDS)
        return [
            ApiKey(
                id=key_id,
                domain=domain,
                all_domains=all_domains,
                created_at=_instant(created_at),
                revoked_at=None if revoked_at is None else _instant(revoked_at),
                name=name,
                expires_at=None if expires_at is None else _instant(expires_at),
                # A later pageroles may know others.
                permissions=tuple(permission for permission in Permission if permission in permissions),
                hash=digest,
            )
            for key_id, domain, all_domains, created_at, revoked_at, name, expires_at, permissions, digest in rows
        ]

    def last_uses(self) -> dict[str, datetime]:
        """Return when each key was last used, by its id; a minute may be missing."""
        statement = Statement("SELECT id, toUnixTimestamp64Milli(max(used_at)) FROM key_uses GROUP BY id")
        rows: Any = self._store.look_up(statement, _LOOKUP_SECONDS)
        return {key_id: _instant(used_at) for key_id, used_at in rows}

    def used(self, uses: Mapping[str, datetime]) -> None:
        """Keep when keys were used, by their ids.

        Raises:
            PagerolesError: ClickHouse can't be reached, or the store's user may not insert into `key_uses`.
        """
        rows = (msgspec.json.encode({"id": key_id, "used_at": at}) + b"\n" for key_id, at in uses.items())
        self._store.insert("key_uses", b"".join(rows), seconds=_LOOKUP_SECONDS)

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key and return its record; revoking it again changes nothing.

        Raises:
            InvalidArgumentError: There is no such key.
        """
        record = next((record for record in self.list() if record.id == key_id), None)
        if record is None:
            raise InvalidArgumentError("id", f"there is no key {key_id!r}; `pageroles keys list` shows the ids")
        if record.revoked_at is None:
            record = dataclasses.replace(record, revoked_at=_now())
            self._audit(Action.KEY_REVOKED, record)
            self._write(record)
        return record

    def _audit(self, action: Action, record: ApiKey, details: Mapping[str, object] | None = None) -> None:
        audit.record(self._store, action, domain=record.domain, key_id=record.id, details=details)

    def _write(self, record: ApiKey) -> None:
        self._store.insert("api_keys", msgspec.json.encode(record))


class KeyRing:
    """Checks keys against a copy of the store's keys, which is read again after `REFRESH_SECONDS`.

    Attributes:
        refused: How many keys were not looked up, since their `address` had sent many that do not work.
    """

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
        self._failures = Failures(clock=clock)
        self.refused = Counts("address")

    def forget(self) -> None:
        """Drop the copy: the next check reads the keys again."""
        self._records.forget()

    def caller(
        self,
        key: str | None,
        domain: str | None,
        permission: Permission = Permission.REPORT,
        address: str = "",
    ) -> Caller:
        """Return the caller that a request's key and domain stand for.

        Args:
            key: The key as received; None where there was none.
            domain: The domain that the request names; None where it names none.
            permission: What the key must allow.
            address: Where the request comes from.

        Raises:
            UnauthenticatedError: There is no key, or it is unknown, revoked or expired.
            OverloadedError: The same, and too many such keys came from there.
            PermissionDeniedError: The key does not allow it, or is for one domain, and the request names another.
            InvalidArgumentError: The key is for all domains, and the request names none.
        """
        record = self._allowed(key, permission, address)
        if record.all_domains and not domain:
            raise InvalidArgumentError(
                "domain", f"this key may read any domain; name the one to read in {sentences.DOMAIN_PLACE}"
            )
        return _caller(record, domain)

    def writer(self, key: str | None, domain: str | None, address: str = "") -> Caller:
        """Return the caller that the key and the domain of a request to write stand for.

        Args:
            key: The key as received; None where there was none.
            domain: The domain that the request names; None where it names none. A key for all domains need not.
            address: Where the request comes from.

        Raises:
            UnauthenticatedError: There is no key, or it is unknown, revoked or expired.
            OverloadedError: The same, and too many such keys came from there.
            PermissionDeniedError: The key may not write, or is for one domain, and the request names another.
        """
        return _caller(self._allowed(key, Permission.WRITE, address), domain)

    def _allowed(self, key: str | None, permission: Permission, address: str) -> ApiKey:
        """Return the record of a key that works and has a permission, from whatever address.

        An address that sent many keys that do not work costs no look at the store.
        """
        if not key:
            raise UnauthenticatedError(f"no API key: send it in {sentences.KEY_PLACE}")
        are_too_many = self._failures.are_too_many(address)
        record = self._find(key, look_again=not are_too_many)
        if record is None and are_too_many:
            self.refused.add("address")
            raise OverloadedError(_TOO_MANY, _TOO_MANY_SECONDS)
        if record is None:
            self._failures.add(address)
            raise UnauthenticatedError(_REFUSED)
        if permission not in record.permissions:
            raise PermissionDeniedError(f"this key may not {_DOES[permission]}; use one that may `{permission}`")
        return record

    def _find(self, key: str, *, look_again: bool) -> ApiKey | None:
        """Return the record of a key that works, else None."""
        match = _KEY.fullmatch(key)
        key_id = match[1] if match else ""
        records = self._records.get()
        if look_again and match and key_id not in records:
            records = self._records.newer(_UNKNOWN_REFRESH_SECONDS)
        record = records.get(key_id)
        # An unknown id takes as long as a known one, so that the time does not show which ids exist.
        matches = hmac.compare_digest(_hash(key), record.hash if record else _NO_HASH)
        return record if matches and record and _works(record, datetime.now(UTC)) else None


class KeyUses:
    """Keeps when keys were last used: a thread tells the store now and then."""

    def __init__(self, keys: KeyStore, *, every_seconds: float = _USES_SECONDS) -> None:
        """Start the thread.

        Args:
            keys: The keys in the store.
            every_seconds: The time from one telling to the next.
        """
        self._keys = keys
        self._every_seconds = every_seconds
        self._lock = threading.Lock()
        self._uses: dict[str, datetime] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="key-uses", daemon=True)
        self._thread.start()

    def note(self, key_id: str) -> None:
        """Note that a key was used now."""
        with self._lock:
            self._uses[key_id] = datetime.now(UTC)

    def close(self) -> None:
        """Tell the rest, and end the thread."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        refused = False
        while not refused:
            closing = self._closing.wait(self._every_seconds)
            with self._lock:
                uses, self._uses = self._uses, {}
            try:
                if uses:
                    self._keys.used(uses)
            except InternalError as error:
                # A user that only reads is enough for all else.
                refused = True
                _log.warning("last uses of keys are not kept", reason=str(error))
            except PagerolesError:
                with self._lock:
                    self._uses = uses | self._uses
            if closing:
                return


def _caller(record: ApiKey, domain: str | None) -> Caller:
    """Return the caller of a key, for the domain that the request names, if it names one."""
    if record.all_domains:
        return Caller(record.id, domain or "", names_domain=True)
    if domain and record.domain not in {domain, other_spelling(domain)}:
        raise PermissionDeniedError(f"this key is not for that domain; leave out {sentences.DOMAIN_PLACE}")
    return Caller(record.id, record.domain, names_domain=False)


def _works(record: ApiKey, now: datetime) -> bool:
    return record.revoked_at is None and (record.expires_at is None or now < record.expires_at)


def _check_domain(domain: str | None) -> None:
    if domain is None:
        return
    if not domain.strip():
        raise InvalidArgumentError("domain", "it is empty; give the domain whose sessions the key is for")
    if domain != domain.strip():
        raise InvalidArgumentError("domain", f"{sentences.shown(domain)} has space around it; leave it out")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _now() -> datetime:
    return _in_milliseconds(datetime.now(UTC))


def _in_milliseconds(instant: datetime) -> datetime:
    """Return an instant as the store keeps it."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _instant(milliseconds: object) -> datetime:
    return datetime.fromtimestamp(int(str(milliseconds)) / 1000, UTC)
