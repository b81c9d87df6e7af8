"""What should not be in the store: each kind of fault is counted in ClickHouse, and mended from `sessions`.

Keys are hashes, so their first bits cut a table into buckets of like size. One pass over the tables tells in which
buckets something is wrong: where both sides of a comparison should have the same rows, the sums of the rows' hashes
differ. Only there the kinds are counted and mended, range by range. So a sound store is read once, with memory for
sums; Python sees counts and a few examples. No query relies on another table's being sound: where two tables are
compared, both are read. On a cluster the tables are those over all servers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
import math
import time
from typing import TYPE_CHECKING, Any

from pageroles.errors import InternalError
from pageroles.store import damage, erasure, recovery, writes
from pageroles.store.damage import EXAMPLES, Finding
from pageroles.store.schema.expressions import canonical
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pageroles.store.call import Call
    from pageroles.store.store import Store

_ROWS_PER_RANGE = 500_000
_LEAST_BITS = 8
# A check of a large store takes its time; nobody waits for it behind a deadline.
_SECONDS = 24 * 3600.0
_KEY_BITS = 64

# What writers fill of `sessions`, and what says which version a row is.
PLAIN_COLUMNS = (
    "domain", "session_id", "user_id", "started_at", "source", "medium", "referrer", "utm_source", "utm_medium",
    "utm_campaign", "utm_content", "utm_term", "page_views.url", "page_views.viewed_at", "conversions.url",
    "conversions.type", "conversions.id", "conversions.occurred_at", "written_at", "user_key",
)  # fmt: skip
# What `converting_sessions` has of a session, beside its place and its time of writing.
CONTENT_COLUMNS = (
    "session_id", "effective_source", "effective_medium", "utm_campaign", "utm_content", "utm_term", "landing_key",
    "exit_key", "before_exit_key", "page_keys", "conversions.url", "conversions.type", "conversions.id",
    "conversion_keys", "assist_views",
)  # fmt: skip


class Key(enum.Enum):
    """What an example is named by."""

    SESSION = "SELECT session_id FROM sessions WHERE domain = {domain:String} AND session_key = {key:UInt64} LIMIT 1"
    USER = (
        "SELECT user_id FROM sessions WHERE domain = {domain:String} AND user_key = {key:UInt64} "
        "AND user_sixteenth = bitShiftRight({key:UInt64}, 60) AND user_id != '' LIMIT 1"
    )
    # A page without a name has none to show.
    PAGE = "SELECT concat('the page with the key ', toString({key:UInt64}))"


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: What it is called.
        sentence: What is wrong with one of them.
        advice: What to do about those that can't be mended; empty: `--repair` mends all.
        names: What its examples are named by.
        count: Selects from a range of keys the number of faults, and some as domain and key.
        repairs: Statements that mend those of a range, in order; none: nothing can mend them.
    """

    name: str
    sentence: str
    names: Key
    count: str
    repairs: tuple[str, ...] = ()
    advice: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class GivenUp:
    """What was given up.

    Attributes:
        parts: The parts that were dropped, as `table: part`.
        writes: How many writes that were cut short, of 50,000 sessions at most, could not be finished.
        sessions: How many sessions were erased since the version that counts is lost.
    """

    parts: tuple[str, ...]
    writes: int
    sessions: int


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """What one pass over the tables compares.

    Attributes:
        suspects: Selects the buckets in which one of the kinds may be found; a bucket holds the keys with the same bits
            before `shift`.
        kinds: The kinds, in the order in which they are mended.
    """

    suspects: str
    kinds: tuple[Kind, ...]


# ---- the queries ----

_SETTINGS = " SETTINGS max_partitions_per_insert_block = 0, distributed_foreground_insert = 1"
_SESSION_RANGE = "session_key BETWEEN {first:UInt64} AND {last:UInt64}"
_USER_RANGE = "user_key BETWEEN {first:UInt64} AND {last:UInt64}"
# `sessions` is sorted by the sixteenth of the users.
_SESSIONS_OF_USERS = (
    "user_sixteenth BETWEEN bitShiftRight({first:UInt64}, 60) AND bitShiftRight({last:UInt64}, 60) AND " + _USER_RANGE
)
_PAGE_RANGE = "page_key BETWEEN {first:UInt64} AND {last:UInt64} AND page_key != 0"


