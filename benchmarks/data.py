"""Makes stores of made-up traffic inside ClickHouse, and keeps them in a cache folder.

Every session is a function of its number and the seed, so the data are the same on every machine and in any order of
making. Sessions arrive in no order of time, a million at once: the harder case for a store that is sorted by day.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import adapter, processes
from benchmarks.cases import DAYS, DOMAIN, FIRST_DAY, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.store import Store

CACHE = Path("build/bench")
LOADED, MERGED = "loaded", "merged"
TABLES = ("sessions", "converting_sessions", "users", "pages")

_BATCH = 1_000_000
_STEP_SECONDS = 4 * 3600.0
_SESSIONS_OF_SMALL = 1000
_PAGES_OF_SMALL = 200
_INFO = "made.json"
# Raised when the statement below changes what it makes.
_EDITION = 1
# Raised when the exports below change.
_EXPORT_EDITION = 2

_INSERT = """
INSERT INTO sessions (domain, session_id, user_id, started_at, source, medium, referrer, utm_source, utm_medium,
    utm_campaign, utm_content, utm_term, page_views.url, page_views.viewed_at,
    conversions.url, conversions.type, conversions.id, conversions.occurred_at)
WITH
    sipHash64({seed:UInt64}, number) AS chance,
    -- The first delivery of some sessions: one view so far, and no conversion.
    {whole:UInt8} = 0 AND number % 100 < {rewritten:UInt64} AS unfinished,
    if({domains:UInt64} = 1, {domain:String}, concat('site-', toString(number % {domains:UInt64}), '.example')) AS site,
    if(unfinished, 1, 1 + intDiv(chance, 1000) % 7) AS length,
    -- The cube gives the first hundredth of the pages a fifth of the views.
    arrayMap(
        nth -> toUInt64(pow((sipHash64(chance, nth) % 1000003) / 1000003, 3) * {pages:UInt64}),
        range(length)) AS walk,
    arrayMap(
        (page, nth) -> concat('https://', site, '/catalogue/page-', toString(page),
            if((page + nth + chance) % 8 = 0, '?ref=mail', '')),
        walk, range(length)) AS urls,
    toDateTime64({first_day:String}, 3, 'UTC')
        + toIntervalMillisecond(sipHash64(chance, 'start') % ({days:UInt64} * 86400000)) AS begun,
    NOT unfinished AND intDiv(chance, 100000) % 100 < {converts:UInt64} AS converts,
    -- A conversion on the last page viewed, on a page of thanks, or without a URL; one in ten sessions has two.
    converts ? 1 + (intDiv(chance, 77) % 10 = 0) : 0 AS conversion_count,
    sipHash64(chance, 'channel') AS channel
SELECT
    site,
    concat('s-', lower(hex(chance))),
    concat('u-', lower(hex(sipHash64(
        {seed:UInt64}, site, sipHash64(chance, 'user') % intDiv({sessions:UInt64}, 2 * {domains:UInt64}))))),
    begun,
    ['google.com', '', 'facebook.com', ''][1 + channel % 4],
    ['organic', '', 'social', ''][1 + channel % 4],
    ['https://www.google.com/', '', 'https://l.facebook.com/', 'https://news.example.org/read'][1 + channel % 4],
    if(channel % 10 < 3, ['newsletter', 'google.com', 'partner'][1 + channel % 3], ''),
    if(channel % 10 < 3, ['email', 'cpc', 'referral'][1 + channel % 3], ''),
    if(channel % 10 < 3, concat('summer-', toString(intDiv(channel, 30) % 20)), ''),
    if(channel % 10 < 3, ['top-link', 'button', 'footer'][1 + intDiv(channel, 600) % 3], ''),
    if(channel % 10 < 3, ['running shoes', 'sandals', ''][1 + intDiv(channel, 1800) % 3], ''),
    urls,
    arrayMap(nth -> begun + toIntervalSecond(20 * nth), range(length)),
    arrayMap(
        nth -> [urls[-1], concat('https://', site, '/thanks'), ''][1 + (chance + nth) % 3],
        range(conversion_count)),
    arrayMap(
        nth -> ['hubspot_form', 'html_form', 'custom'][1 + (intDiv(chance, 3) + nth) % 3],
        range(conversion_count)),
    arrayMap(nth -> concat('form-', toString((intDiv(chance, 9) + nth) % 20)), range(conversion_count)),
    arrayMap(nth -> begun + toIntervalSecond(20 * length - 10 + nth), range(conversion_count))
