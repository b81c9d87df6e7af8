"""Sessions written as the service's own writers write them: a session counts once, wherever its versions lie."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from pageroles.ingest import loader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pageroles.ingest.loader import SessionStore
    from support.reference import Session


def write(store: SessionStore, deliveries: Iterable[Session], *, at_once: int = 4000) -> None:
    """Write deliveries in their order, so many in one batch."""
    left = iter(deliveries)
    while batch := list(itertools.islice(left, at_once)):
        lines = [json.dumps(_accepted(session), ensure_ascii=False).encode() + b"\n" for session in batch]
        summary = loader.load_chunks(store, lines, name="deliveries")
        assert not summary.rejected, "a made-up session that is no session"


def _accepted(session: Session) -> dict[str, object]:
    """Return a session that a writer takes: an empty URL, which it does not, is another spelling of the same page."""
    views = [{**view, "url": view["url"] or "?"} for view in session.get("page_views", [])]
    return {**session, "page_views": views}
