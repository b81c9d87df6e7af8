"""The best ClickHouse SQL over the same tables, with the store's ready columns.

The hard part is the drop-off side: three pages of nearly every session, and distinct users of each. There the forms
differ. The conversion side, a few percent of the sessions, is the same in all.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING, Any, Self

import clickhouse_connect

from benchmarks.cases import DOMAIN
from benchmarks.contestants import NO_FINAL
from benchmarks.contestants.roles import union_of_roles
from benchmarks.reports import Report

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cases import Question

_ROLES = "(1, exit_key), (2, before_exit_key), (3, landing_key)"
_PAIRS = f"arrayJoin([{_ROLES}])"


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """A way to count the drop-off roles.

    Attributes:
        description: For readers of the page.
        text: SQL that returns role, key, sessions, users.
        settings: That it needs.
    """

    description: str
    text: str
    settings: str = ""


_TWO_LEVEL = "group_by_two_level_threshold = 1, group_by_two_level_threshold_bytes = 1"

_FORMS = {
    "group by per role": Form(
        "a GROUP BY for each role, `uniqExact` of the users",
        union_of_roles(
            "SELECT ROLE AS role, KEY AS key, count() AS sessions, "
            "uniqExact(user_key) AS users FROM leaving GROUP BY key"
        ),
    ),
    "array join": Form(
        "one GROUP BY over `arrayJoin` of the three (role, page)",
        f"SELECT {_PAIRS} AS played, played.1 AS role, played.2 AS key, count() AS sessions, "
        "uniqExact(user_key) AS users "
        "FROM leaving GROUP BY played",
    ),
    "grouping sets": Form(
        "GROUPING SETS of the three pages",
        "SELECT multiIf(grouping(exit_key) = 0, 1, grouping(before_exit_key) = 0, 2, 3) AS role, "
        "multiIf(role = 1, exit_key, role = 2, before_exit_key, landing_key) AS key, "
        "count() AS sessions, uniqExact(user_key) AS users "
        "FROM leaving GROUP BY GROUPING SETS ((exit_key), (before_exit_key), (landing_key))",
    ),
    "pairs first": Form(
        "for each role, GROUP BY page and user first, then by page",
        union_of_roles(
            "SELECT ROLE AS role, key, sum(visits) AS sessions, count() AS users FROM "
            "(SELECT KEY AS key, user_key, count() AS visits FROM leaving GROUP BY key, user_key) GROUP BY key"
        ),
    ),
    "pairs first, one pass": Form(
        "GROUP BY role, page and user over `arrayJoin` first, then by role and page",
        "SELECT played.1 AS role, played.2 AS key, sum(visits) AS sessions, "
        "count() AS users FROM "
        f"(SELECT {_PAIRS} AS played, user_key, count() AS visits FROM leaving GROUP BY played, user_key) "
        "GROUP BY played",
    ),
    "users first": Form(
        "GROUP BY user with the user's pages of each role, distinct ones, then by page",
        union_of_roles(
            "SELECT ROLE AS role, key, sum(visits) AS sessions, count() AS users FROM "
            "(SELECT arrayJoin(pages) AS page, "
            "page.1 AS key, page.2 AS visits FROM (SELECT user_key, sumMap([KEY], [toUInt32(1)]) AS maps, "
            "arrayZip(maps.1, maps.2) AS pages FROM leaving GROUP BY user_key)) GROUP BY key"
        ),
    ),
    "bitmaps": Form(
        "a GROUP BY for each role, `groupBitmap` of the users",
        union_of_roles(
            "SELECT ROLE AS role, KEY AS key, count() AS sessions, "
            "groupBitmap(user_key) AS users FROM leaving GROUP BY key"
        ),
    ),
    "runs": Form(
        "for each role, ORDER BY page and user, and count where either changes",
        union_of_roles(
            "SELECT ROLE AS role, key, count() AS sessions, countIf(fresh) AS users FROM (SELECT KEY AS key, "
            "(key, user_key) != (lagInFrame(key) OVER w, lagInFrame(user_key) OVER w) "
            "OR row_number() OVER w = 1 AS fresh "
            "FROM leaving WINDOW w AS (ORDER BY KEY, user_key ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) "
            "GROUP BY key"
        ),
    ),
    "ranges of users": Form(
        "a GROUP BY page and range of users for each role, `uniqExact` within it, then the sum: smaller sets",
        union_of_roles(
            "SELECT ROLE AS role, key, sum(visits) AS sessions, sum(different) AS users FROM (SELECT KEY AS key, "
            "count() AS visits, uniqExact(user_key) AS different FROM leaving "
            "GROUP BY key, bitShiftRight(user_key, 60)) "
            "GROUP BY key"
        ),
    ),
    "group by per role, two-level": Form(
        "the first form, with two-level hash tables from the start",
        union_of_roles(
            "SELECT ROLE AS role, KEY AS key, count() AS sessions, "
            "uniqExact(user_key) AS users FROM leaving GROUP BY key"
        ),
        _TWO_LEVEL,
    ),
    "dense users": Form(
        "a GROUP BY for each role, `groupBitmap` of the rank of each user among all",
        union_of_roles(
            "SELECT ROLE AS role, KEY AS key, count() AS sessions, groupBitmap(rank) AS users FROM ranked GROUP BY key"
        ),
    ),
}
# An addition to the name of a form.
_MATERIALIZED = ", materialized"
FORMS = {name: form.description for name, form in _FORMS.items()}
FORMS |= {
    name + _MATERIALIZED: f"{form.description}; what it reads more than once is materialized"
    for name, form in _FORMS.items()
}

_REPORT = """
WITH
    history AS
    (
        SELECT *, row_number() OVER (PARTITION BY user_key ORDER BY started_at, session_key) AS nth
        FROM
        (
            SELECT user_key, started_at, session_key, landing_key, exit_key, before_exit_key, page_keys,
                CONVERSION_KEYS AS conversion_keys, ASSIST_VIEWS AS assist_views, effective_source
            FROM converting_sessions FINAL
            WHERE domain = {domain:String} AND HISTORY
        )
    ),
    converting_now AS (SELECT * FROM history WHERE started_at BETWEEN FIRST AND LAST AND CONVERTING),
    PLAIN,
    leaving AS
    (
        SELECT user_key, landing_key, exit_key, before_exit_key FROM plain
        UNION ALL
        SELECT user_key, landing_key, exit_key, before_exit_key FROM converting_now WHERE nth > 1
    ),RANKED
    roles AS
    (
        SELECT 1 AS side, played.1 AS role, played.2 AS key, count() AS sessions, uniqExact(user_key) AS users
        FROM
        (
            SELECT user_key, arrayJoin(arrayDistinct(arrayConcat(
                arrayMap(key -> (1, key), conversion_keys),
                arrayMap(key -> (2, key), arraySlice(page_keys, 1, arrayMax(assist_views))),
                [(3, landing_key)]))) AS played
            FROM converting_now
        )
        GROUP BY played
        UNION ALL
        SELECT 2 AS side, role, key, sessions, users FROM (
    DROP_OFF
        )
    )
