"""Those who answer the same question from the same data, each opened in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.answers import Answer
    from benchmarks.cases import Question


class Contestant(Protocol):
    """Opened on a folder of made-up traffic; answers questions until it is closed."""

    pid: int
    """Whose memory counts."""

    def ask(self, question: Question) -> Any:
        """Answer as this contestant gives answers best: message, blocks, table. This is what is timed."""

    def read(self, answer: Any) -> Answer:
        """Read an answer, to compare it with the others'."""

    def facts(self) -> dict[str, object]:
        """Tell versions, threads and parts."""

    def __enter__(self) -> Self:
        """Return the contestant."""

    def __exit__(self, *_: object) -> None:
        """Close it."""


NAMES = {
    "pageroles": "pageroles, over gRPC",
    "sql": "ClickHouse SQL",
    "duckdb": "DuckDB",
    "polars": "Polars",
    "floor": "floor: the bytes, uncounted",
}
# Added to the name of a form: pages taken from the arrays of page keys rather than from ready columns; and
# without FINAL, which is right once all is merged.
ARRAYS, NO_FINAL = "; page arrays", "; no FINAL"
# The others answer from copies of their own, to which the state of the store's parts means nothing.
OF_THE_STORE = ("pageroles", "sql", "floor")


def enter(name: str, folder: Path, *, state: str, form: str) -> Contestant:
    """Open a contestant.

    Args:
        name: One of `NAMES`.
        folder: The folder of the made-up traffic.
        state: `loaded` or `merged`, for those of the store.
        form: The form of its query, for those who have several.
    """
    if name == "pageroles":
        from benchmarks.contestants.served import Served  # noqa: PLC0415 - each process imports its own alone

        return Served(folder / state)
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
    """List the forms of a contestant's query and how they are told; most have one."""
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
