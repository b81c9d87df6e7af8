"""One session as writers give it, checked, and the row that the store takes for it.

Writers give a session as nested JSON (or the same nested columns in Parquet), or as a message of the contract
(`messages.py`); the store takes flat columns, with parallel arrays for page views and conversions. A session that
breaks a rule becomes a `BadRowError` whose text names the field and says what is accepted.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec

from pageroles import sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_ID_BYTES = 1_024
MAX_URL_BYTES = 8_192
MAX_TEXT_BYTES = 2_048
MAX_PAGE_VIEWS = 10_000
MAX_CONVERSIONS = 1_000
# How JSON writes what no string may hold.
NUL = b"\\u0000"

_Required = Annotated[str, msgspec.Meta(min_length=1)]


class Flaw(enum.Enum):
    """The kinds of what is wrong with a row, as far as they tell something of the whole source."""

    NO_OBJECT = enum.auto()
    NO_UTF8 = enum.auto()
    UNKNOWN_FIELD = enum.auto()
    OTHER = enum.auto()


class BadRowError(ValueError):
    """A row that is not loaded. The text is a sentence that names the field and what is accepted.

    Attributes:
        flaw: The kind of what is wrong.
    """

    def __init__(self, sentence: str, flaw: Flaw = Flaw.OTHER) -> None:
        """Keep the sentence and the kind."""
        super().__init__(sentence)
        self.flaw = flaw


class _OpenPageView(msgspec.Struct, gc=False):
    """A page view that may have other fields."""

    url: _Required
    viewed_at: str


class _OpenConversion(msgspec.Struct, gc=False):
    """A conversion that may have other fields."""

    occurred_at: str
    url: str | None = None
    type: str | None = None
    id: str | None = None


class _OpenSession(msgspec.Struct, gc=False):
    """A session that may have other fields, also in its page views and conversions."""

    domain: _Required
    session_id: _Required
    user_id: _Required
    started_at: str
    source: str | None = None
    medium: str | None = None
    referrer: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_content: str | None = None
    utm_term: str | None = None
    page_views: list[_OpenPageView] | None = None
    conversions: list[_OpenConversion] | None = None
    written_at: str | None = None


class PageView(_OpenPageView, forbid_unknown_fields=True, gc=False):
    """One view of a page. Views of the same time stay in the order in which they stand in the list."""


class Conversion(_OpenConversion, forbid_unknown_fields=True, gc=False):
    """One conversion. Without a URL it counts for the page being viewed when it occurred."""


class Session(_OpenSession, forbid_unknown_fields=True, gc=False):
    """One visit of one user; null means the same as leaving a field out.

    Times are ISO 8601 with a date and a time of day; without an offset they are UTC. Whole milliseconds are kept; finer
    digits order the page views before they are cut. `written_at` orders the versions of a session; without it, a
    version is later than the one it replaces.
    """

    page_views: list[PageView] | None = None  # type: ignore[assignment] # it narrows
    conversions: list[Conversion] | None = None  # type: ignore[assignment]


class Row(NamedTuple):
    """A session in the form that the store takes.

    Attributes:
        key: Domain and session id: the identity of the session.
        line: One line of JSON with its newline, for ClickHouse's JSONEachRow.
        user_id: Its user.
        started_at: Its start; UTC where it has no time zone.
        written_at: When this version was written, where it says so.
    """

    key: tuple[str, str]
    line: bytes
    user_id: str
    started_at: datetime
    written_at: datetime | None

    @property
    def undated(self) -> bytes:
        """Return the line without its time of writing, which comes last."""
        return self.line if self.written_at is None else self.line[: self.line.rindex(b',"written_at":')] + b"}\n"


class StoredSession(msgspec.Struct, omit_defaults=True, gc=False):
    """The plain columns of the table `sessions`, which a row's line has; what is left out is empty there, too.

    Times without an offset are UTC, as the columns are. ClickHouse cuts them to the milliseconds it keeps.
    """

    domain: str
    session_id: str
    user_id: str
    started_at: datetime
    source: str = ""
    medium: str = ""
    referrer: str = ""
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_content: str = ""
    utm_term: str = ""
    page_urls: list[str] = msgspec.field(name="page_views.url", default_factory=list)
    viewed_at: list[datetime] = msgspec.field(name="page_views.viewed_at", default_factory=list)
    conversion_urls: list[str] = msgspec.field(name="conversions.url", default_factory=list)
    conversion_types: list[str] = msgspec.field(name="conversions.type", default_factory=list)
    conversion_ids: list[str] = msgspec.field(name="conversions.id", default_factory=list)
    occurred_at: list[datetime] = msgspec.field(name="conversions.occurred_at", default_factory=list)
    written_at: datetime | None = None


_decode = msgspec.json.Decoder(Session).decode
_decode_open = msgspec.json.Decoder(_OpenSession).decode
_encode = msgspec.json.Encoder().encode


def parse_line(line: bytes, *, ignore_unknown: bool = False) -> Row:
    """Check one line of JSON Lines.

    Args:
        line: A JSON object in UTF-8; whitespace around it, as a line's end, does not matter.
        ignore_unknown: Whether it may have unknown fields, which are left out.

    Raises:
        BadRowError: The line breaks a rule.
    """
    try:
        session = _decode_open(line) if ignore_unknown else _decode(line)
    except msgspec.ValidationError as error:
        raise _bad_row(str(error)) from None
    except msgspec.DecodeError as error:
        raise BadRowError(sentences.not_json("the row", error), Flaw.NO_OBJECT) from None
    except UnicodeDecodeError:
        raise BadRowError("not valid UTF-8", Flaw.NO_UTF8) from None
    # No string is longer than its line, so most lines need no look at each string.
    if len(line) > MAX_ID_BYTES or NUL in line:
        check_strings(session)
    return to_row(session, TEXTS, session.written_at)


def parse_record(record: dict[str, Any], *, ignore_unknown: bool = False) -> Row:
    """Check one session given as nested Python values with times as strings, as a record of a Parquet file.

    Args:
        record: The values by the names of their fields.
        ignore_unknown: As for `parse_line`.

    Raises:
        BadRowError: The record breaks a rule.
    """
    try:
        session = msgspec.convert(record, _OpenSession if ignore_unknown else Session)
    except msgspec.ValidationError as error:
        raise _bad_row(str(error)) from None
    check_strings(session)
    return to_row(session, TEXTS, session.written_at)


_Time = TypeVar("_Time")


@dataclasses.dataclass(frozen=True, slots=True)
class TimeForm(Generic[_Time]):
    """How the times of a session are given.

    Attributes:
        read: Returns a time in UTC, or without a time zone where it has none; or raises a `ValueError` that says what
            is accepted, to stand after the field's name.
        is_finer: Whether a time has digits beyond microseconds, which `read` cuts.
        beyond: What orders times that are equal to the microsecond.
    """

    read: Callable[[_Time], datetime]
    is_finer: Callable[[_Time], bool]
    beyond: Callable[[_Time], Any]


def to_row(session: Any, form: TimeForm[_Time], written_at: _Time | None) -> Row:
    """Turn a decoded session into the store's form.

    Args:
        session: A session, whose strings are checked; a struct of this module, or a message with the same fields.
        form: How its times are given.
        written_at: When it was written; None: it does not say.

    Raises:
        BadRowError: A time can't be used, there are too many page views or conversions, or space around the domain.
    """
    if session.domain != session.domain.strip():
        # Domains are compared as they are stored: nobody would ever ask for this one.
        raise BadRowError(f"domain must have no space around it, not {sentences.shown(session.domain)}")
    views = session.page_views or ()
    conversions = session.conversions or ()
    _check_count("page_views", len(views), MAX_PAGE_VIEWS)
    _check_count("conversions", len(conversions), MAX_CONVERSIONS)
    (started_at,) = _times([session.started_at], "started_at", form.read)
    stored = StoredSession(
        session.domain,
        session.session_id,
        session.user_id,
        started_at,
        session.source or "",
        session.medium or "",
        session.referrer or "",
        session.utm_source or "",
        session.utm_medium or "",
        session.utm_campaign or "",
        session.utm_content or "",
        session.utm_term or "",
    )
    if views:
        given = [view.viewed_at for view in views]
        times = _times(given, "page_views[{}].viewed_at", form.read)
        if any(instant.microsecond % 1000 for instant in times) or any(map(form.is_finer, given)):
            order = sorted(range(len(views)), key=lambda at: (in_utc(times[at]), form.beyond(given[at])))
            views, times = [views[at] for at in order], [times[at] for at in order]
        stored.page_urls = [view.url for view in views]
        stored.viewed_at = times
    if conversions:
        stored.conversion_urls = [conversion.url or "" for conversion in conversions]
        stored.conversion_types = [conversion.type or "" for conversion in conversions]
        stored.conversion_ids = [conversion.id or "" for conversion in conversions]
        occurred = [conversion.occurred_at for conversion in conversions]
        stored.occurred_at = _times(occurred, "conversions[{}].occurred_at", form.read)
    if written_at is not None:
        (stored.written_at,) = _times([written_at], "written_at", form.read)
    key = (session.domain, session.session_id)
    return Row(key, _encode(stored) + b"\n", session.user_id, started_at, stored.written_at)


def in_utc(instant: datetime) -> datetime:
    """Return a time of a row in UTC, which it is in where it has no time zone."""
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


# Longer times have digits beyond microseconds, which datetime cuts.
_LONG = len("2025-07-03T10:00:00.000000+00:00")
_BEYOND_MICROSECONDS = re.compile(r"[.,]\d{6}(\d+)", re.ASCII)


def _beyond_microseconds(text: str) -> str:
    found = _BEYOND_MICROSECONDS.search(text)
    return found[1] if found else ""


FIRST_YEAR = 1990
LAST_YEAR = 2099
YEARS = f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}"
_TIME_FORM = "a time with a date and a time of day, as 2025-07-03T10:00:00Z"


def _times(given: Sequence[_Time], path: str, read: Callable[[_Time], datetime]) -> list[datetime]:
    """Read the times of one field; `path` is its name, with `{}` for the position."""
    try:
        return [read(time) for time in given]
    except ValueError:
        for position, time in enumerate(given):
            try:
                read(time)
            except ValueError as error:
                raise BadRowError(f"{path.format(position)} {error}") from None
        raise


def _time(text: str) -> datetime:
    """Return the time in UTC, or without a time zone where the text has none."""
    # A date alone has neither, nor has a date with an offset, which fromisoformat takes for a time of day.
    if "T" not in text and " " not in text and "t" not in text:
        raise ValueError(f"must be {_TIME_FORM}, not {sentences.shown(text)}")
    try:
        instant = datetime.fromisoformat(text if text[-1] != "z" else text.upper())
        if instant.tzinfo is not None:
            instant = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"must be {_TIME_FORM}, not {sentences.shown(text)}") from None
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise ValueError(f"{YEARS}, not {sentences.shown(text)}")
    return instant


TEXTS = TimeForm(_time, lambda text: len(text) > _LONG, _beyond_microseconds)


def _check_count(path: str, count: int, limit: int) -> None:
    if count > limit:
        raise BadRowError(f"{path} has {count:,} entries; at most {limit:,} are accepted")


def check_strings(session: Any) -> None:
    """Check each string of a session, which may be a struct of this module, or a message with the same fields.

    Raises:
        BadRowError: One is too long, or has a NUL character.
    """
    for name in ("domain", "session_id", "user_id"):
        _check_string(name, getattr(session, name), MAX_ID_BYTES)
    _check_string("referrer", session.referrer, MAX_URL_BYTES)
    for name in ("source", "medium", "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"):
        _check_string(name, getattr(session, name), MAX_TEXT_BYTES)
    for position, view in enumerate(session.page_views or ()):
        _check_string(f"page_views[{position}].url", view.url, MAX_URL_BYTES)
    for position, conversion in enumerate(session.conversions or ()):
        _check_string(f"conversions[{position}].url", conversion.url, MAX_URL_BYTES)
        _check_string(f"conversions[{position}].type", conversion.type, MAX_TEXT_BYTES)
        _check_string(f"conversions[{position}].id", conversion.id, MAX_ID_BYTES)


def _check_string(path: str, text: str | None, limit: int) -> None:
    if not text:
        return
    if "\0" in text:
        raise BadRowError(f"{path} must not hold a NUL character")
    size = len(text) if text.isascii() else len(text.encode())
    if size > limit:
        raise BadRowError(f"{path} has {size:,} bytes; at most {limit:,} are accepted")


_FAULT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISTYPED = re.compile(r"Expected `.*`, got `(.*)`", re.DOTALL)
_TOO_SHORT = "Expected `str` of length >= 1"


def _bad_row(fault: str) -> BadRowError:
    """Put msgspec's words for a fault into a sentence for the writer; unknown words stay as they are."""
    parts = _FAULT.fullmatch(fault)
    what, path = (parts["what"], parts["path"] or "") if parts else (fault, "")
    if missing := _MISSING.fullmatch(what):
        return BadRowError(missing_field(path, missing[1]))
    if unknown := _UNKNOWN.fullmatch(what):
        return BadRowError(unknown_field(path, unknown[1]), Flaw.UNKNOWN_FIELD)
    if mistyped := _MISTYPED.fullmatch(what):
        sentence = f"{path or 'a row'} must be {_accepted(path)}, not {sentences.kind(mistyped[1])}"
        return BadRowError(sentence, Flaw.OTHER if path else Flaw.NO_OBJECT)
    if what == _TOO_SHORT:
        return BadRowError(f"{path} must not be empty")
    return BadRowError(f"{path}: {what}" if path else what)


def unknown_field(path: str, name: str) -> str:
    """Return the sentence about a field that the object at `path` does not have: "" stands for the row itself."""
    return sentences.unknown_name("field", name, layout(path).__struct_fields__, prefix=_joined(path, ""))


def missing_field(path: str, name: str) -> str:
    """Return the sentence about a required field that the object at `path` lacks."""
    name = _joined(path, name)
    return f"{name} is missing; it must be {_accepted(name)}"


def layout(path: str) -> type[Session | PageView | Conversion]:
    """Return the form of the object at a path, as `page_views[3]`, `conversions`, or "" for the row."""
    if path.startswith("page_views"):
        return PageView
    if path.startswith("conversions"):
        return Conversion
    return Session


def _accepted(path: str) -> str:
    name = path.rpartition(".")[2]
    if not path or path.endswith("]"):
        return "an object"
    if name.endswith("_at"):
        return _TIME_FORM
    if name in {"page_views", "conversions"}:
        return "a list of objects"
    if name in {"domain", "session_id", "user_id"} or path.startswith("page_views"):
        return "a non-empty string"
    return "a string"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
