"""PagesQuery → SQL with bound parameters. Pure: nothing here queries the store.

A report reads three streams for each range of the user key (docs/architecture.md): `sessions`, `conversions`
and `users`. A domain is kept in memory from one, `places`. The names and types of their columns are those that the core
expects.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from pageroles.question.filters import FILTERS, TRAFFIC, Of
from pageroles.question.model import PagesQuery, TouchScope, to_milliseconds
from pageroles.store.schema.expressions import canonical
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pageroles.question.filters import Condition, Filter

_LAST_KEY = 2**64 - 1
# User keys fall into buckets by their first four bits; the column `user_sixteenth` has the bucket's number.
_USER_BUCKETS = 16
_BUCKET_KEYS = 2**64 // _USER_BUCKETS

# The range that both DateTime64 and Date have: 1970-01-01 to 2149-06-06. No session is stored outside of it.
_EARLIEST_MS = 0
_LATEST_MS = 5_662_310_399_999

_CANONICAL = canonical("raw")


def day_of(milliseconds: int) -> date:
    """Return the UTC day of an instant."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date()


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRange:
    """A range of user keys, both ends included.

    Attributes:
        first: The least key, from 0.
        last: The greatest key, up to 2**64 - 1.
    """

    first: int
    last: int


def key_ranges(count: int) -> list[KeyRange]:
    """Cut all user keys into ranges of equal width, in ascending order.

    Args:
        count: The number of ranges, at least 1. A few more are made, so that a range is one or more whole user
            buckets, by which `sessions` is sorted, or an equal part of one.
    """
    if count < _USER_BUCKETS:
        count = 2 ** math.ceil(math.log2(count))
    else:
        count = math.ceil(count / _USER_BUCKETS) * _USER_BUCKETS
    edges = [index * (_LAST_KEY + 1) // count for index in range(count + 1)]
    return [KeyRange(first, after - 1) for first, after in itertools.pairwise(edges)]


def domain_size(domain: str) -> Statement:
    """Count the rows of a domain over its whole history, from the index; one row of one number."""
    return Statement("SELECT count() FROM sessions WHERE domain = {domain:String}", {"domain": domain})


def sizes(query: PagesQuery) -> Statement:
    """Count the rows that a report would read, from the index; one row.

    Columns: the rows of `sessions` in the window's days, all versions included; the rows of `converting_sessions` over
    the whole history.
    """
    return Statement(
        f"SELECT (SELECT count() FROM sessions AS s WHERE s.domain = {{domain:String}} AND {_IN_DAYS}), "
        "(SELECT count() FROM converting_sessions AS s WHERE s.domain = {domain:String})",
        _window_parameters(query),
    )


def parts(query: PagesQuery) -> Statement:
    """Count the parts that the window's months lie in; one row.

    Columns: 1 on a cluster, whose parts are on other servers, else 0; the months that have several, or one that was
    never merged.
    """
    return Statement(
        "SELECT (SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'sessions' "
        "AND engine = 'Distributed'), countIf(parts > 1 OR level = 0) "
        "FROM (SELECT count() AS parts, min(level) AS level FROM system.parts "
        "WHERE active AND database = currentDatabase() AND table = 'sessions' "
        "AND partition >= formatDateTime(fromUnixTimestamp64Milli({start:Int64}, 'UTC'), '%Y%m') "
        "AND partition <= formatDateTime(fromUnixTimestamp64Milli({end:Int64}, 'UTC'), '%Y%m') "
        "GROUP BY partition)",
        _window_parameters(query),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """How the streams are read; the answer is the same in every case.

    Attributes:
        versions: Read every stored version of a session, for the core to keep the last at its place, rather than have
            ClickHouse keep it (`FINAL`). Faster where the versions lie in several parts, slower where they are merged.
            Of versions written at the same time, the one stored last counts either way: one thread reads parts in
            the order in which they were stored (`max_threads`, which the store sets).
        whole_keys: Bring 64 bits of each page's key rather than 42, which take less time. The core asks for it
            (`AmbiguousPagesError`) where those do not tell pages apart.
        history_apart: Select conversions outside of the window apart, without their pages: less to read where there
            are many, and more to plan.
    """

    versions: bool = False
    whole_keys: bool = False
    history_apart: bool = False


def is_dated(query: PagesQuery, reading: Reading) -> bool:
    """Tell whether the stream of sessions brings when each one started."""
    return reading.versions or query.touch_scope not in {TouchScope.ANY, TouchScope.CONVERTING}


def sessions(query: PagesQuery, keys: KeyRange, reading: Reading) -> Statement | None:
    """Select the window's sessions without a conversion; None where the question includes none of them.

    Packed, those that carry one or are gone come, too, and say it. Where versions are read, all versions of all
    sessions come; which to drop, only the last version at each place can tell.
    """
    scope = query.touch_scope
    if scope is TouchScope.CONVERTING or (scope is TouchScope.ANY and query.filters_conversions):
        return None
    ordered = scope is not TouchScope.ANY
    passes = _conditions(query.conditions_of(Of.SESSION), "s.")
    columns = [*_KEYS[reading.whole_keys]]
    if is_dated(query, reading):
        columns += [_STARTED_AT, _SESSION_KEY]
    if reading.versions:
        columns += _VERSION[reading.whole_keys]
    where = ["s.domain = {domain:String}", _IN_BUCKETS, _IN_DAYS]
    if keys.first % _BUCKET_KEYS or (keys.last + 1) % _BUCKET_KEYS:
        where.append(_IN_KEYS)
    if reading.whole_keys and not reading.versions:
        where += ["NOT s.converting", "s.gone = 0"]
    in_window = [] if query.window.is_whole_days else [_IN_WINDOW_UNSEEN]
    # Whether a session was the first is a matter of all sessions, and which version is the last, of all versions of its
    # days: those that the filters drop come too.
    flagged, dropping = (passes, in_window) if ordered else ([], [*in_window, *passes])
    if reading.versions:
        flagged, dropping = [*in_window, *passes], []
    columns += [f"CAST({_all(flagged)} AS UInt8) AS included"] if flagged else []
    where += dropping
    if scope in {TouchScope.ASSIST, TouchScope.AFTER} or (scope is TouchScope.FIRST and query.filters_conversions):
        where.append(f"s.user_key IN (SELECT s.user_key FROM converting_sessions AS s FINAL WHERE {_all(_OF_USERS)})")
    final = "" if reading.versions else "FINAL "
    return Statement(
        f"SELECT {', '.join(columns)} FROM sessions AS s {final}WHERE {_all(where)}", _parameters(query, keys)
    )


def conversions(query: PagesQuery, keys: KeyRange, reading: Reading) -> Statement:
    """Select the sessions with a conversion, over the whole history.

    Sessions of the window come with their pages. The others only show who converted first, and when.
    """
    matches = _all(_conditions(query.conditions_of(Of.CONVERSION)))
    if query.filters_conversions:
        lists = "s.conversions.url, s.conversions.type, s.conversions.id"
        count = f"arrayCount((url, type, id) -> {matches}, {lists})"
        conversion_keys = f"arrayFilter((key, url, type, id) -> {matches}, s.conversion_keys, {lists})"
        assist_views = f"arrayFilter((views, url, type, id) -> {matches}, s.assist_views, {lists})"
    else:
        count, conversion_keys, assist_views = "length(s.conversion_keys)", "s.conversion_keys", "s.assist_views"
    of_all = ["s.user_key AS user_key", _STARTED_AT, _SESSION_KEY, f"toUInt32({count}) AS conversions"]
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
    # To these scopes a conversion after the window matters, too: it shows that its user converts at all.
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
    """Select the users who have a session before the window; None where the touch scope does not need them.

    `users` never forgets a start. So users who lost a session to another place are looked up among the sessions.
    """
    if query.touch_scope not in {TouchScope.FIRST, TouchScope.ASSIST}:
        return None
    departed = f"(SELECT s.user_key FROM departures AS s WHERE {_all(_OF_USERS)})"
    of_users = _all([*_OF_USERS, "s.first_seen_at < fromUnixTimestamp64Milli({start:Int64}, 'UTC')"])
    of_sessions = _all([*_OF_USERS, _IN_BUCKETS, _UP_TO_START_DAY, _BEFORE_WINDOW_UNSEEN, "s.gone = 0"])
    return Statement(
        f"SELECT s.user_key AS user_key FROM users AS s WHERE {of_users} AND s.user_key NOT IN {departed} UNION ALL "
        f"SELECT DISTINCT s.user_key AS user_key FROM sessions AS s FINAL WHERE {of_sessions} "
        f"AND s.user_key IN {departed}",
        _parameters(query, keys),
    )


def places(
    domain: str, *, keys: KeyRange | None = None, parts: Sequence[str] = (), are_latest: bool = False
) -> Statement:
    """Select places as they are now: all that reports ask of the sessions there.

    Args:
        domain: The domain.
        keys: Of users whose keys lie in that range.
        parts: Those of which parts of these names have a row, and perhaps a few more; none: all places where a session
            counts.
        are_latest: Whether no version outside of these parts is as late as those in them.
    """
    where = ["s.domain = {domain:String}"]
    looked_at_first = ""
    parameters: dict[str, object] = {"domain": domain}
    if keys is not None:
        where += [_IN_BUCKETS, _IN_KEYS]
        parameters.update(_key_parameters(keys))
    if parts:
        parameters["parts"] = list(parts)
    if parts and are_latest:
        where.append(_IN_PARTS)
    elif parts:
        # With FINAL, ClickHouse reads all columns of what the index leaves, which is nearly all of some days, unless it
        # is told what to look at first. All versions at a place have the same user and day, so none is missed. Places
        # of these users on these days that no part has are harmless.
        written = f"FROM sessions AS s WHERE s.domain = {{domain:String}} AND {_IN_PARTS}"
        looked_at_first = f"PREWHERE s.user_key IN (SELECT s.user_key {written}) "
        where.append(f"s.day IN (SELECT s.day {written})")
    else:
        where.append("s.gone = 0")
    source = f"sessions AS s FINAL {looked_at_first}WHERE {_all(where)}"
    return Statement(f"SELECT {', '.join(_PLACE)} FROM {source}", parameters)


def places_for(query: PagesQuery, keys: KeyRange) -> Statement:
    """Select the places of users in a range of keys that a question needs, as `places` does.

    To the scopes first and assist all sessions of a user matter; to the others those of the window's days, and those
    that convert.
    """
    where = ["s.domain = {domain:String}", _IN_BUCKETS, _IN_KEYS, "s.gone = 0"]
    if query.touch_scope not in {TouchScope.FIRST, TouchScope.ASSIST}:
        where.append(f"(s.converting OR {_IN_DAYS})")
    return Statement(
        f"SELECT {', '.join(_PLACE)} FROM sessions AS s FINAL WHERE {_all(where)}",
        {**_window_parameters(query), **_key_parameters(keys)},
    )


def opened(query: PagesQuery, chosen: Sequence[tuple[int, int, int]]) -> Statement:
    """Select sessions with all that is shown of them, and perhaps a few more of the same users.

    The columns: start in milliseconds since 1970, session key and user key; session id and user id; the keys of the
    pages in order, whose URLs would take several times as long to read; and, of the conversions, in order, URL, type,
    id, time in milliseconds since 1970, and whether it matches.

    Args:
        query: The question.
        chosen: Start, session key and user key of each session.
    """
    in_order = "arraySort((value, at, position) -> (at, position), {column}, {at}, arrayEnumerate({at}))".format
    conversions = ("s.conversions.url", "s.conversions.type", "s.conversions.id")
    texts = (f"arrayMap(text -> toValidUTF8(text), {column})" for column in conversions)
    matches = _all(_conditions(query.conditions_of(Of.CONVERSION)))
    columns = (
        *texts,
        "arrayMap(at -> toUnixTimestamp64Milli(at), s.conversions.occurred_at)",
        f"arrayMap((url, type, id) -> {matches}, {', '.join(conversions)})",
    )
    ordered = ", ".join(in_order(column=column, at="s.conversions.occurred_at") for column in columns)
    return Statement(
        f"SELECT {_STARTED_AT}, {_SESSION_KEY}, s.user_key, toValidUTF8(s.session_id), toValidUTF8(s.user_id), "
        f"s.page_keys, {ordered} FROM sessions AS s FINAL "
        "PREWHERE s.user_key IN {users:Array(UInt64)} WHERE s.domain = {domain:String} "
        "AND s.user_sixteenth IN {sixteenths:Array(UInt8)} AND s.day IN {days:Array(Date)} "
        "AND s.session_key IN {sessions:Array(UInt64)} AND s.gone = 0",
        {
            "domain": query.domain,
            "users": sorted({user for _, _, user in chosen}),
            "sixteenths": sorted({user // _BUCKET_KEYS for _, _, user in chosen}),
            "days": sorted({day_of(started_at).isoformat() for started_at, _, _ in chosen}),
            "sessions": sorted({session for _, session, _ in chosen}),
            **{each.name: value for each, value in query.conditions_of(Of.CONVERSION)},
        },
    )


def value_texts(query: PagesQuery, asked: Filter, keys: Sequence[int] | None) -> Statement:
    """Select the texts of a filter's values by their keys, as the columns `key` and `value`.

    Args:
        query: The question whose sessions have the values.
        asked: The filter.
        keys: The keys; None: all that sessions of the window's days, or conversions of any day, have.
    """
    listed = "true" if keys is None else "key IN {keys:Array(UInt64)}"
    parameters = _window_parameters(query) | ({} if keys is None else {"keys": list(keys)})
    keyed = "SELECT CAST(sipHash64(text) AS UInt64) AS key, CAST(text AS String) AS value FROM ({})"
    if asked.is_page:
        source = "SELECT page_key AS key, url AS value FROM pages WHERE domain = {domain:String}"
    elif asked.of is Of.SESSION:
        texts = (
            f"SELECT DISTINCT s.{asked.column} AS text FROM sessions AS s "
            f"WHERE s.domain = {{domain:String}} AND {_IN_DAYS}"
        )
        source = keyed.format(texts)
    else:
        texts = (
            f"SELECT DISTINCT arrayJoin(s.conversions.{asked.column}) AS text FROM converting_sessions AS s "
            "WHERE s.domain = {domain:String}"
        )
        source = keyed.format(texts)
    return Statement(f"SELECT key, value FROM ({source}) WHERE {listed}", parameters)


def times_of(query: PagesQuery, condition: Condition) -> Statement:
    """Tell when sessions with a value started, whatever else a question asks; one row.

    Columns: how many started in the window, and how many at all; the first and the last start, in milliseconds since
    1970.
    """
    asked, value = condition
    table = "sessions AS s FINAL"
    where = ["s.domain = {domain:String}"]
    if asked.of is Of.SESSION:
        where += ["s.gone = 0", *_conditions([condition], "s.")]
    else:
        table = "converting_sessions AS s FINAL"
        where.append(f"has(s.conversions.{asked.column}, {_bound(asked)})")
    return Statement(
        f"SELECT countIf({_IN_WINDOW}), count(), toUnixTimestamp64Milli(min(s.started_at)), "
        f"toUnixTimestamp64Milli(max(s.started_at)) FROM {table} WHERE {_all(where)}",
        {**_window_parameters(query), asked.name: value},
    )


def versions_in(parts: Sequence[str]) -> Statement:
    """Select what parts of some names have of each domain.

    The columns: the part's name, the domain, how many rows, and when the first and the last of their versions were
    written, in microseconds since 1970.
    """
    return Statement(
        "SELECT s._part, s.domain, count(), toUnixTimestamp64Micro(min(s.written_at)), "
        f"toUnixTimestamp64Micro(max(s.written_at)) FROM sessions AS s WHERE {_IN_PARTS} GROUP BY s._part, s.domain",
        {"parts": list(parts)},
    )


def latest_version(domain: str, besides: Sequence[str]) -> Statement:
    """Select when the last version of a domain was written that is not in parts of some names; 0: there is none."""
    return Statement(
        "SELECT toUnixTimestamp64Micro(max(s.written_at)) FROM sessions AS s "
        f"WHERE s.domain = {{domain:String}} AND NOT {_IN_PARTS}",
        {"domain": domain, "parts": list(besides)},
    )


def page_names(domain: str, page_keys: Sequence[int] | None, *, whole_keys: bool) -> Statement:
    """Select the names of the pages with some keys, or of all pages of the domain where `page_keys` is None."""
    if page_keys is None:
        return Statement("SELECT page_key, url FROM pages WHERE domain = {domain:String}", {"domain": domain})
    return Statement(
        "SELECT page_key, url FROM pages WHERE domain = {domain:String} "
        f"AND {_key(whole_keys=whole_keys)} IN {{page_keys:Array(UInt64)}}",
        {"domain": domain, "page_keys": list(page_keys)},
    )


def page_names_in_sessions(query: PagesQuery, page_keys: Sequence[int], *, whole_keys: bool) -> Statement:
    """Select the names of pages from the window's sessions, for those that the table `pages` lacks."""
    return Statement(
        f"SELECT sipHash64({_CANONICAL}) AS page_key, any({_CANONICAL}) AS url FROM sessions AS s "
        "ARRAY JOIN arrayConcat(s.page_views.url, s.conversions.url) AS raw "
        f"WHERE s.domain = {{domain:String}} AND {_IN_DAYS} "
        f"AND {_key(whole_keys=whole_keys)} IN {{page_keys:Array(UInt64)}} GROUP BY page_key",
        {**_window_parameters(query), "page_keys": list(page_keys)},
    )


def _key(*, whole_keys: bool) -> str:
    """Return the SQL of a page key in the form that the core counts with."""
    return "page_key" if whole_keys else "bitShiftRight(page_key, 22)"


# User and pages, as whole keys or not. Packed, a session says itself whether it converts, or is gone from its place.
_KEYS = {
    False: ("s.packed AS packed",),
    True: (
        "s.user_key AS user_key",
        "s.landing_key AS landing_key",
        "s.exit_key AS exit_key",
        "s.before_exit_key AS before_exit_key",
    ),
}
_SESSION_KEY = "s.session_key AS session_key"
_WRITTEN_AT = "toUnixTimestamp64Micro(s.written_at) AS written_at"
_GONE = "CAST(s.gone != 0 AS UInt8) AS gone"
_VERSION = {False: (_WRITTEN_AT,), True: (_WRITTEN_AT, "CAST(s.converting AS UInt8) AS converting", _GONE)}
_STARTED_AT = "toUnixTimestamp64Milli(s.started_at) AS started_at"
_IN_DAYS = (
    "s.day >= toDate(fromUnixTimestamp64Milli({start:Int64}, 'UTC')) "
    "AND s.day <= toDate(fromUnixTimestamp64Milli({end:Int64}, 'UTC'))"
)
_IN_KEYS = "s.user_key >= {first_key:UInt64} AND s.user_key <= {last_key:UInt64}"
_UP_TO_START_DAY = "s.day <= toDate(fromUnixTimestamp64Milli({start:Int64}, 'UTC'))"
_BEFORE_WINDOW = "s.started_at < fromUnixTimestamp64Milli({start:Int64}, 'UTC')"
_UP_TO_END = "s.started_at <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
_IN_WINDOW = f"s.started_at >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC') AND {_UP_TO_END}"
# The same, in a form by which ClickHouse leaves out no parts. It does so before `FINAL`: a later version of a session,
# which started outside of the window on a day of it, would be left out alone.
_IN_WINDOW_UNSEEN = (
    "bitAnd(s.started_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC'), "
    "s.started_at <= fromUnixTimestamp64Milli({end:Int64}, 'UTC'))"
)
_BEFORE_WINDOW_UNSEEN = "bitAnd(s.started_at < fromUnixTimestamp64Milli({start:Int64}, 'UTC'), 1)"
_AFTER_WINDOW = "s.started_at > fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
_IN_BUCKETS = "s.user_sixteenth >= {first_bucket:UInt8} AND s.user_sixteenth <= {last_bucket:UInt8}"
_PLACE = (
    "s.user_key AS user_key", _SESSION_KEY, _STARTED_AT, _GONE,
    "s.landing_key AS landing_key", "s.exit_key AS exit_key", "s.before_exit_key AS before_exit_key",
    *(f"CAST(sipHash64(s.{each.column}) AS UInt64) AS {each.name}_key" for each in TRAFFIC),
    "if(s.converting, s.page_keys, emptyArrayUInt64()) AS page_keys",
    "s.conversion_keys AS conversion_keys", "s.assist_views AS assist_views",
    *(
        f"arrayMap(value -> sipHash64(value), s.conversions.{each.column}) AS conversion_{each.column}_keys"
        for each in FILTERS
        if each.of is Of.CONVERSION
    ),
)  # fmt: skip
_IN_PARTS = "s._part IN {parts:Array(String)}"
_OF_USERS = ("s.domain = {domain:String}", _IN_KEYS)


def _all(conditions: Sequence[str]) -> str:
    """Join conditions by AND; of none return `true`."""
    return " AND ".join(conditions) or "true"


def _conditions(conditions: Sequence[Condition], prefix: str = "") -> list[str]:
    """Return conditions as SQL, with `prefix` before each column."""
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
        **_key_parameters(keys),
        **{each.name: value for each, value in query.conditions},
    }


def _key_parameters(keys: KeyRange) -> dict[str, object]:
    return {
        "first_key": keys.first,
        "last_key": keys.last,
        "first_bucket": keys.first // _BUCKET_KEYS,
        "last_bucket": keys.last // _BUCKET_KEYS,
    }
