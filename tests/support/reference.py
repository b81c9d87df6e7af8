"""The report of one domain in plain Python: slow, and right by looking at it.

The tests compare the service with it. It follows docs/semantics.md sentence by sentence over sessions in the form in
which they are loaded (JSON Lines), and shares no code with the service.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import itertools
import re
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict

from support.siphash import sip_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class PageView(TypedDict):
    url: str
    viewed_at: str


class Conversion(TypedDict):
    url: NotRequired[str]
    type: NotRequired[str]
    id: NotRequired[str]
    occurred_at: str


class Session(TypedDict):
    domain: str
    session_id: str
    user_id: str
    started_at: str
    source: NotRequired[str]
    medium: NotRequired[str]
    referrer: NotRequired[str]
    utm_source: NotRequired[str]
    utm_medium: NotRequired[str]
    utm_campaign: NotRequired[str]
    utm_content: NotRequired[str]
    utm_term: NotRequired[str]
    page_views: NotRequired[list[PageView]]
    conversions: NotRequired[list[Conversion]]
    # Orders the versions of a session, in microseconds.
    written_at: NotRequired[str]


@dataclasses.dataclass(frozen=True)
class Erase:
    """A delivery that takes back earlier ones: those that all of its conditions fit; without any, all of the domain.

    Attributes:
        domain: Whose sessions.
        user_id: The sessions of which any stored version was this user's.
        session_id: This session.
        before: The sessions that started before this time, by the version that counts.
    """

    domain: str
    user_id: str | None = None
    session_id: str | None = None
    before: str | None = None


class InvalidRequestError(ValueError):
    """A field of the request can't be used; `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


# The fields of a session that are texts.
TEXTS = tuple(name for name in Session.__annotations__ if name not in {"page_views", "conversions", "written_at"})

MESSAGE = "No page data found for the given parameters."
CONVERSION_ROLES = ("conversion", "conversion_assist", "landing_assisted_conversion")
DROP_OFF_ROLES = ("drop_off", "drop_off_assist", "landing_assisted_drop_off")
SCOPES = ("any", "first", "converting", "assist", "after")

# ---- time ----

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"[.,](\d+)", re.ASCII)


@functools.lru_cache(maxsize=100_000)
def exact(text: str) -> Fraction:
    """Read an ISO 8601 date or date-time, UTC where it has no offset: seconds since 1970, with all its digits."""
    at = datetime.fromisoformat(_FRACTION.sub("", text))
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    digits = _FRACTION.search(text)
    return (at - _EPOCH) // timedelta(seconds=1) + Fraction(f"0.{digits[1]}" if digits else 0)


def moment(text: str) -> datetime:
    """Read an ISO 8601 date or date-time, UTC where it has no offset, in whole milliseconds."""
    return _EPOCH + exact(text) * 1000 // 1 * timedelta(milliseconds=1)


def shown(at: datetime) -> str:
    """Write a time as answers do: whole seconds, or milliseconds where there are any."""
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


# ---- the window ----


class Window(NamedTuple):
    start: datetime
    end: datetime
    shown_end: datetime


class Named(NamedTuple):
    """What a date names: from its first to its last millisecond."""

    first: datetime
    last: datetime

    @property
    def has_milliseconds(self) -> bool:
        return self.first == self.last


