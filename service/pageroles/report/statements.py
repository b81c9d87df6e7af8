"""PagesQuery → SQL with bound parameters. Pure text: nothing here touches a database.

A report reads three streams for each range of the user key (docs/architecture.md): `sessions`, `conversions`
and `users`. Their columns are what the core expects; names and types are fixed on both sides.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

from pageroles.question.filters import Of
from pageroles.question.model import PagesQuery, TouchScope, to_milliseconds
from pageroles.store.schema.expressions import canonical
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pageroles.question.filters import Condition, Filter

_LAST_KEY = 2**64 - 1
_SIXTEENTHS = 16
_SIXTEENTH = 2**64 // _SIXTEENTHS

# What DateTime64 and Date hold alike: 1970-01-01 to 2149-06-06. Nothing outside is ever stored.
_EARLIEST_MS = 0
_LATEST_MS = 5_662_310_399_999

_CANONICAL = canonical("raw")


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRange:
    """A range of the user key, both ends included."""

    first: int
    last: int


def key_ranges(count: int) -> list[KeyRange]:
    """Cut all user keys into ranges of equal width, `count` or a few more.

    As many as are whole sixteenths, or that whole sixteenths are cut into: `sessions` is sorted by them.
    """
    count = 2 ** math.ceil(math.log2(count)) if count < _SIXTEENTHS else math.ceil(count / _SIXTEENTHS) * _SIXTEENTHS
    edges = [index * (_LAST_KEY + 1) // count for index in range(count + 1)]
    return [KeyRange(first, after - 1) for first, after in itertools.pairwise(edges)]


def domain_size(domain: str) -> Statement:
    """Ask how many rows a domain has, over all history; counted from the index."""
    return Statement("SELECT count() FROM sessions WHERE domain = {domain:String}", {"domain": domain})


def sizes(query: PagesQuery) -> Statement:
    """Ask how much there is to read; one row, counted from the index.

    Columns: rows that the sessions stream would read, some twice; those of the conversions stream, the ones outside of
    the window included.
    """
    return Statement(
        f"SELECT (SELECT count() FROM sessions AS s WHERE s.domain = {{domain:String}} AND {_IN_DAYS}), "
        "(SELECT count() FROM converting_sessions AS s WHERE s.domain = {domain:String})",
        _window_parameters(query),
    )


def parts(query: PagesQuery) -> Statement:
    """Ask in how many parts the window's months lie; one row.

    Columns: 1 where the parts are elsewhere, over a cluster; months that have any; those of them that have several, or
    one never merged.
    """
    return Statement(
        "SELECT (SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'sessions' "
        "AND engine = 'Distributed'), count(), countIf(parts > 1 OR level = 0) "
        "FROM (SELECT count() AS parts, min(level) AS level FROM system.parts "
        "WHERE active AND database = currentDatabase() AND table = 'sessions' "
        "AND partition >= formatDateTime(fromUnixTimestamp64Milli({start:Int64}, 'UTC'), '%Y%m') "
        "AND partition <= formatDateTime(fromUnixTimestamp64Milli({end:Int64}, 'UTC'), '%Y%m') "
        "GROUP BY partition)",
        _window_parameters(query),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """How the sessions stream is read; the answer is the same whichever way.

    Attributes:
        versions: Read every stored version of a session, for the core to keep the last, rather than have ClickHouse
            keep it (`FINAL`). Faster where the versions lie in several parts, slower where they are merged.
        ids: Bring the ids of sessions, which tell the order of those that started together. Without them, which
            are the longest column, the core asks for them (`TieError`) where that order matters.
        whole_keys: Bring 64 bits of each page's key rather than 42, which take less time. The core asks for it
            (`AmbiguousPagesError`) where those do not tell pages apart.
        history_apart: Select conversions outside of the window apart, without their pages: less to read where there
            are many, and more to plan.
        in_order: One part has all sessions, and ClickHouse reads it from its beginning to its end: so sessions of
            several units may come in one stream. The core says where they do not (`UnorderedError`).
    """

    versions: bool = False
    ids: bool = False
    whole_keys: bool = False
    history_apart: bool = False
    in_order: bool = False


def sessions(query: PagesQuery, keys: KeyRange, reading: Reading) -> Statement | None:
    """Select the window's sessions that carry no conversion at all, or None where none can be included.

    Packed, those that carry one come, too, and say it. Where versions are read, all versions of all sessions come;
    which to drop, only the last version can tell.
    """
    scope = query.touch_scope
    if scope is TouchScope.CONVERTING or (scope is TouchScope.ANY and query.filters_conversions):
        return None
    ordered = scope is not TouchScope.ANY
    passes = _conditions(query.conditions_of(Of.SESSION), "s.")
    columns = [*_KEYS[reading.whole_keys], *(_VERSION[reading.whole_keys] if reading.versions else ())]
    if ordered:
        columns += [_STARTED_AT, *(["s.session_id AS session_id"] if reading.ids else ())]
    where = ["s.domain = {domain:String}", _IN_SIXTEENTHS, _IN_DAYS]
    if not query.window.is_whole_days:
        where.append(_IN_WINDOW)
    if keys.first % _SIXTEENTH or (keys.last + 1) % _SIXTEENTH:
        where.append(_IN_KEYS)
    if reading.whole_keys and not reading.versions:
        where.append("NOT s.converting")
    if ordered or (reading.versions and passes):
        # Whether a session was the first is a matter of all sessions, and which version is the last, of all versions:
        # those that the filters drop come too.
        columns += [f"CAST({_all(passes)} AS UInt8) AS included"] if passes else []
    else:
        where += passes
    if scope in {TouchScope.ASSIST, TouchScope.AFTER} or (scope is TouchScope.FIRST and query.filters_conversions):
        where.append(f"s.user_key IN (SELECT s.user_key FROM converting_sessions AS s FINAL WHERE {_all(_OF_USERS)})")
    final = "" if reading.versions else "FINAL "
    return Statement(
        f"SELECT {', '.join(columns)} FROM sessions AS s {final}WHERE {_all(where)}", _parameters(query, keys)
    )


def conversions(query: PagesQuery, keys: KeyRange, reading: Reading) -> Statement:
    """Select the sessions that carry a conversion, over all history: of the window, with all that a report asks.

    Of those outside of the window only what tells who converted first, and when, is needed.
    """
    matches = _all(_conditions(query.conditions_of(Of.CONVERSION)))
    identity = []
    if reading.ids:
        identity += ["s.session_id AS session_id"]
    if reading.versions and query.touch_scope not in {TouchScope.ANY, TouchScope.CONVERTING}:
        identity += ["s.session_key AS session_key"]
    if query.filters_conversions:
        lists = "s.conversions.url, s.conversions.type, s.conversions.id"
        count = f"arrayCount((url, type, id) -> {matches}, {lists})"
        conversion_keys = f"arrayFilter((key, url, type, id) -> {matches}, s.conversion_keys, {lists})"
        assist_views = f"arrayFilter((views, url, type, id) -> {matches}, s.assist_views, {lists})"
    else:
        count, conversion_keys, assist_views = "length(s.conversion_keys)", "s.conversion_keys", "s.assist_views"
    of_all = ["s.user_key AS user_key", _STARTED_AT, *identity, f"toUInt32({count}) AS conversions"]
    passes = _conditions(query.conditions_of(Of.SESSION), "s.")
    pages = [
        "s.landing_key AS landing_key", "s.exit_key AS exit_key", "s.before_exit_key AS before_exit_key",
        "s.page_keys AS page_keys", f"{conversion_keys} AS conversion_keys", f"{assist_views} AS assist_views",
    ]  # fmt: skip
    no_pages = [
        "toUInt8(0) AS included",
        "toUInt64(0) AS landing_key", "toUInt64(0) AS exit_key", "toUInt64(0) AS before_exit_key",
        "emptyArrayUInt64() AS page_keys", "emptyArrayUInt64() AS conversion_keys",
        "emptyArrayUInt32() AS assist_views",
    ]  # fmt: skip
    # What comes after the window can't have come before a session of it.
    needs_later = query.touch_scope in {TouchScope.FIRST, TouchScope.ASSIST}
    table = "FROM converting_sessions AS s FINAL WHERE"
    if reading.history_apart:
        others = f"({_BEFORE_WINDOW} OR {_AFTER_WINDOW})" if needs_later else _BEFORE_WINDOW
        columns = [*of_all, f"CAST({_all(passes)} AS UInt8) AS included", *pages]
        text = (
            f"SELECT {', '.join(columns)} {table} {_all([*_OF_USERS, _IN_WINDOW])} UNION ALL "
            f"SELECT {', '.join(of_all + no_pages)} {table} {_all([*_OF_USERS, others])}"
        )
    else:
        columns = [*of_all, f"CAST({_all([_IN_WINDOW, *passes])} AS UInt8) AS included", *pages]
        where = [*_OF_USERS, *([] if needs_later else [_UP_TO_END])]
        text = f"SELECT {', '.join(columns)} {table} {_all(where)}"
    return Statement(text, _parameters(query, keys))


def users(query: PagesQuery, keys: KeyRange) -> Statement | None:
    """Select the users seen before the window, or None where it does not matter who was."""
    if query.touch_scope not in {TouchScope.FIRST, TouchScope.ASSIST}:
        return None
    earlier = "s.first_seen_at < fromUnixTimestamp64Milli({start:Int64}, 'UTC')"
    return Statement(
        f"SELECT s.user_key AS user_key FROM users AS s WHERE {_all([*_OF_USERS, earlier])}",
        _parameters(query, keys),
    )


def page_names(domain: str, page_keys: Sequence[int] | None, reading: Reading) -> Statement:
    """Select the names of pages: of those keys, or of all pages of the domain."""
    if page_keys is None:
        return Statement("SELECT page_key, url FROM pages WHERE domain = {domain:String}", {"domain": domain})
    return Statement(
        "SELECT page_key, url FROM pages WHERE domain = {domain:String} "
        f"AND {_key(reading)} IN {{page_keys:Array(UInt64)}}",
        {"domain": domain, "page_keys": list(page_keys)},
    )


def page_names_in_sessions(query: PagesQuery, page_keys: Sequence[int], reading: Reading) -> Statement:
    """Select the names of pages from the sessions themselves, where the pages table lacks them."""
    return Statement(
        f"SELECT sipHash64({_CANONICAL}) AS page_key, any({_CANONICAL}) AS url FROM sessions AS s "
        "ARRAY JOIN arrayConcat(s.page_views.url, s.conversions.url) AS raw "
        f"WHERE s.domain = {{domain:String}} AND {_IN_DAYS} "
        f"AND {_key(reading)} IN {{page_keys:Array(UInt64)}} GROUP BY page_key",
        {**_window_parameters(query), "page_keys": list(page_keys)},
    )


def _key(reading: Reading) -> str:
    """Return a page's key as the core has it, from one in the store."""
    return "page_key" if reading.whole_keys else "bitShiftRight(page_key, 22)"


