"""Pages of filters are made canonical as those of the store are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageroles.question.filters import FILTERS, Filter
from pageroles.question.request import canonical, to_query, to_request
from pageroles.store.schema import expressions
from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from pageroles.store.store import Store

NOW = datetime(2025, 8, 1, tzinfo=UTC)
FORMS = ("https://x.example/pricing/?utm_source=a", "https://x.example/pricing#a?b", "https://x.example/pricing///")

# Marks that matter, in any order, among some that do not.
_URLS = st.lists(
    st.one_of(st.sampled_from(["?", "#", "/", "//", "https://", "a", "%2F", "\\", "\n", "\t", "é", " "]), st.text())
).map("".join)


@pytest.mark.parametrize("each", [each for each in FILTERS if each.is_page], ids=lambda each: each.name)
@pytest.mark.parametrize("form", FORMS)
def test_a_page_may_be_given_in_any_form(each: Filter, form: str) -> None:
    query = to_query(to_request({each.name: form}), "a.com", NOW)
    assert query.conditions == ((each, "https://x.example/pricing"),)


@pytest.mark.parametrize("each", [each for each in FILTERS if not each.is_page], ids=lambda each: each.name)
def test_other_values_stay_as_they_are_given(each: Filter) -> None:
    assert to_query(to_request({each.name: FORMS[0]}), "a.com", NOW).conditions == ((each, FORMS[0]),)


def test_a_page_of_which_nothing_is_left_is_the_slash() -> None:
    assert {canonical(url) for url in ("/", "//", "?a", "#a", "/?a#b", "")} == {"/"}
    assert to_query(to_request({"landing_page": ""}), "a.com", NOW).conditions == (), "an empty text sets no filter"


@given(urls=st.lists(_URLS, min_size=1))
def test_a_canonical_page_is_that_of_the_store(store: Store, urls: list[str]) -> None:
    asked = Statement(f"SELECT arrayMap(url -> {expressions.canonical('url')}, {{urls:Array(String)}})", {"urls": urls})
    ((found,),) = store.rows(asked, store.call(30))
    assert found == [canonical(url) for url in urls]
