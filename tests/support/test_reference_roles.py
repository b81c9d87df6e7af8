"""The oracle's own tests, second part: journeys, roles, totals, and order."""

from __future__ import annotations

from itertools import permutations

import pytest

from support.made import ask, conversion, included, roles, row, session
from support.reference import DROP_OFF_ROLES, Conversion, assisting_pages, conversion_page, pages
from support.siphash import siphash

# ---- journeys ----


def test_journeys_reach_beyond_window_and_session_filters() -> None:
    before = session("s0", started_at="2025-05-01T10:00:00Z", conversions=[conversion()], utm_campaign="other")
    inside = session("s1", started_at="2025-07-03T10:00:00Z", utm_campaign="x")
    after = session("s2", started_at="2025-09-03T10:00:00Z", conversions=[conversion()])
    assert included([before, inside], touch_scope="first") == set()
    assert included([before, inside], touch_scope="after", campaign="x") == {"s1"}
    assert included([session("s0", started_at="2025-05-01T10:00:00Z"), inside, after], touch_scope="assist") == {"s1"}


def test_the_first_session_of_a_user_who_never_converts() -> None:
    made = [session("s1"), session("s2", "u2", conversions=[conversion(kind="x")])]
    assert included(made, touch_scope="first") == {"s1", "s2"}
    assert included(made, touch_scope="first", meta_type="x") == {"s2"}
    assert included(made, touch_scope="assist") == set()


def test_sessions_that_start_together_are_ordered_by_the_hash_of_their_ids() -> None:
    names = sorted(("session-" + "0" * 40 + end for end in ("", "0", "1", "Z", "é", "😀")), key=hash_of)
    assert names != sorted(names)
    for order in permutations(range(6), 2):
        made = [session(name) for name in names]
        made = [made[at] for at in order] + [it for at, it in enumerate(made) if at not in order]
        assert included(made, touch_scope="first") == {names[0]}
    made = [session(name, conversions=[conversion()] if name == names[3] else []) for name in reversed(names)]
    assert included(made, touch_scope="assist") == set(names[1:3])
    assert included(made, touch_scope="after") == set(names[4:])


def hash_of(name: str) -> int:
    return siphash(name.encode())


# ---- roles ----


def test_pages_are_in_order_of_viewing_and_ties_keep_input_order() -> None:
    late, early = "2025-07-03T10:05:00Z", "2025-07-03T10:01:00Z"
    assert pages(session("s", views=[("/c", late), ("/b", early), ("/a", early), ("/b", late)])) == [
        "/b",
        "/a",
        "/c",
        "/b",
    ]


@pytest.mark.parametrize(
    ("views", "made", "page", "assisting"),
    [
        # The conversion on the page being viewed: the pages before assist.
        ("abc", conversion("/c/?x"), "/c", ["/a", "/b"]),
        ("abc", conversion("/b", "10:01:00"), "/b", ["/a"]),
        ("abc", conversion("/b", "10:01:59.999"), "/b", ["/a"]),
        # The same page viewed before assists.
        ("aba", conversion("/a"), "/a", ["/a", "/b"]),
        ("aa", conversion("/a"), "/a", ["/a"]),
        # On the landing view the landing page assists itself.
        ("a", conversion("/a"), "/a", ["/a"]),
        ("ab", conversion("/a", "10:00:00"), "/a", ["/a"]),
        # On another page than the one being viewed: all of the views assist.
        ("abc", conversion("/b"), "/b", ["/a", "/b", "/c"]),
        ("abc", conversion("/x"), "/x", ["/a", "/b", "/c"]),
        ("abc", conversion("/x", "10:00:00"), "/x", ["/a"]),
        # Before any view: none.
        ("abc", conversion("/a", "09:59:59.999"), "/a", []),
        ("", conversion("/a"), "/a", []),
        # Without a URL: the page being viewed, and that view is the conversion's own.
        ("abc", conversion(""), "/c", ["/a", "/b"]),
        ("abc", conversion("", "10:01:00"), "/b", ["/a"]),
        ("abc", conversion("", "10:00:30"), "/a", ["/a"]),
        ("abc", conversion("", "09:00:00"), None, []),
        ("", conversion(""), None, []),
    ],
)
def test_the_pages_of_a_conversion(views: str, made: Conversion, page: str | None, assisting: list[str]) -> None:
    visited = session("s", views=[f"/{view}" for view in views], conversions=[made])
    assert conversion_page(visited, made) == page
    assert assisting_pages(visited, made) == assisting


