"""The figures of the documents that come from docs/benchmarks/*.json, written between markers of the pages.

A marker is `<!-- figures: NAME -->`; what follows it, up to `<!-- end of figures -->`, is written by
`python -m benchmarks.documents`. With `--check` it writes nothing and fails where a page has other figures.
"""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks import figures, tables
from benchmarks.figures import MIB, Measurement
from benchmarks.many import Many
from benchmarks.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("performance.md", "scaling.md", "../README.md")
_BLOCK = re.compile(r"(<!-- figures: ([a-z ]+) -->\n\n).*?(\n<!-- end of figures -->)", re.DOTALL)
_BILLION = 1_000_000_000
_TARGET_SECONDS = (30, 10, 5, 3, 1)


class Figures:
    """What the benchmarks, the load test and the count of many sessions measured."""

    def __init__(self, docs: Path = DOCS) -> None:
        """Read the raw figures beside the pages."""
        results, self.load, many = (
            json.loads((docs / "benchmarks" / f"{name}.json").read_text()) for name in ("results", "load", "many")
        )
        self.many = msgspec.convert(many, Many)
        self.measured = msgspec.convert(results["measured"], list[Measurement])
        self.sizes = msgspec.convert(results["sizes"], figures.Sizes)
        self.size: int = results["size"]
        self.stages = msgspec.convert(results["stages"], list[Stages])

    def of(self, traffic: str, contestant: str = "pageroles", state: str = "merged") -> Measurement:
        """Return one measurement."""
        return figures.find(self.measured, traffic, state, contestant)

    def streamed_rate(self, state: str = "merged") -> float:
        """Return the sessions of the large traffic that a core streams and counts in a second, for `any`."""
        return self.size / self.of(self.sizes.large, "streamed", state).work()

    def streamed_bytes(self) -> float:
        """Return the bytes that reach the service for each session of the large traffic, for `any` that streams."""
        return msgspec.convert(self.of(self.sizes.large, "floor").facts["bytes"], int) / self.size

    def counting_ns(self) -> float:
        """Return the nanoseconds of one core for each of many sessions in memory, for `any`."""
        return self.many.threads * self.many.median("any") * 1e9 / self.many.sessions


def in_short(found: Figures) -> str:
    """Return what a reader wants to know first."""
    ours, streamed, sql = (found.of(found.sizes.large, name).median() for name in ("pageroles", "streamed", "sql"))
    text = (
        f"On two cores, a question about {_millions(found.size)} sessions takes {ours * 1000:.0f} ms where they are in "
        f"memory, and {streamed:.1f} s where they stream from ClickHouse; the best SQL takes {sql:.1f} s. "
        f"Questions about small domains are answered {found.load['served'][-1]['per_second']:,.0f} times a second. "
        "The [benchmarks](docs/benchmarks.md) check each answer before its time counts."
    )
    return textwrap.fill(text, 120) + "\n"


def where_the_time_goes(found: Figures) -> str:
    """Return the times of questions in memory and streamed, beside the floor."""
    large, many, small = found.sizes.large, found.sizes.many_pages, found.sizes.small
    rows = []
    for what, traffic, state, question in (
        ("`any`", large, "merged", "any"),
        ("`any`, as loaded", large, "loaded", "any"),
        ("`first`", large, "merged", "first"),
        ("a source", large, "merged", "source"),
        ("`any`, many pages", many, "merged", "any"),
        ("`any`, a tenth of the sessions", small, "merged", "any"),
    ):
        ours, streamed = (found.of(traffic, name, state) for name in ("pageroles", "streamed"))
        floor = found.of(traffic, "floor", state) if question == "any" else None
        rows.append(
            [
                what,
                traffic,
                f"{ours.median(question) * 1000:.1f}",
                f"{streamed.median(question):.2f}",
                f"{streamed.work(question):.2f}",
                f"{floor.median():.2f}" if floor else "",
                f"{floor.work():.2f}" if floor else "",
            ]
        )
    columns = ["", "traffic", "in memory, ms", "streamed, s", "streamed, processor s", "floor, s", "floor, processor s"]
    return tables.markdown(columns, rows)


