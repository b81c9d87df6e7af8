"""Polars, over the store's ready columns in Parquet or in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl

from benchmarks import data
from benchmarks.contestants.roles import KEYS
from benchmarks.reports import Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.cases import Question

_COUNTS = [pl.len().alias("sessions"), pl.col("user_key").n_unique().alias("users")]


def _unique_per_role(leaving: pl.LazyFrame) -> list[pl.LazyFrame]:
    return [_named(leaving.rename({key: "key"}).group_by("key").agg(_COUNTS), 2, role) for role, key in KEYS]


def _pairs_first(leaving: pl.LazyFrame) -> list[pl.LazyFrame]:
    return [
        _named(
            leaving.rename({key: "key"})
            .group_by("key", "user_key")
            .agg(pl.len().alias("visits"))
            .group_by("key")
            .agg(pl.col("visits").sum().alias("sessions"), pl.len().alias("users")),
            2,
            role,
        )
        for role, key in KEYS
    ]


def _named(counts: pl.LazyFrame, side: int, role: int) -> pl.LazyFrame:
    return counts.select(
        pl.lit(side, pl.UInt8).alias("side"),
        pl.lit(role, pl.UInt8).alias("role"),
        "key",
        pl.col("sessions").cast(pl.UInt64),
        pl.col("users").cast(pl.UInt64),
    )


_Engine = Literal["streaming", "in-memory"]
_WAYS: dict[str, tuple[str, Callable[[pl.LazyFrame], list[pl.LazyFrame]]]] = {
    "n_unique per role": ("group_by page for each role, `n_unique` of the users", _unique_per_role),
    "pairs first": ("for each role, group_by page and user first, then by page", _pairs_first),
}
_ENGINES: tuple[_Engine, ...] = ("streaming", "in-memory")
_PLACES = ("Parquet", "memory")
# The description; where the data are; the engine; the way to count.
_FORMS: dict[str, tuple[str, str, _Engine, Callable[[pl.LazyFrame], list[pl.LazyFrame]]]] = {
    f"{name}, {engine} engine, {place}": (f"{description}; {engine} engine, from {place}", place, engine, way)
    for name, (description, way) in _WAYS.items()
    for engine in _ENGINES
    for place in _PLACES
}

FORMS = {name: description for name, (description, *_) in _FORMS.items()}


class Polar:
    """Lazy frames."""

    def __init__(self, folder: Path, form: str) -> None:
        self.pid = os.getpid()
        _, place, self._engine, self._way = _FORMS[form]
        frames = [
            pl.scan_parquet(data.exported(folder) / f"{name}.parquet")
            for name in ("sessions", "converting_sessions", "users", "pages")
        ]
        if place == "memory":
            frames = [frame.collect().lazy() for frame in frames]
        self._sessions, self._converting, self._users, self._pages = frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def prepare(self) -> dict[str, float]:
        return {}

    def ask(self, question: Question) -> tuple[pl.DataFrame, pl.DataFrame]:
        plain, converting = self._included(question)
        leaving = pl.concat([plain.select(_PAGES), converting.filter(pl.col("nth") > 1).select(_PAGES)])
        roles = pl.concat(_conversion_side(converting) + self._way(leaving)).filter(pl.col("key") != 0)
        counts = [
            pl.col(what).filter(pl.col("role") == role).sum().alias(f"{what}_{role}")
            for role in (1, 2, 3)
            for what in ("sessions", "users")
        ]
        table = (
            roles.group_by("side", "key")
            .agg(counts)
            .join(self._pages, left_on="key", right_on="page_key")
            .drop("key")
            .sort("side", "sessions_1", "sessions_2", "sessions_3", "url", descending=[False, True, True, True, False])
        )
        everything = pl.concat([plain.select("user_key"), converting.select("user_key")])
        totals = pl.concat(
            [
                everything.select(pl.len().alias("sessions"), pl.col("user_key").n_unique().alias("users")),
                converting.select(
                    pl.col("conversion_keys").list.len().sum().cast(pl.UInt32).alias("sessions"),
                    pl.col("user_key").n_unique().alias("users"),
                ),
            ]
        )
        found = pl.collect_all([table, totals], engine=self._engine)
        return found[0], found[1]

    def _included(self, question: Question) -> tuple[pl.LazyFrame, pl.LazyFrame]:
        """Return the sessions that a question includes: those without a conversion, and those with one."""
        in_window = pl.col("day").is_between(question.first_day, question.last_day)
        window = self._sessions.filter(in_window)
        history = self._converting
        if question.scope != "assist":
            history = history.filter(pl.col("day") <= question.last_day)
        if question.filters_conversions:
            history = _matching(history, question.filter[1] if question.filter else "")
        elif question.filter is not None:
            passes = self._passes(*question.filter)
            window = window.filter(passes)
        nth = _PLACE.rank("ordinal").over("user_key")
        converting = history.with_columns(nth.alias("nth")).filter(in_window)
        if question.filter is not None and not question.filters_conversions:
            converting = converting.filter(passes)
        plain = window.filter(~pl.col("converting"))
        if question.filters_conversions or question.scope == "converting":
            return plain.head(0), converting
        if question.scope == "any":
            return plain, converting
        if question.scope == "after":
            after = plain.join(_converted(history), on="user_key")
            return after.filter(_later("started_at", "session_key", "at", "key")), converting.filter(pl.col("nth") > 1)
        before = self._users.filter(pl.col("first_seen_at") < question.start_ms).select("user_key")
        if question.scope == "first":
            firsts = window.join(before, on="user_key", how="anti")
            firsts = _earliest(firsts)
            of_converting = firsts.filter(pl.col("converting")).select("user_key", "session_key")
            return (
                firsts.filter(~pl.col("converting")),
                converting.filter(pl.col("nth") == 1).join(of_converting, on=["user_key", "session_key"], how="semi"),
            )
        # Whether a session is its user's first is a matter of all of them.
        users = _converted(history)
        seen = before.with_columns(pl.lit(value=True).alias("seen"))
        places = window.join(users, on="user_key").with_columns(_PLACE.rank("ordinal").over("user_key").alias("nth"))
        places = places.filter(_later("at", "key", "started_at", "session_key")).join(seen, on="user_key", how="left")
        return places.filter((pl.col("nth") > 1) | pl.col("seen").fill_null(value=False)), converting.head(0)

    def _passes(self, name: str, value: str) -> pl.Expr:
        if name == "source":
            return pl.col("source") == value
        keys = self._pages.filter(pl.col("url") == value).select("page_key").collect()
        return pl.col("landing_key") == pl.lit(keys.item())

    def read(self, answer: tuple[pl.DataFrame, pl.DataFrame]) -> Report:
        table, totals = answer
        counted: list[Any] = totals.rows()
        columns = ["side", "url", *(f"{what}_{role}" for role in (1, 2, 3) for what in ("sessions", "users"))]
        rows: list[Any] = table.select(columns).rows()
        return Report.of((*counted[0], *counted[1]), rows)

    def facts(self) -> dict[str, object]:
        return {"version": pl.__version__, "threads": pl.thread_pool_size()}


_PAGES = ("user_key", "landing_key", "exit_key", "before_exit_key")
_PLACE = pl.struct("started_at", "session_key")


def _matching(history: pl.LazyFrame, value: str) -> pl.LazyFrame:
    """Return the sessions with a conversion of a type, and of each session only those conversions."""
    lists = ("conversion_keys", "assist_views", "conversion_types")
    matching = (
        history.select("user_key", "session_key", *lists)
        .explode(lists)
        .filter(pl.col("conversion_types") == value)
        .group_by("user_key", "session_key")
        .agg(pl.col("conversion_keys"), pl.col("assist_views"))
    )
    return history.drop(lists).join(matching, on=["user_key", "session_key"])


def _earliest(sessions: pl.LazyFrame) -> pl.LazyFrame:
    """Return each user's first session."""
    for column in ("started_at", "session_key"):
        sessions = sessions.filter(pl.col(column) == pl.col(column).min().over("user_key"))
    return sessions


def _converted(history: pl.LazyFrame) -> pl.LazyFrame:
    """Return when each user converted first."""
    return _earliest(history).select("user_key", pl.col("started_at").alias("at"), pl.col("session_key").alias("key"))


def _later(started_at: str, session_key: str, than: str, key: str) -> pl.Expr:
    same = pl.col(started_at) == pl.col(than)
    return (pl.col(started_at) > pl.col(than)) | (same & (pl.col(session_key) > pl.col(key)))


def _conversion_side(converting: pl.LazyFrame) -> list[pl.LazyFrame]:
    assisting = pl.col("page_keys").list.head(pl.col("assist_views").list.max())
    played = (
        converting.select("user_key", pl.col("conversion_keys").list.unique().alias("key")).explode("key"),
        converting.select("user_key", assisting.list.unique().alias("key")).explode("key"),
        converting.select("user_key", pl.col("landing_key").alias("key")),
    )
    return [
        _named(pages.drop_nulls("key").group_by("key").agg(_COUNTS), 1, role)
        for role, pages in enumerate(played, start=1)
    ]
