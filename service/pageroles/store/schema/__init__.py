"""The schema of the store as numbered migrations: templates of SQL, for one server and for a cluster alike.

A migration is a file `NNNN_name.sql` in this folder; `docs/operating.md`, "The schema", says how stores are carried
forward. Statements end with a semicolon at the end of a line, and each may be run again, so that a migration that was
cut short is run from its beginning. A file is never changed in meaning once a store has it: a change is a new file.

What templates may use:

    {{ table("sessions") }}     the name in CREATE TABLE; on a cluster that of each server's own part
    {{ local("sessions") }}     the table that has a server's own rows, for ALTER and for FROM in views
    {{ on_cluster }}            what follows a name in ALTER, empty without a cluster
    {{ view("feed", to="users") }}   the head of a materialized view
    {{ engine("MergeTree") }}   an engine, replicated on a cluster
    {{ distributed("sessions", by="user_key") }}   the table over all servers; nothing without a cluster
    {{ canonical("url") }}      the canonical page of a URL
    {{ referrer_domain() }}     what a session's referrer tells
    {{ registrable_domain("host") }}   the registrable domain of a host, with the whole list of public suffixes
    {{ suffixes_date() }}       the day of that list
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import importlib.resources.abc
import re
from typing import TYPE_CHECKING

import jinja2

from pageroles.errors import InvalidArgumentError
from pageroles.store.schema import expressions

if TYPE_CHECKING:
    from collections.abc import Iterable

_MIGRATION = re.compile(r"(\d{4})_(\w+)\.sql", re.ASCII)
_VERSIONS = "versions.sql"
_END_OF_STATEMENT = re.compile(r";\s*(?:\n|\Z)")
_COMMENT_OR_BLANK = re.compile(r"\s*(?:--.*)?")
_NAME = re.compile(r"\w+", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema.

    Attributes:
        version: Its number; steps are taken in order.
        name: What it brings.
        template: SQL, as this module's text describes.
    """

    version: int
    name: str
    template: str

    def statements(self, cluster: str | None = None) -> list[str]:
        """Return its statements in order, in the form for a cluster where one is named."""
        return _split(rendered(self.template, cluster))


def migrations() -> list[Migration]:
    """Return all steps of the schema, in order."""
    files = [(found, file) for file in _folder().iterdir() if (found := _MIGRATION.fullmatch(file.name))]
    steps = [Migration(int(found[1]), found[2], file.read_text(encoding="utf-8")) for found, file in files]
    return sorted(steps, key=lambda step: step.version)


def latest() -> int:
    """Return the version of a store that has all steps."""
    return migrations()[-1].version


def version_statements(cluster: str | None = None) -> list[str]:
    """Return the statements that make the table of versions."""
    return _split(rendered(_folder().joinpath(_VERSIONS).read_text(encoding="utf-8"), cluster))


def script(cluster: str | None = None) -> str:
    """Return the whole schema as one SQL script, comments and all."""
    texts = [_folder().joinpath(_VERSIONS).read_text(encoding="utf-8"), *(step.template for step in migrations())]
    return "\n\n".join(rendered(text, cluster).strip() + "\n" for text in texts)


def statements(cluster: str | None = None) -> list[str]:
    """Return the statements of the whole schema in order; each may be run again."""
    return [*version_statements(cluster), *_all(migrations(), cluster)]


def rendered(template: str, cluster: str | None) -> str:
    """Return a template as SQL.

    On a cluster every table becomes two: `NAME_local`, replicated within a shard by ClickHouse's own engines (with the
    paths of the servers' `default_replica_path`), and `NAME`, distributed over the shards. Rows of a user lie on one
    shard, so users add up over shards, and a view feeds its own shard's table.

    Args:
        template: SQL, as this module's text describes.
        cluster: A name under `remote_servers` of the servers' configuration; None: one server.

    Raises:
        InvalidArgumentError: The name has other characters than letters, digits and underscores.
    """
    if cluster is not None and not _NAME.fullmatch(cluster):
        raise InvalidArgumentError("cluster", f"{cluster!r} is no name of a cluster: letters, digits and underscores")
    own, on_cluster = ("_local", f" ON CLUSTER {cluster}") if cluster else ("", "")

    def distributed(name: str, by: str) -> str:
        if not cluster:
            return ""
        return (
            f"CREATE TABLE IF NOT EXISTS {name}{on_cluster} AS {name}{own}\n"
            f"ENGINE = Distributed({cluster}, currentDatabase(), {name}{own}, {by});"
        )

    # The templates are files of this folder and make SQL, not HTML.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    return environment.from_string(template).render(
        cluster=cluster,
        on_cluster=on_cluster,
        table=lambda name: f"{name}{own}{on_cluster}",
        local=lambda name: f"{name}{own}",
        view=lambda name, to: f"{name}{on_cluster} TO {to}{own}",
        engine=lambda text: f"Replicated{text}" if cluster else text,
        distributed=distributed,
        canonical=expressions.canonical,
        referrer_domain=expressions.referrer_domain,
        registrable_domain=expressions.registrable_domain,
        suffixes_date=lambda: expressions.public_suffixes().date,
    )


def _folder() -> importlib.resources.abc.Traversable:
    return importlib.resources.files(__name__)


def _all(steps: Iterable[Migration], cluster: str | None) -> list[str]:
    return [statement for step in steps for statement in step.statements(cluster)]


def _split(text: str) -> list[str]:
    """Return the statements of a script."""
    pieces = _END_OF_STATEMENT.split(text)
    return [
        piece.strip() for piece in pieces if any(not _COMMENT_OR_BLANK.fullmatch(line) for line in piece.splitlines())
    ]
