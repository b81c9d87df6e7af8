"""Made-up traffic that looks like real traffic, for the demo and for benchmarks.

There are three sites (a shop, a product with trials, a documentation site with a newsletter), each a domain of its own.
A visitor comes once or returns over weeks. Each visit goes from page to page and may end in a conversion, which is the
more likely the more visits came before. The same seed gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote_plus

from pageroles.question.model import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

T = TypeVar("T")

_CHUNK_SESSIONS = 1_000
_DAY = 86_400_000
_BETWEEN_SESSIONS = 30 * 60_000  # a tracker begins a new session after half an hour without a view
_EXIT = ""


class Goal(NamedTuple):
    """A conversion that the pages of a kind offer.

    Attributes:
        type: The conversion's type.
        id: The conversion's id, as a form's name.
        odds: The share of views, 0 to 1, that convert on a first visit; it rises with each visit.
        thanks: The kind of page that follows; empty: none.
    """

    type: str
    id: str
    odds: float
    thanks: str = _EXIT


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of pages that visitors use alike.

    Attributes:
        paths: The pages, from the most to the least popular.
        landing: The weight of this kind as the first page of a visit.
        after: The weights of the kinds of page that follow; the key "" is the exit.
        seconds: The median time on a page, in seconds.
        goal: The conversion that the pages offer; None: none.
        customer: As `landing`, for visitors who have converted; None: the same.
    """

    paths: Sequence[str]
    landing: int
    after: Mapping[str, int]
    seconds: int = 40
    goal: Goal | None = None
    customer: int | None = None


@dataclasses.dataclass(frozen=True)
class Site:
    """A site.

    Attributes:
        domain: Its domain.
        share: Its weight in the traffic.
        kinds: Its kinds of pages, by name.
    """

    domain: str
    share: int
    kinds: Mapping[str, Kind]


class Channel(NamedTuple):
    """A way to a site.

    Attributes:
        weight: The weight of this channel in first visits.
        again: Its weight in later visits.
        bounce: The share of visits, 0 to 1, that end on the landing page whatever it offers.
        source: The source that the tracker derives.
        medium: The medium that the tracker derives.
        referrer: The referrer.
        utm: Source, medium, campaign, content and term in the query string of the landing page.
    """

    weight: int
    again: int
    bounce: float
    source: str = ""
    medium: str = ""
    referrer: str = ""
    utm: tuple[str, str, str, str, str] = ("", "", "", "", "")


def _named(pattern: str, names: str) -> tuple[str, ...]:
    return tuple(pattern.format(name) for name in names.split())


