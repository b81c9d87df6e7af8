"""PagesQuery → SQL with bound parameters. Pure text: nothing here touches a database.

A report reads three streams for each range of the user key (docs/architecture.md): `sessions`, `conversions`
and `users`. Their columns are what the core expects; names and types are fixed on both sides.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from pageroles.model import PagesQuery, TouchScope, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LAST_KEY = 2**64 - 1

# What DateTime64 and Date hold alike: 1970-01-01 to 2149-06-06. Nothing outside is ever stored.
_EARLIEST_MS = 0
_LATEST_MS = 5_662_310_399_999

_CANONICAL = (
    "if(empty(trimRight(cutQueryString(cutFragment(raw)), '/')), '/', trimRight(cutQueryString(cutFragment(raw)), '/'))"
)

_SESSION_FILTERS = {
    "source": "s.effective_source = {source:String}",
    "medium": "s.effective_medium = {medium:String}",
    "campaign": "s.utm_campaign = {campaign:String}",
    "content": "s.utm_content = {content:String}",
    "term": "s.utm_term = {term:String}",
    "landing_page": "s.landing_key = sipHash64({landing_page:String})",
}

_CONVERSION_FILTERS = {
    "conversion_page": "url = {conversion_page:String}",
    "meta_type": "type = {meta_type:String}",
    "meta_id": "id = {meta_id:String}",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """A query and the values it binds."""

    text: str
    parameters: Mapping[str, object]


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRange:
    """A range of the user key, both ends included."""

    first: int
    last: int


def key_ranges(count: int) -> list[KeyRange]:
    """Cut all user keys into `count` ranges of equal width."""
    edges = [index * (_LAST_KEY + 1) // count for index in range(count + 1)]
    return [KeyRange(first, after - 1) for first, after in itertools.pairwise(edges)]


def domain_size(domain: str) -> Statement:
    """Ask how many rows a domain has, over all history; counted from the index."""
    return Statement("SELECT count() FROM sessions WHERE domain = {domain:String}", {"domain": domain})


def estimate(query: PagesQuery) -> Statement:
    """Ask how many rows the sessions stream would read, some twice; counted from the index."""
    return Statement(
        "SELECT count() FROM sessions AS s WHERE s.domain = {domain:String} AND " + _IN_DAYS,
        _window_parameters(query),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """How the sessions stream is read; the answer is the same whichever way.

    Attributes:
        versions: Read every stored version of a session, for the core to keep the last, rather than have ClickHouse
            keep it (`FINAL`). Faster where the versions lie in several parts, slower where they are merged.
        ids: Bring the ids of sessions, which tell the order of those that started together. Without them the
            core may ask for them (`TieError`).
    """

    versions: bool = False
    ids: bool = True


def unmerged(query: PagesQuery) -> Statement:
    """Ask whether the window's months have several parts each, or parts never merged; one row, one column.

    Over a cluster the parts are elsewhere, and most likely several.
    """
    return Statement(
        "SELECT (SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'sessions' "
        "AND engine = 'Distributed') + (SELECT count() FROM (SELECT partition FROM system.parts "
        "WHERE active AND database = currentDatabase() AND table = 'sessions' "
        "AND partition >= formatDateTime(fromUnixTimestamp64Milli({start:Int64}, 'UTC'), '%Y%m') "
        "AND partition <= formatDateTime(fromUnixTimestamp64Milli({end:Int64}, 'UTC'), '%Y%m') "
        "GROUP BY partition HAVING count() > 1 OR min(level) = 0)) > 0",
        _window_parameters(query),
    )


def sessions(query: PagesQuery, keys: KeyRange, reading: Reading) -> Statement | None:
    """Select the window's sessions that carry no conversion at all, or None where none can be included.

    Where versions are read, all versions of all sessions come; which to drop, only the last version can tell.
    """
    scope = query.touch_scope
    if scope is TouchScope.CONVERTING or (scope is TouchScope.ANY and query.conversions):
        return None
    ordered = scope is not TouchScope.ANY
    passes = _conditions(query.sessions, _SESSION_FILTERS)
    columns = ["s.user_key AS user_key", "s.landing_key AS landing_key", "s.exit_key AS exit_key",
               "s.before_exit_key AS before_exit_key"]  # fmt: skip
    where = ["s.domain = {domain:String}", _IN_DAYS, _IN_KEYS, _IN_WINDOW]
    if reading.versions:
        columns += [_WRITTEN_AT, "CAST(s.converting AS UInt8) AS converting"]
    else:
        where.append("NOT s.converting")
    if ordered:
        columns += [_STARTED_AT]
    if ordered and reading.ids:
        columns += ["s.session_id AS session_id"]
    if reading.versions or (ordered and not reading.ids):
        columns += ["s.session_key AS session_key"]
    if ordered or (reading.versions and passes):
        # Whether a session was the first is a matter of all sessions, and which version is the last, of all versions:
        # those that the filters drop come too.
        columns += [f"CAST({_all(passes)} AS UInt8) AS included"]
    else:
        where += passes
    if scope in {TouchScope.ASSIST, TouchScope.AFTER} or (scope is TouchScope.FIRST and query.conversions):
        where.append(f"s.user_key IN (SELECT s.user_key FROM converting_sessions AS s FINAL WHERE {_all(_OF_USERS)})")
    final = "" if reading.versions else "FINAL "
    return Statement(
        f"SELECT {', '.join(columns)} FROM sessions AS s {final}WHERE {_all(where)}", _parameters(query, keys)
    )


def conversions(query: PagesQuery, keys: KeyRange) -> Statement:
    """Select the sessions that carry a conversion, over all history, with what a report asks of them."""
    included = _all([_IN_WINDOW, *_conditions(query.sessions, _SESSION_FILTERS)])
    matches = _all(_conditions(query.conversions, _CONVERSION_FILTERS))
    where = list(_OF_USERS)
    if query.touch_scope in {TouchScope.ANY, TouchScope.CONVERTING, TouchScope.AFTER}:
        # What comes after the window can't have come before a session of it.
        where.append("s.started_at <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')")
    if query.conversions:
        lists = "s.conversions.url, s.conversions.type, s.conversions.id"
        count = f"arrayCount((url, type, id) -> {matches}, {lists})"
        conversion_keys = f"arrayFilter((key, url, type, id) -> {matches}, s.conversion_keys, {lists})"
        assist_views = f"arrayFilter((views, url, type, id) -> {matches}, s.assist_views, {lists})"
    else:
        count, conversion_keys, assist_views = "length(s.conversion_keys)", "s.conversion_keys", "s.assist_views"
    return Statement(
        f"SELECT s.user_key AS user_key, {_STARTED_AT}, s.session_id AS session_id, "
        f"s.session_key AS session_key, CAST({included} AS UInt8) AS included, "
        f"toUInt32({count}) AS conversions, s.landing_key AS landing_key, s.exit_key AS exit_key, "
        "s.before_exit_key AS before_exit_key, if(included, s.page_keys, []) AS page_keys, "
        f"if(included, {conversion_keys}, []) AS conversion_keys, if(included, {assist_views}, []) AS assist_views "
        f"FROM converting_sessions AS s FINAL WHERE {_all(where)}",
        _parameters(query, keys),
    )


def users(query: PagesQuery, keys: KeyRange) -> Statement | None:
    """Select the users seen before the window, or None where it does not matter who was."""
    if query.touch_scope not in {TouchScope.FIRST, TouchScope.ASSIST}:
        return None
    earlier = "s.first_seen_at < fromUnixTimestamp64Milli({start:Int64}, 'UTC')"
    return Statement(
        f"SELECT s.user_key AS user_key FROM users AS s WHERE {_all([*_OF_USERS, earlier])}",
        _parameters(query, keys),
    )


def page_names(domain: str, page_keys: Sequence[int] | None) -> Statement:
    """Select the names of pages: of those keys, or of all pages of the domain."""
    if page_keys is None:
        return Statement("SELECT page_key, url FROM pages WHERE domain = {domain:String}", {"domain": domain})
    return Statement(
        "SELECT page_key, url FROM pages WHERE domain = {domain:String} AND page_key IN {page_keys:Array(UInt64)}",
        {"domain": domain, "page_keys": list(page_keys)},
    )


def page_names_in_sessions(query: PagesQuery, page_keys: Sequence[int]) -> Statement:
    """Select the names of pages from the sessions themselves, where the pages table lacks them."""
    return Statement(
        f"SELECT sipHash64({_CANONICAL}) AS page_key, any({_CANONICAL}) AS url FROM sessions AS s "
        "ARRAY JOIN arrayConcat(s.page_views.url, s.conversions.url) AS raw "
        f"WHERE s.domain = {{domain:String}} AND {_IN_DAYS} AND page_key IN {{page_keys:Array(UInt64)}} "
        "GROUP BY page_key",
        {**_window_parameters(query), "page_keys": list(page_keys)},
    )


_WRITTEN_AT = "toUnixTimestamp64Micro(s.written_at) AS written_at"
_STARTED_AT = "toUnixTimestamp64Milli(s.started_at) AS started_at"
_IN_DAYS = (
    "s.day >= toDate(fromUnixTimestamp64Milli({start:Int64}, 'UTC')) "
    "AND s.day <= toDate(fromUnixTimestamp64Milli({end:Int64}, 'UTC'))"
)
_IN_WINDOW = (
    "s.started_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') "
    "AND s.started_at <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
)
_IN_KEYS = "s.user_key >= {first_key:UInt64} AND s.user_key <= {last_key:UInt64}"
_OF_USERS = ("s.domain = {domain:String}", _IN_KEYS)


def _all(conditions: Sequence[str]) -> str:
    """Join conditions, of which there may be none."""
    return " AND ".join(conditions) or "true"


def _conditions(filters: object, table: Mapping[str, str]) -> list[str]:
    """Return the conditions of the filters that are set."""
    return [condition for name, condition in table.items() if getattr(filters, name)]


def _window_parameters(query: PagesQuery) -> dict[str, object]:
    return {
        "domain": query.domain,
        "start": _storable(to_milliseconds(query.window.start)),
        "end": _storable(to_milliseconds(query.window.end)),
    }


def _storable(milliseconds: int) -> int:
    return min(max(milliseconds, _EARLIEST_MS), _LATEST_MS)


def _parameters(query: PagesQuery, keys: KeyRange) -> dict[str, object]:
    filters = {**dataclasses.asdict(query.sessions), **dataclasses.asdict(query.conversions)}
    return {
        **_window_parameters(query),
        "first_key": keys.first,
        "last_key": keys.last,
        **{name: value for name, value in filters.items() if value},
    }