def test_views_at_one_instant_with_the_conversion() -> None:
    at = "2025-07-03T10:00:00Z"
    visited = session("s", views=[("/a", at), ("/b", at), ("/c", at)])
    assert assisting_pages(visited, conversion("/c", "10:00:00")) == ["/a", "/b"]
    assert assisting_pages(visited, conversion("/a", "10:00:00")) == ["/a", "/b", "/c"]


def test_a_page_counts_once_per_session_in_a_role() -> None:
    made = session(
        "s",
        views=["/a", "/b", "/a", "/b"],
        conversions=[conversion("/b"), conversion("/b?again"), conversion("/a", "10:02:00")],
    )
    assert roles([made]) == {
        "conversion": {"/b": 1, "/a": 1},
        "conversion_assist": {"/a": 1, "/b": 1},
        "landing_assisted_conversion": {"/a": 1},
    }
    assert ask([made])["summary_totals"]["total_conversion_events"] == 3


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ("abc", {"drop_off": {"/c": 1}, "drop_off_assist": {"/b": 1}, "landing_assisted_drop_off": {"/a": 1}}),
        ("abcc", {"drop_off": {"/c": 1}, "drop_off_assist": {"/b": 1}, "landing_assisted_drop_off": {"/a": 1}}),
        ("aba", {"drop_off": {"/a": 1}, "drop_off_assist": {"/b": 1}, "landing_assisted_drop_off": {"/a": 1}}),
        ("aa", {"drop_off": {"/a": 1}, "landing_assisted_drop_off": {"/a": 1}}),
        ("a", {"drop_off": {"/a": 1}, "landing_assisted_drop_off": {"/a": 1}}),
        ("", {}),
    ],
)
def test_the_roles_of_a_drop_off(views: str, expected: dict[str, dict[str, int]]) -> None:
    assert roles([session("s", views=[f"/{view}" for view in views])]) == expected


def test_an_anchor_jump_on_the_exit_page_is_no_step() -> None:
    assert roles([session("s", views=["/a", "/b", "/b#x", "/b/?y"])])["drop_off_assist"] == {"/a": 1}


def test_a_session_after_the_first_conversion_drops_off_even_if_it_converts() -> None:
    first = session("s1", views=["/a"], conversions=[conversion("/a")])
    again = session("s2", started_at="2025-07-04T10:00:00Z", views=["/b"], conversions=[conversion("/b")])
    assert roles([first]) == {
        "conversion": {"/a": 1},
        "conversion_assist": {"/a": 1},
        "landing_assisted_conversion": {"/a": 1},
    }
    assert roles([first, again], touch_scope="after") == {
        "conversion": {"/b": 1},
        "conversion_assist": {"/b": 1},
        "landing_assisted_conversion": {"/b": 1},
        "drop_off": {"/b": 1},
        "landing_assisted_drop_off": {"/b": 1},
    }


def test_a_session_without_views_has_conversions_alone() -> None:
    assert roles([session("s", views=[], conversions=[conversion("/a"), conversion("")])]) == {"conversion": {"/a": 1}}
    answer = ask([session("s", views=[])])
    assert answer["summary_totals"]["total_sessions"] == 1
    assert answer["conversion_performance"] == answer["drop_off_performance"] == []


# ---- totals and order ----


def test_users_are_counted_once() -> None:
    answer = ask([session("s1"), session("s2"), session("s3", "u2", conversions=[conversion("/"), conversion("/")])])
    assert answer["summary_totals"] == {
        "total_sessions": 3,
        "total_users": 2,
        "total_conversion_events": 2,
        "total_conversion_users": 1,
    }
    assert answer["drop_off_performance"] == [row("/", DROP_OFF_ROLES, (2, 1), (0, 0), (2, 1))]


def test_rows_are_ordered_by_the_roles_in_turn_then_by_bytes() -> None:
    made = [
        session("s1", "u1", views=["/l", "/m", "/x"]),
        session("s2", "u2", views=["/l", "/x"]),
        session("s3", "u3", views=["/é"]),
        session("s4", "u4", views=["/z"]),
        session("s5", "u5", views=["/a", "/z"]),
        session("s6", "u6", views=["/Z"]),
    ]
    assert [row["url"] for row in ask(made)["drop_off_performance"]] == ["/z", "/x", "/Z", "/é", "/l", "/a", "/m"]
