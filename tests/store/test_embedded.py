"""What the embedded engine is given is on no disk but the store's, and what it is asked is not remembered."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pageroles.store import infile
from pageroles.store.statement import Statement
from support import worked

if TYPE_CHECKING:
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
