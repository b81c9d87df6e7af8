"""DuckDB, over tables of its own with the store's ready columns: in a database file, or in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import duckdb

from benchmarks import data
from benchmarks.contestants.roles import union_of_roles
from benchmarks.reports import Report

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cases import Question

_TABLES = ("sessions", "converting_sessions", "users", "pages")
_PLACES = ("file", "memory")
_LISTED = "unnest([1, 2, 3]) AS role, unnest([exit_key, before_exit_key, landing_key]) AS key"

# The description, and the SQL that returns role, key, sessions, users.
_WAYS = {
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

FORMS = {
    f"{name}, {place}": f"{description}; tables in {'a file' if place == 'file' else place}"
    for name, (description, _) in _WAYS.items()
    for place in _PLACES
}

_REPORT = """
WITH
    history AS MATERIALIZED
    (
        SELECT * REPLACE (CONVERSION_KEYS AS conversion_keys, ASSIST_VIEWS AS assist_views),
            row_number() OVER (PARTITION BY user_key ORDER BY started_at, session_key) AS nth
        FROM converting_sessions
        WHERE HISTORY
    ),FIRSTS
    converting_now AS (SELECT * FROM history WHERE day BETWEEN $first_day AND $last_day AND CONVERTING),
    plain AS
    (
        PLAIN
    ),
    leaving AS
    (
        SELECT user_key, landing_key, exit_key, before_exit_key FROM plain
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
    (SELECT count(*) AS sessions, count(DISTINCT user_key) AS users FROM (ALL_OF_THEM)),
    (SELECT coalesce(sum(len(conversion_keys)), 0)::BIGINT AS conversions, count(DISTINCT user_key) AS converted
     FROM converting_now)
ORDER BY side, sessions_1 DESC, sessions_2 DESC, sessions_3 DESC, url
"""

_WINDOW = "FROM sessions WHERE day BETWEEN $first_day AND $last_day"
_KEYS = "user_key, landing_key, exit_key, before_exit_key"
_SEEN_BEFORE = "(SELECT user_key FROM users WHERE first_seen_at < epoch_ms($first_day::TIMESTAMP))"
_CONVERTED = "(SELECT user_key, min((started_at, session_key)) AS converted_at FROM history GROUP BY user_key)"
_FIRSTS = f"""
    firsts AS MATERIALIZED
    (
        SELECT user_key, arg_min(
            (landing_key, exit_key, before_exit_key, converting, session_key), (started_at, session_key)) AS earliest
        {_WINDOW} AND user_key NOT IN {_SEEN_BEFORE}
        GROUP BY user_key
    ),"""
# Sessions of the window without a conversion, by scope.
_PLAIN = {
    "any": f"SELECT {_KEYS} {_WINDOW} AND NOT converting AND PASSES",
    "none": f"SELECT {_KEYS} FROM converting_now WHERE false",
    "first": "SELECT user_key, earliest[1] AS landing_key, earliest[2] AS exit_key, earliest[3] AS before_exit_key "
    "FROM firsts WHERE NOT earliest[4]",
    "assist": f"""SELECT {_KEYS} FROM
        (
            SELECT {_KEYS}, (started_at, session_key) AS place,
                min((started_at, session_key)) OVER (PARTITION BY user_key) AS first_place
            {_WINDOW} AND user_key IN (SELECT user_key FROM history)
        ) JOIN {_CONVERTED} USING (user_key)
        WHERE place < converted_at AND (place > first_place OR user_key IN {_SEEN_BEFORE})""",
    "after": f"SELECT {_KEYS} FROM (SELECT *, (started_at, session_key) AS place {_WINDOW} AND NOT converting) "
    f"JOIN {_CONVERTED} USING (user_key) WHERE place > converted_at",
}
# Which sessions of the window with a conversion, by scope.
_CONVERTING = {
    "any": "PASSES",
    "none": "PASSES",
    "first": "nth = 1 AND (user_key, session_key) IN (SELECT (user_key, earliest[5]) FROM firsts WHERE earliest[4])",
    "assist": "false",
    "after": "nth > 1",
}
_PASSES = {
    "source": "source = $value",
    "landing_page": "landing_key = (SELECT page_key FROM pages WHERE url = $value)",
}


def statement(way: str, question: Question) -> str:
    """Return the whole report that answers a question, in one of the ways."""
    scope = "none" if question.scope == "converting" or question.filters_conversions else question.scope
    history = "true" if scope == "assist" else "day <= $last_day"
    conversion_keys, assist_views = "conversion_keys", "assist_views"
    passes = "true"
    if question.filters_conversions:
        history += " AND list_contains(conversion_types, $value)"
        conversion_keys, assist_views = (
            f"list_where({name}, list_transform(conversion_types, lambda type: type = $value))"
            for name in (conversion_keys, assist_views)
        )
    elif question.filter is not None:
        passes = _PASSES[question.filter[0]]
    everything = (
        f"SELECT user_key {_WINDOW} AND PASSES"
        if scope == "any"
        else "SELECT user_key FROM plain UNION ALL SELECT user_key FROM converting_now"
    )
    text = _REPORT
    for name, value in (
        ("DROP_OFF", _WAYS[way][1]),
        ("FIRSTS", _FIRSTS if scope == "first" else ""),
        ("PLAIN", _PLAIN[scope]),
        ("ALL_OF_THEM", everything),
        ("HISTORY", history),
        ("CONVERSION_KEYS", conversion_keys),
        ("ASSIST_VIEWS", assist_views),
        ("CONVERTING", _CONVERTING[scope]),
        ("PASSES", passes),
    ):
        text = text.replace(name, value)
    return text


class Duck:
    """A database of DuckDB."""

    def __init__(self, folder: Path, form: str) -> None:
        self.pid = os.getpid()
        self._threads = os.cpu_count() or 1
        self._way, _, place = form.rpartition(", ")
        config: dict[str, Any] = {"threads": self._threads}
        if place == "memory":
            self._connection = duckdb.connect(config=config)
            _load(self._connection, folder)
        else:
            self._connection = duckdb.connect(str(_file(folder)), read_only=True, config=config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def prepare(self) -> dict[str, float]:
        return {}

    def ask(self, question: Question) -> Any:
        bound: dict[str, Any] = {"first_day": question.first_day, "last_day": question.last_day}
        if question.filter:
            bound["value"] = question.filter[1]
        return self._connection.execute(statement(self._way, question), bound).to_arrow_table()

    def read(self, answer: Any) -> Report:
        rows: list[Any] = list(zip(*(column.to_pylist() for column in answer.columns), strict=True))
        (totals,) = (row for row in rows if row[0] == 0)
        return Report.of(totals[2:6], [row for row in rows if row[0] != 0])

    def facts(self) -> dict[str, object]:
        return {"version": duckdb.__version__, "threads": self._threads}


def _file(folder: Path) -> Path:
    """Return the database file, which is made once."""
    path = data.exported(folder) / "duck.db"
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with duckdb.connect(str(part)) as connection:
            _load(connection, folder)
        part.rename(path)
    return path


def _load(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    for table in _TABLES:
        source = str(data.exported(folder) / f"{table}.parquet")
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet(?)", [source])
