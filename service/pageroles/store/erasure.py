"""Erase sessions from every table: answers are then those that would be given had they never been stored.

What is to be erased is written down first, in a table of its own: every session, and each user of whom a version of it
was stored. The table is dropped last. So an erasure that was cut short, even by a kill, is finished by the next one,
whatever that one is asked to erase. Until then an answer may lie in between: some tables have lost what others have
yet.

Rows go by mutations, which rewrite the parts that hold them; a lightweight delete would only hide them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pageroles import _core
from pageroles.errors import CancelledError, InternalError
from pageroles.store import audit, lock, schema, writes
from pageroles.store.audit import Action
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pageroles.store.store import Store

# The tables with rows of sessions and their users.
TABLES = ("sessions", "converting_sessions", "places", "users", "departures", "pages")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 0.25
_LOOK_UP_SECONDS = 60.0
# How long parts that were rewritten are waited for; a report that reads one keeps it.
_OLD_PARTS_SECONDS = 30.0

_one_at_a_time = threading.Lock()
_TASK = "erasing"


@dataclasses.dataclass(frozen=True, slots=True)
class Erasure:
    """What to erase: the sessions that all conditions fit.

    Attributes:
        domain: Whose sessions; None: those of every domain but `other_than`.
        user_id: Sessions of which any stored version is this user's.
        session_id: This session.
        before: Sessions that started before this instant, by the version that counts.
        other_than: Domains whose sessions stay.
    """

    domain: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    before: datetime | None = None
    other_than: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Erased:
    """What was erased.

    Attributes:
        sessions: How many sessions, those of an earlier erasure that was cut short included.
        users: Of how many users versions of them were stored.
        old_parts: Parts on disk that still hold what was erased, since a query reads them; ClickHouse removes them
            within eight minutes after it.
    """

    sessions: int
    users: int
    old_parts: int = 0


def has_sessions(store: Store, domain: str) -> bool:
    """Tell whether sessions of a domain are stored.

    Raises:
        PagerolesError: The store failed.
    """
    of_domain = Statement("SELECT 1 FROM places WHERE domain = {domain:String} LIMIT 1", {"domain": domain})
    return bool(store.look_up(of_domain, _LOOK_UP_SECONDS))


def erase(
    store: Store, *erasures: Erasure, process: str = audit.COMMAND, stopping: threading.Event | None = None
) -> Erased:
    """Erase sessions, and finish what an earlier erasure left undone.

    Args:
        store: The store.
        erasures: What to erase; all at once costs little more than one.
        process: Whether a command or a server erases, for the audit log.
        stopping: When it is set, the erasure breaks off; the next one finishes it.

    Returns:
        What was erased.

    Raises:
        CancelledError: `stopping` was set.
        PagerolesError: The store failed; the next erasure finishes this one.
    """
    with alone(store, stopping):
        # Rows that are kept for a write that was cut short would be written again.
        writes.finish_all(store)
        domain = (erasures[0].domain or "") if len(erasures) == 1 else ""
        details = {"of": [_told(erasure) for erasure in erasures]}
        audit.record(store, Action.ERASURE_BEGUN, process=process, domain=domain, details=details)
        erased = _Run(store, stopping or threading.Event()).erase(map(_filling, erasures))
        _record_end(store, erased, process=process, domain=domain)
        return erased


def erase_selected(store: Store, selections: Iterable[tuple[str, Mapping[str, object]]]) -> Erased:
    """Erase the sessions that queries find, and finish what an earlier erasure left undone.

    Args:
        store: The store.
        selections: Queries with their values; each selects `domain` and `session_key`.

    Raises:
        PagerolesError: The store failed; the next erasure finishes this one.
    """
    with alone(store):
        audit.record(store, Action.ERASURE_BEGUN, details={"of": "what `check` gave up"})
        erased = _Run(store, threading.Event()).erase((_SELECTED % query, values) for query, values in selections)
        _record_end(store, erased)
        return erased


@contextlib.contextmanager
def alone(store: Store, stopping: threading.Event | None = None) -> Iterator[None]:
    """Run the block while no erasure is at work; wait until then.

    Two would share the table of what to erase; and who compares tables sees what some have lost and others have yet.
    On a ClickHouse server that holds for this process alone, on an embedded store for all that reach it.

    Raises:
        CancelledError: `stopping` was set.
    """
    with _one_at_a_time:
        if store.folder is None:
            yield
        else:
            with lock.alone(store.folder, _TASK, stopping):
                yield


def is_cut_short(store: Store, least_age: int) -> bool:
    """Tell whether an erasure has begun and not ended, and none is at work.

    Args:
        store: The store.
        least_age: On a server nothing tells whether another process is at work; there one is taken for cut short when
            it began that many seconds ago, and ClickHouse deletes no rows for it.

    Raises:
        PagerolesError: The store failed.
    """
    run = _Run(store, threading.Event())
    if store.folder is None:
        age = run.age()
        return age is not None and age >= least_age and not run.is_deleting()
    with lock.kept_off(store.folder, _TASK) as is_idle:
        return is_idle and run.age() is not None


def finish(store: Store) -> Erased:
    """Finish what an earlier erasure left undone.

    Returns:
        What was erased.

    Raises:
        PagerolesError: The store failed; the next erasure finishes this one.
    """
    with alone(store):
        erased = _Run(store, threading.Event()).finish()
        if erased.sessions:
            _record_end(store, erased, process="recovery")
        return erased


def _record_end(store: Store, erased: Erased, *, process: str = audit.COMMAND, domain: str = "") -> None:
    details = {"sessions": erased.sessions, "users": erased.users}
    audit.record(store, Action.ERASURE_ENDED, process=process, domain=domain, details=details)


def _told(erasure: Erasure) -> dict[str, object]:
    """Return what an erasure takes, without the ids of who asked to be forgotten."""
    told: dict[str, object] = {"domain": erasure.domain} if erasure.domain is not None else {}
    if erasure.other_than:
        told["all domains but"] = len(erasure.other_than)
    if erasure.user_id is not None:
        told["user"] = "one"
    if erasure.session_id is not None:
        told["session"] = "one"
    if erasure.before is not None:
        told["before"] = erasure.before
    return told


class _Run:
    """One run of an erasure."""

    def __init__(self, store: Store, stopping: threading.Event) -> None:
        self._store = store
        self._stopping = stopping
        self._cluster = store.cluster

    def erase(self, fillings: Iterable[tuple[str, Mapping[str, object]]]) -> Erased:
        self._commands(_CREATE % time.time())
        for text, values in fillings:
            self._store.command(text, dict(values))
        return self._erase_written_down()

    def age(self) -> int | None:
        """Return how many seconds ago one began that has not ended; None: there is none."""
        found = self._rows(_BEGUN)
        return int(time.time()) - int(str(found[0][0])) if found else None

    def is_deleting(self) -> bool:
        return bool(self._rows(_MUTATIONS))

    def finish(self) -> Erased:
        return Erased(0, 0) if self.age() is None else self._erase_written_down()

    def _erase_written_down(self) -> Erased:
        sessions, users = self._numbers(_COUNT)
        erased = Erased(sessions, users)
        if sessions:
            # Reports then look these users up among the sessions, so that their journeys are right all the way.
            self._commands(_DISTRUST_USERS)
            # Together: a writer asks `places` what to mark in `sessions`.
            self._commands(_DELETE_SESSIONS)
            self._wait_for_mutations()
            self._commands(_FIND_USERS)
            self._commands(_DELETE_DERIVED)
            self._wait_for_mutations()
            self._commands(_HURRY_OLD_PARTS)
            erased = Erased(sessions, users, self._wait_for_old_parts())
            self._commands(_AS_BEFORE)
        self._commands(_DROP)
        return erased

    def _commands(self, template: str) -> None:
        for statement in schema.statements_of(template, self._cluster):
            self._store.command(statement)

    def _wait_for_mutations(self) -> None:
        """Wait until all deletions are done, on every replica.

        They are asked for: to wait in the statement would keep other writers waiting, and its connection silent.
        """
        pause = _POLL_SECONDS
        while rows := self._rows(_MUTATIONS):
            self._try(_WAKE)
            self._pause(pause)
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)
            # ClickHouse tries a deletion again that failed, so one failure is none yet.
            if failed := [str(reason) for reason, seconds in rows if reason and int(str(seconds)) > _LOOK_UP_SECONDS]:
                raise InternalError(f"ClickHouse can't delete rows; run `pageroles erase` again: {failed[0]}")

    def _wait_for_old_parts(self) -> int:
        """Wait for the parts that were rewritten to go; return how many are left."""
        end = time.monotonic() + _OLD_PARTS_SECONDS
        (left,) = self._numbers(_OLD_PARTS)
        while left and time.monotonic() < end:
            self._try(_CLEAN_UP)
            self._pause(_LONGEST_POLL_SECONDS)
            (left,) = self._numbers(_OLD_PARTS)
        return left

    def _try(self, template: str) -> None:
        """Have ClickHouse do at once what it does anyway when it is time, where it knows and allows that."""
        with contextlib.suppress(InternalError):
            self._commands(template)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise CancelledError("the erasure was broken off; run `pageroles erase` again, which finishes it")

    def _numbers(self, template: str) -> list[int]:
        return [int(str(number)) for number in self._rows(template)[0]]

    def _rows(self, template: str) -> Sequence[Sequence[object]]:
        (text,) = schema.statements_of(template, self._cluster)
        return self._store.look_up(Statement(text), _LOOK_UP_SECONDS)


def _filling(erasure: Erasure) -> tuple[str, dict[str, object]]:
    """Return the statement that writes down what to erase, and its values.

    Ids go as keys: ClickHouse logs its statements.
    """
    where, having = ["1"], ["1"]
    parameters: dict[str, object] = {}
    if erasure.domain is not None:
        where.append("domain = {domain:String}")
        parameters["domain"] = erasure.domain
    if erasure.other_than:
        where.append("domain NOT IN {other_than:Array(String)}")
        parameters["other_than"] = list(erasure.other_than)
    if erasure.session_id is not None:
        where.append("session_key = {session_key:UInt64}")
        (parameters["session_key"],) = _core.keys([erasure.session_id])
    if erasure.user_id is not None:
        having.append("has(user_keys, {user_key:UInt64})")
        (parameters["user_key"],) = _core.keys([erasure.user_id])
    if erasure.before is not None:
        having.append("toUnixTimestamp64Milli(start) < {before:Int64}")
        parameters["before"] = (erasure.before - _EPOCH) // timedelta(milliseconds=1)
    # In the order of `places`, a session at a time: memory does not grow with the domain.
    text = (
        "INSERT INTO erasing SELECT domain, session_key, arrayJoin(user_keys) AS user_key FROM ("
        "SELECT domain, session_key, groupUniqArray(user_key) AS user_keys, "
        "argMax(started_at, (written_at, started_at, user_key)) AS start "
        f"FROM places WHERE {' AND '.join(where)} GROUP BY domain, session_key HAVING {' AND '.join(having)}) "
        "SETTINGS optimize_aggregation_in_order = 1, max_threads = 1, distributed_foreground_insert = 1"
    )
    return text, parameters


# Its comment says when the erasure began, in seconds since 1970.
_CREATE = """
CREATE TABLE IF NOT EXISTS {{ table("erasing") }}
(
    `domain` LowCardinality(String),
    `session_key` UInt64,
    `user_key` UInt64
)
ENGINE = {{ engine("MergeTree") }}
ORDER BY (domain, session_key)
COMMENT '%d';
{{ distributed("erasing", by="session_key") }}
"""
_SELECTED = (
    "INSERT INTO erasing SELECT DISTINCT domain, session_key, user_key FROM places "
    "WHERE (domain, session_key) GLOBAL IN (SELECT domain, session_key FROM (%s)) "
    "SETTINGS distributed_foreground_insert = 1"
)
_BEGUN = """
SELECT toUInt32OrZero(comment)
FROM system.tables
WHERE database = currentDatabase() AND name = '{{ local("erasing") }}'
    AND (SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'erasing') > 0;