_COLOURS = ("red", "blue", "green", "black", "white", "sand", "olive", "plum")
_THINGS = ("trail-shoe", "rain-jacket", "day-pack", "wool-hat", "crew-sock", "tee", "boot", "tote", "belt", "scarf")
_POSTS = ("first-touch", "utm-hygiene", "dark-traffic", "funnel-myths", "page-roles", "case-study", "roadmap")
_CALLS = ("sessions", "pages", "keys", "events", "errors", "auth")
_SHOP = Site("shop.example.net", 45, {
    "home": Kind(("/",), 30, {"category": 50, "product": 20, "search": 12, "guide": 4, _EXIT: 9}, 25),
    "category": Kind(
        _named("/c/{}/", "shoes jackets bags hats socks shirts sale new"), 20,
        {"product": 60, "category": 15, "home": 3, _EXIT: 14}, 30,
    ),
    "search": Kind(
        _named("/search?q={}", "boots rain+jacket gift backpack wool red+hat"), 2,
        {"product": 65, "search": 15, _EXIT: 12}, 20,
    ),
    "product": Kind(
        [f"/p/{thing}-{colour}" for colour in _COLOURS for thing in _THINGS], 38,
        {"product": 28, "category": 20, "cart": 13, "home": 3, _EXIT: 22}, 55,
    ),
    "guide": Kind(
        _named("/guides/{}", "sizing care gifts layering returns"), 10,
        {"product": 24, "category": 14, "guide": 8, _EXIT: 33}, 90,
        Goal("html_form", "newsletter", 0.015),
    ),
    "cart": Kind(("/cart",), 0, {"checkout": 50, "product": 18, "cart": 4, _EXIT: 17}, 35),
    "checkout": Kind(
        ("/checkout",), 0, {"checkout": 12, "cart": 18, _EXIT: 70}, 80, Goal("custom", "purchase", 0.28, "thanks")
    ),
    "thanks": Kind(("/order/thanks",), 0, {"home": 12, "product": 8, _EXIT: 80}, 20),
})  # fmt: skip
_PRODUCT = Site("example.com", 35, {
    "home": Kind(("/",), 40, {"features": 34, "pricing": 22, "customers": 9, "signup": 3, "blog": 4, _EXIT: 17}, 30),
    "features": Kind(
        ("/features", *_named("/features/{}", "reports journeys alerts exports sharing")), 12,
        {"features": 26, "pricing": 26, "demo": 7, "signup": 6, "home": 5, _EXIT: 19}, 45,
    ),
    "pricing": Kind(
        ("/pricing",), 10, {"signup": 19, "demo": 11, "features": 14, "customers": 7, "pricing": 4, _EXIT: 28}, 50
    ),
    "customers": Kind(
        _named("/customers/{}", "northwind contoso fabrikam tailspin"), 4,
        {"customers": 20, "pricing": 22, "demo": 8, _EXIT: 31}, 70,
    ),
    "blog": Kind(
        [f"/blog/{year}/{post}" for year in (2025, 2024, 2023) for post in _POSTS], 30,
        {"blog": 18, "features": 9, "home": 7, "pricing": 4, _EXIT: 38}, 120,
        Goal("hubspot_form", "blog-subscribe", 0.012),
    ),
    "demo": Kind(
        ("/demo", "/lp/demo"), 7, {"pricing": 10, _EXIT: 90}, 75, Goal("hubspot_form", "demo-request", 0.12, "booked")
    ),
    "booked": Kind(("/demo/booked",), 0, {"blog": 8, "customers": 8, _EXIT: 84}, 20),
    "signup": Kind(
        ("/signup",), 4, {"pricing": 14, "signup": 8, _EXIT: 78}, 60, Goal("custom", "trial-start", 0.17, "app")
    ),
    "app": Kind(("/app", "/app/settings", "/app/reports"), 0, {"app": 60, "home": 4, _EXIT: 22}, 90, customer=80),
})  # fmt: skip
_DOCS = Site("docs.example.org", 20, {
    "home": Kind(("/", "/index.html"), 22, {"guide": 48, "api": 26, _EXIT: 16}, 20),
    "guide": Kind(
        _named("/guide/{}/", "install quickstart concepts deploy upgrade backup tuning faq"), 45,
        {"guide": 42, "api": 16, "news": 2, _EXIT: 25}, 100,
        Goal("html_form", "was-this-helpful", 0.02),
    ),
    "api": Kind(
        [f"/api/v{version}/{call}" for version in (3, 2) for call in _CALLS], 28,
        {"api": 44, "guide": 14, _EXIT: 26}, 70,
    ),
    "news": Kind(
        ("/newsletter", "/changelog"), 5, {"guide": 14, _EXIT: 86}, 45, Goal("html_form", "newsletter-footer", 0.14)
    ),
})  # fmt: skip
SITES = (_SHOP, _PRODUCT, _DOCS)

CHANNELS = (
    Channel(20, 38, 0.10),
    Channel(34, 20, 0.26, "google.com", "organic", "https://www.google.com/"),
    Channel(5, 3, 0.26, "bing.com", "organic", "https://www.bing.com/search?q=attribution"),
    Channel(3, 2, 0.24, "duckduckgo.com", "organic", "https://duckduckgo.com/"),
    # The tracker derives no source for these: only the referrer shows it.
    Channel(5, 2, 0.36, referrer="https://news.example.edu/item?id=4711"),
    Channel(3, 2, 0.30, referrer="https://blog.partner.example/2025/tools/"),
    Channel(4, 3, 0.38, "linkedin.com", "social", "https://www.linkedin.com/feed/"),
    Channel(3, 1, 0.45, "t.co", "social", "https://t.co/"),
    Channel(8, 3, 0.34, "google.com", "cpc", "https://www.google.com/",
            ("google", "cpc", "brand", "headline-a", "page roles")),
    Channel(7, 2, 0.40, "google.com", "cpc", "https://www.google.com/",
            ("google", "cpc", "summer-sale", "headline-b", "attribution tool")),
    Channel(4, 2, 0.48, "facebook.com", "social", "https://l.facebook.com/",
            ("facebook", "paid_social", "retargeting-q3", "video-15s", "")),
    Channel(2, 14, 0.12, utm=("newsletter", "email", "july-digest", "top-link", "")),
    Channel(1, 8, 0.14, utm=("newsletter", "email", "win-back", "button", "")),
    Channel(1, 1, 0.30, "partner.example", "referral", "https://partner.example/",
            ("partner.example", "referral", "co-marketing", "", "")),
)  # fmt: skip

