"""Small made-up worlds of sessions, and requests about them, in which the rare cases are frequent.

Everything is drawn from one seeded generator, so a seed (and the world's `now`) brings a failure back.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from support.reference import (
    CONVERSION_FILTERS,
    PLAIN_FILTERS,
    SCOPES,
    SESSION_FILTERS,
    TEXTS,
    Conversion,
    PageView,
    Session,
    conversion_values,
    moment,
    session_values,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

NOW = datetime(2025, 8, 14, 15, 30, 20, 250_000, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DAY = timedelta(days=1)
_MONTH = 30 * _DAY


@dataclasses.dataclass(frozen=True)
class World:
    """What was written, in order, and when the world's clock stands still."""

    deliveries: list[Session]
    domains: list[str]
    now: datetime
    # Where windows like to begin and end; sessions crowd around them.
    start: datetime
    end: datetime

    def renamed(self, tag: str) -> World:
        """Return the same world with domains of its own, so that many fit into one store."""
        return dataclasses.replace(
            self,
            deliveries=[{**session, "domain": f"{tag}.{session['domain']}"} for session in self.deliveries],
            domains=[f"{tag}.{domain}" for domain in self.domains],
        )


_DOMAINS = ("alpha.com", "beta.example", "alpha.co.uk")
_USERS = ("u1", "u2", "U1", "u10", "ü-用户", "visitor-0000000000000000000000000001")
# Long common beginnings, one id that begins another, and ids whose order depends on comparing bytes.
_IDS = (
    "s",
    "s1",
    "s10",
    "S1",
    "z",
    "é",
    "😀",
    "session-" + "0" * 40,
    "session-" + "0" * 40 + "1",
    "session-" + "0" * 41,
)
_URLS = (
    "https://a.com",
    "https://a.com/",
    "https://a.com/?x=1",
    "https://a.com/#top",
    "https://a.com/pricing",
    "https://a.com/pricing/",
    "https://a.com/pricing////",
    "https://a.com/pricing?ref=mail",
    "https://a.com/pricing/?ref=mail#plans",
    "https://a.com/pricing/#plans?ref=mail",
    "https://a.com/pricing?",
    "https://a.com/pricing/#",
    "https://a.com/pricing?next=/docs/&again?",
    "https://a.com/pricing#/docs/#end",
    "https://a.com/pricing/2",
    "https://a.com/Pricing",
    "HTTPS://A.com/pricing",
    "http://a.com/pricing",
    "https://www.a.com/pricing",
    "https://a.com//pricing",
    "https://a.com/caf%C3%A9",
    "https://a.com/caf%c3%a9/",
    "https://a.com/café/",
    "https://a.com/料金?通貨=円#上",
    "https://a.com/pricing%2F",
    "https://a.com/pricing/ ",
    'https://a.com/it\'s "quoted"\\n\ttab',
    "https://",
    "/",
    "//",
    "",
    "?x",
    "#x",
    "?a#b",
    "#a?b",
    "/pricing",
    "pricing",
)
_REFERRERS = (
    "",
    "",
    "https://www.google.com/",
    "https://google.com/search?q=https://bing.com/",
    "https://WWW.Google.COM/",
    "https://news.bbc.co.uk:8443/a/b",
    "https://shop.example.com.au/#x",
    "https://reader@mail.proton.example/inbox",
    "https://192.168.0.1/admin",
    "http://10.0.0.1:8080/",
    "http://localhost:3000/",
    "http://intranet/",
    "https://a.com?utm=1",
    "about:blank",
    "https://Shop.B.CO.UK/x",
    "https://WWW.B.COM.AU/",
    "https://www.com/",
    "https://www.co.uk/",
    "https://co.uk/",
    "http://user:secret@mail.proton.example/",
    "https://a.com:80@b.org/",
    "http://[2001:db8::1]:80/",
    "https://www.google.com.bd/",
    "https://www.shop.co.ck/",
    "https://www.google.com./search",
    "https://someone.github.io/",
    "https://www.例え.公司.cn/",
    "android-app://com.google.android.gm/",
    "ios-app://544007664/x",
    "https://WWW.A.com:443/previous",
)
_SOURCES = ("", "", "", "google.com", "Google.com", "newsletter", "(direct)")
_MEDIUMS = ("", "", "cpc", "organic", "CPC", "(none)")
_WORDS = ("", "", "summer", "Summer", "été 100%", "it's")
_TYPES = ("hubspot_form", "html_form", "custom", "Custom", "")
_META_IDS = ("form-1", "form-2", "Form-1", "")