# User and pages, as whole keys or not. Packed, a session says itself whether it converts.
_KEYS = {
    False: ("s.packed AS packed",),
    True: (
        "s.user_key AS user_key",
        "s.landing_key AS landing_key",
        "s.exit_key AS exit_key",
        "s.before_exit_key AS before_exit_key",
    ),
}
_WRITTEN_AT = "toUnixTimestamp64Micro(s.written_at) AS written_at"
_VERSION = {
    False: (_WRITTEN_AT, "s.session_key AS session_key"),
    True: (_WRITTEN_AT, "s.session_key AS session_key", "CAST(s.converting AS UInt8) AS converting"),
}
_STARTED_AT = "toUnixTimestamp64Milli(s.started_at) AS started_at"
_IN_DAYS = (
    "s.day >= toDate(fromUnixTimestamp64Milli({start:Int64}, 'UTC')) "
    "AND s.day <= toDate(fromUnixTimestamp64Milli({end:Int64}, 'UTC'))"
)
_IN_KEYS = "s.user_key >= {first_key:UInt64} AND s.user_key <= {last_key:UInt64}"
_BEFORE_WINDOW = "s.started_at < fromUnixTimestamp64Milli({start:Int64}, 'UTC')"
_UP_TO_END = "s.started_at <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
_IN_WINDOW = f"s.started_at >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC') AND {_UP_TO_END}"
_AFTER_WINDOW = "s.started_at > fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
_IN_SIXTEENTHS = "s.user_sixteenth >= {first_sixteenth:UInt8} AND s.user_sixteenth <= {last_sixteenth:UInt8}"
_OF_USERS = ("s.domain = {domain:String}", _IN_KEYS)


def _all(conditions: Sequence[str]) -> str:
    """Join conditions, of which there may be none."""
    return " AND ".join(conditions) or "true"


def _conditions(conditions: Sequence[Condition], prefix: str = "") -> list[str]:
    """Return conditions as SQL; `prefix` stands before each column."""
    return [f"{prefix}{each.column} = {_bound(each)}" for each, _ in conditions]


def _bound(each: Filter) -> str:
    value = f"{{{each.name}:String}}"
    return f"sipHash64({value})" if each.is_page else value


def _window_parameters(query: PagesQuery) -> dict[str, object]:
    return {
        "domain": query.domain,
        "start": _storable(to_milliseconds(query.window.start)),
        "end": _storable(to_milliseconds(query.window.end)),
    }


def _storable(milliseconds: int) -> int:
    return min(max(milliseconds, _EARLIEST_MS), _LATEST_MS)


def _parameters(query: PagesQuery, keys: KeyRange) -> dict[str, object]:
    return {
        **_window_parameters(query),
        "first_key": keys.first,
        "last_key": keys.last,
        "first_sixteenth": keys.first // _SIXTEENTH,
        "last_sixteenth": keys.last // _SIXTEENTH,
        **{each.name: value for each, value in query.conditions},
    }
