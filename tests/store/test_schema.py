"""Stores of earlier versions are carried forward; those that no step leads from are refused with a sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pageroles.errors import InternalError, SettingError
from pageroles.store import damage, schema
from pageroles.store.schema import Migration
from pageroles.store.statement import Statement
from support import stores, worked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pageroles.store.store import Store
    from support.clickhouse_standin import StandIn

STEPS = schema.migrations()
COUNTRY = """
{{ alter("sessions", "ADD COLUMN IF NOT EXISTS country LowCardinality(String)") }}
-- Shown anew where it was there: a step may be run twice.
ALTER TABLE {{ local("pages") }}{{ on_cluster }}
    ADD COLUMN IF NOT EXISTS seen UInt8 DEFAULT length({{ canonical("url") }}) > 0;
"""


@pytest.fixture
def store(standin: StandIn) -> Iterator[Store]:
    """A store without a table."""
    with stores.bare(standin) as opened:
        yield opened


def rows(store: Store, text: str) -> Sequence[Sequence[object]]:
    return store.rows(Statement(text), store.call(30))


def versions(store: Store) -> list[object]:
    return [version for (version,) in rows(store, "SELECT version FROM schema_versions FINAL ORDER BY version")]


@pytest.fixture
def with_country(monkeypatch: pytest.MonkeyPatch) -> Migration:
    """A step more than the project has."""
    step = Migration(STEPS[-1].version + 1, "country", COUNTRY)
    monkeypatch.setattr(schema, "migrations", lambda: [*STEPS, step])
    return step


def test_a_new_store_has_all_steps(store: Store) -> None:
    with pytest.raises(SettingError, match="no schema: run `pageroles schema`"):
        store.check()
    store.apply_schema()
    store.check()
    assert versions(store) == [step.version for step in schema.migrations()]
    store.apply_schema()
    assert versions(store) == [step.version for step in schema.migrations()], "again is harmless"


def test_a_store_without_a_version_row_is_carried_forward_with_its_sessions(store: Store) -> None:
    for statement in schema.migrations()[0].statements():
        store.command(statement)
    store.insert("sessions", worked.rows())
    with pytest.raises(SettingError, match=r"version 0 of the schema.*migrates the store and keeps its sessions"):
        store.check()
    store.apply_schema()
    store.check()
    assert rows(store, "SELECT count() FROM sessions FINAL") == [(len(worked.WORKED),)]


def test_a_step_that_is_missing_is_taken_once(
    store: Store, with_country: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(schema, "migrations", lambda: STEPS)
        store.apply_schema()
        store.insert("sessions", worked.rows())
        store.check()
    with pytest.raises(SettingError, match=rf"version {with_country.version - 1} .* needs {with_country.version}"):
        store.check()
    store.apply_schema()
    store.check()
    assert versions(store)[-1] == with_country.version
    assert rows(store, "SELECT DISTINCT country FROM sessions FINAL") == [("",)]
    assert rows(store, "SELECT count() FROM sessions FINAL") == [(len(worked.WORKED),)]


def test_a_step_that_was_cut_short_is_run_from_its_beginning(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.apply_schema()
    broken = Migration(STEPS[-1].version + 1, "country", f"{COUNTRY}\nALTER TABLE nowhere ADD COLUMN a UInt8;\n")
    monkeypatch.setattr(schema, "migrations", lambda: [*STEPS, broken])
    with pytest.raises((InternalError, SettingError)):
        store.apply_schema()
    assert versions(store)[-1] == broken.version - 1, "what was not finished is not noted"
    mended = Migration(broken.version, "country", COUNTRY)
    monkeypatch.setattr(schema, "migrations", lambda: [*STEPS, mended])
    store.apply_schema()
    store.check()


def test_a_store_of_a_later_version_is_refused(store: Store) -> None:
    store.apply_schema()
    store.insert("schema_versions", b'{"version": 9000, "name": "of a later pageroles"}')
    for refused in (store.check, store.apply_schema):
        with pytest.raises(SettingError, match=r"version 9000 of the schema.*update pageroles"):
            refused()


def test_a_store_that_no_step_leads_from_is_refused(store: Store) -> None:
    store.command("CREATE TABLE sessions (domain String) ENGINE = Memory")
    for refused in (store.check, store.apply_schema):
        with pytest.raises(SettingError, match="an early version"):
            refused()


def test_one_server_does_not_become_a_cluster(store: Store) -> None:
    store.apply_schema()
    with pytest.raises(SettingError, match="on one server and can't be moved to the cluster prod"):
        store.apply_schema("prod")


def test_steps_are_numbered_without_a_gap_and_can_be_run_again(store: Store) -> None:
    steps = schema.migrations()
    assert [step.version for step in steps] == list(range(1, len(steps) + 1))
    store.apply_schema()
    store.insert("sessions", worked.rows())
    contents = ("SELECT * FROM sessions FINAL ORDER BY ALL", "SELECT * FROM converting_sessions FINAL ORDER BY ALL")
    before = [rows(store, content) for content in contents]
    for step in steps:
        for statement in step.statements():
            again = (
                r"\bIF (NOT )?EXISTS\b|\bCREATE OR REPLACE\b|\bMODIFY\b|\bRESET SETTING\b|\bTRUNCATE\b|"
                r"\bMATERIALIZE COLUMN\b|^INSERT INTO\b"
            )
            assert re.search(again, statement, re.MULTILINE), statement
            store.command(statement)
    assert [rows(store, content) for content in contents] == before


def test_no_table_may_be_cleaned_of_its_marks(store: Store) -> None:
    """A merge that drops the rows that mark a deletion would let an earlier version, that comes late, count again."""
    store.apply_schema()
    store.insert("sessions", worked.rows())
    for table in damage.TABLES:
        with pytest.raises(InternalError, match="CLEANUP"):
            store.command(f"OPTIMIZE TABLE {table} FINAL CLEANUP")


def test_a_template_that_uses_an_unknown_name_is_no_sql() -> None:
    with pytest.raises(Exception, match="'tabel' is undefined"):
        schema.rendered('CREATE TABLE {{ tabel("x") }}', None)
