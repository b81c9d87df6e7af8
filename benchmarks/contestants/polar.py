"""Polars, over the store's ready columns in Parquet or in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl

from benchmarks.contestants import ARRAYS
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
        _, place, self._engine, self._way = _FORMS[form.partition(";")[0]]
        self._from_arrays = ARRAYS in form
        frames = [pl.scan_parquet(folder / "parquet" / f"{name}.parquet") for name in _FILES]
        if place == "memory":
            frames[0] = frames[0].drop([] if self._from_arrays else ["page_keys"])
            frames = [frame.collect().lazy() for frame in frames]
        self._sessions, self._converting, self._pages = frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, question: Question) -> tuple[pl.DataFrame, pl.DataFrame]:
        in_window = pl.col("day").is_between(question.first_day, question.last_day)
        window = self._sessions.filter(in_window)
        history = self._converting.filter(pl.col("day") <= question.last_day)
        nth = pl.struct("started_at", "session_id").rank("ordinal").over("user_key")
        converting = history.with_columns(nth.alias("nth")).filter(in_window)
        pages = ["user_key", "landing_key", "exit_key", "before_exit_key"]
        plain = window.filter(~pl.col("converting"))
        leaving = pl.concat(
            [
                plain.select("user_key", *_FROM_ARRAYS) if self._from_arrays else plain.select(pages),
                converting.filter(pl.col("nth") > 1).select(pages),
            ]
        )
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
        totals = pl.concat(
            [
                window.select(pl.len().alias("sessions"), pl.col("user_key").n_unique().alias("users")),
                converting.select(
                    pl.col("conversion_keys").list.len().sum().cast(pl.UInt32).alias("sessions"),
                    pl.col("user_key").n_unique().alias("users"),
                ),
            ]
        )
        found = pl.collect_all([table, totals], engine=self._engine)
        return found[0], found[1]

    def read(self, answer: tuple[pl.DataFrame, pl.DataFrame]) -> Report:
        table, totals = answer
        counted: list[Any] = totals.rows()
        columns = ["side", "url", *(f"{what}_{role}" for role in (1, 2, 3) for what in ("sessions", "users"))]
        rows: list[Any] = table.select(columns).rows()
        return Report.of((*counted[0], *counted[1]), rows)

    def facts(self) -> dict[str, object]:
        return {"version": pl.__version__, "threads": pl.thread_pool_size()}


_FILES = ("sessions", "converting_sessions", "pages")


_VIEWED = pl.col("page_keys")
_OTHERS = _VIEWED.list.eval(pl.element().filter(pl.element() != pl.element().last()))
_FROM_ARRAYS = (
    _VIEWED.list.first().alias("landing_key"),
    _VIEWED.list.last().alias("exit_key"),
    _OTHERS.list.last().fill_null(0).alias("before_exit_key"),
)


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