FROM numbers({first:UInt64}, {count:UInt64})
"""
_ONLY_REWRITTEN = "WHERE number % 100 < {rewritten:UInt64}"
_SETTINGS = " SETTINGS max_insert_threads = 2"


@dataclasses.dataclass(frozen=True, slots=True)
class Dataset:
    """A store of made-up traffic, as loaded and merged.

    Attributes:
        traffic: What is in it.
        folder: Where it is.
        loading: Seconds it took to make, and bytes and parts of each table.
    """

    traffic: Traffic
    folder: Path
    loading: dict[str, Any]

    def store(self, state: str) -> Path:
        """Return the folder of the embedded store in a state."""
        return self.folder / state

    @property
    def exported(self) -> Path:
        """Return the folder of the Parquet files."""
        return exported(self.folder)


def exported(folder: Path) -> Path:
    """Return the folder of the Parquet files of some traffic."""
    return folder / f"parquet-{_EXPORT_EDITION}"


def make(traffic: Traffic, progress: Callable[[str], None], *, export: bool = True) -> Dataset:
    """Make a store, or find it in the cache.

    Args:
        traffic: What is in it.
        progress: Is told what is done.
        export: Write the Parquet files too.
    """
    folder = CACHE / traffic.name
    mark = {"edition": _EDITION, "traffic": dataclasses.asdict(traffic), "schema": adapter.schema_fingerprint()}
    if (loading := _cached(folder, mark)) is not None:
        made = Dataset(traffic, folder, loading)
    else:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        progress(f"{traffic.name}: loading")
        loading = _step("load", traffic)
        progress(f"{traffic.name}: merging")
        copy(folder / LOADED, folder / MERGED)
        loading |= _step("merge", traffic)
        made = Dataset(traffic, folder, loading)
        (folder / _INFO).write_text(json.dumps({"mark": mark, "loading": loading}, indent=1))
    if export and not made.exported.exists():
        progress(f"{traffic.name}: exporting to Parquet")
        _step("export", traffic)
    return made


def with_small_domains(made: Dataset, count: int, progress: Callable[[str], None]) -> Path:
    """Return a copy of the merged store that has small domains of 1,000 sessions each as well."""
    folder = made.folder / f"with-{count}-domains"
    if not folder.exists():
        progress(f"{made.traffic.name}: adding {count:,} small domains")
        part = made.folder / "with-domains.part"
        if part.exists():
            shutil.rmtree(part)
        copy(made.store(MERGED), part)
        _step("add", made.traffic, str(count))
        part.rename(folder)
    return folder


def copy(store: Path, to: Path) -> None:
    """Copy the folder of a store that nobody has open; a killed server may have left its socket there."""
    shutil.copytree(store, to, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))


def small_domain(number: int) -> str:
    """Return the name of one of the small domains."""
    return f"site-{number}.example"


def parts(store: Store) -> dict[str, dict[str, int]]:
    """Return rows, parts and bytes of each table."""
    found = adapter.rows(
        store,
        "SELECT table, sum(rows), count(), sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = currentDatabase() GROUP BY table",
    )
    return {
        str(table): {"rows": int(rows), "parts": int(count), "bytes": int(size)}
        for table, rows, count, size in found
        if table in TABLES
    }


def _cached(folder: Path, mark: dict[str, Any]) -> dict[str, Any] | None:
    try:
        kept = json.loads((folder / _INFO).read_text())
    except FileNotFoundError:
        return None
    loading: dict[str, Any] | None = kept["loading"] if kept["mark"] == mark else None
    return loading


def _step(name: str, traffic: Traffic, *more: str) -> dict[str, Any]:
    """Do a step in a process of its own, since a process opens the embedded engine only once."""
    options = json.dumps(dataclasses.asdict(traffic))
    found: dict[str, Any] = processes.call("data", [name, options, *more], dict, seconds=_STEP_SECONDS)
    return found


def _load(traffic: Traffic, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    began = time.perf_counter()
    with adapter.open_store(folder / LOADED) as store:
        for first in range(0, traffic.sessions, _BATCH):
            count = min(_BATCH, traffic.sessions - first)
            store.command(_INSERT + _SETTINGS, _parameters(traffic, first, count, whole=False))
        store.command(_INSERT + _ONLY_REWRITTEN + _SETTINGS, _parameters(traffic, 0, traffic.sessions, whole=True))
        found["insert_seconds"] = round(time.perf_counter() - began, 1)
        found["load_seconds"] = round(time.perf_counter() - began, 1)
        store.command("SYSTEM STOP MERGES")
        found[LOADED] = parts(store)
    return found


def _merge(_: Traffic, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    began = time.perf_counter()
    with adapter.open_store(folder / MERGED) as store:
        for table in TABLES:
            store.command(f"OPTIMIZE TABLE {table} FINAL")
        found["merge_seconds"] = round(time.perf_counter() - began, 1)
        found[MERGED] = parts(store)
    return found


def _add(_: Traffic, folder: Path, count: str) -> dict[str, Any]:
    small = Traffic(int(count) * _SESSIONS_OF_SMALL, pages=_PAGES_OF_SMALL, domains=int(count), seed=2)
    with adapter.open_store(folder / "with-domains.part") as store:
        for whole in (False, True):
            text = _INSERT + (_ONLY_REWRITTEN if whole else "") + _SETTINGS
            store.command(text, _parameters(small, 0, small.sessions, whole=whole))
        for table in TABLES:
            store.command(f"OPTIMIZE TABLE {table} FINAL")
    return {}


def _parameters(traffic: Traffic, first: int, count: int, *, whole: bool) -> dict[str, object]:
    return {
        **dataclasses.asdict(traffic),
        "domain": DOMAIN,
        "first_day": FIRST_DAY.isoformat(),
        "days": DAYS,
        "first": first,
        "count": count,
        "whole": int(whole),
    }


# ---- for the contestants without ClickHouse ----

_PLACE = "toUnixTimestamp64Milli(s.started_at) AS started_at, session_key"
_EXPORTS = {
    "sessions": f"SELECT day, user_key, {_PLACE}, landing_key, exit_key, before_exit_key, converting, "
    "effective_source AS source FROM sessions AS s FINAL WHERE domain = {domain:String}",
    "converting_sessions": f"SELECT toDate(s.started_at) AS day, user_key, {_PLACE}, landing_key, exit_key, "
    "before_exit_key, page_keys, conversion_keys, assist_views, conversions.type AS conversion_types, "
    "effective_source AS source FROM converting_sessions AS s FINAL WHERE domain = {domain:String}",
    "users": "SELECT user_key, toUnixTimestamp64Milli(min(first_seen_at)) AS first_seen_at FROM users "
    "WHERE domain = {domain:String} GROUP BY user_key",
    "pages": "SELECT page_key, any(url) AS url FROM pages WHERE domain = {domain:String} GROUP BY page_key",
}


def _export(_: Traffic, folder: Path) -> dict[str, Any]:
    """Write the columns that a report needs, in the order of the store."""
    part = folder / "parquet.part"
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    with adapter.open_store(folder / MERGED, merges=False) as store:
        for name, text in _EXPORTS.items():
            path = (part / f"{name}.parquet").resolve()
            store.command(f"INSERT INTO FUNCTION file('{path}', 'Parquet') {text}", {"domain": DOMAIN})
    part.rename(exported(folder))
    return {}


_STEPS: dict[str, Callable[..., dict[str, Any]]] = {"load": _load, "merge": _merge, "export": _export, "add": _add}

if __name__ == "__main__":
    wanted = Traffic(**json.loads(sys.argv[2]))
    processes.reply(_STEPS[sys.argv[1]](wanted, CACHE / wanted.name, *sys.argv[3:]))
