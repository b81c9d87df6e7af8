"""What a referrer tells, in rows that any writer puts into the store: exactly what the reference says."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from publicsuffixlist import PublicSuffixList

from pageroles.store import schema
from pageroles.store.schema import expressions
from pageroles.store.statement import Statement
from pageroles.store.store import Store
from support import reference, suffixes
from support.clickhouse_standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support.reference import PageView, Session

AT = "2025-07-03T10:00:00Z"
STORED = """
SELECT hex(effective_source) FROM TABLE FINAL WHERE startsWith(session_id, {tag:String})
ORDER BY toUInt32(substring(session_id, length({tag:String}) + 2))
"""


def session(domain: str, referrer: str, *landing: str) -> Session:
    views: list[PageView] = [
        {"url": url, "viewed_at": f"2025-07-03T10:0{9 - at}:00Z"} for at, url in enumerate(landing)
    ]
    return {
        "domain": domain,
        "session_id": "",
        "user_id": "u1",
        "started_at": AT,
        "referrer": referrer,
        "page_views": views,
        "conversions": [{"occurred_at": AT}],
    }


def sources(store: Store, tag: str, sessions: Sequence[Session]) -> list[str]:
    """Write sessions past the loader, as another writer may, and return the effective source of each."""
    lines = []
    for number, its in enumerate(sessions):
        row: dict[str, Any] = {name: its[name] for name in ("domain", "user_id", "started_at", "referrer")}
        row["session_id"] = f"{tag} {number}"
        row["page_views.url"] = [view["url"] for view in its["page_views"]]
        row["page_views.viewed_at"] = [view["viewed_at"] for view in its["page_views"]]
        row |= {"conversions.url": [""], "conversions.type": [""], "conversions.id": [""]}
        row["conversions.occurred_at"] = [AT]
        lines.append(json.dumps(row, ensure_ascii=False).encode(errors="surrogateescape"))
    store.insert("sessions", b"\n".join(lines))
    return stored(store, tag)


def stored(store: Store, tag: str, table: str = "sessions") -> list[str]:
    found = store.rows(Statement(STORED.replace("TABLE", table), {"tag": tag}), store.call(60))
    return [bytes.fromhex(str(source)).decode(errors="surrogateescape") for (source,) in found]


NAMED = [
    ("https://www.google.com.bd/", "google.com.bd"),
    ("https://www.shop.co.ck/", "shop.co.ck"),
    ("https://www.ck/", "www.ck"),
    ("https://a.www.ck/", "www.ck"),
    ("https://co.ck/", ""),
    ("https://www.google.com./search", "google.com"),
    ("https://www.google.com.:443?x", "google.com"),
    ("https://www.google.com../", ""),
    ("https://.google.com/", ""),
    ("https://www..google.com/", ""),
    ("android-app://com.google.android.gm/", "com.google.android.gm"),
    ("android-app://com.Google.android.gm", "com.Google.android.gm"),
    ("Android-App://com.a.b?c/d", "com.a.b"),
    ("ios-app://544007664/vnd.youtube", "544007664"),
    ("ios-app://a#b", "a"),
    ("android-app:///x", ""),
    ("other-app://com.a.b/", ""),
    ("ftp://files.example.com/", ""),
    ("//www.example.com/", ""),
    ("www.example.com", ""),
    ("mailto:a@example.com", ""),
    ("about:blank", ""),
    ("https:/www.example.com", ""),
    (" https://www.example.com/", ""),
    ("HTTPS://WWW.Example.COM/A", "example.com"),
    ("http\u017f://www.example.com/", ""),
    ("https://user:password@host.example.com:8080/", "example.com"),
    ("https://user@else.org@host.example.com/", "example.com"),
    ("https://host.example.com:80@evil.org/", "evil.org"),
    ("https://host.example.com:port/", ""),
    ("https://host.example.com:80:80/", ""),
    ("https://www.example.com?@b.org", "example.com"),
    ("https://www.example.com#@b.org", "example.com"),
    ("https://www.example.com\\@b.org/", "b.org"),
    ("https://www.exa mple.com/", ""),
    ("https://www.example.com\n/", ""),
    ("https://www.example.com\0/", ""),
    ("https://a%2eb.com/", ""),
    ("http://192.168.0.1/", ""),
    ("http://192.168.0.1.:80/", ""),
    ("http://127.1/", ""),
    ("http://2130706433/", ""),
    ("http://0x7f.0x1/", ""),
    ("http://0X7F.1/", ""),
    ("http://0x7f000001./", ""),
    ("http://0177.0.0.01/", ""),
    ("http://256.256.256.256/", ""),
    ("http://www.example.0x/", ""),
    ("http://www.example.0xg/", "example.0xg"),
    ("http://[2001:db8::1]:80/", ""),
    ("http://[::ffff:192.0.2.1]/", ""),
    ("http://2001:db8::1/", ""),
    ("http://localhost:3000/", ""),
    ("http://intranet/", ""),
    ("https://com/", ""),
    ("https://co.uk/", ""),
    ("https://www.co.uk/", "www.co.uk"),
    ("https://github.io/", ""),
    ("https://someone.github.io/", "someone.github.io"),
    ("https://a.someone.github.io/", "someone.github.io"),
    ("https://x.s3.amazonaws.com/", "x.s3.amazonaws.com"),
    ("https://a.x.s3.amazonaws.com/", "x.s3.amazonaws.com"),
    ("https://www.amazonaws.com/", "amazonaws.com"),
    ("https://www.unlisted/", "www.unlisted"),
    ("https://a.b.unlisted/", "b.unlisted"),
    # A wildcard needs a label in its place: without one the rule above it holds.
    ("https://kobe.jp/", "kobe.jp"),
    ("https://city.kobe.jp/", "city.kobe.jp"),
    ("https://www.city.kobe.jp/", "city.kobe.jp"),
    ("https://other.kobe.jp/", ""),
    ("https://www.other.kobe.jp/", "www.other.kobe.jp"),
    # As it is spelled, in either spelling, and in both at once.
    ("https://www.例え.公司.cn/", "例え.公司.cn"),
    ("https://www.xn--r8jz45g.xn--55qx5d.cn/", "xn--r8jz45g.xn--55qx5d.cn"),
    ("https://www.例え.XN--55QX5D.cn/", "例え.xn--55qx5d.cn"),
    ("https://公司.cn/", ""),
    ("https://www.MÜNCHEN.de/", "münchen.de"),
    ("https://a_b.example_c.com/", "example_c.com"),
    ("https://-.example.com/", "example.com"),
    (f"https://{'a.' * 3000}b.co.uk/", "b.co.uk"),
    (f"https://www.{'b' * 6000}.co.uk/", f"{'b' * 6000}.co.uk"),
    ("", ""),
    ("://", ""),
    ("https://", ""),
    ("https:///", ""),
    ("https://@/", ""),
    ("https://.", ""),
]
OWN = [
    ("shop.example", "https://shop.example/a", ["https://www.shop.example/b"], ""),
    ("shop.example", "https://cart.Shop.example./a", [], ""),
    ("WWW.Shop.Example", "https://shop.example/a", ["/b"], ""),
    ("shop.example.", "https://shop.example/a", [], ""),
    ("shop.example:8080", "https://shop.example/a", [], ""),
    ("brand", "https://shop.co.uk/a", ["https://www.shop.co.uk/b"], ""),
    ("brand", "https://a.github.io/", ["https://b.github.io/"], "a.github.io"),
    ("brand", "https://a.b.co.ck/", ["https://c.b.co.ck/"], ""),
    ("brand", "https://a.co.ck/", ["https://b.co.ck/"], "a.co.ck"),
    # The landing page is the view that was first, not the one that is written first.
    ("brand", "https://shop.com/a", ["https://other.com/", "https://shop.com/b"], ""),
    ("brand", "https://shop.com/a", ["https://shop.com/b", "https://other.com/"], "shop.com"),
    ("com.google.android.gm", "android-app://com.google.android.gm/", [], "com.google.android.gm"),
    ("10.0.0.1", "https://10.0.0.1/", ["https://10.0.0.1/"], ""),
]


@pytest.mark.parametrize("of", ["store", "reference"])
def test_each_kind_of_referrer(store: Store, of: str) -> None:
    sessions = [session("tenant.example", referrer) for referrer, _ in NAMED]
    told = sources(store, "named", sessions) if of == "store" else list(map(reference.effective_source, sessions))
    assert dict(zip((referrer for referrer, _ in NAMED), told, strict=True)) == {
        referrer: source or "(direct)" for referrer, source in NAMED
    }


@pytest.mark.parametrize("of", ["store", "reference"])
def test_a_referrer_on_the_own_site_is_no_source(store: Store, of: str) -> None:
    sessions = [session(domain, referrer, *landing) for domain, referrer, landing, _ in OWN]
    told = sources(store, "own", sessions) if of == "store" else list(map(reference.effective_source, sessions))
    assert told == [source or "(direct)" for *_, source in OWN]


def test_utm_source_and_source_come_first(store: Store) -> None:
    row = {"domain": "a.com", "session_id": "said 0", "referrer": "https://b.com/", "source": "c", "started_at": AT}
    store.insert("sessions", json.dumps(row).encode())
    assert stored(store, "said") == ["c"]


def vectors() -> list[tuple[str, str]]:
    """Return the test data that are published with the list."""
    text = (importlib.resources.files("publicsuffixlist") / "test_psl.txt").read_text(encoding="utf-8")
    return re.findall(r"^checkPublicSuffix\('(.*?)', '?(.*?)'?\);", text, re.MULTILINE)


def test_the_test_data_of_the_list(store: Store) -> None:
    given = vectors()
    assert len(given) > 70
    told = sources(store, "vectors", [session("tenant", f"https://{host}/") for host, _ in given])
    assert told == ["(direct)" if domain == "null" else domain for _, domain in given]


def test_the_reference_says_what_a_library_says() -> None:
    """But for a wildcard rule's own name, which the library calls a suffix and the published algorithm does not."""
    library = PublicSuffixList()
    rng = random.Random(0)
    names = {rule.removeprefix("*.") for rule in reference._RULES if rule.startswith("*.")}
    for rule in reference._RULES:
        for host in hosts_of(rule, rng):
            if host not in names and not host.endswith(".1"):
                assert reference.registrable_domain(host) == (library.privatesuffix(host) or ""), host


