"""Finish what a killed process left half-done, before numbers are given: writes of sessions, then erasures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pageroles.errors import InternalError, StoreUnwritableError
from pageroles.store import erasure, writes
from pageroles.store.damage import Finding, finding_of

if TYPE_CHECKING:
    from pageroles.store.store import Store

_log = structlog.get_logger(__name__)

# A writer elsewhere may still be at work. None takes so long for one batch.
_WORK_SECONDS = 600


def finding(store: Store) -> Finding:
    """Return what was begun and not ended, and is not at work: writes and erasures, on a server of ten minutes ago.

    Raises:
        PagerolesError: ClickHouse can't be reached.
    """
    least_age = _least_age(store, of_all=False)
    left = [f"a write of the number {write_id}" for write_id in writes.unfinished(store, least_age)]
    left += ["an erasure"] if erasure.is_cut_short(store, least_age) else []
    return finding_of("cut short", "a write or an erasure has begun and not ended", "", left)


def recover(store: Store, *, before_writing: bool = False, of_all: bool = False) -> None:
    """Finish what was cut short; log what it was.

    Who opens an embedded store for itself finds no other process at work there, so all that is unfinished was cut
    short. Beside a server that holds it, it is as on a ClickHouse server.

    Args:
        store: The store; its schema is the latest.
        before_writing: On a server, finish writes of the last ten minutes, too; harmless where a writer is still at
            work. Who writes sessions needs it: where a write was cut short, `places` may lack where its sessions are.
        of_all: The same, and on a server finish erasures, too.

    Raises:
        PagerolesError: ClickHouse can't be reached; or it refuses a statement, or can't write, and the store is
            embedded or one of the two is set.
    """
    everything = store.embedded or of_all
    try:
        finished = writes.finish_all(store, _least_age(store, of_all=of_all or before_writing))
    except (InternalError, StoreUnwritableError) as error:
        if everything or before_writing:
            raise
        # A server's user may be one that only reads.
        _log.warning("writes left that were cut short: run `pageroles check --repair`", error=str(error))
        return
    if finished:
        _log.warning("writes finished that were cut short", writes=finished)
    if everything:
        erased = erasure.finish(store)
        if erased.sessions:
            _log.warning("erasure finished that was cut short", sessions=erased.sessions, users=erased.users)


def _least_age(store: Store, *, of_all: bool) -> int:
    """Return the age from which a write was surely cut short, in seconds."""
    return 0 if store.embedded or of_all else _WORK_SECONDS
