"""The schema of the store, kept as SQL in `schema.sql`; and its form for a cluster, made from that."""

from __future__ import annotations

import importlib.resources
import re

from pageroles.errors import InvalidArgumentError

_END_OF_STATEMENT = re.compile(r";\s*(?:\n|\Z)")
_COMMENT_OR_BLANK = re.compile(r"\s*(?:--.*)?")
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
_VIEW = re.compile(r"CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO (\w+) AS")
_ENGINE = re.compile(r"ENGINE = (\w+)")
_NAME = re.compile(r"\w+", re.ASCII)

# Where a row belongs. All that is known of a user lies on one shard: so users add up over shards, and a view can
# feed its own shard's table.
_SHARDING = {
    "sessions": "sipHash64(user_id)",
    "converting_sessions": "user_key",
    "users": "user_key",
    "pages": "page_key",
    "api_keys": "sipHash64(id)",
    "quotas": "sipHash64(domain)",
    "quota_usage": "sipHash64(domain)",
}


def script() -> str:
    """Return the whole schema as one SQL script."""
    return importlib.resources.files(__name__).joinpath("schema.sql").read_text(encoding="utf-8")


def statements() -> list[str]:
    """Return the statements of the schema in order; each may be run again on a store that has them."""
    pieces = _END_OF_STATEMENT.split(script())
    return [
        piece.strip() for piece in pieces if any(not _COMMENT_OR_BLANK.fullmatch(line) for line in piece.splitlines())
    ]


def cluster_statements(cluster: str) -> list[str]:
    """Return the statements of the schema's form for a cluster; each may be run again.

    Every table becomes two: `NAME_local`, replicated within a shard by ClickHouse's own engines (with the paths of
    the servers' `default_replica_path`), and `NAME`, distributed over the shards by the user. The views feed the local
    tables from the local sessions.

    Args:
        cluster: A name under `remote_servers` of the servers' configuration.

    Raises:
        InvalidArgumentError: The name has other characters than letters, digits and underscores.
    """
    if not _NAME.fullmatch(cluster):
        raise InvalidArgumentError("cluster", f"{cluster!r} is no name of a cluster: letters, digits and underscores")
    found = []
    for statement in statements():
        if view := _VIEW.search(statement):
            name, target = view.groups()
            head = f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} ON CLUSTER {cluster} TO {target}_local AS"
            found.append(re.sub(r"FROM sessions\b", "FROM sessions_local", statement.replace(view[0], head)))
        elif table := _TABLE.search(statement):
            name = table[1]
            local = statement.replace(table[0], f"CREATE TABLE IF NOT EXISTS {name}_local ON CLUSTER {cluster}")
            local = re.sub(r",?\s*non_replicated_deduplication_window = \d+", "", local)
            local = re.sub(r"\s*SETTINGS\s*\Z", "", local)
            found += [
                _ENGINE.sub(r"ENGINE = Replicated\1", local),
                (
                    f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER {cluster} AS {name}_local\n"
                    f"ENGINE = Distributed({cluster}, currentDatabase(), {name}_local, {_SHARDING[name]})"
                ),
            ]
    return found
