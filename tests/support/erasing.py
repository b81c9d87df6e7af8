"""Erasures as the tests draw them, and a process that dies within one."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pageroles.question.window import first_instant
from pageroles.store.erasure import Erasure
from support.reference import Erase, moment

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from pageroles.store.store import Store
    from support.reference import Session

# The statements of an erasure that finds something.
STATEMENTS = 23


class KilledError(Exception):
    """The process ended here."""


@dataclasses.dataclass
class Mortal:
    """A store whose process is killed after so many statements."""

    store: Store
    statements: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def command(self, text: str, parameters: dict[str, object] | None = None) -> None:
        self.store.command(text, parameters)
        # Those only hurry ClickHouse, as often as there is to wait.
        self.statements -= not text.startswith("SYSTEM")
        if not self.statements:
            raise KilledError


def drawn_erasure(rng: random.Random, sessions: Sequence[Session]) -> Erase:
    """Draw an erasure that fits some session, or nearly; sometimes with several conditions, sometimes of all."""
    one, other = rng.choice(sessions), rng.choice(sessions)
    nudge = rng.choice((-1, 0, 1)) * timedelta(milliseconds=1)
    day = one["started_at"][:10]
    before = rng.choice(((moment(one["started_at"]) + nudge).isoformat(), day))
    kind = rng.randrange(7)
    if kind == 0:
        return Erase(one["domain"])
    if kind == 1:
        return Erase(one["domain"], user_id=one["user_id"], before=before)
    if kind == 2:
        return Erase(one["domain"], user_id=other["user_id"], session_id=one["session_id"])
    if kind == 3:
        return Erase(one["domain"], before=before)
    if kind == 4:
        return Erase(one["domain"], session_id=one["session_id"])
    return Erase(one["domain"], user_id=one["user_id"])


def to_erasure(wanted: Erase, *, of_all_domains: bool = False) -> Erasure:
    """Return what the store is asked for, in one domain or in every one."""
    before = None if wanted.before is None else first_instant("before", wanted.before)
    return Erasure(None if of_all_domains else wanted.domain, wanted.user_id, wanted.session_id, before)
