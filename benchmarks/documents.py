"""The figures of the documents that come from docs/benchmarks/*.json, written between markers of the pages.

A marker is `<!-- figures: NAME -->`; what follows it, up to `<!-- end of figures -->`, is written by
`python -m benchmarks.documents`. With `--check` it writes nothing and fails where a page has other figures.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks import figures, tables
from benchmarks.figures import MIB, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("performance.md", "scaling.md")
_BLOCK = re.compile(r"(<!-- figures: ([a-z ]+) -->\n\n).*?(\n<!-- end of figures -->)", re.DOTALL)
_BILLION = 1_000_000_000
_TARGET_SECONDS = (60, 10, 5, 3)


class Figures:
    """What the benchmarks and the load test measured."""

    def __init__(self, docs: Path = DOCS) -> None:
        """Read the raw figures beside the pages."""
        results = json.loads((docs / "benchmarks" / "results.json").read_text())
        self.load: dict[str, Any] = json.loads((docs / "benchmarks" / "load.json").read_text())
        self.measured = msgspec.convert(results["measured"], list[Measurement])
        self.sizes = msgspec.convert(results["sizes"], figures.Sizes)
        self.size: int = results["size"]

    def of(self, traffic: str, state: str = "merged", contestant: str = "pageroles") -> Measurement:
        """Return one measurement."""
        return figures.find(self.measured, traffic, state, contestant)

    def rate(self, state: str) -> float:
        """Return the sessions of the large traffic that a core counts in a second, for `any`."""
        return self.size / _cpu(self.of(self.sizes.large, state))

    def bytes_per_session(self) -> float:
        """Return the bytes that reach the service for each session of the large traffic, for `any`."""
        return msgspec.convert(self.of(self.sizes.large, "merged", "floor").facts["bytes"], int) / self.size


def where_the_time_goes(found: Figures) -> str:
    """Return the times of `any` beside the floor, and of what is slower than it."""
    large, many, small = found.sizes.large, found.sizes.many_pages, found.sizes.small
    rows = []
    for what, traffic, state, question in (
        ("`any`", large, "merged", "any"),
        ("`any`, as loaded", large, "loaded", "any"),
        ("`first`", large, "merged", "first"),
        ("`any`, half a million pages", many, "merged", "any"),
        ("`any`, a tenth of the sessions", small, "merged", "any"),
    ):
        ours, floor = found.of(traffic, state), found.of(traffic, state, "floor")
        rows.append(
            [
                what,
                traffic,
                f"{ours.median(question):.2f}",
                f"{_cpu(ours, question):.2f}",
                f"{floor.median():.2f}" if question == "any" else "",
                f"{_cpu(floor):.2f}" if question == "any" else "",
            ]
        )
    return tables.markdown(
        ["", "traffic", "seconds", "processor seconds", "floor, seconds", "floor, processor seconds"], rows
    )


def rates(found: Figures) -> str:
    """Return the rates that the calculation for a billion sessions takes from the benchmarks."""
    large, many, small = (found.of(name) for name in (found.sizes.large, found.sizes.many_pages, found.sizes.small))
    floor = found.of(found.sizes.large, "merged", "floor")
    served = found.load["served"][-1]
    size = f"{found.size // 1_000_000} million"
    rows = [
        [
            "sent from ClickHouse to the service, `any`",
            f"{found.bytes_per_session():.0f} bytes a session",
            f"floor, {size}",
        ],
        *(
            [
                f"`any`, {name}",
                f"{found.rate(state) / 1e6:.1f} million sessions a core-second",
                f"{size} in {_cpu(found.of(found.sizes.large, state)):.2f} s of work",
            ]
            for name, state in (("merged", "merged"), ("as loaded", "loaded"))
        ),
        [
            "of `any`, merged: ClickHouse reading and handing over",
            f"{_cpu(floor) / _cpu(large):.0%}",
            f"floor, {_cpu(floor):.2f} s of work",
        ],
        [
            "ten times the sessions",
            f"{large.median() / small.median():.1f} times the time",
            f"{small.median():.3f} s and {large.median():.3f} s",
        ],
        [
            "memory above idle",
            f"{large.peak / MIB:,.0f} MiB; half a million pages: {many.peak / MIB:,.0f} MiB",
            f"peaks, {size}",
        ],
        [
            f"small domains ({served['at_once']} requests at once)",
            f"{served['per_second']:.0f} reports a second, two cores",
            "the load test",
        ],
    ]
    return tables.markdown(["what", "rate", "from"], rows)


def a_billion(found: Figures) -> str:
    """Return the cores and the network that one domain of a billion sessions needs, for several answer times."""
    core_seconds = _BILLION / found.rate("merged")
    gigabytes = _BILLION * found.bytes_per_session() / 1e9
    rows = [
        [f"{target} s", f"{math.ceil(core_seconds / target)}", f"{gigabytes / target:.1f} GB"]
        for target in _TARGET_SECONDS
    ]
    head = (
        f"`any` over 30 days needs {core_seconds:.0f} core-seconds and sends {gigabytes:.0f} GB from ClickHouse to the "
        "service.\n\n"
    )
    return head + tables.markdown(["answer in", "cores", "sent a second"], rows)


SECTIONS: dict[str, Callable[[Figures], str]] = {
    "where the time goes": where_the_time_goes,
    "rates": rates,
    "a billion": a_billion,
}


def written(page: str, found: Figures) -> str:
    """Return a page with its figures written anew.

    Raises:
        KeyError: A marker names an unknown section.
    """
    return _BLOCK.sub(lambda block: f"{block[1]}{SECTIONS[block[2]](found)}{block[3]}", page)


def render(docs: Path = DOCS) -> None:
    """Write the figures of all pages anew."""
    found = Figures(docs)
    for path in (docs / name for name in PAGES):
        if path.exists():
            path.write_text(written(path.read_text(), found))


def stale(docs: Path = DOCS) -> list[str]:
    """Return the pages that have other figures than the benchmarks found.

    Raises:
        LookupError: No page has one of the sections.
    """
    found = Figures(docs)
    pages = {name: (docs / name).read_text() for name in PAGES}
    missing = set(SECTIONS) - {block[2] for page in pages.values() for block in _BLOCK.finditer(page)}
    if missing:
        raise LookupError(f"no page has the figures of {', '.join(sorted(missing))}")
    return [name for name, page in pages.items() if written(page, found) != page]


def _cpu(one: Measurement, question: str = "any") -> float:
    return statistics.median(one.cpu[question])


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        render()
    elif found := stale():
        sys.exit(f"other figures than in docs/benchmarks/: {', '.join(found)}; run `python -m benchmarks.documents`")