"""
_COUNT = "SELECT uniqExact(domain, session_key), uniqExact(domain, user_key) FROM erasing;"
_DISTRUST_USERS = """
INSERT INTO departures
SELECT DISTINCT domain, user_key, toDateTime64(0, 3, 'UTC') FROM erasing
SETTINGS max_threads = 1, distributed_foreground_insert = 1;
"""
# What to erase does not change while rows are deleted, so every replica deletes the same.
_SETTINGS = "SETTINGS mutations_sync = 0, allow_nondeterministic_mutations = 1"
_OF_SESSIONS = f"DELETE WHERE (domain, session_key) IN (SELECT domain, session_key FROM erasing) {_SETTINGS}"
_OF_USERS = f"DELETE WHERE (domain, user_key) IN (SELECT domain, user_key FROM erasing) {_SETTINGS}"
_DELETE_SESSIONS = f"""
{{{{ alter_own("sessions", "{_OF_SESSIONS}") }}}}
{{{{ alter_own("places", "{_OF_SESSIONS}") }}}}
{{{{ alter_own("converting_sessions", "{_OF_SESSIONS}") }}}}
{{{{ alter_own("users", "{_OF_USERS}") }}}}
"""
_FIND_USERS = """
INSERT INTO users
SELECT domain, user_key, min(started_at) AS first_seen_at
FROM sessions FINAL
WHERE gone = 0 AND (domain, user_key) GLOBAL IN (SELECT domain, user_key FROM erasing)
GROUP BY domain, user_key
SETTINGS max_threads = 1, distributed_foreground_insert = 1;
"""
# On a cluster, a shard has the names of the pages of its own sessions. Names are missed by no report: it finds them in
# the sessions where they are lacking.
_DELETE_DERIVED = f"""
{{{{ alter_own("departures", "{_OF_USERS}") }}}}
ALTER TABLE {{{{ local("pages") }}}}{{{{ on_cluster }}}}
    DELETE WHERE domain IN (SELECT domain FROM erasing) AND (domain, page_key) NOT IN
    (
        SELECT domain, arrayJoin(arrayConcat(page_keys, conversion_keys))
        FROM {{{{ local("sessions") }}}}
        WHERE domain IN (SELECT domain FROM erasing)
    )
    {_SETTINGS};