SELECT side, url, sumIf(sessions, role = 1) AS sessions_1, sumIf(users, role = 1) AS users_1,
    sumIf(sessions, role = 2) AS sessions_2, sumIf(users, role = 2) AS users_2,
    sumIf(sessions, role = 3) AS sessions_3, sumIf(users, role = 3) AS users_3
FROM roles
INNER JOIN (SELECT page_key, any(url) AS url FROM pages WHERE domain = {domain:String} GROUP BY page_key) AS names
    ON names.page_key = roles.key
WHERE key != 0
GROUP BY side, url
UNION ALL
SELECT 0 AS side, '' AS url, sessions_1, users_1, sessions_2, users_2, 0 AS sessions_3, 0 AS users_3
FROM (SELECT count() AS sessions_1, uniqExact(user_key) AS users_1 FROM (ALL_OF_THEM)) AS all_of_them
CROSS JOIN
(
    SELECT sum(length(conversion_keys)) AS sessions_2, uniqExact(user_key) AS users_2 FROM converting_now
) AS converted
ORDER BY side, sessions_1 DESC, sessions_2 DESC, sessions_3 DESC, url
"""
_RANKED = """
    ranks AS (SELECT user_key, toUInt32(rowNumberInAllBlocks()) AS rank FROM leaving GROUP BY user_key),
    ranked AS (SELECT leaving.*, rank FROM leaving INNER JOIN ranks USING user_key),"""

_FIRST, _LAST = (
    "toDateTime64({first_day:Date}, 3, 'UTC')",
    "toDateTime64({last_day:Date} + 1, 3, 'UTC') - toIntervalMillisecond(1)",
)
_WINDOW = "sessions FINAL\n        WHERE domain = {domain:String} AND day BETWEEN {first_day:Date} AND {last_day:Date}"
# Sessions of the window without a conversion, by scope.
_PLAIN = {
    "any": f"""plain AS
    (
        SELECT user_key, landing_key, exit_key, before_exit_key
        FROM {_WINDOW} AND NOT converting AND PASSES
    )""",
    "none": """plain AS
    (
        SELECT user_key, landing_key, exit_key, before_exit_key FROM converting_now WHERE 0
    )""",
    "first": f"""firsts AS
    (
        SELECT user_key, argMin(
            (landing_key, exit_key, before_exit_key, converting, session_key), (started_at, session_key)) AS earliest
        FROM {_WINDOW}
            AND user_key NOT IN (SELECT user_key FROM users WHERE domain = {{domain:String}} AND first_seen_at < FIRST)
        GROUP BY user_key
    ),
    plain AS
    (
        SELECT user_key, earliest.1 AS landing_key, earliest.2 AS exit_key, earliest.3 AS before_exit_key
        FROM firsts WHERE NOT earliest.4
    )""",
    "assist": f"""places AS
    (
        SELECT user_key, landing_key, exit_key, before_exit_key, converting, (started_at, session_key) AS place,
            min(place) OVER (PARTITION BY user_key) AS first_place
        FROM {_WINDOW}
            AND user_key IN (SELECT user_key FROM history)
    ),
    plain AS
    (
        SELECT places.* FROM places
        INNER JOIN (SELECT user_key, min((started_at, session_key)) AS converted_at FROM history GROUP BY user_key)
            AS converted USING user_key
        WHERE place < converted_at AND (place > first_place OR user_key IN
            (SELECT user_key FROM users WHERE domain = {{domain:String}} AND first_seen_at < FIRST))
    )""",
    "after": f"""places AS
    (
        SELECT user_key, landing_key, exit_key, before_exit_key, (started_at, session_key) AS place
        FROM {_WINDOW} AND NOT converting
            AND user_key IN (SELECT user_key FROM history)
    ),
    plain AS
    (
        SELECT places.* FROM places
        INNER JOIN (SELECT user_key, min((started_at, session_key)) AS converted_at FROM history GROUP BY user_key)
            AS converted USING user_key
        WHERE place > converted_at
    )""",
}
# Which sessions of the window with a conversion, by scope.
_CONVERTING = {
    "any": "PASSES",
    "none": "PASSES",
    "first": "nth = 1 AND (user_key, session_key) IN (SELECT user_key, earliest.5 FROM firsts WHERE earliest.4)",
    "assist": "0",
    "after": "nth > 1",
}
_PASSES = {
    "source": "effective_source = {value:String}",
    "landing_page": "landing_key = sipHash64({value:String})",
}


def statement(form: str, question: Question) -> str:
    """Return the whole report that answers a question, in one of the forms."""
    materialized = _MATERIALIZED in form
    chosen = _FORMS[form.partition(";")[0].removesuffix(_MATERIALIZED)]
    # A session whose conversions don't match is none of the scope.
    scope = "none" if question.scope == "converting" or question.filters_conversions else question.scope
    passes = "1"
    if question.filter is not None and not question.filters_conversions:
        passes = _PASSES[question.filter[0]]
    matching = {name: name for name in ("conversion_keys", "assist_views")}
    history = "1" if scope == "assist" else "started_at <= LAST"
    if question.filters_conversions:
        matching = {
            name: f"arrayFilter((one, type) -> type = {{value:String}}, {name}, conversions.type)" for name in matching
        }
        history += " AND has(conversions.type, {value:String})"
    everything = (
        f"SELECT user_key FROM {_WINDOW} AND PASSES"
        if scope == "any"
        else "SELECT user_key FROM plain UNION ALL SELECT user_key FROM converting_now"
    )
    plain, converting = _PLAIN[scope], _CONVERTING[scope]
    if scope == "first":
        # Before the sessions that convert, which ask for it.
        first, plain = plain.split(",\n    plain AS")
        plain = "plain AS" + plain
        text = _REPORT.replace("WITH\n", f"WITH\n    {first},\n", 1)
    else:
        text = _REPORT
    for name, value in (
        ("DROP_OFF", chosen.text),
        ("RANKED", _RANKED if "ranked" in chosen.text else ""),
        ("PLAIN", plain),
        ("ALL_OF_THEM", everything),
        ("HISTORY", history),
        ("CONVERSION_KEYS", matching["conversion_keys"]),
        ("ASSIST_VIEWS", matching["assist_views"]),
        ("CONVERTING", converting),
        ("PASSES", passes),
        ("FIRST", _FIRST),
        ("LAST", _LAST),
    ):
        text = text.replace(name, value)
    if NO_FINAL in form:
        # No deletion marks of converting_sessions are left either.
        text = text.replace(" FINAL\n", "\n")
    if materialized:
        # For `any` alone, the sessions without a conversion are as many as are stored.
        for part in ("history", "converting_now", "firsts", "places", *([] if scope == "any" else ["plain"])):
            text = re.sub(rf"\b{part} AS(?=\s+\()", f"{part} AS MATERIALIZED", text)
    settings = [f"max_threads = {os.cpu_count()}", "do_not_merge_across_partitions_select_final = 1"]
    if materialized:
        settings.append("enable_materialized_cte = 1")
    if chosen.settings:
        settings.append(chosen.settings)
    return f"{text}SETTINGS {', '.join(settings)}"


class ClickHouse:
    """ClickHouse's embedded engine."""

    def __init__(self, store: Path, form: str) -> None:
        self.pid = os.getpid()
        self._client = clickhouse_connect.get_client(dsn=f"chdb://{store.resolve()}")
        self._client.command("SYSTEM STOP MERGES")
        self._form = form

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def prepare(self) -> dict[str, float]:
        return {}

    def ask(self, question: Question) -> tuple[Question, bytes]:
        """Return blocks of Native: no row becomes an object."""
        text = statement(self._form, question)
        return question, self._client.raw_query(text, parameters=_parameters(question), fmt="Native")

    def read(self, answer: tuple[Question, bytes]) -> Report:
        """Ask again, for rows as objects."""
        question, _ = answer
        text = statement(self._form, question)
        rows: Any = self._client.query(text, parameters=_parameters(question)).result_rows
        (totals,) = (row for row in rows if row[0] == 0)
        return Report.of(totals[2:6], [tuple(row) for row in rows if row[0] != 0])

    def facts(self) -> dict[str, object]:
        return {"version": self._client.server_version, "threads": os.cpu_count()}


def _parameters(question: Question) -> dict[str, Any]:
    value = question.filter[1] if question.filter else ""
    return {"domain": DOMAIN, "first_day": question.first_day, "last_day": question.last_day, "value": value}