def _bucket(key: str) -> str:
    return f"bitShiftRight({key}, {{shift:UInt8}}) AS bucket"


def _differing(wanted: str, found: str) -> str:
    """Return a query for the buckets in which two queries for rows (bucket, hash) give other rows."""
    return (
        "SELECT bucket FROM ("
        f"SELECT bucket, sum(hash) AS wanted, 0 AS found FROM ({wanted}) GROUP BY bucket UNION ALL "
        f"SELECT bucket, 0 AS wanted, sum(hash) AS found FROM ({found}) GROUP BY bucket"
        ") GROUP BY bucket HAVING sum(wanted) != sum(found)"
    )


def _count(faults: str, key: str) -> str:
    return f"SELECT count(), groupArray({EXAMPLES})((toString(domain), {key})) FROM ({faults})"


# What orders versions at different places, as one number: the time of writing, the start and the user. Tuples took
# three times as long and twice the memory.
def _order(of: str = "") -> str:
    return (
        f"bitOr(bitOr(bitShiftLeft(toUInt256(toUnixTimestamp64Micro({of}written_at)), 128), "
        f"bitShiftLeft(toUInt256(toUnixTimestamp64Milli({of}started_at)), 64)), toUInt256({of}user_key))"
    )


# Of each session, the version that counts, the live row that does, the late one that would, and the number of live
# rows. A key of `sessions` stays what it is under FINAL, so it may be read before the rest.
_VERSIONS = (
    "SELECT domain, session_key, maxIf(version, gone != 2) AS best, maxIf(version, gone = 0) AS live, "
    "maxIf(version, gone = 1) AS late, countIf(gone = 0) AS times FROM ("
    f"SELECT domain, session_key, {_order()} AS version, gone "
    f"FROM sessions FINAL PREWHERE {_SESSION_RANGE} "
    "UNION ALL "
    f"SELECT domain, session_key, {_order()} AS version, toUInt8(3) AS gone "
    f"FROM places WHERE {_SESSION_RANGE}"
    ") GROUP BY domain, session_key HAVING "
)
_TWICE = f"{_VERSIONS} times > 1"
_NOWHERE = f"{_VERSIONS} live != best AND late = best"
_LOST = f"{_VERSIONS} live != best AND late != best"
_OF_SESSION = "ON fault.domain = s.domain AND fault.session_key = s.session_key"

_MARK_OTHERS = (
    "INSERT INTO sessions (domain, session_id, user_key, started_at, written_at, gone) "
    "SELECT s.domain, s.session_id, s.user_key, s.started_at, "
    "fromUnixTimestamp64Micro(toInt64(bitShiftRight(fault.live, 128)), 'UTC'), 2 "
    f"FROM sessions AS s FINAL GLOBAL INNER JOIN ({_TWICE}) AS fault {_OF_SESSION} "
    f"WHERE s.{_SESSION_RANGE} AND s.gone = 0 AND {_order('s.')} != fault.live"
)
_WRITE_AGAIN = (
    f"INSERT INTO sessions ({', '.join(f'`{column}`' for column in PLAIN_COLUMNS)}, gone) "
    f"SELECT {', '.join(f's.`{column}`' for column in PLAIN_COLUMNS)}, 0 "
    f"FROM sessions AS s FINAL GLOBAL INNER JOIN ({_NOWHERE}) AS fault {_OF_SESSION} "
    f"WHERE s.{_SESSION_RANGE} AND s.gone = 1 AND {_order('s.')} = fault.late"
)


def _unknown_places(of_rows: str, of_places: str) -> str:
    return (
        "SELECT domain, session_key, user_key, started_at, maxIf(written_at, is_row) AS latest FROM ("
        f"SELECT domain, session_key, user_key, started_at, written_at, true AS is_row FROM sessions FINAL {of_rows} "
        "UNION ALL "
        f"SELECT domain, session_key, user_key, started_at, written_at, false AS is_row FROM places WHERE {of_places}"
        ") GROUP BY domain, session_key, user_key, started_at HAVING latest > maxIf(written_at, NOT is_row)"
    )