# The weights of the hours (UTC), and of the weekdays from Monday.
_HOURS = (8, 5, 4, 3, 3, 5, 10, 20, 38, 52, 58, 56, 50, 54, 60, 58, 52, 46, 42, 44, 46, 38, 24, 14)
_WEEKDAYS = (100, 106, 108, 104, 92, 58, 64)
# Days until the next visit, each as likely as the others.
_PAUSES = (0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 7, 7, 8, 10, 12, 14, 18, 21, 28)
_COMES_BACK = 0.46
_COMES_BACK_CUSTOMER = 0.58
_ODDS_RISE = 0.6  # for each earlier visit
_MOST_VIEWS = 60
_NO_URL = 0.06  # share of conversions tracked without a URL
_NO_ID = 0.03


def sessions(count: int, *, seed: int, end: datetime, days: int) -> Iterator[bytes]:
    """Make up sessions as JSON Lines, in the form that `load` reads.

    The sessions of a visitor come in order of time and do not overlap; visitors come in no order.

    Args:
        count: The number of sessions.
        seed: The seed of the random numbers; the same arguments give the same bytes.
        end: The latest time of a session, a view or a conversion; with a time zone.
        days: The earliest start of a session, in days before `end`; at least 1.

    Yields:
        At most 1,000 whole lines.

    Raises:
        ValueError: `days` is less than 1.
    """
    if days < 1:
        raise ValueError(f"days must be at least 1, not {days}")
    lines = itertools.islice(_Generator(seed, end, days).lines(), count)
    while chunk := list(itertools.islice(lines, _CHUNK_SESSIONS)):
        yield "".join(chunk).encode()


class _Pages(NamedTuple):
    """A kind of pages, prepared: a random entry of a tuple is a weighted choice."""

    urls: tuple[str, ...]
    after: tuple[str, ...]
    stay: float
    goal: Goal | None


class _Walks(NamedTuple):
    """A site, prepared in the same way."""

    domain: str
    kinds: dict[str, _Pages]
    landings: tuple[str, ...]
    customer_landings: tuple[str, ...]


