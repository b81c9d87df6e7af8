"""The reference's own tests: each sentence of docs/semantics.md as a case; two more files have the rest."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from support.made import ask, conversion, included, roles, row, session
from support.reference import (
    CONVERSION_ROLES,
    DROP_OFF_ROLES,
    MESSAGE,
    Conversion,
    InvalidRequestError,
    Session,
    canonical,
    effective_medium,
    effective_source,
    shown,
)

# ---- the worked case ----


def worked_case() -> list[Session]:
    def seen(day: int, *urls: str) -> list[tuple[str, str]]:
        return [(url, f"2025-07-{day:02}T10:{minute:02}:00Z") for minute, url in enumerate(urls)]

    def signed_up(day: int) -> Conversion:
        return {"url": "/signup", "type": "custom", "id": "", "occurred_at": f"2025-07-{day:02}T10:30:00Z"}

    return [
        session("s1", "u1", "2025-07-03T10:00:00Z", seen(3, "/", "/features", "/pricing")),
        session("s2", "u1", "2025-07-05T10:00:00Z", seen(5, "/pricing?ref=mail", "/signup"), [signed_up(5)]),
        session("s3", "u1", "2025-07-09T10:00:00Z", seen(9, "/docs", "/docs/")),
        session("s4", "u2", "2025-07-06T10:00:00Z", seen(6, "/signup"), [signed_up(6)]),
    ]


def test_the_worked_case_whole() -> None:
    assert ask(worked_case()) == {
        "time_frame": {"start": "2025-07-01T00:00:00Z", "end": "2025-07-31T23:59:59Z"},
        "summary_totals": {
            "total_sessions": 4,
            "total_users": 2,
            "total_conversion_events": 2,
            "total_conversion_users": 2,
        },
        "conversion_performance": [
            row("/signup", CONVERSION_ROLES, (2, 2), (1, 1), (1, 1)),
            row("/pricing", CONVERSION_ROLES, (0, 0), (1, 1), (1, 1)),
        ],
        "drop_off_performance": [
            row("/docs", DROP_OFF_ROLES, (1, 1), (0, 0), (1, 1)),
            row("/pricing", DROP_OFF_ROLES, (1, 1), (0, 0), (0, 0)),
            row("/features", DROP_OFF_ROLES, (0, 0), (1, 1), (0, 0)),
            row("/", DROP_OFF_ROLES, (0, 0), (0, 0), (1, 1)),
        ],
    }


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("any", {"s1", "s2", "s3", "s4"}),
        ("", {"s1", "s2", "s3", "s4"}),
        ("first", {"s1", "s4"}),
        ("converting", {"s2", "s4"}),
        ("assist", set()),
        ("after", {"s3"}),
    ],
)
def test_the_worked_case_by_scope(scope: str, expected: set[str]) -> None:
    assert included(worked_case(), touch_scope=scope) == expected


def test_no_included_session_is_the_message_alone() -> None:
    assert ask(worked_case(), touch_scope="assist") == {"message": MESSAGE}
    assert ask([]) == {"message": MESSAGE}


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ask(worked_case(), touch_scope="Any")
    assert refused.value.field == "touch_scope"


# ---- the data ----


@pytest.mark.parametrize(
    ("traffic", "source", "medium"),
    [
        ({}, "(direct)", "(none)"),
        ({"utm_source": "mail", "source": "google.com", "referrer": "https://b.com"}, "mail", "(none)"),
        ({"utm_source": "", "source": "Google.com", "referrer": "https://b.com"}, "Google.com", "(none)"),
        ({"referrer": "https://www.news.B.com:8080/a?b#c"}, "b.com", "(none)"),
        ({"referrer": "https://user:word@shop.b.co.uk/"}, "b.co.uk", "(none)"),
        ({"referrer": "https://b.com.au"}, "b.com.au", "(none)"),
        ({"referrer": "https://x.b.example/"}, "b.example", "(none)"),
        ({"referrer": "http://192.168.0.1:80/x"}, "(direct)", "(none)"),
        ({"referrer": "http://localhost/"}, "(direct)", "(none)"),
        ({"referrer": "https://co.uk/"}, "(direct)", "(none)"),
        ({"referrer": "about:blank"}, "(direct)", "(none)"),
        ({"referrer": "www.b.com"}, "(direct)", "(none)"),
        ({"referrer": "//www.b.com/"}, "(direct)", "(none)"),
        ({"referrer": "ftp://www.b.com/"}, "(direct)", "(none)"),
        ({"referrer": "HTTPS://www.b.com/"}, "b.com", "(none)"),
        ({"referrer": "https://a.com:80@b.org/"}, "b.org", "(none)"),
        ({"referrer": "http://[2001:db8::1]:80/"}, "(direct)", "(none)"),
        ({"referrer": "https://bücher.example/x"}, "bücher.example", "(none)"),
        ({"referrer": "https://www.xn--bcher-kva.example/x"}, "xn--bcher-kva.example", "(none)"),
        ({"utm_medium": "cpc", "medium": "organic"}, "(direct)", "cpc"),
        ({"medium": "organic"}, "(direct)", "organic"),
    ],
)
def test_effective_source_and_medium(traffic: dict[str, str], source: str, medium: str) -> None:
    made: Session = {**session("s"), **traffic}  # type: ignore[typeddict-item]
    assert (effective_source(made), effective_medium(made)) == (source, medium)


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://a.com/p/?x=1#y", "https://a.com/p"),
        ("https://a.com/p/", "https://a.com/p"),
        ("https://a.com/p", "https://a.com/p"),
        ("https://a.com/p///", "https://a.com/p"),
        ("https://a.com/p//?x/", "https://a.com/p"),
        ("https://a.com/p#a?b", "https://a.com/p"),
        ("https://a.com/p?a#b", "https://a.com/p"),
        ("https://a.com/p?a?b", "https://a.com/p"),
        ("https://a.com/p#a#b", "https://a.com/p"),
        ("https://a.com/p?", "https://a.com/p"),
        ("https://a.com/p#", "https://a.com/p"),
        ("https://a.com/", "https://a.com"),
        ("https://a.com//p", "https://a.com//p"),
        ("/", "/"),
        ("//", "/"),
        ("", "/"),
        ("?x", "/"),
        ("#x", "/"),
        ("?a#b", "/"),
        ("#a?b", "/"),
        ("HTTPS://A.com/P/", "HTTPS://A.com/P"),
        ("https://a.com/caf%C3%A9", "https://a.com/caf%C3%A9"),
        ("https://a.com/café/", "https://a.com/café"),
        ("https://a.com/p%2F", "https://a.com/p%2F"),
        ("https://a.com/p/ ", "https://a.com/p/ "),
    ],
)
def test_canonical_pages(url: str, page: str) -> None:
    assert canonical(url) == page


def test_writing_a_session_again_replaces_it_whole() -> None:
    first = session("s1", views=["/a", "/b"], conversions=[conversion("/b")], utm_campaign="x")
    assert roles([first, session("s1", views=["/c"])]) == {
        "drop_off": {"/c": 1},
        "landing_assisted_drop_off": {"/c": 1},
    }
    assert ask([first, session("s1")], campaign="x") == {"message": MESSAGE}
    assert ask([first, session("s1"), first])["summary_totals"]["total_conversion_events"] == 1


def test_the_last_write_counts_for_journeys() -> None:
    was = session("s1", conversions=[conversion()])
    later = session("s2", started_at="2025-07-04T10:00:00Z")
    assert included([was, later], touch_scope="after") == {"s2"}
    assert included([was, later, session("s1")], touch_scope="after") == set()


def test_domains_share_nothing() -> None:
    other: Session = {**session("s1", conversions=[conversion()]), "domain": "b.com"}
    earlier: Session = {**session("s0", started_at="2025-07-01T10:00:00Z"), "domain": "b.com"}
    own = session("s1")
    assert ask([own, other, earlier]) == ask([own])
    assert included([own, other, earlier], touch_scope="first") == {"s1"}
    assert included([own, other, earlier], touch_scope="after") == set()


# ---- the window ----


@pytest.mark.parametrize(
    ("start", "end", "shown_start", "shown_end"),
    [
        ("2025-07-01", "2025-07-31", "2025-07-01T00:00:00Z", "2025-07-31T23:59:59Z"),
        ("2025-06-01", "2025-07-31", "2025-07-01T00:00:00Z", "2025-07-31T23:59:59Z"),
        ("2025-07-01", "2025-07-01", "2025-07-01T00:00:00Z", "2025-07-01T23:59:59Z"),
        ("2025-07-01T12:00:00Z", "2025-07-01", "2025-07-01T12:00:00Z", "2025-07-01T23:59:59Z"),
        ("2025-07-01T23:59:59.999Z", "2025-07-01", "2025-07-01T23:59:59.999Z", "2025-07-01T23:59:59Z"),
        ("2025-07-01T09:30:00+02:00", "2025-07-01T09:30:00-05:30", "2025-07-01T07:30:00Z", "2025-07-01T15:00:00Z"),
        ("2025-07-01T09:30:00", "2025-07-02T00:00:00.500", "2025-07-01T09:30:00Z", "2025-07-02T00:00:00.500Z"),
        (
            "2025-07-01T00:00:00.500Z",
            "2025-07-31T00:00:00.500Z",
            "2025-07-01T00:00:00.500Z",
            "2025-07-31T00:00:00.500Z",
        ),
        # At most 31 days and one hour, to the last of what the end names; else 30 days before the end as given.
        ("2025-07-01T00:00:00Z", "2025-07-31T23:59:59Z", "2025-07-01T00:00:00Z", "2025-07-31T23:59:59Z"),
        ("2025-07-01T00:00:00Z", "2025-08-01T00:59:59Z", "2025-07-01T00:00:00Z", "2025-08-01T00:59:59Z"),
        ("2025-07-01T00:00:00Z", "2025-08-01T00:59", "2025-07-01T00:00:00Z", "2025-08-01T00:59:59Z"),
        ("2025-07-01T00:00:00Z", "2025-08-01T01:00:00Z", "2025-07-02T01:00:00Z", "2025-08-01T01:00:00Z"),
        ("2025-07-01T00:00:00Z", "2025-08-01T01:00", "2025-07-02T01:00:00Z", "2025-08-01T01:00:59Z"),
        ("2025-07-01T00:00:00.500Z", "2025-08-01T01:00:00.500", "2025-07-01T00:00:00.500Z", "2025-08-01T01:00:00.500Z"),
        ("2025-07-01T00:00:00.500Z", "2025-08-01T01:00:00.501", "2025-07-02T01:00:00.501Z", "2025-08-01T01:00:00.501Z"),
        ("2025-07-01", "2025-08-01", "2025-07-02T00:00:00Z", "2025-08-01T23:59:59Z"),
        # An end covers its minute, its second or its millisecond whole.
        ("2025-07-01", "2025-07-01T09:30", "2025-07-01T00:00:00Z", "2025-07-01T09:30:59Z"),
        ("2025-07-01", "2025-07-01T09:30+02:00", "2025-07-01T00:00:00Z", "2025-07-01T07:30:59Z"),
        ("2025-07-01", "2025-07-01T09:30:15", "2025-07-01T00:00:00Z", "2025-07-01T09:30:15Z"),
        ("2025-07-01", "2025-07-01T09:30:15.000", "2025-07-01T00:00:00Z", "2025-07-01T09:30:15Z"),
        ("2025-07-01", "2025-07-01T09:30:15.0009", "2025-07-01T00:00:00Z", "2025-07-01T09:30:15Z"),
        ("2025-07-01", "2025-07-01T09:30:15.2509", "2025-07-01T00:00:00Z", "2025-07-01T09:30:15.250Z"),
        ("2025-07-01", "2025-07-01T09:30:15.999", "2025-07-01T00:00:00Z", "2025-07-01T09:30:15.999Z"),
        # The defaults: now in whole seconds, and 30 days before now or before an end that is not later than that.
        ("", "", "2025-06-20T12:30:15Z", "2025-07-20T12:30:15Z"),
        ("2025-07-01", "", "2025-07-01T00:00:00Z", "2025-07-20T12:30:15Z"),
        ("2025-05-01", "", "2025-06-20T12:30:15Z", "2025-07-20T12:30:15Z"),
        ("", "2025-07-10T08:00:00Z", "2025-06-20T12:30:15Z", "2025-07-10T08:00:00Z"),
        ("", "2025-06-20T12:30:15Z", "2025-05-21T12:30:15Z", "2025-06-20T12:30:15Z"),
        ("", "2025-06-20T12:30:16Z", "2025-06-20T12:30:15Z", "2025-06-20T12:30:16Z"),
        ("", "2025-06-20", "2025-05-21T00:00:00Z", "2025-06-20T23:59:59Z"),
        ("", "2025-06-21", "2025-06-20T12:30:15Z", "2025-06-21T23:59:59Z"),
        ("", "2025-07-20", "2025-06-20T12:30:15Z", "2025-07-20T23:59:59Z"),
        ("", "2025-07-25T00:00:00Z", "2025-06-25T00:00:00Z", "2025-07-25T00:00:00Z"),
    ],
)
def test_the_window_shown(start: str, end: str, shown_start: str, shown_end: str) -> None:
    # One session on every day, so that some session is included.
    every_day = [
        session(f"{m}-{d}", started_at=f"2025-{m:02}-{d:02}T12:30:15.500Z") for m in (5, 6, 7) for d in range(1, 31)
    ]
    every_day += [session(at, started_at=at) for at in (shown_start, shown_end)]
    answer = ask(every_day, start_date=start, end_date=end)
    assert answer["time_frame"] == {"start": shown_start, "end": shown_end}


@pytest.mark.parametrize(
    ("started_at", "start", "end", "inside"),
    [
        ("2025-07-02T23:59:59.999Z", "2025-07-03", "2025-07-04", False),
        ("2025-07-03T00:00:00Z", "2025-07-03", "2025-07-04", True),
        ("2025-07-04T23:59:59.999Z", "2025-07-03", "2025-07-04", True),
        ("2025-07-05T00:00:00Z", "2025-07-03", "2025-07-04", False),
        ("2025-07-03T09:59:59.999Z", "2025-07-03T10:00:00Z", "2025-07-03T11:00:00Z", False),
        ("2025-07-03T10:00:00Z", "2025-07-03T10:00:00Z", "2025-07-03T11:00:00Z", True),
        ("2025-07-03T11:00:00Z", "2025-07-03T10:00:00Z", "2025-07-03T11:00:00Z", True),
        ("2025-07-03T11:00:00.999Z", "2025-07-03T10:00:00Z", "2025-07-03T11:00:00Z", True),
        ("2025-07-03T11:00:01Z", "2025-07-03T10:00:00Z", "2025-07-03T11:00:00Z", False),
        ("2025-07-03T11:00:59.999Z", "2025-07-03T10:00:00Z", "2025-07-03T11:00", True),
        ("2025-07-03T11:01:00Z", "2025-07-03T10:00:00Z", "2025-07-03T11:00", False),
        ("2025-07-03T11:00:00.250Z", "2025-07-03", "2025-07-03T11:00:00.250", True),
        ("2025-07-03T11:00:00.251Z", "2025-07-03", "2025-07-03T11:00:00.250", False),
        ("2025-07-03T11:00:00.250Z", "2025-07-03", "2025-07-03T11:00:00.000", True),
        ("2025-07-03T11:00:00.500Z", "2025-07-03T11:00:00.500Z", "2025-07-03T11:00:00.500Z", True),
        ("2025-07-20T12:30:15Z", "", "", True),
        ("2025-07-20T12:30:15.999Z", "", "", True),
        ("2025-07-20T12:30:16Z", "", "", False),
    ],
)
def test_a_session_belongs_to_the_window_in_which_it_started(
    started_at: str, start: str, end: str, *, inside: bool
) -> None:
    made = session("s1", started_at=started_at, conversions=[conversion("/x", "23:00:00")])
    assert ("summary_totals" in ask([made], start_date=start, end_date=end)) is inside


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *[(field, text) for field in ("start_date", "end_date") for text in ("yesterday", "2025-02-30", "07/01/2025")],
        ("start_date", "2025-07-01T25:00:00Z"),
        ("end_date", "2025-07-01T10:00:00+99:00"),
        ("end_date", " 2025-07-01"),
        ("start_date", "2025-08-01"),
        ("start_date", "2025-08-01T00:00:00Z"),
    ],
)
def test_dates_that_are_refused(field: str, text: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ask(worked_case(), **{field: text})
    assert refused.value.field == field


def test_times_are_written_in_seconds_or_milliseconds() -> None:
    assert shown(datetime(2025, 7, 1, tzinfo=UTC)) == "2025-07-01T00:00:00Z"
    assert shown(datetime(2025, 7, 1, 0, 0, 0, 500_000, tzinfo=UTC)) == "2025-07-01T00:00:00.500Z"


# ---- filters ----


@pytest.mark.parametrize(
    ("name", "value", "miss"),
    [
        ("source", "google.com", "Google.com"),
        ("medium", "(none)", "none"),
        ("campaign", "Summer", "summer"),
        ("content", "a b", "a"),
        ("term", "%", "_"),
        ("landing_page", "https://a.com/s1", "https://a.com/S1"),
        ("landing_page", "https://a.com/s1//?utm_source=a#b", "a.com/s1"),
        ("conversion_page", "https://a.com/s1/?x", "https://a.com/s1"),
        ("meta_type", "custom", "Custom"),
        ("meta_id", "form-1", "form"),
    ],
)
def test_filters_are_exact_and_empty_ones_are_not_set(name: str, value: str, miss: str) -> None:
    made = session(
        "s1",
        views=["https://a.com/s1/?x#y", "/other"],
        conversions=[conversion("https://a.com/s1/?x", kind="custom", name="form-1")],
        referrer="https://www.google.com",
        utm_campaign="Summer",
        utm_content="a b",
        utm_term="%",
    )
    assert "summary_totals" in ask([made], **{name: value})
    assert "summary_totals" in ask([made], **{name: ""})
    assert "message" in ask([made], **{name: miss})


def test_filters_are_anded() -> None:
    made = [session("s1", utm_campaign="x", utm_term="1"), session("s2", utm_campaign="x", utm_term="2")]
    assert included(made, campaign="x", term="2") == {"s2"}
    assert included(made, campaign="y", term="2") == set()


def test_one_conversion_must_match_all_conversion_filters() -> None:
    made = session("s1", conversions=[conversion("/a", kind="custom"), conversion("/b", kind="html_form")])
    assert "message" in ask([made], conversion_page="/a", meta_type="html_form")
    assert ask([made], conversion_page="/a", meta_type="custom")["summary_totals"]["total_conversion_events"] == 1


def test_conversion_means_matching_conversion_everywhere() -> None:
    one = session("s1", conversions=[conversion("/", kind="x")])
    two = session("s2", started_at="2025-07-04T10:00:00Z")
    three = session(
        "s3", started_at="2025-07-05T10:00:00Z", conversions=[conversion("/", kind="y"), conversion("/p", kind="x")]
    )
    four = session("s4", started_at="2025-07-06T10:00:00Z", conversions=[conversion("/", kind="x")])
    made = [one, two, three, four]
    assert included(made, meta_type="y") == {"s3"}
    assert included(made, meta_type="y", touch_scope="converting") == {"s3"}
    assert included(made, meta_type="y", touch_scope="first") == {"s1"}
    assert included(made, meta_type="y", touch_scope="assist") == {"s2"}
    assert included(made, meta_type="y", touch_scope="after") == {"s4"}
    # A session whose only conversion does not match has none, and drops off.
    assert roles(made, meta_type="y", touch_scope="first") == {
        "drop_off": {"/": 1},
        "landing_assisted_drop_off": {"/": 1},
    }
    assert ask(made, meta_type="y")["summary_totals"] == {
        "total_sessions": 1,
        "total_users": 1,
        "total_conversion_events": 1,
        "total_conversion_users": 1,
    }
    assert roles(made, meta_type="y")["conversion"] == {"/": 1}
