"""The tables of a store in Python: rows in parts, which are merged, rewritten and dropped as ClickHouse does it.

The columns that the schema works out, and what its views derive, are worked out here as well, from the words of
docs/semantics.md and of the schema; `tests/simulation/test_made_up_server.py` holds them to ClickHouse.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from support import reference
from support.made_parts import Numbered
from support.simulated.sql import canonical, sip_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from random import Random

    from support.simulated.sql import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000
MARK = 2

TYPES = {
    **dict.fromkeys(
        ("domain", "session_id", "user_id", "source", "medium", "referrer", "effective_source", "effective_medium",
         "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "url", "id", "hash", "name", "_part",
         "action", "by", "key_id", "details", "sessions", "raw", "partition", "table", "engine", "database", "month"),
        "String",
    ),
    **dict.fromkeys(
        ("user_key", "session_key", "landing_key", "exit_key", "before_exit_key", "page_key"), "UInt64"
    ),
    **dict.fromkeys(("started_at", "written_at", "first_seen_at", "created_at", "begun_at", "used_at"), "DateTime64"),
    **dict.fromkeys(("revoked_at", "expires_at"), "Nullable(DateTime64)"),
    **dict.fromkeys(("page_keys", "conversion_keys", "user_keys", "key", "value"), "Array(UInt64)"),
    **dict.fromkeys(
        ("conversions.url", "conversions.type", "conversions.id", "page_views.url", "permissions"), "Array(String)"
    ),
    **dict.fromkeys(("gone", "user_sixteenth", "is_deleted", "active"), "UInt8"),
    "converting": "Bool", "all_domains": "Bool", "assist_views": "Array(UInt32)", "packed": "FixedString(24)",
    "day": "UInt16", "monthly_limit": "UInt64", "requests": "Int64", "parts": "UInt64", "level": "UInt32",
    "start": "DateTime64",
}  # fmt: skip


def type_of(column: str) -> str:
    """Return the type of a column, which has one wherever it stands."""
    return TYPES.get(column, "UInt64")


# ---- parts ----


@dataclasses.dataclass(eq=False)
class Part(Numbered):
    partition: str
    first: int
    last: int
    level: int
    rows: list[Row]
    version: int = 0


@dataclasses.dataclass
class Table:
    """A table.

    Attributes:
        key: The columns that it is sorted by.
        engine: What becomes of rows with one key: `Replacing`, `Aggregating`, `Summing`, or none.
        version: Of a replacing table, the column that says which row is kept; empty: the last one.
        partition: Returns the partition of a row.
    """

    key: tuple[str, ...]
    engine: str = ""
    version: str = ""
    partition: Callable[[Row], str] = lambda _: "all"
    parts: list[Part] = dataclasses.field(default_factory=list)
    # Parts without rows that are no longer in use.
    emptied: list[Part] = dataclasses.field(default_factory=list)
    number: int = 0

    def insert(self, rows: Sequence[Row], *, of: Callable[[str], bool] = lambda _: True) -> None:
        """Insert rows as one block: a part for each partition, or for some of them."""
        by_partition: dict[str, list[Row]] = {}
        for row in rows:
            by_partition.setdefault(self.partition(row), []).append(row)
        for partition in filter(of, by_partition):
            self.number += 1
            # What an engine makes of rows with one key is done to a block at once: then it is of the first level.
            level = int(bool(self.engine))
            self.parts.append(Part(partition, self.number, self.number, level, self._merged(by_partition[partition])))

    def read(self, names: Sequence[str] | None = None) -> list[Row]:
        """Return all rows, part by part in the order in which they were stored."""
        parts = sorted(self.parts, key=lambda part: (part.partition, part.first))
        return [
            {**row, "_part": part.name} for part in parts if names is None or part.name in names for row in part.rows
        ]

    def final(self, names: Sequence[str] | None = None) -> list[Row]:
        return [row for row in self._merged(self.read(names)) if not row.get("is_deleted")]

    def merge(self, rng: Random) -> None:
        """Merge some neighbours, as ClickHouse does by itself when it likes."""
        partition = rng.choice(sorted({part.partition for part in self.parts}) or [""])
        own = sorted((part for part in self.parts if part.partition == partition), key=lambda part: part.first)
        if len(own) > 1:
            start = rng.randrange(len(own) - 1)
            self.merge_parts(own[start : start + rng.randint(2, 6)])

    def merge_parts(self, parts: Sequence[Part]) -> None:
        rows = self._merged([row for part in parts for row in part.rows])
        level, version = max(part.level for part in parts) + 1, max(part.version for part in parts)
        self._replace(parts, Part(parts[0].partition, parts[0].first, parts[-1].last, level, rows, version))

    def delete(self, doomed: Callable[[Row], bool]) -> None:
        """Rewrite all parts without some rows: a mutation, which takes a number."""
        self.number += 1
        for part in list(self.parts):
            rows = [row for row in part.rows if not doomed(row)]
            self._replace([part], dataclasses.replace(part, rows=rows, version=self.number))

    def drop(self, partition: str) -> None:
        self.parts = [part for part in self.parts if part.partition != partition]

    def open_anew(self) -> None:
        """Let the server start again: numbers go on after the highest that is left."""
        self.emptied.clear()
        self.parts = [part for part in self.parts if part.rows]
        self.number = max((max(part.last, part.version) for part in self.parts), default=0)

    def _replace(self, parts: Sequence[Part], by: Part) -> None:
        self.emptied += [part for part in parts if not part.rows]
        self.parts = [part for part in self.parts if part not in parts]
        self.parts.append(by)

    def _merged(self, rows: Iterable[Row]) -> list[Row]:
        """Return rows in their order, of those with one key what the engine makes of them."""
        ordered = sorted(rows, key=lambda row: tuple(row[name] for name in self.key))
        if not self.engine:
            return ordered
        groups = itertools.groupby(ordered, key=lambda row: tuple(row[name] for name in self.key))
        return [self._one(list(group)) for _, group in groups]

    def _one(self, group: list[Row]) -> Row:
        match self.engine:
            case "Replacing":
                return max(reversed(group), key=lambda row: row[self.version]) if self.version else group[-1]
            case "Aggregating":
                name = next(name for name in group[0] if name not in self.key)
                pick = min if name == "first_seen_at" else max
                return {**group[0], name: pick(row[name] for row in group)}
        return {**group[0], "requests": sum(row["requests"] for row in group)}


def _month(row: Row) -> str:
    return (_EPOCH + timedelta(milliseconds=row["started_at"])).strftime("%Y%m")


_OF_USER = ("domain", "user_key", "started_at", "session_key")


def new_tables() -> dict[str, Table]:
    """Return the tables of an empty store."""
    return {
        "sessions": Table(
            ("domain", "user_sixteenth", "day", "user_key", "session_key"), "Replacing", "written_at", _month
        ),
        "converting_sessions": Table(_OF_USER, "Replacing", "written_at", _month),
        "places": Table(("domain", "session_key", "user_key", "started_at"), "Replacing", "written_at"),
        "users": Table(("domain", "user_key"), "Aggregating"),
        "departures": Table(("domain", "user_key", "started_at"), "Replacing"),
        "pages": Table(("domain", "page_key"), "Replacing"),
        "writes": Table((), "", partition=lambda row: str(row["id"])),
        "api_keys": Table(("id",), "Replacing", "written_at"),
        "key_uses": Table(("id",), "Aggregating"),
        "quotas": Table(("domain",), "Replacing", "written_at"),
        "quota_usage": Table(("domain", "month"), "Summing"),
        "audit_log": Table(("at",)),
    }


# ---- rows that come ----

_TEXTS = ("session_id", "user_id", "source", "medium", "referrer", "utm_source", "utm_medium", "utm_campaign",
          "utm_content", "utm_term")  # fmt: skip
_LISTS = ("page_views.url", "page_views.viewed_at", "conversions.url", "conversions.type", "conversions.id",
          "conversions.occurred_at")  # fmt: skip


def microseconds(text: str) -> int:
    at = datetime.fromisoformat(text)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def milliseconds(text: str) -> int:
    return microseconds(text) // 1000


def read_json(table: str, lines: bytes, now: int) -> list[Row]:
    """Read rows of a table in JSONEachRow; `now` in microseconds since 1970."""
    return [_READERS[table](json.loads(line), now) for line in lines.splitlines() if line.strip()]


def _session(given: Row, now: int) -> Row:
    row: Row = {name: given.get(name, "") for name in ("domain", *_TEXTS)}
    row |= {name: given.get(name, []) for name in _LISTS}
    for name in ("page_views.viewed_at", "conversions.occurred_at"):
        row[name] = [milliseconds(at) for at in row[name]]
    row["started_at"] = milliseconds(given["started_at"])
    row["written_at"] = microseconds(given["written_at"]) if "written_at" in given else now
    row["gone"] = given.get("gone", 0)
    row["user_key"] = given.get("user_key", sip_hash(row["user_id"]))
    return worked_out(row)


def worked_out(row: Row) -> Row:
    """Return a row of `sessions` with the columns that the schema works out."""
    views = sorted(zip(row["page_views.viewed_at"], row["page_views.url"], strict=True), key=lambda view: view[0])
    pages = [sip_hash(canonical(url)) for _, url in views]
    seen = [sum(viewed <= at for viewed, _ in views) for at in row["conversions.occurred_at"]]
    conversion_keys = [
        sip_hash(canonical(url)) if url else (pages[count - 1] if count else 0)
        for url, count in zip(row["conversions.url"], seen, strict=True)
    ]
    landing, last = (pages[0], pages[-1]) if pages else (0, 0)
    others = [page for page in pages if page != last]
    before_exit = others[-1] if others else 0
    converting = bool(row["conversions.occurred_at"])
    bits = bool(row["gone"]) << 127 | converting << 126 | landing >> 22 << 84 | last >> 22 << 42 | before_exit >> 22
    session: Any = {
        "domain": row["domain"],
        "referrer": row["referrer"],
        "source": row["source"],
        "utm_source": row["utm_source"],
        "page_views": [{"url": url, "viewed_at": at} for at, url in views],
    }
    return row | {
        "day": row["started_at"] // _DAY,
        "user_sixteenth": row["user_key"] >> 60,
        "session_key": sip_hash(row["session_id"]),
        "effective_source": row["utm_source"] or row["source"] or _referrer(session) or "(direct)",
        "effective_medium": row["utm_medium"] or row["medium"] or "(none)",
        "converting": converting,
        "page_keys": pages,
        "landing_key": landing,
        "exit_key": last,
        "before_exit_key": before_exit,
        "packed": struct.pack("<QQQ", row["user_key"], bits & (1 << 64) - 1, bits >> 64),
        "conversion_keys": conversion_keys,
        "assist_views": [_assisting(pages, key, count) for key, count in zip(conversion_keys, seen, strict=True)],
    }


def _referrer(session: Any) -> str:
    domain = reference.url_domain(session["referrer"])
    scheme, found, _ = session["referrer"].partition("://")
    if found and scheme.lower() in {"android-app", "ios-app"}:
        return reference.referrer_tells(session | {"page_views": []})
    landing = session["page_views"][:1]
    own = {reference.url_domain(view["url"]) for view in landing} | {
        reference.url_domain(f"http://{session['domain']}")
    }
    return "" if domain in own else domain


def _assisting(pages: Sequence[int], key: int, seen: int) -> int:
    if not seen or pages[seen - 1] != key:
        return seen
    return max([number for number, page in enumerate(pages[:seen], 1) if page != key], default=1)


def _api_key(given: Row, now: int) -> Row:
    times = {name: given.get(name) for name in ("revoked_at", "expires_at")}
    return {
        **{name: given.get(name, "") for name in ("id", "hash", "domain", "name")},
        "all_domains": given["all_domains"],
        "created_at": milliseconds(given["created_at"]),
        **{name: at if at is None else milliseconds(at) for name, at in times.items()},
        "permissions": given.get("permissions", ["report"]),
        "written_at": now,
    }


_READERS: dict[str, Callable[[Row, int], Row]] = {
    "sessions": _session,
    "api_keys": _api_key,
    "key_uses": lambda given, _: {"id": given["id"], "used_at": milliseconds(given["used_at"])},
    "quotas": lambda given, now: {**given, "written_at": now},
    "quota_usage": lambda given, _: {**given, "month": given["month"]},
    "audit_log": lambda given, now: {**given, "at": now // 1000},
}


def read_row_binary(data: bytes, now: int) -> list[Row]:
    """Read the one row of an insert into `writes`."""
    (number,) = struct.unpack_from("<Q", data)
    at, size, shift = 8, 0, 0
    while True:
        size |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return [{"id": number, "begun_at": now, "sessions": data[at : at + size]}]


# ---- what the views derive ----


def derived(rows: Sequence[Row], tables: dict[str, Table]) -> dict[str, list[Row]]:
    """Return what the views of `sessions` make of rows that are inserted, by table, in the order in which they do."""
    return {
        "converting_sessions": list(_converting(rows, tables)),
        "departures": [_picked(row, "domain", "user_key", "started_at") for row in rows if row["gone"]],
        "pages": [
            {"domain": domain, "page_key": sip_hash(url), "url": url}
            for domain, url in dict.fromkeys(
                (row["domain"], canonical(raw))
                for row in rows
                for raw in (*row["page_views.url"], *filter(None, row["conversions.url"]))
            )
        ],
        "places": [
            _picked(row, "domain", "session_key", "user_key", "started_at", "written_at")
            for row in rows
            if row["gone"] != MARK
        ],
        "users": [
            {"domain": row["domain"], "user_key": row["user_key"], "first_seen_at": row["started_at"]}
            for row in rows
            if not row["gone"]
        ],
    }


_CONTENT = ("session_id", "effective_source", "effective_medium", "utm_campaign", "utm_content", "utm_term",
            "landing_key", "exit_key", "before_exit_key", "page_keys", "conversions.url", "conversions.type",
            "conversions.id", "conversion_keys", "assist_views")  # fmt: skip


def _converting(rows: Sequence[Row], tables: dict[str, Table]) -> Iterable[Row]:
    known: dict[tuple[Any, ...], int] = {}
    for row in tables["places"].read():
        place = tuple(row[name] for name in _OF_USER)
        known[place] = max(known.get(place, 0), row["written_at"])
    converted = {tuple(row[name] for name in _OF_USER) for row in tables["converting_sessions"].read()}
    converted |= {tuple(row[name] for name in _OF_USER) for row in rows if row["converting"] and not row["gone"]}
    for row in rows:
        place = tuple(row[name] for name in _OF_USER)
        is_deleted = not row["converting"] or bool(row["gone"])
        if place in converted if is_deleted else row["written_at"] >= known.get(place, 0):
            content = {name: type(row[name])() if is_deleted else row[name] for name in _CONTENT}
            yield {
                **_picked(row, *_OF_USER, "written_at"),
                **content,
                "is_deleted": int(is_deleted),
            }


def _picked(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}
