"""Keys: what they may do, how long they work, and when they were last used."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pageroles.access.keys import KeyRing, KeyStore, KeyUses, Permission
from pageroles.errors import (
    InternalError,
    InvalidArgumentError,
    PermissionDeniedError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from support.endless import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pageroles.store.store import Store


@pytest.fixture
def keys(store: Store) -> KeyStore:
    return KeyStore(store)


@pytest.mark.parametrize(
    "allowed", [set(them) for size in (1, 2, 3) for them in itertools.combinations(Permission, size)]
)
def test_a_key_may_do_what_it_was_made_for(keys: KeyStore, allowed: set[Permission]) -> None:
    key, record = keys.create("a.com", permissions=allowed)
    ring = KeyRing(keys)
    assert set(record.permissions) == allowed
    for permission in Permission:
        if permission in allowed:
            assert ring.caller(key, None, permission).domain == "a.com"
        else:
            with pytest.raises(PermissionDeniedError, match=f"use one that may `{permission}`"):
                ring.caller(key, None, permission)


def test_a_key_that_was_made_before_may_ask_for_reports(store: Store, keys: KeyStore) -> None:
    store.command(
        "INSERT INTO api_keys (id, hash, domain, all_domains, created_at) "
        "VALUES ('aaaaaaaaaaaa', '', 'old.com', false, '2025-07-01 00:00:00')"
    )
    (old,) = (one for one in keys.list() if one.id == "aaaaaaaaaaaa")
    assert (old.permissions, old.name, old.expires_at) == ((Permission.REPORT,), "", None)


def test_a_key_works_until_it_expires(keys: KeyStore) -> None:
    key, record = keys.create("a.com", name="for the dashboard", expires_at=datetime.now(UTC) + timedelta(seconds=1))
    assert record in keys.list()
    ring = KeyRing(keys)
    assert ring.caller(key, None).key_id == record.id

    def refused() -> bool:
        try:
            ring.caller(key, None)
        except UnauthenticatedError as error:
            return "expired" in str(error)
        return False

    assert until(refused)


def test_a_revoked_key_keeps_what_it_was(keys: KeyStore) -> None:
    ends = datetime(2099, 1, 1, 12, 30, tzinfo=UTC)
    _, record = keys.create(None, permissions=Permission, name="all", expires_at=ends)
    revoked = keys.revoke(record.id)
    (found,) = (one for one in keys.list() if one.id == record.id)
    assert found == revoked
    assert (found.name, found.expires_at, found.permissions) == ("all", ends, tuple(Permission))


@pytest.mark.parametrize(
    ("domain", "more", "says"),
    [
        (" ", {}, "domain: it is empty"),
        ("a.com ", {}, "'a.com ' has space around it"),
        ("a.com", {"name": "x" * 201}, "name: "),
        ("a.com", {"name": "line\nline"}, "name: "),
        ("a.com", {"permissions": ()}, "nothing is allowed; give one or more of report, sessions, write"),
        ("a.com", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires: it has passed"),
    ],
)
def test_a_key_that_could_not_work_is_refused(keys: KeyStore, domain: str, more: dict[str, Any], says: str) -> None:
    before = keys.list()
    with pytest.raises(InvalidArgumentError, match=says):
        keys.create(domain, **more)
    assert keys.list() == before


# ---- last uses ----


def test_when_a_key_was_last_used_is_kept(keys: KeyStore) -> None:
    _, one = keys.create("a.com")
    _, other = keys.create("a.com")
    began = datetime.now(UTC) - timedelta(milliseconds=1)
    for _ in range(2):
        uses = KeyUses(keys, every_seconds=3600)
        uses.note(one.id)
        uses.note(one.id)
        uses.close()
    last = keys.last_uses()
    assert began <= last[one.id] <= datetime.now(UTC)
    assert other.id not in last
    keys.used({one.id: began - timedelta(days=1)})
    assert keys.last_uses()[one.id] == last[one.id], "another server's older news changes nothing"


class Failing:
    """Keys in a store that fails."""

    def __init__(self, errors: list[Exception | None]) -> None:
        self.errors = errors
        self.told: list[dict[str, datetime]] = []

    def used(self, uses: Mapping[str, datetime]) -> None:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.told.append(dict(uses))


def test_uses_are_told_once_the_store_is_back() -> None:
    failing = Failing([StoreUnavailableError("away"), StoreUnavailableError("away")])
    uses = KeyUses(failing, every_seconds=0.02)  # type: ignore[arg-type]
    uses.note("a")
    assert until(lambda: bool(failing.told))
    uses.close()
    assert [set(told) for told in failing.told] == [{"a"}]


def test_a_user_that_only_reads_is_not_asked_again() -> None:
    failing = Failing([InternalError("ClickHouse refused: readonly")])
    uses = KeyUses(failing, every_seconds=0.01)  # type: ignore[arg-type]
    uses.note("a")
    assert until(lambda: not failing.errors)
    for _ in range(5):
        uses.note("b")
        time.sleep(0.02)
    uses.close()
    assert failing.told == []