_UNKNOWN_PLACES = _unknown_places(f"PREWHERE {_SESSION_RANGE} WHERE gone != 2", _SESSION_RANGE)
_LATE = "SELECT session_key FROM sessions WHERE gone = 1"
# Sound: the live rows are the latest of the places; and the places of what came late are known.
_SUSPECT_VERSIONS = (
    _differing(
        f"SELECT {_bucket('session_key')}, cityHash64(domain, session_key, {_order()}) AS hash "
        "FROM sessions FINAL WHERE gone = 0",
        f"SELECT {_bucket('session_key')}, cityHash64(domain, session_key, latest) AS hash FROM ("
        f"SELECT domain, session_key, max({_order()}) AS latest FROM places GROUP BY domain, session_key)",
    )
    + f" UNION DISTINCT SELECT {_bucket('session_key')} FROM ("
    + _unknown_places("WHERE gone = 1", f"session_key GLOBAL IN ({_LATE})")
    + ")"
)

_PLACE = "domain, user_key, started_at, session_key"
_CONTENT = f"cityHash64({', '.join(f'`{column}`' for column in CONTENT_COLUMNS)})"
# Journeys as they should be (1) and as they are (2), and all versions of them, deletion marks included (3): what mends
# one must not be earlier than any. A journey that is later than its session, with the same content, is right.
_JOURNEYS = (
    f"SELECT {_PLACE}, max(written_at) AS latest, countIf(side = 1) AS wanted, countIf(side = 2) AS found, "
    "maxIf(content, side = 1) != maxIf(content, side = 2) "
    "OR maxIf(written_at, side = 1) > maxIf(written_at, side = 2) AS differs FROM ("
    f"SELECT {_PLACE}, written_at, {_CONTENT} AS content, 1 AS side "
    f"FROM sessions FINAL WHERE {_SESSIONS_OF_USERS} AND converting AND gone = 0 "
    "UNION ALL "
    f"SELECT {_PLACE}, written_at, {_CONTENT} AS content, 2 AS side "
    f"FROM converting_sessions FINAL WHERE {_USER_RANGE} "
    "UNION ALL "
    f"SELECT {_PLACE}, written_at, toUInt64(0) AS content, 3 AS side "
    f"FROM converting_sessions WHERE {_USER_RANGE}"
    f") GROUP BY {_PLACE} HAVING "
)
_SUSPECT_JOURNEYS = _differing(
    f"SELECT {_bucket('user_key')}, cityHash64({_PLACE}, written_at, {_CONTENT}) AS hash "
    "FROM sessions FINAL WHERE converting AND gone = 0",
    f"SELECT {_bucket('user_key')}, cityHash64({_PLACE}, written_at, {_CONTENT}) AS hash "
    "FROM converting_sessions FINAL",
)
_NO_JOURNEY = f"{_JOURNEYS} wanted > 0 AND found = 0"
_STALE_JOURNEY = f"{_JOURNEYS} found > 0 AND (wanted = 0 OR differs)"


def _insert_journeys(faults: str) -> str:
    return (
        f"INSERT INTO converting_sessions ({_PLACE}, {', '.join(f'`{column}`' for column in CONTENT_COLUMNS)}, "
        "written_at, is_deleted) "
        "SELECT s.domain, s.user_key, s.started_at, s.session_key, "
        f"{', '.join(f's.`{column}`' for column in CONTENT_COLUMNS)}, greatest(s.written_at, fault.latest), 0 "
        f"FROM sessions AS s FINAL GLOBAL INNER JOIN ({faults}) AS fault ON fault.domain = s.domain "
        "AND fault.user_key = s.user_key AND fault.started_at = s.started_at AND fault.session_key = s.session_key "
        "WHERE s.user_sixteenth BETWEEN bitShiftRight({first:UInt64}, 60) AND bitShiftRight({last:UInt64}, 60) "
        f"AND s.{_USER_RANGE} AND s.converting AND s.gone = 0"
    )


