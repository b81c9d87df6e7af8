"""What a store holds, in numbers: its domains, its tables, its schema, and what is wrong with it at a glance."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pageroles.store import damage, recovery, schema
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from pageroles.store.store import Store

_SECONDS = 600.0

_DOMAINS = (
    "SELECT toString(domain), count(), uniqExact(user_key), countIf(converting), "
    "toUnixTimestamp64Milli(min(started_at)), toUnixTimestamp64Milli(max(started_at)) "
    "FROM sessions FINAL WHERE gone = 0 GROUP BY domain ORDER BY 2 DESC, 1"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Domain:
    """What is stored of a domain.

    Attributes:
        name: The domain.
        sessions: How many sessions count.
        users: Of how many users.
        converting: How many of the sessions carry a conversion.
        first: When the first of them started, UTC.
        last: When the last of them started, UTC.
    """

    name: str
    sessions: int
    users: int
    converting: int
    first: datetime
    last: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """What ClickHouse keeps of a table.

    Attributes:
        name: The table.
        parts: In how many parts; a store that is fed has many, and ClickHouse merges them.
        rows: How many rows, versions that no longer count included.
        bytes: How many bytes on disk.
    """

    name: str
    parts: int
    rows: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """What a store holds.

    Attributes:
        engine: `embedded`, `server`, or `cluster NAME`.
        version: The version of ClickHouse.
        schema: The last migration, by its number.
        domains: The domains, most sessions first.
        tables: The tables with parts, in the order of their names; on a cluster, those of all its servers.
        cut_short: How many writes and erasures have begun and not ended.
        damaged: Parts whose files are damaged, as `table: part`.
    """

    engine: str
    version: str
    schema: int
    domains: tuple[Domain, ...]
    tables: tuple[Table, ...]
    cut_short: int
    damaged: tuple[str, ...]


def contents(store: Store) -> Contents:
    """Return what a store holds.

    Args:
        store: The store; its schema is the latest.

    Raises:
        SettingError: The store's user may not read what tells of damage.
        PagerolesError: ClickHouse can't be reached, or refuses a query.
    """
    call = store.call(_SECONDS)
    domains: Any = store.scan(Statement(_DOMAINS), call)
    tables: Any = store.rows(
        Statement(
            f"SELECT table, count(), sum(rows), sum(bytes_on_disk) FROM {damage.on_all_servers(store, 'system.parts')} "
            "WHERE database = currentDatabase() AND active AND table IN {tables:Array(String)} "
            "GROUP BY table ORDER BY table",
            {"tables": damage.own_tables(store)},
        ),
        call,
    )
    ((version,),) = store.rows(Statement("SELECT version()"), call)
    return Contents(
        engine="embedded" if store.folder else f"cluster {store.cluster}" if store.cluster else "server",
        version=str(version),
        schema=schema.latest(),
        domains=tuple(_domain(*row) for row in domains),
        tables=tuple(Table(*row) for row in tables),
        cut_short=recovery.finding(store).count,
        damaged=tuple(damage.damaged_parts(store, call)),
    )


def _domain(name: str, sessions: int, users: int, converting: int, first: int, last: int) -> Domain:
    return Domain(name, sessions, users, converting, _instant(first), _instant(last))


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
