"""The schema of the store as numbered migrations: SQL templates for one server and for a cluster.

A migration is a file `NNNN_name.sql` in this folder; `docs/operating.md`, "The schema", says how stores are migrated.
Statements end with a semicolon at the end of a line. Each may be run again, so that a migration that was cut short is
run from its beginning. Once a store has a migration, its meaning never changes: a change is a new file.

Templates may use:

    {{ table("sessions") }}     the name in CREATE TABLE; on a cluster that of the table with a server's own rows
    {{ local("sessions") }}     the table with a server's own rows, for FROM in views
    {{ on_cluster }}            ON CLUSTER, after a name in ALTER; empty without a cluster
    {{ alter("sessions", "ADD COLUMN …") }}   a change of a table and, on a cluster, of the table over all servers
    {{ alter_own("sessions", "…") }}          a change of the table with a server's own rows alone, as of its settings
    {{ view("feed", to="users") }}   the head of a materialized view
    {{ engine("MergeTree") }}   an engine, replicated on a cluster
    {{ distributed("sessions", by="user_key") }}   the table over all servers; empty without a cluster
    {{ canonical("url") }}      the canonical page of a URL
    {{ referrer_domain() }}     what a session's referrer tells
    {{ registrable_domain("host") }}   the registrable domain of a host, with the whole list of public suffixes
    {{ suffixes_date() }}       the day of that list
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import importlib.resources.abc
import re

import jinja2

from pageroles.errors import InvalidArgumentError
from pageroles.store.schema import expressions

_MIGRATION = re.compile(r"(\d{4})_(\w+)\.sql", re.ASCII)
_VERSIONS = "versions.sql"
_END_OF_STATEMENT = re.compile(r";\s*(?:\n|\Z)")
_COMMENT_OR_BLANK = re.compile(r"\s*(?:--.*)?")
_NAME = re.compile(r"\w+", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Migration:
    """A migration of the schema.

    Attributes:
        version: Its number, from 1; migrations are applied in this order.
        name: What it adds.
        template: SQL, as the module's docstring describes.
    """

    version: int
    name: str
    template: str

    def statements(self, cluster: str | None = None) -> list[str]:
        """Return its statements in order, for a cluster or, where None, for one server."""
        return statements_of(self.template, cluster)


@functools.cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations, in order."""
    files = [(match, file) for file in _folder().iterdir() if (match := _MIGRATION.fullmatch(file.name))]
    unsorted = [Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")) for match, file in files]
    return tuple(sorted(unsorted, key=lambda migration: migration.version))


def latest() -> int:
    """Return the version of the last migration."""
    return migrations()[-1].version


def version_statements(cluster: str | None = None) -> list[str]:
    """Return the statements that create the table of versions."""
    return statements_of(_folder().joinpath(_VERSIONS).read_text(encoding="utf-8"), cluster)


def script(cluster: str | None = None) -> str:
    """Return the whole schema as one SQL script, with its comments."""
    versions = _folder().joinpath(_VERSIONS).read_text(encoding="utf-8")
    texts = [versions, *(migration.template for migration in migrations())]
    return "\n\n".join(rendered(text, cluster).strip() + "\n" for text in texts)


def statements(cluster: str | None = None) -> list[str]:
    """Return the statements of the whole schema, in order; each may be run again."""
    own = [statement for migration in migrations() for statement in migration.statements(cluster)]
    return [*version_statements(cluster), *own]


def statements_of(template: str, cluster: str | None) -> list[str]:
    """Return a template's statements in order, for a cluster or, where None, for one server."""
    return _split(rendered(template, cluster))


@functools.lru_cache(maxsize=64)
def rendered(template: str, cluster: str | None) -> str:
    """Return a template as SQL.

    On a cluster every table becomes two: `NAME_local`, replicated within a shard by ClickHouse's own engines (in the
    servers' `default_replica_path`), and `NAME`, distributed over the shards. All rows of a user are on one shard, so
    users add up over shards, and a view feeds the table of its own shard.

    Args:
        template: SQL, as the module's docstring describes.
        cluster: A name under `remote_servers` in the servers' configuration; None: one server.

    Raises:
        InvalidArgumentError: The name has other characters than letters, digits and underscores.
    """
    if cluster is not None and not _NAME.fullmatch(cluster):
        raise InvalidArgumentError(
            "cluster", f"{cluster!r} is no name of a cluster; give letters, digits and underscores"
        )
    own, on_cluster = ("_local", f" ON CLUSTER {cluster}") if cluster else ("", "")

    def distributed(name: str, by: str) -> str:
        if not cluster:
            return ""
        return (
            f"CREATE TABLE IF NOT EXISTS {name}{on_cluster} AS {name}{own}\n"
            f"ENGINE = Distributed({cluster}, currentDatabase(), {name}{own}, {by});"
        )

    def alter_own(name: str, change: str) -> str:
        return f"ALTER TABLE {name}{own}{on_cluster} {change};"

    def alter(name: str, change: str) -> str:
        whole = f"\nALTER TABLE {name}{on_cluster} {change};" if cluster else ""
        return alter_own(name, change) + whole

    # The templates are this folder's own files, and make SQL, not HTML.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    return environment.from_string(template).render(
        cluster=cluster,
        on_cluster=on_cluster,
        table=lambda name: f"{name}{own}{on_cluster}",
        local=lambda name: f"{name}{own}",
        view=lambda name, to: f"{name}{on_cluster} TO {to}{own}",
        engine=lambda text: f"Replicated{text}" if cluster else text,
        alter=alter,
        alter_own=alter_own,
        distributed=distributed,
        canonical=expressions.canonical,
        referrer_domain=expressions.referrer_domain,
        registrable_domain=expressions.registrable_domain,
        suffixes_date=lambda: expressions.public_suffixes().date,
    )


def _folder() -> importlib.resources.abc.Traversable:
    return importlib.resources.files(__name__)


def _split(text: str) -> list[str]:
    """Return the statements of a script."""
    pieces = _END_OF_STATEMENT.split(text)
    return [
        piece.strip() for piece in pieces if any(not _COMMENT_OR_BLANK.fullmatch(line) for line in piece.splitlines())
    ]
