"""The audit log: who did what to keys, quotas and sessions.

It is a table of the store. A line of the process's own log would be lost with the terminal that a command was typed in,
and a store has one audit log, however many machines its commands run on. A deed is written down before it is done: so
none is missing, and one that failed stands there as well. Keys, and ids of users and sessions, never do.
"""

from __future__ import annotations

import enum
import getpass
import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pageroles.store.store import Store

_READ_SECONDS = 30.0
COMMAND = "command"
SERVER = "server"


class Action(enum.StrEnum):
    """What was done."""

    KEY_CREATED = "key created"
    KEY_REVOKED = "key revoked"
    QUOTA_SET = "quota set"
    ERASURE_BEGUN = "erasure begun"
    ERASURE_ENDED = "erasure ended"


class Deed(NamedTuple):
    """A row of the audit log.

    Attributes:
        at: When it was written, UTC.
        action: What was done; a later pageroles may know more actions than `Action` has.
        by: Who did it, as `user@machine, command`.
        domain: The domain that it was done to; empty: no single one.
        key_id: The id of the key that it was done to; empty: none.
        details: What else is known.
    """

    at: datetime
    action: str
    by: str
    domain: str
    key_id: str
    details: Mapping[str, Any]


def record(
    store: Store,
    action: Action,
    *,
    process: str = COMMAND,
    domain: str = "",
    key_id: str = "",
    details: Mapping[str, object] | None = None,
) -> None:
    """Write a deed down.

    Args:
        store: The store that it is done to.
        action: What is done.
        process: What does it: `command`, `server`, or the `recovery` of what was cut short.
        domain: The domain that it is done to; empty: no single one.
        key_id: The id of the key that it is done to; empty: none.
        details: What else is known; no keys, and no ids of users or sessions.

    Raises:
        PagerolesError: The store failed, or its user may not insert into `audit_log`.
    """
    row = {
        "action": action.value,
        "by": f"{_user()}@{platform.node()}, {process}",
        "domain": domain,
        "key_id": key_id,
        "details": msgspec.json.encode(details or {}).decode(),
    }
    store.insert("audit_log", msgspec.json.encode(row))


def deeds(store: Store, most: int) -> list[Deed]:
    """Return the last deeds, the latest first.

    Args:
        store: The store.
        most: How many at most.

    Raises:
        PagerolesError: The store failed.
    """
    statement = Statement(
        "SELECT toUnixTimestamp64Milli(at), action, by, domain, key_id, details FROM audit_log "
        "ORDER BY at DESC LIMIT {most:UInt64}",
        {"most": most},
    )
    rows: Any = store.rows(statement, store.call(_READ_SECONDS))
    return [
        Deed(datetime.fromtimestamp(at / 1000, UTC), action, by, domain, key_id, msgspec.json.decode(details))
        for at, action, by, domain, key_id, details in rows
    ]


def _user() -> str:
    """Return the name of the system's user, or its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
