"""The contestants: each answers the same questions from the same data, in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cases import Question
    from benchmarks.reports import Report


class Contestant(Protocol):
    """Opened on a folder of made-up traffic; answers questions until it is closed."""

    pid: int
    """The process whose memory and processor time are measured."""

    def prepare(self) -> dict[str, float]:
        """Bring into memory what questions are answered from, and return what that took."""

    def ask(self, question: Question) -> Any:
        """Return the answer in the contestant's own form: message, blocks, table. This is what is timed."""

    def read(self, answer: Any) -> Report:
        """Return an answer as a report, to compare it with the others'."""

    def facts(self) -> dict[str, object]:
        """Return versions, threads and the like."""

    def __enter__(self) -> Self:
        """Return the contestant."""

    def __exit__(self, *_: object) -> None:
        """Close it."""


NAMES = {
    "pageroles": "pageroles, in memory",
    "streamed": "pageroles, streamed",
    "sql": "ClickHouse SQL",
    "duckdb": "DuckDB",
    "polars": "Polars",
    "floor": "floor: the bytes, uncounted",
}
OTHERS = ("sql", "duckdb", "polars")
# An addition to the name of a form, right only where all is merged.
NO_FINAL = "; no FINAL"
# These read the store itself. The others have copies of their own, which are the same in either state of the store.
OF_THE_STORE = ("pageroles", "streamed", "sql", "floor")


def open_contestant(name: str, folder: Path, *, state: str, form: str) -> Contestant:
    """Open a contestant.

    Args:
        name: One of `NAMES`.
        folder: The folder of the made-up traffic.
        state: `loaded` or `merged`, for those that read the store.
        form: The form of its query, for those that have several.
    """
    if name in {"pageroles", "streamed"}:
        from benchmarks.contestants.served import Served  # noqa: PLC0415 - each process imports only its own

        return Served(folder / state, in_memory=name == "pageroles")
    if name == "sql":
        from benchmarks.contestants.clickhouse import ClickHouse  # noqa: PLC0415

        return ClickHouse(folder / state, form)
    if name == "floor":
        from benchmarks.contestants.floor import Floor  # noqa: PLC0415

        return Floor(folder / state)
    if name == "duckdb":
        from benchmarks.contestants.duck import Duck  # noqa: PLC0415

        return Duck(folder, form)
    from benchmarks.contestants.polar import Polar  # noqa: PLC0415

    return Polar(folder, form)


def forms(name: str) -> dict[str, str]:
    """Return the forms of a contestant's query, by name, and their descriptions."""
    if name == "sql":
        from benchmarks.contestants import clickhouse  # noqa: PLC0415

        return clickhouse.FORMS
    if name == "duckdb":
        from benchmarks.contestants import duck  # noqa: PLC0415

        return duck.FORMS
    if name == "polars":
        from benchmarks.contestants import polar  # noqa: PLC0415

        return polar.FORMS
    return {"": ""}