def hosts_of(rule: str, rng: random.Random) -> list[str]:
    """Return hosts at, below and beside a rule."""
    name = rule.lstrip("!").replace("*", label(rng))
    parent = name.partition(".")[2]
    return [name, f"{label(rng)}.{name}", f"{label(rng)}.{label(rng)}.{name}", f"{label(rng)}.{parent or label(rng)}"]


PIECES = [
    *(b"\0", b"\n", b" ", b".", b"..", b":", b"@", b"/", b"\\", b"%", b"[", b"-", b"_", b"~", b"\x7f"),
    *(b"\x80", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xae"),
    *(text.encode() for text in ("ü", "İ", "ẞΣ", "\u212a", "。", "\u00ad")),
]


def label(rng: random.Random) -> str:
    return rng.choice(("www", "a", "x-y", "1", "city", "co", f"l{rng.randrange(1000)}"))


def made_up(rng: random.Random) -> list[str]:
    """Draw referrers around every rule of the list, spelled in any way, and some that are none."""
    referrers = []
    for rule in sorted(set(reference._LINES) | reference._RULES):
        referrers += [spelled(rng, host) for host in hosts_of(rule, rng)]
    return referrers + [broken(rng, rng.choice(referrers)) for _ in range(10_000)]


def spelled(rng: random.Random, host: str) -> str:
    change: Callable[[str], str] = rng.choice((str, str, str.upper, str.title, str.swapcase))
    user = rng.choice(("", "", "", "me@", "me:secret@", "a@b.com@", "ü:%40@"))
    end = rng.choice(("", "", "", ".", ":80", ".:8080", ":"))
    rest = rng.choice(("", "/", "/a/b?c=https://d.org/#e", "?x", "#x", "/" + "p" * rng.choice((1, 4000))))
    scheme = rng.choice(("https", "https", "http", "HTTPS", "Http"))
    return f"{scheme}://{user}{change(host)}{end}{rest}"


def broken(rng: random.Random, referrer: str) -> str:
    """Spoil a referrer: bytes put in, taken out or doubled, hosts that are addresses, very long ones."""
    kind = rng.randrange(6)
    if kind == 0:
        host = rng.choice(
            ("127.0.0.1", "1.2", "0x7f.1", "0XfF", "[::1]", "::1", "1.2.3.4.", "010.0.0.1", "a.1", "a.0x")
        )
        return spelled(rng, host)
    if kind == 1:
        return spelled(rng, ".".join(label(rng) for _ in range(rng.choice((1, 2, 8, 9, 30, 100)))))
    if kind == 2:
        app = rng.choice(("android-app", "ios-app", "Android-APP", "windows-app"))
        return (
            f"{app}://{rng.choice(('com.a.B', '123', '', 'ü', chr(0xDCFF), 'a b'))}{rng.choice(('', '/', '?x', '#/'))}"
        )
    raw = referrer.encode(errors="surrogateescape")
    at = rng.randrange(len(raw) + 1) if rng.random() < 0.3 else rng.randrange(min(len(raw), 30) + 1)
    cut = raw[:at] + (rng.choice(PIECES) if kind != 3 else b"") + raw[at + rng.choice((0, 0, 1)) :]
    return cut.decode(errors="surrogateescape")


def test_thousands_of_made_up_referrers(store: Store) -> None:
    rng = random.Random(7)
    referrers = made_up(rng)
    sessions = []
    for referrer in referrers:
        near = [*rng.choices(referrers, k=2), referrer, ""]
        domain = rng.choice(("tenant.example", "tenant.example", reference.url_domain(rng.choice(near)) or "a.com"))
        sessions.append(session(domain, referrer, *rng.choices(near, k=rng.choice((0, 1, 2)))))
    # A domain is text, unlike what browsers send.
    sessions = [its for its in sessions if reference._is_text(its["domain"])]
    expected = list(map(reference.effective_source, sessions))
    assert len(expected) > 40_000
    assert 0.1 < expected.count("(direct)") / len(expected) < 0.6
    told = sources(store, "made up", sessions)
    wrong = [it for it in zip(sessions, told, expected, strict=True) if it[1] != it[2]]
    assert not wrong, (len(wrong), wrong[:5])


def test_the_file_is_what_the_pinned_list_gives() -> None:
    assert suffixes.FILE.read_text(encoding="utf-8") == suffixes.written(suffixes.published()), "run make suffixes"


def test_the_newest_list_has_a_migration_of_its_own() -> None:
    """A store tells by its migrations which list its rows were made with."""
    names = [step.name for step in schema.migrations() if step.name.startswith("public_suffixes_")]
    date = expressions.public_suffixes().date
    assert names[-1] == f"public_suffixes_{date.replace('-', '')}"
    assert date in (Path(__file__).parents[2] / "docs" / "semantics.md").read_text(encoding="utf-8")


def test_an_expression_leaves_room_in_a_statement() -> None:
    longest = max(len(statement.encode()) for statement in schema.statements())
    assert longest < 220_000, "ClickHouse takes 256 KiB, its max_query_size"


def test_stored_sessions_are_mended(tmp_path: Path) -> None:
    """A store of the first migration, with what it made of referrers, is carried forward."""
    mending = next(step for step in schema.migrations() if step.name.startswith("public_suffixes_"))
    sessions = [session("tenant.example", referrer) for referrer, _ in NAMED]
    with contextlib.ExitStack() as closing:
        standin = StandIn.start(tmp_path)
        closing.callback(standin.stop)
        old = closing.enter_context(Store.open(standin.dsn))
        for statement in schema.migrations()[0].statements():
            old.command(statement)
        before = sources(old, "old", sessions)
        assert before[:2] == ["com.bd", "co.ck"]
        expected = [source or "(direct)" for _, source in NAMED]
        for _ in range(2):
            for statement in mending.statements():
                old.command(statement)
            assert stored(old, "old") == expected
            assert stored(old, "old", "converting_sessions") == expected