@dataclasses.dataclass(frozen=True)
class _Site:
    """What the sessions of one world have in common: few pages, and how likely a session converts."""

    urls: list[str]
    eager: float


def world(rng: random.Random, now: datetime = NOW) -> World:
    """Draw a world of 1 to 3 domains, 1 to 6 users and 1 to 40 sessions around a clock that shows `now`."""
    domains = list(_DOMAINS[: rng.choice((1, 1, 2, 3))])
    second = now.replace(microsecond=0)
    past_day = _midnight(now - rng.randint(0, 80) * _DAY)
    end = rng.choice((now, second, *[past_day] * 3, *(_some(rng, now, 80) for _ in range(3)), second - _MONTH))
    start = rng.choice(
        (*[end - _MONTH] * 3, _midnight(end), end, *(_some(rng, end, 29) for _ in range(3)), _some(rng, end, 45))
    )
    drawn = World([], domains, now, start, end)
    users = rng.sample(_USERS, rng.choice((1, 2, 2, 3, 4, 6)))
    site = _Site(rng.sample(_URLS, rng.randint(2, 7)), rng.choice((0.1, 0.2, 0.4, 0.7)))
    sessions: dict[tuple[str, str], list[Session]] = {}
    for number in range(rng.choice((rng.randint(1, 5), rng.randint(5, 40), 40))):
        name = rng.choice((rng.choice(_IDS), rng.choice(_IDS) + str(number), f"{number}"))
        key = rng.choice(domains), name
        if key in sessions:
            continue
        known = [versions[0]["started_at"] for versions in sessions.values()]
        tie = known and rng.random() < 0.3
        session = _session(rng, site, moment(rng.choice(known)) if tie else _started_at(rng, drawn))
        session |= {"domain": key[0], "session_id": name, "user_id": rng.choice(users)}
        sessions[key] = [session]
        while rng.random() < 0.25 and len(sessions[key]) < 3:
            sessions[key].append(_rewritten(rng, site, sessions[key][-1]))
    return dataclasses.replace(drawn, deliveries=_interleaved(rng, sessions.values()))


def moving(rng: random.Random, drawn: World) -> World:
    """Return a world whose sessions move: later versions have other users and starts, and come in any order."""
    users = sorted({session["user_id"] for session in drawn.deliveries})
    histories: dict[tuple[str, str], list[Session]] = {}
    for session in drawn.deliveries:
        histories.setdefault((session["domain"], session["session_id"]), []).append(dict(session))  # type: ignore[arg-type]
    for versions in histories.values():
        while rng.random() < 0.2 and len(versions) < 4:
            versions.append(dict(rng.choice(versions)))  # type: ignore[arg-type]
        for version in versions[1:]:
            if rng.random() < 0.5:
                version["user_id"] = rng.choice(users)
            if rng.random() < 0.4:
                version["started_at"] = _iso(moment(version["started_at"]) + rng.choice(_MOVES))
        if rng.random() < 0.4:
            for version in versions:
                if rng.random() < 0.8:
                    version["written_at"] = _iso(drawn.now - rng.choice((1, 1, 2, 3)) * _DAY)
    return dataclasses.replace(drawn, deliveries=_interleaved(rng, histories.values()))


_MOVES = (_MILLISECOND, -123 * _MILLISECOND, timedelta(minutes=-20), timedelta(hours=7), -_DAY, 3 * _DAY, -40 * _DAY)


