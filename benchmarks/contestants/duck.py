"""DuckDB, over tables of its own with the store's ready columns, in the store's order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import duckdb

from benchmarks.contestants import ARRAYS
from benchmarks.contestants.roles import READY, union_of_roles
from benchmarks.reports import Report

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cases import Question

_FILE = "duck.db"
_TABLES = ("sessions", "converting_sessions", "pages")
_LISTED = "unnest([1, 2, 3]) AS role, unnest([exit_key, before_exit_key, landing_key]) AS key"

# The description, and the SQL that returns role, key, sessions, users.
_FORMS = {
    "count distinct per role": (
        "a GROUP BY for each role, `count(DISTINCT user)`",
        union_of_roles(
            "SELECT ROLE AS role, KEY AS key, count(*) AS sessions, count(DISTINCT user_key) AS users "
            "FROM leaving GROUP BY key"
        ),
    ),
    "pairs first": (
        "for each role, GROUP BY page and user first, then by page",
        union_of_roles(
            "SELECT ROLE AS role, key, sum(visits)::BIGINT AS sessions, count(*) AS users FROM "
            "(SELECT KEY AS key, user_key, count(*) AS visits FROM leaving GROUP BY ALL) GROUP BY key"
        ),
    ),
    "pairs first, one pass": (
        "GROUP BY role, page and user over `unnest` first, then by role and page",
        (
            "SELECT role, key, sum(visits)::BIGINT AS sessions, count(*) AS users FROM "
            f"(SELECT role, key, user_key, count(*) AS visits FROM (SELECT user_key, {_LISTED} FROM leaving) "
            "GROUP BY ALL) GROUP BY role, key"
        ),
    ),
    "grouping sets": (
        "GROUPING SETS of the three pages, `count(DISTINCT user)`",
        (
            "SELECT CASE WHEN grouping(exit_key) = 0 THEN 1 WHEN grouping(before_exit_key) = 0 THEN 2 ELSE 3 END "
            "AS role, coalesce(exit_key, before_exit_key, landing_key) AS key, "
            "count(*) AS sessions, count(DISTINCT user_key) AS users "
            "FROM leaving GROUP BY GROUPING SETS ((exit_key), (before_exit_key), (landing_key))"
        ),
    ),
}

FORMS = {name: description for name, (description, _) in _FORMS.items()}

_REPORT = """
WITH
    history AS MATERIALIZED
    (
        SELECT *, row_number() OVER (PARTITION BY user_key ORDER BY started_at, session_id) AS nth
        FROM converting_sessions
        WHERE day <= $last_day
    ),
    converting_now AS (SELECT * FROM history WHERE day >= $first_day),
    leaving AS
    (
        SELECT user_key, PAGES
        FROM sessions
        WHERE day BETWEEN $first_day AND $last_day AND NOT converting
        UNION ALL
        SELECT user_key, landing_key, exit_key, before_exit_key FROM converting_now WHERE nth > 1
    ),
    played AS
    (
        SELECT user_key, 1 AS role, unnest(list_distinct(conversion_keys)) AS key FROM converting_now
        UNION ALL
        SELECT user_key, 2, unnest(list_distinct(page_keys[1:list_max(assist_views)])) FROM converting_now
        UNION ALL
        SELECT user_key, 3, landing_key FROM converting_now
    ),
    roles AS
    (
        SELECT 1 AS side, role, key, count(*) AS sessions, count(DISTINCT user_key) AS users
        FROM played
        GROUP BY role, key
        UNION ALL
        SELECT 2 AS side, role, key, sessions, users FROM (
    DROP_OFF
        )
    ),
    counts AS
    (
        SELECT side, key,
            sum(sessions) FILTER (role = 1) AS sessions_1, sum(users) FILTER (role = 1) AS users_1,
            sum(sessions) FILTER (role = 2) AS sessions_2, sum(users) FILTER (role = 2) AS users_2,
            sum(sessions) FILTER (role = 3) AS sessions_3, sum(users) FILTER (role = 3) AS users_3
        FROM roles
        WHERE key != 0
        GROUP BY side, key
    )
SELECT side, url, coalesce(sessions_1, 0)::BIGINT AS sessions_1, coalesce(users_1, 0)::BIGINT AS users_1,
    coalesce(sessions_2, 0)::BIGINT AS sessions_2, coalesce(users_2, 0)::BIGINT AS users_2,
    coalesce(sessions_3, 0)::BIGINT AS sessions_3, coalesce(users_3, 0)::BIGINT AS users_3
FROM counts JOIN pages ON page_key = key
UNION ALL
SELECT 0, '', sessions, users, conversions, converted, 0, 0
FROM
    (SELECT count(*) AS sessions, count(DISTINCT user_key) AS users FROM sessions
     WHERE day BETWEEN $first_day AND $last_day),
    (SELECT coalesce(sum(len(conversion_keys)), 0)::BIGINT AS conversions, count(DISTINCT user_key) AS converted
     FROM converting_now)
ORDER BY side, sessions_1 DESC, sessions_2 DESC, sessions_3 DESC, url
"""


_FROM_ARRAYS = (
    "page_keys[1] AS landing_key, page_keys[-1] AS exit_key, "
    "coalesce(list_filter(page_keys, lambda key: key != page_keys[-1])[-1], 0) AS before_exit_key"
)


class Duck:
    """A database file of DuckDB."""

    def __init__(self, folder: Path, form: str) -> None:
        self.pid = os.getpid()
        self._threads = os.cpu_count() or 1
        _fill(folder)
        self._connection = duckdb.connect(str(folder / _FILE), read_only=True, config={"threads": self._threads})
        text = _REPORT.replace("PAGES", _FROM_ARRAYS if ARRAYS in form else READY)
        self._text = text.replace("DROP_OFF", _FORMS[form.partition(";")[0]][1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, question: Question) -> Any:
        days = {"first_day": question.first_day, "last_day": question.last_day}
        return self._connection.execute(self._text, days).to_arrow_table()

    def read(self, answer: Any) -> Report:
        rows: list[Any] = list(zip(*(column.to_pylist() for column in answer.columns), strict=True))
        (totals,) = (row for row in rows if row[0] == 0)
        return Report.of(totals[2:6], [row for row in rows if row[0] != 0])

    def facts(self) -> dict[str, object]:
        return {"version": duckdb.__version__, "threads": self._threads}


def _fill(folder: Path) -> None:
    """Load the Parquet files into a database file, once."""
    if (folder / _FILE).exists():
        return
    part = folder / "duck.part"
    part.unlink(missing_ok=True)
    with duckdb.connect(str(part)) as connection:
        for table in _TABLES:
            source = str(folder / "parquet" / f"{table}.parquet")
            connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet(?)", [source])
    part.rename(folder / _FILE)