_MONTH = timedelta(days=30)
_LONGEST = timedelta(days=31, hours=1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_OFFSET = r"(?:Z|[+-]\d{2}(?::?\d{2})?)?"
_MINUTE = re.compile(rf"{_DATE.pattern}[T ]\d{{2}}:\d{{2}}{_OFFSET}", re.ASCII | re.IGNORECASE)
_SECOND = re.compile(
    rf"{_DATE.pattern}[T ]\d{{2}}:\d{{2}}:\d{{2}}(?:[.,]\d{{1,9}})?{_OFFSET}", re.ASCII | re.IGNORECASE
)


def window(request: Mapping[str, str], now: datetime) -> Window:
    now = now.astimezone(UTC).replace(microsecond=0)
    start_text, end_text = request.get("start_date", ""), request.get("end_date", "")
    end = named("end_date", end_text or shown(now))
    if start_text:
        start = named("start_date", start_text).first
    elif end.first <= now - _MONTH:
        start = _a_month_before(end.first)
    else:
        start = now - _MONTH

    if start > end.last:
        raise InvalidRequestError("start_date", "it is later than the end of the window")
    if end.last - start > _LONGEST:
        start = _a_month_before(end.first)
    return Window(start, end.last, end.last if end.has_milliseconds else end.last.replace(microsecond=0))


def named(field: str, text: str) -> Named:
    try:
        first = moment(text.upper())
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(field, str(error)) from error
    if _DATE.fullmatch(text):
        last = first.replace(hour=23, minute=59, second=59, microsecond=999_000)
    elif _MINUTE.fullmatch(text):
        last = first.replace(second=59, microsecond=999_000)
    elif _SECOND.fullmatch(text):
        last = first if first.microsecond else first.replace(microsecond=999_000)
    else:
        raise InvalidRequestError(field, "neither YYYY-MM-DD nor an ISO 8601 date-time")
    return Named(first, last)


def _a_month_before(end: datetime) -> datetime:
    try:
        return end - _MONTH
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


# ---- versions ----


class Version(NamedTuple):
    """A stored version of a session.

    Attributes:
        written_at: Microseconds since 1970.
        started_at: What decides first between versions of one `written_at`.
        user_key: What decides next.
        number: How many deliveries came before; the last one is the one of those in one place.
        session: The version itself.
    """

    written_at: int
    started_at: datetime
    user_key: int
    number: int
    session: Session


def written(deliveries: Iterable[Session | Erase], now: datetime | None = None) -> list[Session]:
    """Return the sessions that count once all deliveries have come: of each its version that counts.

    Args:
        deliveries: Versions of sessions and erasures, in the order in which they come.
        now: When they come, for those that have no `written_at`; default: now.
    """
    clock = microseconds(exact((now or datetime.now(UTC)).isoformat()))
    stored: dict[tuple[str, str], list[Version]] = defaultdict(list)
    for number, delivery in enumerate(deliveries):
        if isinstance(delivery, Erase):
            for key in [key for key, versions in stored.items() if erases(delivery, versions)]:
                del stored[key]
            continue
        versions = stored[delivery["domain"], delivery["session_id"]]
        at = delivery.get("written_at")
        written_at = microseconds(exact(at)) if at else max([clock, *(it.written_at + 1 for it in versions)])
        started_at, user_key = moment(delivery["started_at"]), sip_hash(delivery["user_id"])
        versions.append(Version(written_at, started_at, user_key, number, delivery))
    return [counting(versions).session for versions in stored.values()]


def counting(versions: Iterable[Version]) -> Version:
    """Return the version that counts: of the latest of `written_at`, the last stored or the later place."""
    return max(versions, key=lambda it: (it.written_at, it.started_at, it.user_key, it.number))


def erases(erasure: Erase, versions: Sequence[Version]) -> bool:
    """Tell whether an erasure is of the session of these versions."""
    session = versions[0].session
    return (
        session["domain"] == erasure.domain
        and erasure.session_id in {None, session["session_id"]}
        and erasure.user_id in {None, *(version.session["user_id"] for version in versions)}
        and (erasure.before is None or counting(versions).started_at < moment(erasure.before))
    )


def microseconds(seconds: Fraction) -> int:
    return int(seconds * 1_000_000 // 1)


# ---- one session ----

# The public suffix list as it is published: what stands up to the first space of each line that is no comment.
_LIST = (importlib.resources.files("publicsuffixlist") / "public_suffix_list.dat").read_text(encoding="utf-8")
_LINES = [line.split()[0] for line in _LIST.splitlines() if line.strip() and not line.startswith("//")]
_NAME = re.compile(r"(?:[A-Za-z0-9_-]|[^\x00-\x7f])+")


def effective_source(session: Session) -> str:
    return session.get("utm_source") or session.get("source") or referrer_tells(session) or "(direct)"


def referrer_tells(session: Session) -> str:
    """Return what the session's referrer tells of its source, or an empty string."""
    referrer = session.get("referrer", "")
    scheme, found, rest = referrer.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if found and scheme.lower() in {"android-app", "ios-app"}:
        return authority if _is_text(authority) else ""
    domain = url_domain(referrer)
    own = {url_domain(view["url"]) for view in viewed(session)[:1]} | {url_domain(f"http://{session['domain']}")}
    return "" if domain in own else domain


def url_domain(url: str) -> str:
    """Return the registrable domain of a web URL's host, or an empty string."""
    scheme, found, rest = url.partition("://")
    if not found or scheme.lower() not in {"http", "https"}:
        return ""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host, _, port = authority.rpartition("@")[2].partition(":")
    return registrable_domain(host) if re.fullmatch("[0-9]*", port) else ""


def registrable_domain(host: str) -> str:
    """Return a host's registrable domain in lower case, its labels as they are spelled, or an empty string.

    A host that ends in a number is an address, however that is written.
    """
    labels = host.lower().removesuffix(".").split(".")
    if not all(_NAME.fullmatch(label) and _is_text(label) for label in labels):
        return ""
    if re.fullmatch("[0-9]+|0x[0-9a-f]*", labels[-1]):
        return ""
    suffix = public_suffix_labels([_in_punycode(label) for label in labels])
    return ".".join(labels[-suffix - 1 :]) if len(labels) > suffix else ""


def _in_punycode(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"


_RULES = {".".join(map(_in_punycode, line.split("."))) for line in _LINES}


def public_suffix_labels(labels: Sequence[str]) -> int:
    """Return how many labels the public suffix has, by the algorithm that is published with the list."""
    ends = [labels[at:] for at in range(len(labels))]
    exceptions = [len(end) - 1 for end in ends if "!" + ".".join(end) in _RULES]
    matching = [len(end) for end in ends if {".".join(end), ".".join(["*", *end[1:]])} & _RULES]
    return max(exceptions or matching or [1])


def _is_text(text: str) -> bool:
    """Tell whether a text is UTF-8: bytes that are none come as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def effective_medium(session: Session) -> str:
    return session.get("utm_medium") or session.get("medium") or "(none)"


def canonical(url: str) -> str:
    without_query_and_fragment = re.split(r"[?#]", url, maxsplit=1)[0]
    return without_query_and_fragment.rstrip("/") or "/"


def viewed(session: Session) -> list[PageView]:
    """Return the page views in order, by all digits of their time; sorting is stable, so ties keep input order."""
    return sorted(session.get("page_views", []), key=lambda view: exact(view["viewed_at"]))


def pages(session: Session) -> list[str]:
    """Return the canonical pages p1 … pn in order of viewing."""
    return [canonical(view["url"]) for view in viewed(session)]


def views_until(session: Session, conversion: Conversion) -> int:
    """Return k, the number of views up to the conversion's time."""
    at = moment(conversion["occurred_at"])
    return sum(moment(view["viewed_at"]) <= at for view in session.get("page_views", []))


def conversion_page(session: Session, conversion: Conversion) -> str | None:
    if conversion.get("url"):
        return canonical(conversion["url"])
    k = views_until(session, conversion)
    return pages(session)[k - 1] if k else None


def assisting_pages(session: Session, conversion: Conversion) -> list[str]:
    """Return the leading page views that assist the conversion."""
    before = pages(session)[: views_until(session, conversion)]
    own = conversion_page(session, conversion)
    if not before or before[-1] != own:
        return before
    # The view on which it happened, and those of the same page directly before, are the conversion's own.
    j = max((number for number, page in enumerate(before, 1) if page != own), default=0)
    # A landing page that converts at once assists itself.
    return before[: max(j, 1)]


def conversion_side(session: Session, conversions: Iterable[Conversion]) -> dict[str, set[str]]:
    converted: set[str] = set()
    assisting: set[str] = set()
    for conversion in conversions:
        page = conversion_page(session, conversion)
        if page is not None:
            converted.add(page)
        assisting.update(assisting_pages(session, conversion))
    return {
        "conversion": converted,
        "conversion_assist": assisting,
        "landing_assisted_conversion": set(pages(session)[:1]),
    }


def drop_off_side(session: Session) -> dict[str, set[str]]:
    viewed = pages(session)
    others = [page for page in viewed if page != viewed[-1]]
    return {
        "drop_off": set(viewed[-1:]),
        "drop_off_assist": set(others[-1:]),
        "landing_assisted_drop_off": set(viewed[:1]),
    }


# ---- filters ----


# Filters that are compared with a field of the session as it was written, and the field.
PLAIN_FILTERS = {"campaign": "utm_campaign", "content": "utm_content", "term": "utm_term"}
SESSION_FILTERS = ("source", "medium", *PLAIN_FILTERS, "landing_page")
CONVERSION_FILTERS = ("conversion_page", "meta_type", "meta_id")


def session_values(session: Session) -> dict[str, str]:
    """Return what each session filter would have to say; a session without a page has no landing page."""
    landing = [{"landing_page": page} for page in pages(session)[:1]]
    return {
        "source": effective_source(session),
        "medium": effective_medium(session),
        **{name: str(session.get(field, "")) for name, field in PLAIN_FILTERS.items()},
        **(landing[0] if landing else {}),
    }


def conversion_values(conversion: Conversion) -> dict[str, str]:
    """Return what each conversion filter would have to say."""
    return {
        "conversion_page": conversion.get("url", ""),
        "meta_type": conversion.get("type", ""),
        "meta_id": conversion.get("id", ""),
    }


def passes_session_filters(session: Session, request: Mapping[str, str]) -> bool:
    has = session_values(session)
    wanted = {name: request[name] for name in SESSION_FILTERS if request.get(name)}
    if "landing_page" in wanted:
        wanted["landing_page"] = canonical(wanted["landing_page"])
    return all(has.get(name) == value for name, value in wanted.items())


def passes_conversion_filters(conversion: Conversion, request: Mapping[str, str]) -> bool:
    has = conversion_values(conversion)
    return all(has[name] == request[name] for name in CONVERSION_FILTERS if request.get(name))


# ---- journeys ----


@dataclasses.dataclass(frozen=True)
class Visit:
    """A session as its user's journey sees it, with the conversions that match the conversion filters."""

    session: Session
    conversions: list[Conversion]

    @property
    def place(self) -> tuple[datetime, int]:
        return moment(self.session["started_at"]), sip_hash(self.session["session_id"])


@dataclasses.dataclass(frozen=True)
class Journey:
    first: Visit
    first_converting: Visit | None

    def has_converted_before(self, visit: Visit) -> bool:
        return self.first_converting is not None and visit.place > self.first_converting.place

    def holds(self, visit: Visit, scope: str, *, only_converting_users: bool) -> bool:
        match scope:
            case "any":
                return bool(visit.conversions) or not only_converting_users
            case "first":
                return visit is self.first and (self.first_converting is not None or not only_converting_users)
            case "converting":
                return bool(visit.conversions)
            case "assist":
                return (
                    self.first_converting is not None and self.first.place < visit.place < self.first_converting.place
                )
            case "after":
                return self.has_converted_before(visit)
        raise InvalidRequestError("touch_scope", f"one of {', '.join(SCOPES)}")


def journeys(visits: Iterable[Visit]) -> dict[str, Journey]:
    by_user: dict[str, list[Visit]] = defaultdict(list)
    for visit in sorted(visits, key=lambda visit: visit.place):
        by_user[visit.session["user_id"]].append(visit)
    return {
        user: Journey(own[0], next((visit for visit in own if visit.conversions), None))
        for user, own in by_user.items()
    }


# ---- the report ----


@dataclasses.dataclass(frozen=True)
class Question:
    """What a request asks about, and which sessions it includes.

    Attributes:
        window: The window.
        passing: The sessions of the window that pass the session filters.
        included: Those of them that lie in the touch scope.
        dropping_off: Those of these whose pages have drop-off roles.
        landed: The sessions that count as landings.
    """

    window: Window
    passing: list[Visit]
    included: list[Visit]
    dropping_off: list[Visit]
    landed: list[Visit]


def question(deliveries: Iterable[Session | Erase], domain: str, request: Mapping[str, str], now: datetime) -> Question:
    """Return what a request asks at `now`, after all deliveries have come.

    Raises:
        InvalidRequestError: A date can't be read, or the window would start after its end.
    """
    covered = window(request, now)
    visits = [
        Visit(session, [it for it in session.get("conversions", []) if passes_conversion_filters(it, request)])
        for session in written(deliveries, now)
        if session["domain"] == domain
    ]
    journey_of = journeys(visits)
    scope = request.get("touch_scope") or "any"
    conversion_filter = any(request.get(name) for name in CONVERSION_FILTERS)
    passing = [
        visit
        for visit in visits
        if covered.start <= moment(visit.session["started_at"]) <= covered.end
        and passes_session_filters(visit.session, request)
    ]
    included = [
        visit
        for visit in passing
        if journey_of[visit.session["user_id"]].holds(visit, scope, only_converting_users=conversion_filter)
    ]
    dropping_off = [
        visit
        for visit in included
        if not visit.conversions or journey_of[visit.session["user_id"]].has_converted_before(visit)
    ]
    return Question(covered, passing, included, dropping_off, passing if scope in {"any", "converting"} else included)


def report(
    deliveries: Iterable[Session | Erase],
    domain: str,
    request: Mapping[str, str],
    now: datetime,
    *,
    limit: int = 0,
    balance: bool = False,
    landing: bool = False,
) -> dict[str, Any]:
    """Return the answer in its REST shape, asked at `now`, after all deliveries have come.

    With a `limit` it has so many rows of each list, and says how many it omits; with `balance`, how they add up; with
    `landing`, how many sessions landed on the page of each row.

    Raises:
        InvalidRequestError: A date can't be read, or the window would start after its end.
    """
    asked = question(deliveries, domain, request, now)
    included, dropping_off = asked.included, asked.dropping_off
    beside: dict[str, Any] = {"balance": _balance(included, dropping_off)} if balance else {}
    if not included:
        return {"message": MESSAGE} | beside

    conversion_performance, drop_off_performance = Performance(CONVERSION_ROLES), Performance(DROP_OFF_ROLES)
    for visit in included:
        if visit.conversions:
            conversion_performance.add(visit.session, conversion_side(visit.session, visit.conversions))
    for visit in dropping_off:
        drop_off_performance.add(visit.session, drop_off_side(visit.session))
    lists = {
        "conversion_performance": conversion_performance.rows(),
        "drop_off_performance": drop_off_performance.rows(),
    }
    if landing:
        for row in itertools.chain(*lists.values()):
            row["landing"] = _count(visit for visit in asked.landed if pages(visit.session)[:1] == [row["url"]])
    if limit:
        beside["omitted"] = {name: max(len(rows) - limit, 0) for name, rows in lists.items()}
        lists = {name: rows[:limit] for name, rows in lists.items()}
    return {
        "time_frame": {"start": shown(asked.window.start), "end": shown(asked.window.shown_end)},
        "summary_totals": _totals(included),
        **lists,
        **beside,
    }


def _totals(included: Sequence[Visit]) -> dict[str, int]:
    return {
        "total_sessions": len(included),
        "total_users": len({visit.session["user_id"] for visit in included}),
        "total_conversion_events": sum(len(visit.conversions) for visit in included),
        "total_conversion_users": len({visit.session["user_id"] for visit in included if visit.conversions}),
    }


# ---- the other questions ----


def behind(asked: Question, url: str | None, role: str | None) -> list[Visit]:
    """Return the sessions behind a number: of a page in a role, or in any of the six; without a page, all included."""
    if url is None:
        return asked.included
    page = canonical(url)
    if role == "landing":
        return [visit for visit in asked.landed if pages(visit.session)[:1] == [page]]
    found = []
    for visit in asked.included:
        roles: dict[str, set[str]] = {}
        if visit.conversions:
            roles |= conversion_side(visit.session, visit.conversions)
        if visit in asked.dropping_off:
            roles |= drop_off_side(visit.session)
        if any(page in its_pages for name, its_pages in roles.items() if role in {None, name}):
            found.append(visit)
    return found


def sessions(asked: Question, url: str | None, role: str | None, limit: int = 0) -> dict[str, Any]:
    """Return the sessions behind a number in their REST shape, the latest first."""
    found = behind(asked, url, role)
    latest = sorted(found, key=lambda visit: (*visit.place, sip_hash(visit.session["user_id"])), reverse=True)
    return {
        "total": _count(found),
        "sessions": [
            {
                "session_id": visit.session["session_id"],
                "user_id": visit.session["user_id"],
                "started_at": shown(moment(visit.session["started_at"])),
                "pages": pages(visit.session),
                "conversions": [
                    {
                        "url": it.get("url", ""),
                        "type": it.get("type", ""),
                        "id": it.get("id", ""),
                        "occurred_at": shown(moment(it["occurred_at"])),
                    }
                    for it in sorted(visit.conversions, key=lambda it: moment(it["occurred_at"]))
                ],
            }
            for visit in latest[: limit or None]
        ],
    }


def days(asked: Question, url: str | None) -> dict[str, Any]:
    """Return the days of the window in their REST shape."""
    first, last = asked.window.start.date(), asked.window.end.date()
    return {"days": [_day(asked, first + timedelta(number), url) for number in range((last - first).days + 1)]}


def _day(asked: Question, day: date, url: str | None) -> dict[str, Any]:
    def of_day(visits: list[Visit]) -> list[Visit]:
        return [visit for visit in visits if moment(visit.session["started_at"]).date() == day]

    own = dataclasses.replace(
        asked,
        included=of_day(asked.included),
        dropping_off=of_day(asked.dropping_off),
        landed=of_day(asked.landed),
    )
    found: dict[str, Any] = {"date": day.isoformat(), "summary_totals": _totals(own.included)}
    if url is not None:
        found["roles"] = {role: _count(behind(own, url, role)) for role in CONVERSION_ROLES + DROP_OFF_ROLES}
        found["landing"] = _count(behind(own, url, "landing"))
    return found


def values(
    deliveries: Sequence[Session | Erase],
    domain: str,
    request: Mapping[str, str],
    now: datetime,
    field: str,
    contains: str = "",
    limit: int = 100,
) -> dict[str, Any]:
    """Return the values of a filter in their REST shape: each is asked for."""
    own = [session for session in written(deliveries, now) if session["domain"] == domain]
    stored = {session_values(session).get(field, "") for session in own}
    stored |= {conversion_values(it).get(field, "") for session in own for it in session.get("conversions", [])}
    counts = {
        text: len(question(deliveries, domain, {**request, field: text}, now).included)
        for text in stored
        if text and without_case(contains) in without_case(text)
    }
    ranked = sorted(((text, count) for text, count in counts.items() if count), key=lambda it: (-it[1], it[0].encode()))
    return {"values": [{"value": text, "sessions": count} for text, count in ranked[:limit]]}


def without_case(text: str) -> str:
    """Return a text as `contains` compares it: each character by itself, so that a part stays one."""
    return "".join(each.lower() for each in text.upper())


def _count(visits: Iterable[Visit]) -> dict[str, int]:
    found = [*visits]
    return {"sessions": len(found), "users": len({visit.session["user_id"] for visit in found})}


def _balance(included: list[Visit], dropping_off: list[Visit]) -> dict[str, dict[str, int]]:
    """Return how sessions add up."""
    converting = [visit for visit in included if visit.conversions]
    return {
        "included": _count(included),
        "converting": _count(converting),
        "dropping_off": _count(dropping_off),
        "both": _count(visit for visit in dropping_off if visit.conversions),
        "converting_without_views": _count(visit for visit in converting if not pages(visit.session)),
        "dropping_off_without_views": _count(visit for visit in dropping_off if not pages(visit.session)),
    }


class Performance:
    """One side of the report: for each page and role the sessions and the users that had it."""

    def __init__(self, roles: tuple[str, ...]) -> None:
        self._roles = roles
        self._sessions: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._users: dict[tuple[str, str], set[str]] = defaultdict(set)

    def add(self, session: Session, pages_in: Mapping[str, set[str]]) -> None:
        for role, its_pages in pages_in.items():
            for page in its_pages:
                self._sessions[page, role].add(session["session_id"])
                self._users[page, role].add(session["user_id"])

    def rows(self) -> list[dict[str, Any]]:
        def rank(page: str) -> tuple[list[int], bytes]:
            return [-len(self._sessions.get((page, role), ())) for role in self._roles], page.encode()

        return [
            {"url": page}
            | {
                role: {
                    "sessions": len(self._sessions.get((page, role), ())),
                    "users": len(self._users.get((page, role), ())),
                }
                for role in self._roles
            }
            for page in sorted({page for page, _ in self._sessions}, key=rank)
        ]
