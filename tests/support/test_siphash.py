"""The reference orders by the hash that the store has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pageroles.store.statement import Statement
from support.siphash import siphash

if TYPE_CHECKING:
    from pageroles.store.store import Store


def test_the_hash_is_that_of_the_store(store: Store) -> None:
    texts = ["é" * (length // 2) + "x" * (length % 2) for length in range(40)] + ["s" * 300]
    found = store.rows(
        Statement("SELECT arrayMap(text -> sipHash64(text), {texts:Array(String)})", {"texts": texts}), store.call(10)
    )
    assert found[0][0] == [siphash(text.encode()) for text in texts]
    assert siphash(b"") == 0x1E924B9D737700D7
