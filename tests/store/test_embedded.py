"""What the embedded engine is given is on no disk but the store's, and what it is asked is not remembered."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pageroles.errors import CancelledError, StoreUnavailableError
from pageroles.store import embedded, infile
from pageroles.store.statement import Statement
from support import worked

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pageroles.store.store import Store

DOMAIN = "infile.example"
COUNT = Statement("SELECT count() FROM sessions FINAL WHERE domain = {domain:String}", {"domain": DOMAIN})


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")
def test_no_file_is_made_for_rows(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", f"{tmp_path}/no-such-folder")
    assert store.embedded
    store.insert("sessions", worked.rows().replace(worked.DOMAIN.encode(), DOMAIN.encode()))
    assert [list(row) for row in store.rows(COUNT, store.call(60))] == [[len(worked.WORKED)]]


def test_rows_are_read_whole_and_gone_afterwards() -> None:
    rows = bytes(range(256)) * 100_000
    with infile.path_of(rows) as path:
        assert Path(path).read_bytes() == rows
        assert Path(path).read_bytes() == rows, "also a second time"
    assert not Path(path).exists()


def test_the_engine_remembers_no_conditions(store: Store) -> None:
    """Each look-up has one of its own: what is remembered of them would only grow."""
    remembered = Statement("SELECT value FROM system.metrics WHERE metric = 'QueryConditionCacheEntries'")

    def entries() -> int:
        return int(str(store.rows(remembered, store.call(60))[0][0]))

    store.insert("sessions", worked.rows().replace(worked.DOMAIN.encode(), DOMAIN.encode()))
    # The engine is one for all tests of this process, some of which open it in their own way.
    before = entries()
    for number in range(3):
        none = Statement("SELECT count() FROM sessions WHERE session_id = {id:String}", {"id": f"no session {number}"})
        store.rows(none, store.call(60))
    assert entries() <= before


def lent(store: Store) -> list[object]:
    """Return all clients that read, which nobody has now."""
    engine: Any = store._engine
    with contextlib.ExitStack() as all_of_them:
        return [all_of_them.enter_context(engine.reader()) for _ in range(store.readers)]


def fail(reader: Callable[[], AbstractContextManager[object]]) -> object:
    """Fail while a client is lent; return it."""
    with pytest.raises(CancelledError), reader() as client:
        raise CancelledError("the request was cancelled")
    return client


def test_a_client_whose_query_failed_is_not_lent_again(store: Store) -> None:
    """To its next query the engine may give what is left of the answer to one that was stopped."""
    engine: Any = store._engine
    before = lent(store)
    failed = [fail(engine.reader) for _ in range(2)]
    after = lent(store)
    assert len(set(map(id, after))) == store.readers
    assert {id(client) for client in after} & {id(client) for client in before} == {
        id(client) for client in before if client not in failed
    }
    with contextlib.closing(store.apart(60)) as apart:
        own: Any = apart._engine
        client = fail(own.reader)
        with own.reader() as another:
            assert another is not client
        with own.control() as still:
            assert still is another
        assert apart.rows(COUNT, apart.call(60))
    assert store.rows(COUNT, store.call(60))


def test_a_client_that_can_not_be_opened_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = store._engine
    fail(engine.reader)

    def refuse(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("Code: 241. DB::Exception: no memory. (MEMORY_LIMIT_EXCEEDED)")

    with monkeypatch.context() as patched:
        patched.setattr(embedded, "_opened", refuse)
        refused = 0
        for _ in range(store.readers):
            try:
                store.rows(COUNT, store.call(60))
            except StoreUnavailableError:
                refused += 1
        assert refused == 1
    assert len(set(map(id, lent(store)))) == store.readers
