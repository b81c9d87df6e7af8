"""The hash in plain Python is ClickHouse's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pageroles.store.statement import Statement
from support.siphash import sip_hash

if TYPE_CHECKING:
    from pageroles.store.store import Store


def test_the_hash_of_the_published_example() -> None:
    assert sip_hash("") == 0x1E924B9D737700D7


def test_the_hash_is_that_of_the_store_at_every_length(store: Store) -> None:
    _assert_same(store, ["é😀-0123456789" * 3 + "x" * length for length in range(20)] + ["x" * n for n in range(300)])


@given(texts=st.lists(st.text(), min_size=1))
def test_the_hash_is_that_of_the_store(store: Store, texts: list[str]) -> None:
    _assert_same(store, texts)


def _assert_same(store: Store, texts: list[str]) -> None:
    asked = Statement("SELECT arrayMap(text -> sipHash64(text), {texts:Array(String)})", {"texts": texts})
    ((found,),) = store.rows(asked, store.call(30))
    assert found == [sip_hash(text) for text in texts]