_MARK_JOURNEYS = (
    f"INSERT INTO converting_sessions ({_PLACE}, written_at, is_deleted) "
    f"SELECT {_PLACE}, latest, 1 FROM ({_STALE_JOURNEY}) WHERE wanted = 0"
)


# First sessions (1), what `users` says of them (2), and users who may have lost theirs (3).
def _first_seen(of_sessions: str, of_users: str) -> str:
    return (
        "SELECT domain, user_key, minIf(at, side = 1) AS first, minIf(at, side = 2) AS said, "
        "countIf(side = 1) AS started, countIf(side = 2) AS entered FROM ("
        f"SELECT domain, user_key, started_at AS at, 1 AS side FROM sessions FINAL WHERE {of_sessions} AND gone = 0 "
        "UNION ALL "
        "SELECT domain, user_key, CAST(first_seen_at AS DateTime64(3, 'UTC')) AS at, 2 AS side "
        f"FROM users WHERE {of_users} "
        "UNION ALL "
        f"SELECT domain, user_key, started_at AS at, 3 AS side FROM departures WHERE {of_users}"
        ") GROUP BY domain, user_key HAVING "
    )


_IS_LATER = "started > 0 AND (entered = 0 OR said > first)"
_IS_EARLIER = "entered > 0 AND (started = 0 OR said < first) AND countIf(side = 3) = 0"
_FIRST_SEEN = _first_seen(_SESSIONS_OF_USERS, _USER_RANGE)
_SEEN_LATER = f"{_FIRST_SEEN} {_IS_LATER}"
_SEEN_EARLIER = f"{_FIRST_SEEN} {_IS_EARLIER}"
_ENTER_USERS = (
    f"INSERT INTO users (domain, user_key, first_seen_at) SELECT domain, user_key, first FROM ({_SEEN_LATER})"
)
_SUSPECT_USERS = (
    f"SELECT DISTINCT {_bucket('user_key')} FROM ({_first_seen('1', '1')} ({_IS_LATER}) OR ({_IS_EARLIER}))"
)

_NOTE_DEPARTURES = (
    f"INSERT INTO departures (domain, user_key, started_at) SELECT domain, user_key, said FROM ({_SEEN_EARLIER})"
)


# Of every row that is stored, versions that no longer count included: their names are entered like others.
def _unnamed(of_pages: str) -> str:
    return (
        "SELECT domain, page_key FROM ("
        "SELECT domain, arrayJoin(page_keys) AS page_key, true AS is_viewed FROM sessions "
        "UNION ALL "
        "SELECT domain, arrayJoin(conversion_keys) AS page_key, true AS is_viewed FROM sessions WHERE converting "
        "UNION ALL "
        "SELECT domain, page_key, false AS is_viewed FROM pages"
        f") WHERE {of_pages} GROUP BY domain, page_key HAVING min(is_viewed)"
    )


_UNNAMED = _unnamed(_PAGE_RANGE)
_SUSPECT_PAGES = f"SELECT DISTINCT {_bucket('page_key')} FROM ({_unnamed('page_key != 0')})"
_NAME_PAGES = (
    "INSERT INTO pages (domain, page_key, url) "
    "SELECT DISTINCT domain, sipHash64(url) AS page_key, url FROM ("
    f"SELECT domain, {canonical('raw')} AS url FROM sessions "
    "ARRAY JOIN arrayConcat(page_views.url, arrayFilter(raw -> raw != '', conversions.url)) AS raw"
    f") WHERE (domain, page_key) GLOBAL IN ({_UNNAMED})"
)

