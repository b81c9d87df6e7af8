"""What ClickHouse tells of damaged files: parts of tables that can't be read, and those that were put aside.

Where it opens a table and a part's files are damaged, it puts the part aside, and reads its rows no longer.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pageroles.errors import InternalError, SettingError
from pageroles.store.faults import is_not_granted
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pageroles.store.call import Call
    from pageroles.store.store import Store

EXAMPLES = 2

TABLES = (
    "sessions", "converting_sessions", "users", "pages", "places", "departures",
    "writes", "api_keys", "key_uses", "quotas", "quota_usage", "audit_log", "schema_versions",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """How many faults of a kind the store has.

    Attributes:
        name: The kind's name.
        sentence: What is wrong with one of them.
        advice: What to do about it; empty: `--repair` mends it.
        count: How many there are.
        examples: Some of them, at most `EXAMPLES`.
    """

    name: str
    sentence: str
    advice: str
    count: int
    examples: tuple[str, ...] = ()


def damaged_parts(store: Store, call: Call) -> list[str]:
    """Return the parts whose rows reports no longer read because their files are damaged, as `table: part`.

    It takes milliseconds: it reads what ClickHouse found when it opened the tables, and no data. What shows only when
    a part is read is an error of the query that reads it. Of a cluster, servers that are away are passed over: they
    answer no reports.

    Args:
        store: The store; its schema is the latest.
        call: Ends the queries in time.

    Raises:
        SettingError: The store's user may not read what tells of damage.
        PagerolesError: ClickHouse can't be reached, or refuses a query.
    """
    try:
        aside = _told(store, call, f"SELECT * FROM ({_put_aside(store)} {_REACHABLE})")
        misdated = _told(store, call, f"SELECT * FROM ({_misdated(store)} {_REACHABLE})")
    except InternalError as error:
        if is_not_granted(error):
            raise SettingError(
                "the store's user may not read system.detached_parts and system.parts, which tell of damage: grant it "
                "SELECT on both"
            ) from error
        raise
    found = [(table, name) for table, name, _ in aside if name.startswith(_DAMAGED)]
    return [f"{table}: {name}" for table, name in (*found, *misdated)]


_REACHABLE = "SETTINGS skip_unavailable_shards = 1"
# How ClickHouse begins the name of a part that it put aside because its files are damaged: `broken-on-start_…`,
# `broken_…`, `broken-from-backup_…`. Parts with other reasons hold no rows that were stored for good, or hold them
# twice; parts without a reason were put aside by the operator.
_DAMAGED = "broken"


def _told(store: Store, call: Call, text: str) -> Any:
    return store.rows(Statement(text, {"tables": own_tables(store)}), call)


def _put_aside(store: Store) -> str:
    """Select the parts that are detached: table, name and reason."""
    return (
        f"SELECT table, name, ifNull(reason, '') FROM {on_all_servers(store, 'system.detached_parts')} "
        "WHERE database = currentDatabase() AND table IN {tables:Array(String)} ORDER BY table, name"
    )


def _misdated(store: Store) -> str:
    """Select the parts of a month that are said to hold other months: table and name.

    ClickHouse takes the file with the first and the last time of a part for granted, and leaves the part out of
    reports on all other times. It tells whole seconds in 32 bits, which end in 2106.
    """
    return (
        f"SELECT table, name FROM {on_all_servers(store, 'system.parts')} "
        "WHERE database = currentDatabase() AND match(table, '^(converting_)?sessions(_local)?$') AND active "
        "AND rows > 0 AND partition < '210601' "
        "AND (toString(toYYYYMM(min_time, 'UTC')) != partition OR toString(toYYYYMM(max_time, 'UTC')) != partition) "
        "ORDER BY table, name"
    )


def on_all_servers(store: Store, table: str) -> str:
    """Return a table of ClickHouse's own as the whole cluster has it, where there is one."""
    return table if store.cluster is None else f"clusterAllReplicas('{store.cluster}', {table})"


def findings(store: Store, call: Call) -> list[Finding]:
    """Look for parts that are damaged or put aside; read the files of all others.

    Returns:
        A finding for each kind. Where the first has any, tables can't be read.

    Raises:
        PagerolesError: ClickHouse can't be reached, or refuses a query.
    """
    broken = [_shown(part) for part in _unreadable(store, call)]
    aside = _told(store, call, _put_aside(store))
    damaged = [_shown(part) for part in aside if part[1].startswith(_DAMAGED)]
    others = [_shown(part) for part in aside if not part[1].startswith(_DAMAGED)]
    give_up = "restore a backup, or give its rows up with `pageroles check --accept-loss` and load them again"
    return [
        finding_of("part broken", "a part of a table can't be read: its files are damaged", give_up, broken),
        finding_of(
            "part damaged", "a part was put aside since its files are damaged: its rows are not read", give_up, damaged
        ),
        finding_of(
            "part detached",
            "a part was put aside: its rows are not read",
            "attach it (ALTER TABLE … ATTACH PART) if its rows are missing, else drop it (… DROP DETACHED PART)",
            others,
        ),
    ]


def give_up(store: Store, call: Call) -> list[str]:
    """Drop the parts whose files are damaged, and with them the rows that could not be read.

    Returns:
        What was dropped, as `table: part`.

    Raises:
        SettingError: The store is on a cluster, whose servers have parts of their own.
        PagerolesError: ClickHouse can't be reached, or refuses a statement.
    """
    if store.cluster is not None:
        raise SettingError(
            "on a cluster, drop a damaged part on the server that has it, and then run `pageroles check`"
        )
    dropped = []
    for table, name, _ in _told(store, call, _put_aside(store)):
        if name.startswith(_DAMAGED):
            store.command(f"ALTER TABLE {table} DROP DETACHED PART '{name}' SETTINGS allow_drop_detached = 1")
            dropped.append(f"{table}: {name}")
    for table, name, _ in _unreadable(store, call):
        store.command(f"ALTER TABLE {table} DROP PART '{name}'")
        dropped.append(f"{table}: {name}")
    return dropped


def _unreadable(store: Store, call: Call) -> list[tuple[str, str, str]]:
    """Return the parts in use whose files are damaged, as table, name and what is wrong."""
    misdated = [
        (table, name, "its times are those of another month") for table, name in _told(store, call, _misdated(store))
    ]
    known = {(table, name) for table, name, _ in misdated}
    read = [(table, *part) for table in own_tables(store) for part in store.broken_parts(table, call)]
    return misdated + [part for part in read if part[:2] not in known]


def _shown(part: tuple[str, str, str]) -> str:
    table, name, reason = part
    return f"{table}: {', '.join(filter(None, (name, reason)))}"


def finding_of(name: str, sentence: str, advice: str, found: Sequence[str]) -> Finding:
    """Return the finding of a kind, of which `found` names each fault."""
    return Finding(name, sentence, advice, len(found), tuple(found[:EXAMPLES]))


def own_tables(store: Store) -> list[str]:
    """Return the tables that have parts."""
    return [table if store.cluster is None else f"{table}_local" for table in TABLES]