def _interleaved(rng: random.Random, histories: Iterable[list[Session]]) -> list[Session]:
    """Mix the sessions' versions; those of one session stay in order."""
    left = [list(versions) for versions in histories]
    deliveries = []
    while left:
        versions = rng.choice(left)
        deliveries.append(versions.pop(0))
        left = [versions for versions in left if versions]
    return deliveries


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _some(rng: random.Random, before: datetime, days: int) -> datetime:
    """Return an instant at most so many days before another, in whole seconds or milliseconds."""
    at = before - timedelta(milliseconds=rng.randrange(1, days * 86_400_000))
    return at.replace(microsecond=rng.choice((0, at.microsecond // 1000 * 1000)))


def _started_at(rng: random.Random, drawn: World) -> datetime:
    edge = rng.choice((drawn.start, drawn.end, drawn.end - _MONTH, _midnight(drawn.end) - _MONTH, drawn.now - _MONTH))
    nudge = rng.choice((-1, 0, 0, 1)) * _MILLISECOND
    return rng.choice(
        (
            edge + nudge,
            # The last and the first instants of days.
            _midnight(edge) + rng.choice((0, 1)) * _DAY + nudge,
            _midnight(drawn.end) + _DAY - rng.choice((timedelta(seconds=1), _MILLISECOND)),
            *(_some(rng, drawn.end, days) for days in (1, 3, 10, 30, 30)),
            # Journeys reach beyond the window on both sides.
            drawn.start - timedelta(milliseconds=rng.randrange(60 * 86_400_000)),
            drawn.end + timedelta(milliseconds=rng.randrange(10 * 86_400_000)),
        )
    )


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _session(rng: random.Random, site: _Site, started_at: datetime) -> Session:
    """Draw all of a session but its identity."""
    # Few instants, so that views and conversions meet.
    offsets = [timedelta(milliseconds=rng.choice((0, 1, 1000, 60_000, rng.randrange(3_600_000)))) for _ in range(4)]
    views: list[PageView] = [
        {"url": rng.choice(site.urls), "viewed_at": _iso(started_at + rng.choice(offsets))}
        for _ in range(rng.choice((0, 1, 1, 2, 3, 3, 4, 5, 8)))
    ]
    if views and rng.random() < 0.3:
        views.insert(rng.randrange(len(views)), dict(rng.choice(views)))  # type: ignore[arg-type]
    if rng.random() < 0.6:
        views.sort(key=lambda view: view["viewed_at"])
    conversions = rng.choice((1, 1, 1, 2, 4)) if rng.random() < site.eager else 0
    return {
        "domain": "",
        "session_id": "",
        "user_id": "",
        "started_at": _iso(started_at),
        "source": rng.choice(_SOURCES),
        "medium": rng.choice(_MEDIUMS),
        "referrer": rng.choice(_REFERRERS),
        "utm_source": rng.choice(_SOURCES),
        "utm_medium": rng.choice(_MEDIUMS),
        **{field: rng.choice(_WORDS) for field in PLAIN_FILTERS.values()},  # type: ignore[typeddict-item]
        "page_views": views,
        "conversions": [_conversion(rng, site, started_at, views) for _ in range(conversions)],
    }


def _conversion(rng: random.Random, site: _Site, started_at: datetime, views: Sequence[PageView]) -> Conversion:
    at = rng.choice([moment(view["viewed_at"]) for view in views] or [started_at])
    return {
        # On a page of the session, on any page of this world or another, or on none that was tracked.
        "url": rng.choice(
            ([view["url"] for view in views] or [""]) + [rng.choice(site.urls), rng.choice(_URLS), "", ""]
        ),
        "type": rng.choice(_TYPES),
        "id": rng.choice(_META_IDS),
        "occurred_at": _iso(at + rng.choice((-60_000, -1, 0, 0, 0, 1, 500, 7_200_000)) * _MILLISECOND),
    }


def _rewritten(rng: random.Random, site: _Site, session: Session) -> Session:
    """Return a later version: only the identity and the start are sure to stay."""
    other = _session(rng, site, moment(session["started_at"]))
    kept = {"domain", "session_id", "user_id", "started_at"} | set(
        rng.choice(
            (
                set(other) - {"conversions"},
                set(other) - {"page_views"},
                {"page_views", "conversions"},
                set(),
            )
        )
    )
    version: Session = {**other, **{name: session[name] for name in kept}}  # type: ignore[literal-required,typeddict-item]
    if rng.random() < 0.3:
        version["conversions"] = []
    return version


# ---- requests ----


def domain(rng: random.Random, world: World) -> str:
    """Draw whom to ask about: any domain of the world, the busy ones more often."""
    return rng.choice([*world.domains, *(session["domain"] for session in world.deliveries)])


_ZONES = (UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-5, minutes=-30)), timezone(timedelta(hours=14)))


def request(rng: random.Random, world: World) -> dict[str, str]:
    """Draw a request: dates in all forms, any of the filters, any scope; some match nothing, a few are invalid."""
    asked = _dates(rng, world)
    inside = [it for it in world.deliveries if world.start <= moment(it["started_at"]) <= world.end]
    values = _values(rng, rng.choice((inside or world.deliveries) * 4 + world.deliveries))
    for name in rng.choice(
        (
            [],
            [],
            rng.sample(CONVERSION_FILTERS, rng.choice((1, 1, 2, 3))),
            rng.sample(SESSION_FILTERS, rng.choice((1, 1, 1, 2, 6))),
            [rng.choice(CONVERSION_FILTERS), rng.choice(SESSION_FILTERS)],
        )
    ):
        asked[name] = rng.choice((values[name],) * 14 + (values[name].swapcase(), "matches nothing"))
    scope = rng.choice((*SCOPES, "any", ""))
    return asked | {"touch_scope": scope} if scope else asked


def _values(rng: random.Random, session: Session) -> dict[str, str]:
    """Return what filters would have to say to find a session, by one of its conversions."""
    conversion = rng.choice(
        [*session["conversions"]] or [Conversion(url=rng.choice(_URLS), type="custom", id="", occurred_at="")]
    )
    return {"landing_page": "", **session_values(session), **conversion_values(conversion)}


def _dates(rng: random.Random, world: World) -> dict[str, str]:
    nudge = rng.choice((-1, 0, 0, 0, 0, 1)) * _MILLISECOND
    start, end = world.start, world.end + nudge
    if rng.random() < 0.05:
        start, end = end, start
    if rng.random() < 0.2:
        start -= timedelta(days=rng.randrange(60))
    dates = {"start_date": _spelled(rng, start), "end_date": _spelled(rng, end)}
    return {name: text for name, text in dates.items() if text or rng.random() < 0.1}


def _spelled(rng: random.Random, at: datetime) -> str:
    """Write an instant in one of the accepted forms; the empty one is the default, a date alone its day."""
    shown = at.astimezone(rng.choice(_ZONES))
    in_utc = at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").removesuffix("+00:00")
    return rng.choice(
        ("", at.date().isoformat(), at.date().isoformat(), in_utc, f"{in_utc}Z", shown.isoformat(), _iso(at))
    )


# ---- into a store ----


def rounds(deliveries: Iterable[Session]) -> list[list[Session]]:
    """Split deliveries so that each round has at most one version of a session: the n-th in the n-th.

    The store orders versions by the time of their INSERT, so two of one session must not share one.
    """
    seen: Counter[tuple[str, str]] = Counter()
    split: list[list[Session]] = []
    for session in deliveries:
        key = session["domain"], session["session_id"]
        if seen[key] == len(split):
            split.append([])
        split[seen[key]].append(session)
        seen[key] += 1
    return split


def to_store_rows(deliveries: Iterable[Session], *, versions: bool = False) -> bytes:
    """Write sessions as JSONEachRow for the table `sessions`; with `versions` as written when they say."""
    rows = (
        _store_row(session) | ({"written_at": session["written_at"]} if versions and "written_at" in session else {})
        for session in deliveries
    )
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _store_row(session: Session) -> dict[str, object]:
    views, conversions = session.get("page_views", []), session.get("conversions", [])
    return {
        **{name: session.get(name, "") for name in TEXTS},
        "page_views.url": [view["url"] for view in views],
        "page_views.viewed_at": [view["viewed_at"] for view in views],
        "conversions.url": [conversion.get("url", "") for conversion in conversions],
        "conversions.type": [conversion.get("type", "") for conversion in conversions],
        "conversions.id": [conversion.get("id", "") for conversion in conversions],
        "conversions.occurred_at": [conversion["occurred_at"] for conversion in conversions],
    }
