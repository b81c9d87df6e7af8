"""The explorer's copy of the tables is what the tables give."""

from __future__ import annotations

from pageroles.transport.explorer import contract_module
from support.browser import WEB


def test_the_page_has_the_tables_of_the_contract() -> None:
    assert (WEB / "contract.js").read_text() == contract_module(), "run make proto"