"""
# Parts that were rewritten hold what was erased. A server keeps them for eight minutes, lest the machine fails before
# the new ones are on disk; ClickHouse looks for such parts now and then: to start its cleanup makes it look at once.
_HURRY_OLD_PARTS = "".join(
    f'{{{{ alter_own("{name}", "MODIFY SETTING old_parts_lifetime = 0") }}}}\n' for name in TABLES
)
_CLEAN_UP = "".join(f'SYSTEM START CLEANUP{{{{ on_cluster }}}} {{{{ local("{name}") }}}};\n' for name in TABLES)
# ClickHouse deletes part by part, and rests when its few threads are full. To start merges, which are not stopped,
# wakes it: 331 parts took 6.6 seconds rather than 29.7 in the embedded engine.
_WAKE = "".join(f'SYSTEM START MERGES{{{{ on_cluster }}}} {{{{ local("{name}") }}}};\n' for name in TABLES)
_AS_BEFORE = "".join(f'{{{{ alter_own("{name}", "RESET SETTING old_parts_lifetime") }}}}\n' for name in TABLES)
_DROP = """
DROP TABLE IF EXISTS erasing{{ on_cluster }} SYNC;
{{ "DROP TABLE IF EXISTS erasing_local" ~ on_cluster ~ " SYNC;" if cluster else "" }}
"""
_OWN_TABLES = ", ".join(f"'{{{{ local(\"{name}\") }}}}'" for name in TABLES)
_SYSTEM = """{{ "clusterAllReplicas(" ~ cluster ~ ", system." if cluster else "system." }}NAME{{ ")" if cluster }}"""
_MUTATIONS = f"""
SELECT latest_fail_reason, dateDiff('second', create_time, now())
FROM {_SYSTEM.replace("NAME", "mutations")}
WHERE database = currentDatabase() AND table IN ({_OWN_TABLES}) AND NOT is_done AND position(command, 'erasing') > 0;
"""
_OLD_PARTS = f"""
SELECT count()
FROM {_SYSTEM.replace("NAME", "parts")}
WHERE database = currentDatabase() AND table IN ({_OWN_TABLES}) AND NOT active;
"""