# In the order in which they are mended: what counts comes before what is derived of it.
COMPARISONS = (
    Comparison(
        _SUSPECT_VERSIONS,
        (
            Kind(
                "place unknown",
                "a version is stored, and `places` lacks its place or knows an earlier version there",
                Key.SESSION,
                _count(_UNKNOWN_PLACES, "session_key"),
                (f"INSERT INTO places (domain, session_key, user_key, started_at, written_at) {_UNKNOWN_PLACES}",),
            ),
            Kind(
                "version that counts is set aside",
                "the version that counts is stored as one that does not",
                Key.SESSION,
                _count(_NOWHERE, "session_key"),
                (_WRITE_AGAIN,),
            ),
            Kind(
                "version that counts is lost",
                "the version that counts is known, and its row is no longer there",
                Key.SESSION,
                _count(_LOST, "session_key"),
                advice="load these sessions again",
            ),
            Kind(
                "session counts twice",
                "a session counts at two users or on two days",
                Key.SESSION,
                _count(_TWICE, "session_key"),
                (_MARK_OTHERS,),
            ),
        ),
    ),
    Comparison(
        _SUSPECT_JOURNEYS,
        (
            Kind(
                "journey missing",
                "a session converts, and `converting_sessions` lacks it",
                Key.SESSION,
                _count(_NO_JOURNEY, "session_key"),
                (_insert_journeys(_NO_JOURNEY),),
            ),
            Kind(
                "journey stale",
                "`converting_sessions` has a session that does not convert, does not count there, or has other content",
                Key.SESSION,
                _count(_STALE_JOURNEY, "session_key"),
                (_insert_journeys(_STALE_JOURNEY), _MARK_JOURNEYS),
            ),
        ),
    ),
    Comparison(
        _SUSPECT_USERS,
        (
            Kind(
                "first seen too late",
                "`users` lacks a user, or says that the first session was later than it was",
                Key.USER,
                _count(_SEEN_LATER, "user_key"),
                (_ENTER_USERS,),
            ),
            Kind(
                "first seen too early",
                "`users` knows an earlier first session than there is, and `departures` does not say that one left",
                Key.USER,
                _count(_SEEN_EARLIER, "user_key"),
                (_NOTE_DEPARTURES,),
            ),
        ),
    ),
    Comparison(
        _SUSPECT_PAGES,
        (
            Kind(
                "page without a name",
                "a session has a page of which `pages` lacks the name",
                Key.PAGE,
                _count(_UNNAMED, "page_key"),
                (_NAME_PAGES,),
            ),
        ),
    ),
)
KINDS = tuple(kind for comparison in COMPARISONS for kind in comparison.kinds)


# ---- looking and mending ----


# Tables are read one after the other. What is written meanwhile may be in one and not yet in the other, and what is
# erased may be gone from one only: what is wrong is still so after a while, and while nothing is erased. All that seems
# wrong is looked at again together, so that they wait once.
_LOOK_AGAIN_SECONDS: tuple[float, ...] = (0.5, 2.0)


