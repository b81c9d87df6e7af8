"""Rows on their way into the embedded engine are on no disk: nothing of them outlives a kill, and none can be full."""

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