def stages(found: Figures) -> str:
    """Return what the stages of a report take."""
    names = list(found.stages[0].seconds)
    rows = [
        [
            f"{one.traffic}, {'in memory' if one.source == 'memory' else 'streamed'}",
            *(f"{one.seconds[name] * 1000:.1f} ({one.cpu[name] * 1000:.1f})" for name in names),
        ]
        for one in found.stages
    ]
    return tables.markdown(["ms, and processor ms", *names], rows)


def rates(found: Figures) -> str:
    """Return the rates that the calculation for a billion sessions takes from the benchmarks."""
    large, many = found.of(found.sizes.large), found.of(found.sizes.many_pages)
    streamed = found.of(found.sizes.large, "streamed")
    served = found.load["served"][-1]
    size, counted = _millions(found.size), _millions(found.many.sessions)
    rows = [
        [
            "memory",
            f"{large.bytes_per_session:.0f} bytes a session; many pages: {many.bytes_per_session:.0f}",
            f"what is kept, {size}",
        ],
        ["counted in memory, `any`", f"{found.counting_ns():.1f} ns of a core a session", f"the core alone, {counted}"],
        [
            "read into memory",
            f"{large.filled('sessions') / large.filled('seconds') / 1e6:.2f} million sessions a second",
            f"{size} in {large.filled('seconds'):.1f} s, in the background",
        ],
        *(
            [
                f"streamed, `any`, {name}",
                f"{found.streamed_rate(state) / 1e6:.1f} million sessions a core-second",
                f"{size} in {found.of(found.sizes.large, 'streamed', state).work():.2f} s of work",
            ]
            for name, state in (("merged", "merged"), ("as loaded", "loaded"))
        ),
        ["sent from ClickHouse, `any`, streamed", f"{found.streamed_bytes():.0f} bytes a session", f"floor, {size}"],
        ["memory above idle of a streamed report", f"{streamed.peak / MIB:,.0f} MiB", f"peaks, {size}"],
        [
            f"small domains in memory ({served['at_once']} requests at once)",
            f"{served['per_second']:,.0f} reports a second, two cores",
            "the load test",
        ],
    ]
    return tables.markdown(["what", "rate", "from"], rows)


def a_billion(found: Figures) -> str:
    """Return the cores that one domain of a billion sessions needs, for several answer times."""
    gigabytes = _BILLION * found.of(found.sizes.large).bytes_per_session / 1e9
    core_seconds = _BILLION * found.counting_ns() / 1e9
    streamed = _BILLION / found.streamed_rate()
    sent = _BILLION * found.streamed_bytes() / 1e9
    rows = [
        [f"{target} s", _cores(core_seconds / target), _cores(streamed / target), f"{sent / target:.1f} GB"]
        for target in _TARGET_SECONDS
    ]
    head = (
        f"In memory it takes {gigabytes:.0f} GB, and `any` over 30 days {core_seconds:.1f} core-seconds. Streamed, "
        f"`any` needs {streamed:.0f} core-seconds and sends {sent:.0f} GB from ClickHouse to the service."
    )
    return (
        textwrap.fill(head, 120)
        + "\n\n"
        + tables.markdown(["answer in", "cores, in memory", "cores, streamed", "sent a second, streamed"], rows)
    )


SECTIONS: dict[str, Callable[[Figures], str]] = {
    "in short": in_short,
    "where the time goes": where_the_time_goes,
    "stages": stages,
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


def _millions(number: int) -> str:
    return f"{number // 1_000_000} million"


def _cores(number: float) -> str:
    return f"{math.ceil(number)}"


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        render()
    elif found := stale():
        sys.exit(f"other figures than in docs/benchmarks/: {', '.join(found)}; run `python -m benchmarks.documents`")