def look(store: Store, tell: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Look for what should not be in the store, and change nothing; others may write meanwhile.

    Args:
        store: The store; its schema is the latest.
        tell: Called with the name of each kind before it is looked for.

    Returns:
        A finding for each kind, those of damaged parts first. Where parts are broken, these alone: the rest can't be
        read.

    Raises:
        PagerolesError: ClickHouse can't be reached, or refuses a query.
    """
    call = store.call(_SECONDS)
    tell("damage")
    damaged = damage.findings(store, call)
    if damaged[0].count:
        return damaged
    sessions = _sessions(store, call)
    cut_short = recovery.finding(store)
    found: dict[Comparison, list[Finding]] = {}
    wrong: Sequence[Comparison] = COMPARISONS
    for pause in (0.0, *_LOOK_AGAIN_SECONDS):
        if not wrong:
            break
        time.sleep(pause)
        with erasure.alone(store) if pause else contextlib.nullcontext():
            for comparison in wrong:
                tell(comparison.kinds[0].name)
                ranges = _suspect_ranges(store, call, comparison, sessions)
                found[comparison] = [_find(store, call, kind, ranges) for kind in comparison.kinds]
        wrong = [comparison for comparison in wrong if any(finding.count for finding in found[comparison])]
    return [*damaged, cut_short, *itertools.chain.from_iterable(found.values())]


def mend(store: Store, tell: Callable[[str], None] = lambda _: None) -> None:
    """Finish what was cut short, and mend from `sessions` what can be mended; harmless where nothing is wrong.

    Args:
        store: The store; its schema is the latest.
        tell: Called with the name of each kind before it is mended.

    Raises:
        PagerolesError: ClickHouse can't be reached, or refuses a statement.
    """
    tell("what was cut short")
    recovery.recover(store, of_all=True)
    call = store.call(_SECONDS)
    sessions = _sessions(store, call)
    # What is derived of a session that is being erased would be written again, and stay.
    with erasure.alone(store):
        for comparison in COMPARISONS:
            # What was mended before is compared.
            ranges = _suspect_ranges(store, call, comparison, sessions)
            for kind in comparison.kinds:
                if kind.repairs:
                    tell(kind.name)
                    for bounds in ranges:
                        if _rows(store, call, kind.count, bounds)[0][0]:
                            for repair in kind.repairs:
                                store.command(repair + _SETTINGS, bounds)


def give_up(store: Store) -> GivenUp:
    """Give up what can't be mended: damaged parts, writes that ClickHouse refuses, and sessions that lost their row.

    Run `mend` after it: what is derived of the rest may have been lost, too.

    Raises:
        SettingError: The store is on a cluster.
        PagerolesError: ClickHouse can't be reached, or refuses a statement.
    """
    call = store.call(_SECONDS)
    parts = damage.give_up(store, call)
    refused = 0
    for write_id in writes.unfinished(store):
        try:
            writes.finish(store, write_id)
        except InternalError:
            writes.forget(store, write_id)
            refused += 1
    versions = COMPARISONS[0]
    lost = [(_LOST, bounds) for bounds in _suspect_ranges(store, call, versions, _sessions(store, call))]
    return GivenUp(tuple(parts), refused, erasure.erase_selected(store, lost).sessions)


def _suspect_ranges(store: Store, call: Call, comparison: Comparison, sessions: int) -> list[dict[str, object]]:
    """Return the ranges of keys in which something is wrong, each as its first and its last key.

    Args:
        store: The store.
        call: Ends the query in time.
        comparison: What is compared.
        sessions: How many rows `sessions` has; a range has some `_ROWS_PER_RANGE` of them at most.
    """
    bits = max(_LEAST_BITS, math.ceil(math.log2(sessions / _ROWS_PER_RANGE + 1)))
    shift, most = _KEY_BITS - bits, max((_ROWS_PER_RANGE << bits) // max(sessions, 1), 1)
    runs: list[tuple[int, int]] = []
    for bucket in sorted(bucket for (bucket,) in _rows(store, call, comparison.suspects, {"shift": shift})):
        first = runs[-1][0] if runs else -most
        # What lies between two of them is read, too: that takes less time than another query.
        if bucket - first < most:
            runs[-1] = (first, bucket + 1)
        else:
            runs.append((bucket, bucket + 1))
    return [{"first": first << shift, "last": (after << shift) - 1} for first, after in runs]


def _sessions(store: Store, call: Call) -> int:
    return int(_rows(store, call, "SELECT count() FROM sessions", {})[0][0])


def _rows(store: Store, call: Call, text: str, values: Mapping[str, object]) -> Any:
    return store.scan(Statement(text, values), call)


def _find(store: Store, call: Call, kind: Kind, ranges: list[dict[str, object]]) -> Finding:
    count = 0
    keys: list[tuple[str, int]] = []
    for bounds in ranges:
        ((more, shown),) = _rows(store, call, kind.count, bounds)
        count += more
        keys += shown[: EXAMPLES - len(keys)]
    examples = tuple(f"{domain}: {_named(store, call, kind.names, domain, key)}" for domain, key in keys)
    return Finding(kind.name, kind.sentence, kind.advice, count, examples)


def _named(store: Store, call: Call, names: Key, domain: str, key: int) -> str:
    found = _rows(store, call, names.value, {"domain": domain, "key": key})
    return str(found[0][0]) if found else f"the {names.name.lower()} with the key {key}"
