"""What a row may hold, the sentence for what it may not, and the columns that it becomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageroles.ingest.session import BadRowError, Session, parse_line, parse_record

GOOD: dict[str, Any] = {
    "domain": "example.com",
    "session_id": "s1",
    "user_id": "u1",
    "started_at": "2025-07-03T10:00:00Z",
}
VIEW = {"url": "https://example.com/", "viewed_at": "2025-07-03T10:00:00Z"}
CONVERSION = {"occurred_at": "2025-07-03T10:02:00Z"}
TIME = "a time with a date and a time of day, as 2025-07-03T10:00:00Z"


def line(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def columns(raw: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(parse_line(raw).line)
    return found


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def reason(raw: bytes) -> str:
    with pytest.raises(BadRowError) as caught:
        parse_line(raw)
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"[]", "a row must be an object, not a list"),
        (b"7", "a row must be an object, not a number"),
        (b"null", "a row must be an object, not null"),
        (without("domain"), "domain is missing; it must be a non-empty string"),
        (without("session_id"), "session_id is missing; it must be a non-empty string"),
        (without("user_id"), "user_id is missing; it must be a non-empty string"),
        (without("started_at"), f"started_at is missing; it must be {TIME}"),
        (line(domain=""), "domain must not be empty"),
        (line(domain="example.com "), "domain must have no space around it, not 'example.com '"),
        (line(domain="\u00a0example.com"), "domain must have no space around it, not '\\xa0example.com'"),
        (line(session_id=""), "session_id must not be empty"),
        (line(user_id=""), "user_id must not be empty"),
        (line(user_id=17), "user_id must be a non-empty string, not a number"),
        (line(user_id=None), "user_id must be a non-empty string, not null"),
        (line(started_at=1751536800), f"started_at must be {TIME}, not a number"),
        (line(source=True), "source must be a string, not true or false"),
        (line(utm_term=["x"]), "utm_term must be a string, not a list"),
        (line(page_views={}), "page_views must be a list of objects, not an object"),
        (line(page_views=[VIEW, "x"]), "page_views[1] must be an object, not a string"),
        (line(page_views=[VIEW, {**VIEW, "url": ""}]), "page_views[1].url must not be empty"),
        (line(page_views=[{**VIEW, "url": None}]), "page_views[0].url must be a non-empty string, not null"),
        (line(page_views=[{"url": "/"}]), f"page_views[0].viewed_at is missing; it must be {TIME}"),
        (line(conversions=[{"url": "/"}]), f"conversions[0].occurred_at is missing; it must be {TIME}"),
        (line(conversions=[{**CONVERSION, "id": 4.5}]), "conversions[0].id must be a string, not a number"),
        (line(sesion_id="s"), "unknown field 'sesion_id'; did you mean session_id?"),
        (
            line(conversions=[{**CONVERSION, "ocurred_at": ""}]),
            "unknown field 'conversions[0].ocurred_at'; did you mean conversions[0].occurred_at?",
        ),
        (
            line(page_views=[{**VIEW, "zzz": 1}]),
            "unknown field 'page_views[0].zzz'; known are url, viewed_at",
        ),
        (line(source="a\0b"), "source must not hold a NUL character"),
        (line(page_views=[{**VIEW, "url": "/\0"}]), "page_views[0].url must not hold a NUL character"),
        (b'{"domain": "\xff"}', "not valid UTF-8"),
        (
            line(page_views=[VIEW, {**VIEW, "viewed_at": "yesterday"}]),
            f"page_views[1].viewed_at must be {TIME}, not 'yesterday'",
        ),
        (
            line(conversions=[{"occurred_at": "2101-01-01T00:00:00Z"}]),
            "conversions[0].occurred_at must lie in the years 1990 to 2099, not '2101-01-01T00:00:00Z'",
        ),
    ],
)
def test_each_rule_has_its_sentence(raw: bytes, sentence: str) -> None:
    assert reason(raw) == sentence


@pytest.mark.parametrize("raw", [b"{", b"domain", line() + b" x", b'{"domain": "\\ud800"}', line()[:-1] + b",}"])
def test_what_is_not_json_is_said_to_be_so(raw: bytes) -> None:
    assert reason(raw).startswith("the row is not valid JSON: ")


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        ("domain", 1_024),
        ("session_id", 1_024),
        ("user_id", 1_024),
        ("referrer", 8_192),
        ("source", 2_048),
        ("medium", 2_048),
        *((f"utm_{name}", 2_048) for name in ("source", "medium", "campaign", "content", "term")),
    ],
)
def test_lengths_are_counted_in_bytes(field: str, limit: int) -> None:
    assert columns(line(**{field: "x" * limit}))[field] == "x" * limit
    assert columns(line(**{field: "é" * (limit // 2)}))[field] == "é" * (limit // 2)
    for text in ("x" * (limit + 1), "é" * (limit // 2) + "x"):
        raw = json.dumps({**GOOD, field: text}, ensure_ascii=False).encode()
        assert reason(raw) == f"{field} has {limit + 1:,} bytes; at most {limit:,} are accepted"
        assert reason(line(**{field: text})) == reason(raw)


@pytest.mark.parametrize(("field", "limit"), [("url", 8_192), ("type", 2_048), ("id", 1_024)])
def test_lengths_hold_inside_lists(field: str, limit: int) -> None:
    parse_line(line(conversions=[{**CONVERSION, field: "x" * limit}]))
    assert reason(line(conversions=[CONVERSION, {**CONVERSION, field: "x" * (limit + 1)}])) == (
        f"conversions[1].{field} has {limit + 1:,} bytes; at most {limit:,} are accepted"
    )
    if field == "url":
        assert "page_views[0].url has 8,193 bytes" in reason(line(page_views=[{**VIEW, "url": "x" * (limit + 1)}]))


def test_lists_have_a_longest_length() -> None:
    assert len(columns(line(page_views=[VIEW] * 10_000))["page_views.url"]) == 10_000
    assert reason(line(page_views=[VIEW] * 10_001)) == "page_views has 10,001 entries; at most 10,000 are accepted"
    assert len(columns(line(conversions=[CONVERSION] * 1_000))["conversions.id"]) == 1_000
    assert reason(line(conversions=[CONVERSION] * 1_001)) == (
        "conversions has 1,001 entries; at most 1,000 are accepted"
    )


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-07-03T10:00:00Z", "2025-07-03T10:00:00Z"),
        ("2025-07-03T10:00:00", "2025-07-03T10:00:00"),  # the column is UTC
        ("2025-07-03 10:00:00.5", "2025-07-03T10:00:00.500000"),
        ("2025-07-03t10:00:00z", "2025-07-03T10:00:00Z"),
        ("2025-07-03T10:00Z", "2025-07-03T10:00:00Z"),
        ("20250703T100000Z", "2025-07-03T10:00:00Z"),
        ("2025-07-03T12:00:00.123+02:00", "2025-07-03T10:00:00.123000Z"),
        ("2025-07-03T23:30:00-01:30", "2025-07-04T01:00:00Z"),
        ("2025-07-03T10:00:00.999999999Z", "2025-07-03T10:00:00.999999Z"),
        ("1990-01-01T00:00:00Z", "1990-01-01T00:00:00Z"),
        ("2099-12-31T23:59:59.999Z", "2099-12-31T23:59:59.999000Z"),
    ],
)
def test_forms_of_a_time(text: str, instant: str) -> None:
    found = columns(line(started_at=text, page_views=[{**VIEW, "viewed_at": text}]))
    assert found["started_at"] == instant
    assert found["page_views.viewed_at"] == [instant]


@pytest.mark.parametrize(
    "text",
    ["", "T", "now", "1751536800", "2025-07-03", "2025-07-03+02:00", "2025-02-30T10:00:00Z", "2025-07-03T24:00:00Z",
     "2025-07-03T10:00:60Z", "2025-13-01T00:00:00Z", "0001-01-01T00:00:00+12:00", "٢٠٢٥-07-03T10:00:00Z"],
)  # fmt: skip
def test_impossible_times(text: str) -> None:
    assert reason(line(started_at=text)) == f"started_at must be {TIME}, not {text!r}"


@pytest.mark.parametrize(
    "text", ["1989-12-31T23:59:59.999Z", "2100-01-01T00:00:00Z", "1990-01-01T00:00:00+00:01", "0001-01-01T00:00:00Z"]
)
def test_improbable_times(text: str) -> None:
    assert reason(line(started_at=text)) == f"started_at must lie in the years 1990 to 2099, not {text!r}"


def test_a_long_value_is_shown_in_short() -> None:
    assert len(reason(line(started_at="x" * 100_000))) < 200
    assert len(reason(line(**{"x" * 100_000: 1}))) < 400


def test_null_is_the_same_as_nothing() -> None:
    optional = set(Session.__struct_fields__) - set(GOOD)
    assert columns(line(**dict.fromkeys(optional))) == columns(line())
    nothing = {"url": None, "type": None, "id": None}
    assert columns(line(conversions=[{**CONVERSION, **nothing}])) == columns(line(conversions=[CONVERSION]))


def test_what_is_not_given_is_empty() -> None:
    assert columns(line()) == GOOD
    assert columns(line(conversions=[CONVERSION])) == {
        **GOOD,
        "conversions.url": [""],
        "conversions.type": [""],
        "conversions.id": [""],
        "conversions.occurred_at": [CONVERSION["occurred_at"]],
    }


def test_whitespace_around_a_row_does_not_matter() -> None:
    assert parse_line(b" \t" + line() + b" \r\n") == parse_line(line())


characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters, max_size=30)
names = st.text(characters, min_size=1, max_size=30)
zones = st.none() | st.just(UTC) | st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
clocks = st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30))  # noqa: DTZ001 - zones are drawn apart
times = st.builds(lambda clock, zone: clock.replace(tzinfo=zone), clocks, zones)
views = st.lists(st.tuples(names, times), max_size=5)
conversions = st.lists(st.tuples(texts, texts, texts, times), max_size=3)
plain = ("source", "medium", "referrer", "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")


def utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def read(texts: list[str]) -> list[datetime]:
    """Return what the columns, which are UTC, make of stored times."""
    return [utc(datetime.fromisoformat(text)) for text in texts]


@given(
    identity=st.tuples(names.map(lambda name: f"a{name}z"), names, names),
    start=times,
    texts=st.dictionaries(st.sampled_from(plain), texts),
    views=views,
    conversions=conversions,
    escaped=st.booleans(),
)
def test_a_good_row_keeps_everything(
    identity: tuple[str, str, str],
    start: datetime,
    texts: dict[str, str],
    views: list[tuple[str, datetime]],
    conversions: list[tuple[str, str, str, datetime]],
    escaped: bool,
) -> None:
    session = {
        **dict(zip(("domain", "session_id", "user_id"), identity, strict=True)),
        **texts,
        "started_at": start.isoformat(),
        "page_views": [{"url": url, "viewed_at": at.isoformat(" ")} for url, at in views],
        "conversions": [
            {"url": url, "type": kind, "id": name, "occurred_at": at.isoformat()} for url, kind, name, at in conversions
        ],
    }
    row = parse_line(json.dumps(session, ensure_ascii=escaped).encode())
    assert row == parse_record(session)
    assert row.key == identity[:2]
    assert row.line.count(b"\n") == 1
    found = json.loads(row.line)
    for name in (*plain, "domain", "session_id", "user_id"):
        assert found.pop(name, "") == session.get(name, "")
    assert read([found.pop("started_at")]) == [utc(start)]
    if any(utc(at).microsecond % 1000 for _, at in views):  # finer digits order the views
        views = sorted(views, key=lambda view: utc(view[1]))
    assert found.pop("page_views.url", []) == [url for url, _ in views]
    assert read(found.pop("page_views.viewed_at", [])) == [utc(at) for _, at in views]
    assert found.pop("conversions.url", []) == [url for url, _, _, _ in conversions]
    assert found.pop("conversions.type", []) == [kind for _, kind, _, _ in conversions]
    assert found.pop("conversions.id", []) == [name for _, _, name, _ in conversions]
    assert read(found.pop("conversions.occurred_at", [])) == [utc(at) for _, _, _, at in conversions]
    assert not found


values = st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner, max_size=3))


@given(st.dictionaries(st.sampled_from(Session.__struct_fields__) | names, values, max_size=6))
def test_anything_is_a_row_or_a_bad_row(changes: dict[str, object]) -> None:
    try:
        parse_line(line(**changes))
    except BadRowError as error:
        assert str(error)  # noqa: PT017 - most rows are bad, not all


@given(st.binary(max_size=80))
def test_any_bytes_are_a_bad_row(raw: bytes) -> None:
    assert reason(raw)
