"""The reference's own tests, third part: versions, erasing, what a referrer tells, and windows that were answered."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from support.made import ask, conversion, included, roles, session
from support.reference import Erase, Session, effective_source, written
from support.siphash import sip_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

JUNE = {"start_date": "2025-06-01", "end_date": "2025-06-30"}
NOTHING = {"message": "No page data found for the given parameters."}


def totals(deliveries: Sequence[Session | Erase], **request: str) -> tuple[int, int, int]:
    """Return sessions, users and conversions."""
    found: dict[str, int] = ask(deliveries, **request).get("summary_totals", {})
    return tuple(found.get(f"total_{name}", 0) for name in ("sessions", "users", "conversion_events"))  # type: ignore[return-value]


# ---- versions ----


def test_a_session_may_change_its_user() -> None:
    first = session("s1", "anon-7", views=["/"])
    again = session("s1", "ada", views=["/", "/signup"], conversions=[conversion("/signup")])
    assert totals([first, again]) == (1, 1, 1)
    assert ask([first, again])["drop_off_performance"] == []
    # The journey that it left knows nothing of it, the one that it joined does.
    others = [session(f"of {user}", user, "2025-07-04T10:00:00Z") for user in ("anon-7", "ada")]
    assert included([first, *others, again], touch_scope="first") == {"s1", "of anon-7"}
    assert included([first, *others, again], touch_scope="after") == {"of ada"}


def test_a_session_may_change_its_start() -> None:
    versions = [
        session("s1", started_at=f"2025-07-03T10:00:00{fraction}Z", conversions=[conversion()])
        for fraction in ("", ".123")
    ]
    for deliveries in permutations(versions):
        assert totals(deliveries) == (1, 1, 1)
        assert ask(deliveries, touch_scope="after") == NOTHING


def test_a_session_that_moves_to_another_month_counts_there_alone() -> None:
    versions = [
        session("s1", started_at=at, conversions=[conversion()])
        for at in ("2025-07-01T00:00:10Z", "2025-06-30T23:59:50Z")
    ]
    assert totals(versions) == (0, 0, 0)
    assert totals(versions, **JUNE) == (1, 1, 1)


def test_the_version_written_last_counts_in_whatever_order_they_come() -> None:
    versions: list[Session] = [
        {**session("s1"), "written_at": "2025-07-03T12:00:00Z"},
        {**session("s1", conversions=[conversion()]), "written_at": "2025-07-03T10:00:00Z"},
        {**session("s1", "u2", conversions=[conversion()]), "written_at": "2025-07-03T11:59:59.999999Z"},
    ]
    for deliveries in permutations(versions):
        assert totals(deliveries) == (1, 1, 0)
        assert written(deliveries) == [versions[0]]


def test_of_equal_versions_at_one_place_the_last_stored_counts() -> None:
    versions: list[Session] = [
        {**session("s1", views=[page]), "written_at": "2025-07-03T12:00:00Z"} for page in ("/a", "/b", "/c")
    ]
    for deliveries in permutations(versions):
        assert written(deliveries) == [deliveries[-1]]


def test_of_equal_versions_at_different_places_the_later_start_counts_then_the_greater_user_key() -> None:
    users = sorted((f"u{number}" for number in range(6)), key=sip_hash)
    assert users != sorted(users)
    starts = ["2025-07-03T10:00:00Z", "2025-07-03T12:00:00.001+02:00"]
    versions: list[Session] = [
        {**session("s1", user, at), "written_at": "2025-07-03T12:00:00Z"} for at in starts for user in users[-2:]
    ]
    for deliveries in permutations(versions):
        assert written(deliveries) == [versions[-1]]


def test_a_version_without_a_time_of_its_own_is_later_than_the_one_it_replaces() -> None:
    ahead: Session = {**session("s1"), "written_at": "2125-07-03T12:00:00Z"}
    own = session("s1", "u2")
    assert written([ahead, own]) == [own]
    assert written([own, ahead]) == [ahead]
    behind: Session = {**session("s1"), "written_at": "2024-07-03T12:00:00Z"}
    assert written([own, behind]) == written([behind, own]) == [own]
    # One millionth of a second is the least that tells versions apart.
    for fraction, counts in (("", own), (".000001", own), (".000002", "later")):
        later: Session = {**session("s1", "u3"), "written_at": f"2125-07-03T12:00:00{fraction}Z"}
        expected = later if counts == "later" else own
        # At 0.000001 both were written at once, and u2's start is no later: the greater key counts.
        if fraction == ".000001":
            expected = max(own, later, key=lambda it: sip_hash(it["user_id"]))
        assert written([ahead, own, later]) == [expected]


def test_a_session_is_told_by_its_domain_and_id_alone() -> None:
    other: Session = {**session("s1", "u2"), "domain": "b.com"}
    assert written([session("s1"), other, session("S1")]) == [session("s1"), other, session("S1")]


# ---- erasing ----


JOURNEY = [
    session("s1", "u1", "2025-06-03T10:00:00Z"),
    session("s2", "u1", "2025-07-03T10:00:00Z", conversions=[conversion(kind="x")]),
    session("s3", "u1", "2025-07-05T10:00:00Z"),
    session("s4", "u2", "2025-07-06T10:00:00Z", conversions=[conversion(kind="y")]),
]


def answers(deliveries: Sequence[Session | Erase]) -> list[dict[str, Any]]:
    scopes = [{"touch_scope": scope} for scope in ("any", "first", "converting", "assist", "after")]
    return [ask(deliveries, **asked, **time) for asked in [*scopes, {"meta_type": "x"}] for time in ({}, JUNE)]


@pytest.mark.parametrize(
    ("erasure", "left"),
    [
        (Erase("a.com", user_id="u1"), ["s4"]),
        (Erase("a.com", user_id="u3"), ["s1", "s2", "s3", "s4"]),
        (Erase("b.com", user_id="u1"), ["s1", "s2", "s3", "s4"]),
        (Erase("a.com", session_id="s2"), ["s1", "s3", "s4"]),
        (Erase("a.com", before="2025-07-03T10:00:00Z"), ["s2", "s3", "s4"]),
        (Erase("a.com", before="2025-07-04"), ["s3", "s4"]),
        (Erase("a.com"), []),
    ],
)
def test_answers_after_erasing_are_as_if_never_stored(erasure: Erase, left: list[str]) -> None:
    never_stored = [session for session in JOURNEY if session["session_id"] in left]
    assert answers([*JOURNEY, erasure]) == answers(never_stored)
    # A later delivery stores it anew.
    assert answers([*JOURNEY, erasure, *JOURNEY]) == answers(JOURNEY)


def test_erasing_a_user_takes_every_session_of_which_any_version_was_theirs() -> None:
    anonymous = session("s1", "anon-7")
    logged_in = session("s1", "ada")
    late: Session = {**anonymous, "written_at": "2024-07-03T12:00:00Z"}
    for versions in ([anonymous, logged_in], [logged_in, late]):
        assert written(versions) == [logged_in]
        for user in ("anon-7", "ada"):
            assert written([*versions, Erase("a.com", user_id=user)]) == []
        assert written([*versions, Erase("a.com", user_id="eve")]) == [logged_in]


def test_erasing_a_session_takes_all_its_versions() -> None:
    latest: Session = {**session("s1"), "written_at": "2025-07-03T12:00:00Z"}
    older: Session = {**session("s1", "u2"), "written_at": "2025-07-03T10:00:00Z"}
    assert written([latest, older, Erase("a.com", session_id="s1")]) == []
    # Not even an older version is held back by what was erased.
    assert written([latest, Erase("a.com", session_id="s1"), older]) == [older]


def test_erasing_by_age_goes_by_the_version_that_counts() -> None:
    june, july = session("s1", started_at="2025-06-30T23:59:50Z"), session("s1", started_at="2025-07-01T00:00:10Z")
    erasure = Erase("a.com", before="2025-07-01")
    assert written([july, june, erasure]) == []
    assert written([june, july, erasure]) == [july]


# ---- what a referrer tells ----


@pytest.mark.parametrize(
    ("referrer", "source"),
    [
        # The rules of the list: of two labels, with a wildcard, and an exception to it.
        ("https://www.google.com.bd/", "google.com.bd"),
        ("https://www.shop.co.ck/", "shop.co.ck"),
        ("https://shop.co.ck/", "shop.co.ck"),
        ("https://co.ck/", "(direct)"),
        ("https://a.www.ck/", "www.ck"),
        ("https://www.ck/", "www.ck"),
        # A dot at the end of the host.
        ("https://www.google.com./search", "google.com"),
        ("https://www.google.com.:443/search", "google.com"),
        ("https://www.google.com../", "(direct)"),
        ("https://.com/", "(direct)"),
        ("https://./", "(direct)"),
        ("https://192.168.0.1./", "(direct)"),
        # Apps.
        ("android-app://com.google.android.gm/", "com.google.android.gm"),
        ("android-app://com.Google.android.gm", "com.Google.android.gm"),
        ("ios-app://544007664/vnd.youtube/www.youtube.com?x", "544007664"),
        ("ios-app://544007664?x", "544007664"),
        ("android-app://com.app#x/y", "com.app"),
        ("android-app:///", "(direct)"),
        ("windows-app://com.app/", "(direct)"),
    ],
)
def test_what_a_referrer_tells(referrer: str, source: str) -> None:
    assert effective_source(session("s", referrer=referrer)) == source


@pytest.mark.parametrize(
    ("domain", "landing", "referrer", "source"),
    [
        ("shop.example", "https://www.shop.example/b", "https://shop.example/a", "(direct)"),
        ("shop.example", "https://other.example/b", "https://www.shop.example/a", "(direct)"),
        ("shop.example", "https://www.other.example/b", "https://blog.OTHER.example./a", "(direct)"),
        ("www.Shop.example.", "/b", "https://shop.example/a", "(direct)"),
        ("shop.co.uk", "/b", "https://www.shop.co.uk/a", "(direct)"),
        ("shop.example", "https://www.shop.example/b", "https://shop.example.com/a", "example.com"),
        ("shop.example", "https://www.shop.example/b", "https://myshop.example/a", "myshop.example"),
        ("co.uk", "https://co.uk/", "https://shop.co.uk/a", "shop.co.uk"),
        ("shop.example", "https://www.shop.example/b", "android-app://shop.example/", "shop.example"),
    ],
)
def test_the_visitors_own_site_is_no_source(domain: str, landing: str, referrer: str, source: str) -> None:
    made: Session = {**session("s", views=[landing, "https://later.example/"], referrer=referrer), "domain": domain}
    assert effective_source(made) == source
    assert effective_source({**made, "source": "shop.example"}) == "shop.example", "what the tracker said stays"


def test_the_landing_page_is_the_first_in_order_of_viewing() -> None:
    views = [("https://b.example/", "2025-07-03T10:00:01Z"), ("https://a.example/", "2025-07-03T10:00:00Z")]
    assert effective_source(session("s", views=views, referrer="https://a.example/x")) == "(direct)"
    assert effective_source(session("s", views=views, referrer="https://b.example/x")) == "b.example"


# ---- windows ----


def test_a_month_of_another_offset_is_whole() -> None:
    edges = ["2025-06-30T22:00:00Z", "2025-07-31T21:59:59.999Z"]
    made = [session(at, started_at=at) for at in edges]
    month = {"start_date": "2025-07-01T00:00:00+02:00", "end_date": "2025-07-31T23:59:59+02:00"}
    assert totals(made, **month) == (2, 1, 0)


def test_the_window_of_an_answer_gives_the_same_answer() -> None:
    edges = ["2025-07-01T00:00:00Z", "2025-07-31T23:59:59.999Z"]
    made = [session(at, started_at=at) for at in edges]
    answer = ask(made)
    frame = answer["time_frame"]
    assert frame == {"start": "2025-07-01T00:00:00Z", "end": "2025-07-31T23:59:59Z"}
    assert answer["summary_totals"]["total_sessions"] == 2
    assert ask(made, start_date=frame["start"], end_date=frame["end"]) == answer


# ---- roles and filters ----


def test_a_reload_of_the_page_of_a_conversion_does_not_assist() -> None:
    made = session("s1", views=["/", "/form", "/form"], conversions=[conversion("/form")])
    assert roles([made]) == {
        "conversion": {"/form": 1},
        "conversion_assist": {"/": 1},
        "landing_assisted_conversion": {"/": 1},
    }


def test_any_form_of_a_landing_page_finds_it() -> None:
    made = session("s1", views=["https://x.example/pricing"])
    for form in (
        "https://x.example/pricing/?utm_source=a",
        "https://x.example/pricing",
        "https://x.example/pricing//#?",
    ):
        assert totals([made], landing_page=form) == (1, 1, 0)
    assert totals([session("s1", views=["/?a"])], landing_page="//#b") == (1, 1, 0)
    assert totals([made], landing_page="https://x.example/Pricing") == (0, 0, 0)