class _Generator:
    """Random numbers, and tables that turn one into a weighted choice, or a time into text."""

    def __init__(self, seed: int, end: datetime, days: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - made-up traffic keeps no secrets
        self._last = to_milliseconds(end)
        self._first = self._last - days * _DAY
        # The days that the span touches; a time outside of the span is drawn again.
        self._first_day = self._first // _DAY
        touched = range(self._first_day, self._last // _DAY + 1)
        dates = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in touched]
        self._dates = [f"{date:%Y-%m-%d}T" for date in dates]
        self._days = _table({number: _WEEKDAYS[date.weekday()] for number, date in zip(touched, dates, strict=True)})
        self._hours = _table(dict(enumerate(_HOURS)))
        self._seconds = [f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}." for s in range(_DAY // 1000)]
        self._thousandths = [f"{thousandth:03}Z" for thousandth in range(1000)]
        self._sites = [walks for site in SITES for walks in [_walks(site)] * site.share]
        self._channels = _table({channel: channel.weight for channel in CHANNELS})
        self._channels_again = _table({channel: channel.again for channel in CHANNELS})
        self._traffic = {channel: _traffic(channel) for channel in CHANNELS}
        # Most stays are short and a few are long.
        self._stays = [self._random.lognormvariate(0, 0.9) * 1000 for _ in range(4096)]

    def lines(self) -> Iterator[str]:
        """Yield the sessions of endlessly many visitors."""
        chance = self._random.random
        while True:
            walks = self._pick(self._sites)
            visitor = f"v-{self._random.getrandbits(64):016x}"
            start = self._first_start()
            visits, customer = 0, False
            while start <= self._last:
                line, finish, converted = self._session(walks, visitor, start, visits, customer=customer)
                yield line
                visits += 1
                customer = customer or converted
                if chance() > (_COMES_BACK_CUSTOMER if customer else _COMES_BACK):
                    break
                start = self._next_start(finish)

    def _session(
        self, walks: _Walks, visitor: str, start: int, visits: int, *, customer: bool
    ) -> tuple[str, int, bool]:
        """Make up a visit; return its line, the time of its last event, and whether it converted."""
        chance, pick, text = self._random.random, self._pick, self._text
        channel = pick(self._channels_again if visits else self._channels)
        kind = pick(walks.customer_landings if customer else walks.landings)
        bounces = chance() < channel.bounce
        views: list[str] = []
        conversions: list[str] = []
        now = start
        while kind and now <= self._last and len(views) < _MOST_VIEWS:
            pages = walks.kinds[kind]
            finish = now
            url = pick(pages.urls)
            if not views and channel.utm[0]:
                url = _with_query(url, channel)
            views.append(f'{{"url":"{url}","viewed_at":"{text(now)}"}}')
            stay = int(pages.stay * pick(self._stays)) + 1000
            kind = _EXIT if bounces else pick(pages.after)
            goal = pages.goal
            if goal is not None and chance() < min(goal.odds * (1 + _ODDS_RISE * visits), 0.9):
                at = now + stay // 2
                if at <= self._last:
                    tracked_url = "" if chance() < _NO_URL else url
                    name = "" if chance() < _NO_ID else goal.id
                    conversions.append(
                        f'{{"url":"{tracked_url}","type":"{goal.type}","id":"{name}","occurred_at":"{text(at)}"}}'
                    )
                    finish = at
                    kind = goal.thanks or kind
            now += stay
        line = (
            f'{{"domain":"{walks.domain}","session_id":"s-{self._random.getrandbits(64):016x}","user_id":"{visitor}",'
            f'"started_at":"{text(start)}",{self._traffic[channel]}'
            f'"page_views":[{",".join(views)}],"conversions":[{",".join(conversions)}]}}\n'
        )
        return line, finish, bool(conversions)

    def _first_start(self) -> int:
        while True:
            start = self._pick(self._days) * _DAY + self._time_of_day()
            if self._first <= start <= self._last:
                return start

    def _next_start(self, finish: int) -> int:
        earliest = finish + _BETWEEN_SESSIONS
        pause = self._pick(_PAUSES)
        if pause == 0:
            return earliest + int(self._random.random() * _DAY / 4)
        # After a late visit the next day may begin within the half hour between sessions.
        return max(earliest, (finish // _DAY + pause) * _DAY + self._time_of_day())

    def _time_of_day(self) -> int:
        return int((self._pick(self._hours) + self._random.random()) * 3_600_000)

    def _pick(self, table: Sequence[T]) -> T:
        return table[int(self._random.random() * len(table))]

    def _text(self, instant: int) -> str:
        day, rest = divmod(instant, _DAY)
        second, thousandth = divmod(rest, 1000)
        return self._dates[day - self._first_day] + self._seconds[second] + self._thousandths[thousandth]


def _table(weights: Mapping[T, int]) -> tuple[T, ...]:
    return tuple(itertools.chain.from_iterable(itertools.repeat(value, weight) for value, weight in weights.items()))


def _walks(site: Site) -> _Walks:
    kinds = {
        name: _Pages(_urls(site.domain, kind.paths), _table(kind.after), kind.seconds, kind.goal)
        for name, kind in site.kinds.items()
    }
    customers = {name: kind.landing if kind.customer is None else kind.customer for name, kind in site.kinds.items()}
    return _Walks(
        site.domain, kinds, _table({name: kind.landing for name, kind in site.kinds.items()}), _table(customers)
    )


def _urls(domain: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Return URLs, weighted by rank, each in several of the forms in which a tracker sees one page."""
    urls: list[str] = []
    for rank, path in enumerate(paths):
        url = f"https://{domain}{path}"
        forms = [url] * 36
        forms.append(f"{url}#details")
        forms.append(f"{url}{'&' if '?' in url else '?'}ref=nav")
        forms.append(url.removesuffix("/") if url.endswith("/") else f"{url}/" if "?" not in url else url)
        urls += forms * max(1, 12 // (rank + 1))
    return tuple(urls)


def _with_query(url: str, channel: Channel) -> str:
    url = url.partition("#")[0]
    names = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
    query = "&".join(f"{name}={quote_plus(value)}" for name, value in zip(names, channel.utm, strict=True) if value)
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _traffic(channel: Channel) -> str:
    """Return the JSON members of a session that its channel sets, with a comma after each."""
    names = ("source", "medium", "referrer", "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
    values = (channel.source, channel.medium, channel.referrer, *channel.utm)
    return "".join(f'"{name}":"{value}",' for name, value in zip(names, values, strict=True) if value)
