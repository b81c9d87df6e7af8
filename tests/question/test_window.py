"""Dates of a request → window."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pageroles.errors import InvalidArgumentError
from pageroles.question.window import resolve
from support import reference

if TYPE_CHECKING:
    from pageroles.question.model import Window

MILLISECOND = timedelta(milliseconds=1)
LONGEST = timedelta(days=31, hours=1)
NOW = datetime(2025, 8, 10, 12, 34, 56, 789_000, tzinfo=UTC)


def shown(start: str, end: str) -> tuple[str, str]:
    window = resolve(start, end, NOW)
    return window.start.isoformat()[:19], window.shown_end.isoformat()[:19]


def answered(window: Window) -> tuple[str, str]:
    """Return the dates of a window as an answer shows them."""
    return reference.shown(window.start), reference.shown(window.shown_end)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param("", "", ("2025-07-11T12:34:56", "2025-08-10T12:34:56"), id="the last 30 days"),
        pytest.param(
            "2025-07-01", "2025-07-31", ("2025-07-01T00:00:00", "2025-07-31T23:59:59"), id="a month of 31 days"
        ),
        pytest.param("2025-06-01", "2025-07-31", ("2025-07-01T00:00:00", "2025-07-31T23:59:59"), id="cut to 30 days"),
        pytest.param("2025-07-15", "2025-07-15", ("2025-07-15T00:00:00", "2025-07-15T23:59:59"), id="one day"),
        pytest.param(
            "2025-07-15T08:00:00Z", "2025-07-15", ("2025-07-15T08:00:00", "2025-07-15T23:59:59"), id="rest of it"
        ),
        pytest.param(
            "2025-07-15T08:00", "2025-07-15T09:00", ("2025-07-15T08:00:00", "2025-07-15T09:00:59"), id="naive, a minute"
        ),
        pytest.param(
            "2025-07-15T08:00:00+02:00",
            "2025-07-15T08:00:00-0230",
            ("2025-07-15T06:00:00", "2025-07-15T10:30:00"),
            id="offsets",
        ),
        pytest.param("", "2025-07-01", ("2025-06-01T00:00:00", "2025-07-01T23:59:59"), id="end long ago"),
        pytest.param("", "2025-07-11T12:34:56Z", ("2025-06-11T12:34:56", "2025-07-11T12:34:56"), id="end not later"),
        pytest.param(
            "", "2025-07-11T12:34:57Z", ("2025-07-11T12:34:56", "2025-07-11T12:34:57"), id="end a second later"
        ),
        pytest.param("", "2025-08-20", ("2025-07-21T00:00:00", "2025-08-20T23:59:59"), id="end in the future"),
        pytest.param("2025-01-01", "", ("2025-07-11T12:34:56", "2025-08-10T12:34:56"), id="start long ago"),
        pytest.param(
            "2025-07-01T00:00:00+02:00",
            "2025-07-31T23:59:59+02:00",
            ("2025-06-30T22:00:00", "2025-07-31T21:59:59"),
            id="a month of another offset",
        ),
        pytest.param(
            "2025-10-01T00:00:00+02:00",
            "2025-10-31T23:59:59+01:00",
            ("2025-09-30T22:00:00", "2025-10-31T22:59:59"),
            id="a month in which the clock is set back",
        ),
        pytest.param(
            "2025-07-01", "2025-08-01T00:59:59Z", ("2025-07-01T00:00:00", "2025-08-01T00:59:59"), id="31 days, 1 hour"
        ),
        pytest.param(
            "2025-07-01", "2025-08-01T01:00:00Z", ("2025-07-02T01:00:00", "2025-08-01T01:00:00"), id="a second over"
        ),
        pytest.param("2025-07-01", "2025-08-01", ("2025-07-02T00:00:00", "2025-08-01T23:59:59"), id="a day over"),
        pytest.param("", "0001-01-05", ("0001-01-01T00:00:00", "0001-01-05T23:59:59"), id="the first days there are"),
        pytest.param("", "9999-12-31", ("9999-12-01T00:00:00", "9999-12-31T23:59:59"), id="the last days there are"),
    ],
)
def test_windows(start: str, end: str, expected: tuple[str, str]) -> None:
    assert shown(start, end) == expected


@pytest.mark.parametrize(
    ("end", "last", "shown_end"),
    [
        ("2025-07-02", "2025-07-02T23:59:59.999Z", "2025-07-02T23:59:59Z"),
        ("2025-07-02T09:30", "2025-07-02T09:30:59.999Z", "2025-07-02T09:30:59Z"),
        ("2025-07-02T09:30:15", "2025-07-02T09:30:15.999Z", "2025-07-02T09:30:15Z"),
        ("2025-07-02T09:30:15.000", "2025-07-02T09:30:15.999Z", "2025-07-02T09:30:15Z"),
        ("2025-07-02T09:30:15.000999", "2025-07-02T09:30:15.999Z", "2025-07-02T09:30:15Z"),
        ("2025-07-02T09:30:15,25", "2025-07-02T09:30:15.250Z", "2025-07-02T09:30:15.250Z"),
        ("2025-07-02T09:30:15.250999999", "2025-07-02T09:30:15.250Z", "2025-07-02T09:30:15.250Z"),
        ("2025-07-02T09:30:15.999", "2025-07-02T09:30:15.999Z", "2025-07-02T09:30:15.999Z"),
        ("2025-07-02t09:30z", "2025-07-02T09:30:59.999Z", "2025-07-02T09:30:59Z"),
        ("2025-07-02 09:30:15-09:30", "2025-07-02T19:00:15.999Z", "2025-07-02T19:00:15Z"),
        ("9999-12-31T23:59:59.5", "9999-12-31T23:59:59.500Z", "9999-12-31T23:59:59.500Z"),
        ("", "2025-08-10T12:34:56.999Z", "2025-08-10T12:34:56Z"),
    ],
)
def test_an_end_covers_the_whole_of_what_it_names(end: str, last: str, shown_end: str) -> None:
    window = resolve("", end, NOW)
    assert (reference.shown(window.end), reference.shown(window.shown_end)) == (last, shown_end)
    assert resolve(*answered(window), NOW) == window


def test_a_start_is_the_first_instant_of_what_it_names() -> None:
    starts = ["2025-07-01", "2025-07-01T09:30", "2025-07-01T09:30:15", "2025-07-01T09:30:15.1239"]
    assert [reference.shown(resolve(start, "2025-07-02", NOW).start) for start in starts] == [
        "2025-07-01T00:00:00Z", "2025-07-01T09:30:00Z", "2025-07-01T09:30:15Z", "2025-07-01T09:30:15.123Z",
    ]  # fmt: skip


def test_whole_days_are_told_from_others() -> None:
    ends = ["2025-07-02", "2025-07-02T23:59", "2025-07-02T23:59:59", "2025-07-02T23:59:59.999", "2025-07-03T00:00"]
    assert [resolve("2025-07-01", end, NOW).is_whole_days for end in ends] == [True, True, True, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2025-7-1",
        "20250701",
        "2025-W27-1",
        "2025-07-01T",
        "2025-07-01T10",
        "2025-07-01Z",
        " 2025-07-01",
        "2025-07-01\n",
        "2025-07-01T10:00:00+1",
        "1751328000",
        "\u0662\u0660\u0662\u0665-07-01",
        "2025-07-01T10:00:00 Z",
    ],
)
@pytest.mark.parametrize("field", ["start_date", "end_date"])
def test_unreadable_dates_name_the_field_and_what_is_accepted(field: str, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"can't read .* give a date \(2025-07-01\) or") as caught:
        resolve(**{"start_date": "", "end_date": "", field: text}, now=NOW)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-29",
        "2025-13-01",
        "2025-07-32",
        "2025-07-01T25:00:00Z",
        "2025-07-01T10:00:60Z",
        "0000-01-01",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_impossible_dates_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="there is no date") as caught:
        resolve("", text, NOW)
    assert caught.value.field == "end_date"


def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="after its end") as caught:
        resolve("2025-08-02", "2025-08-01", NOW)
    assert caught.value.field == "start_date"
    with pytest.raises(InvalidArgumentError, match="after its end"):
        resolve("2025-08-11", "", NOW)


def test_an_absurd_date_is_shown_short() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        resolve("9" * 10_000, "", NOW)
    assert len(str(caught.value)) < 250


# ---- any window ----

_FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dt%H:%M:%S,%f", "%Y-%m-%dT%H:%M:%S.%f")
_OFFSETS = st.one_of(
    st.sampled_from(["", "Z", "z"]),
    st.integers(-14 * 60, 14 * 60).map(
        lambda minutes: f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    ),
    st.integers(-12, 14).map("{:+03}".format),
    st.integers(0, 14).map("+{:02}30".format),
)


@st.composite
def dates(draw: st.DrawFn, around: datetime) -> str:
    """Spell a time near another in any accepted form."""
    at = around + draw(st.timedeltas(timedelta(days=-40), timedelta(days=40)))
    # Edges are frequent: of days, minutes and seconds.
    at = at.replace(microsecond=draw(st.sampled_from([at.microsecond, 0, 900, 999_999])))
    at = at.replace(second=draw(st.sampled_from([at.second, 0, 59])))
    if draw(st.booleans()):
        at = at.replace(hour=23, minute=59)
    form = draw(st.sampled_from(_FORMS))
    text = at.strftime(form)
    return text if form == "%Y-%m-%d" else text + draw(_OFFSETS)


_AROUND = datetime(2025, 3, 20)  # noqa: DTZ001 - as it is typed
_NOWS = st.datetimes(_AROUND - timedelta(days=90), _AROUND + timedelta(days=90), timezones=st.just(UTC))
_STARTS = st.one_of(st.just(""), dates(_AROUND))


def resolved(start: str, end: str, now: datetime) -> Window:
    """Return a window; where the dates are refused, the example is passed over."""
    try:
        return resolve(start, end, now)
    except InvalidArgumentError:
        assume(condition=False)
        raise


@given(start=_STARTS, end=_STARTS, now=_NOWS)
def test_a_window_is_never_longer_than_allowed_nor_empty(start: str, end: str, now: datetime) -> None:
    window = resolved(start, end, now)
    assert timedelta(0) <= window.end - window.start <= LONGEST
    assert window.end.replace(microsecond=0) == window.shown_end.replace(microsecond=0)
    assert window.shown_end <= window.end


@given(start=_STARTS, end=_STARTS, now=_NOWS, later=st.timedeltas(timedelta(0), timedelta(days=90)))
@example(start="2025-07-01T00:00:00.5", end="2025-07-01T00:00:00", now=NOW, later=timedelta(0))
@example(start="", end="0001-01-05", now=NOW, later=timedelta(0))
def test_the_window_of_an_answer_is_the_same_window(start: str, end: str, now: datetime, later: timedelta) -> None:
    window = resolved(start, end, now)
    assert resolve(*answered(window), now + later) == window


@given(start=_STARTS, end=_STARTS, now=_NOWS)
def test_a_window_is_that_of_the_reference(start: str, end: str, now: datetime) -> None:
    try:
        expected = reference.window({"start_date": start, "end_date": end}, now)
    except reference.InvalidRequestError:
        with pytest.raises(InvalidArgumentError):
            resolve(start, end, now)
        return
    window = resolve(start, end, now)
    assert (window.start, window.end, window.shown_end) == expected


@given(
    edges=st.lists(
        st.datetimes(_AROUND, _AROUND + timedelta(days=31), timezones=st.just(UTC)).map(
            lambda at: at.replace(microsecond=0)
        ),
        min_size=2,
        max_size=5,
        unique=True,
    ),
    zone=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_adjoining_windows_in_whole_seconds_neither_overlap_nor_leave_a_gap(
    edges: list[datetime], zone: timezone
) -> None:
    """Each begins one second after the end of the one before it."""
    starts = sorted(edges)
    ends = [after - timedelta(seconds=1) for after in starts[1:]]
    windows = [
        resolve(start.astimezone(zone).isoformat(), end.astimezone(zone).isoformat(), NOW)
        for start, end in zip(starts, ends, strict=False)
    ]
    assert [window.start for window in windows] == starts[:-1]
    assert [window.end + MILLISECOND for window in windows] == starts[1:]


_CITIES = ("UTC", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")


@given(year=st.integers(2000, 2030), month=st.integers(1, 12), city=st.sampled_from(_CITIES))
def test_any_month_of_any_place_is_whole(year: int, month: int, city: str) -> None:
    """A clock may be set back in it, so that it takes an hour more."""
    zone = ZoneInfo(city)
    last = calendar.monthrange(year, month)[1]
    start = datetime(year, month, 1, tzinfo=zone)
    end = datetime(year, month, last, 23, 59, 59, tzinfo=zone)
    for form in ("seconds", "minutes"):
        window = resolve(start.isoformat(timespec=form), end.isoformat(timespec=form), NOW)
        assert (window.start, window.end) == (start, end + timedelta(seconds=1) - MILLISECOND)


@given(
    start=st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001 - as they are typed
    span=st.timedeltas(timedelta(0), timedelta(days=90)),
)
def test_adjoining_windows_page_through_any_span(start: datetime, span: timedelta) -> None:
    """The start of an answer, less a millisecond, is the end of the next question."""
    reached = (start + span).replace(tzinfo=UTC)
    for _ in range(5):
        window = resolve(f"{start:%Y-%m-%dT%H:%M:%S.%f}Z", f"{reached:%Y-%m-%dT%H:%M:%S.%f}Z", NOW)
        if window.start <= start.replace(tzinfo=UTC):
            return
        reached = window.start - MILLISECOND
    pytest.fail("never reached the start")
