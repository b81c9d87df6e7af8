"""Dates of a request → window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageroles.errors import InvalidArgumentError
from pageroles.question.window import MAX_SPAN, resolve

NOW = datetime(2025, 8, 10, 12, 34, 56, 789_000, tzinfo=UTC)


def shown(start: str, end: str) -> tuple[str, str]:
    window = resolve(start, end, NOW)
    return window.start.isoformat()[:19], window.shown_end.isoformat()[:19]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param("", "", ("2025-07-11T12:34:56", "2025-08-10T12:34:56"), id="the last 30 days"),
        pytest.param(
            "2025-07-01", "2025-07-31", ("2025-07-01T00:00:00", "2025-07-31T23:59:59"), id="31 dates: 30 days"
        ),
        pytest.param("2025-06-01", "2025-07-31", ("2025-07-01T00:00:00", "2025-07-31T23:59:59"), id="cut to 30 days"),
        pytest.param("2025-07-15", "2025-07-15", ("2025-07-15T00:00:00", "2025-07-15T23:59:59"), id="one day"),
        pytest.param(
            "2025-07-15T08:00:00Z", "2025-07-15", ("2025-07-15T08:00:00", "2025-07-15T23:59:59"), id="rest of it"
        ),
        pytest.param(
            "2025-07-15T08:00", "2025-07-15T09:00", ("2025-07-15T08:00:00", "2025-07-15T09:00:00"), id="naive"
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
            "2025-07-01T00:00:00Z",
            "2025-07-31T00:00:01Z",
            ("2025-07-01T00:00:01", "2025-07-31T00:00:01"),
            id="1 s over",
        ),
        pytest.param("", "0001-01-05", ("0001-01-01T00:00:00", "0001-01-05T23:59:59"), id="the first days there are"),
    ],
)
def test_windows(start: str, end: str, expected: tuple[str, str]) -> None:
    assert shown(start, end) == expected


def test_a_date_as_end_covers_its_last_millisecond() -> None:
    window = resolve("2025-07-01", "2025-07-02", NOW)
    assert window.end == datetime(2025, 7, 2, 23, 59, 59, 999_000, tzinfo=UTC)
    assert window.shown_end == datetime(2025, 7, 2, 23, 59, 59, tzinfo=UTC)


def test_milliseconds_are_kept_and_finer_digits_dropped() -> None:
    window = resolve("2025-07-01T00:00:00.1239Z", "2025-07-01T00:00:00,500Z", NOW)
    assert (window.start.microsecond, window.end.microsecond, window.shown_end.microsecond) == (
        123_000,
        500_000,
        500_000,
    )


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
        "9999-12-31",
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


@given(
    start=st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001 - as they are typed
    span=st.timedeltas(timedelta(0), timedelta(days=90)),
)
def test_adjoining_windows_page_through_any_span(start: datetime, span: timedelta) -> None:
    """The start of an answer, less a millisecond, is the end of the next question."""
    end = start + span
    reached = end.replace(tzinfo=UTC)
    for _ in range(5):
        window = resolve(f"{start:%Y-%m-%dT%H:%M:%S.%f}Z", f"{reached:%Y-%m-%dT%H:%M:%S.%f}Z", NOW)
        assert window.end - window.start <= MAX_SPAN
        if window.start <= start.replace(tzinfo=UTC):
            return
        reached = window.start - timedelta(milliseconds=1)
    pytest.fail("never reached the start")
