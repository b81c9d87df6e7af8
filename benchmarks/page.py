"""Writes docs/benchmarks.md, the plots and the raw figures."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import msgspec

from benchmarks import cases, documents, plots, tables
from benchmarks import load as loads
from benchmarks.cases import short
from benchmarks.load import Load
from benchmarks.run import Results
from benchmarks.tables import Table

DOCS = Path("docs")


def write(results: Results, docs: Path = DOCS) -> Path:
    """Write everything; return the page."""
    _keep(results, docs / "benchmarks" / "results.json")
    return render(docs)


def write_load(found: Load, docs: Path = DOCS) -> Path:
    """Write what the load test measured; return the page, which has it from then on."""
    _keep(found, docs / "benchmarks" / "load.json")
    return render(docs)


def render(docs: Path = DOCS) -> Path:
    """Write the page and the plots from the figures beside it."""
    folder = docs / "benchmarks"
    parts: list[str] = []
    if (kept := folder / "results.json").exists():
        results = msgspec.json.decode(kept.read_text(), type=Results)
        parts.append(_page(results, plots.draw(results, folder)))
    if (kept := folder / "load.json").exists():
        parts.append(_load(msgspec.json.decode(kept.read_text(), type=Load)))
    page = docs / "benchmarks.md"
    page.write_text("\n".join(parts))
    if all((folder / name).exists() for name in ("results.json", "load.json")):
        documents.render(docs)
    return page


def _keep(figures: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = msgspec.json.decode(msgspec.json.encode(figures))
    path.write_text(json.dumps(raw, indent=1) + "\n")


def _load(load: Load) -> str:
    parts = [
        "## Under load\n",
        _wrapped(
            f"Written by `make load-test`. One store holds a domain of {load.sessions:,} sessions and {load.domains:,} "
            f"domains of 1,000 sessions each. One server serves it, and its callers run on the same cores. Each step "
            f"of small requests lasts {load.seconds} s; the load average before was {load.load_before[0]:.1f}. ghz "
            "sends the small requests, each for a random domain. The bare loop reads the statements of the same "
            "reports from the same store, without a server."
        ),
    ]
    parts += [table.markdown() for table in loads.tables(load)]
    return "\n".join(parts)


def _page(results: Results, drawn: dict[str, str]) -> str:
    size, small = short(results.size), short(results.size // 10)
    machine = results.machine
    large = results.loading[results.sizes.large]
    before, after = machine["load_before"][0], machine["load_after"][0]
    parts = [
        "# Benchmarks\n",
        _wrapped(
            f"Written by `make bench`, with the plots and the raw figures in [benchmarks/](benchmarks/results.json). "
            f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_bytes'] / 2**30:.0f} GiB; load average "
            f"{before:.1f} before and {after:.1f} after. pageroles {machine['pageroles']}, {machine['build']} build; "
            f"{_versions(results)}."
        ),
        "## Targets\n",
        tables.targets(results).markdown(),
        _wrapped(
            "“Our ready columns” are those that the store works out at insert: landing, exit and before-exit page as "
            "keys. The others get them too. “From page arrays” is their time without those columns, from each "
            "session's list of pages."
        ),
        "[performance.md](performance.md) says where the time goes, and so why some targets are missed.\n",
        f"## Seconds for `any`, {size} sessions\n",
        _image("any", drawn),
    ]
    for traffic, state in tables.places(results):
        parts += [f"### {traffic}, {state}\n", tables.any_on(results, traffic, state).markdown()]
    parts += [
        f"## Growth, {small} to {size}\n",
        _image("growth", drawn),
        "## Memory\n",
        _image("memory", drawn),
        "## Every question\n",
        _image("questions", drawn),
        tables.every_question(results).markdown(),
        "## Loading\n",
        _wrapped(
            "By `INSERT … SELECT` inside ClickHouse, all tables together. The data are made once and kept, so this may "
            "be from an earlier run, with other things at work on the machine. *Merging* rewrites every table whole; "
            "in a service at work ClickHouse does that in the background."
        ),
        _loading(results).markdown(),
        "## How it is measured\n",
        _method(results, large),
    ]
    if results.trials:
        parts += [
            "## Forms tried\n",
            _wrapped(
                f"All forms were tried on {results.sizes.small}, where each answer was compared too, and the best of "
                "each contestant on the large traffic. The tables above have the fastest of those."
            ),
            tables.trials(results).markdown(),
        ]
    return "\n".join(parts)


def _method(results: Results, large: dict[str, object]) -> str:
    traffic = cases.Traffic(results.size)
    lines = [
        (
            f"- **Data**: made up inside ClickHouse from a seed. {traffic.sessions:,} sessions of one domain in "
            f"{cases.DAYS} days, with 1 to 7 views (4 on average), {traffic.sessions // 2:,} users to draw from, and "
            f"{traffic.pages:,} pages, the first hundredth of which has a fifth of the views. {traffic.converts} % of "
            f"the sessions convert. {traffic.rewritten} % are delivered twice, unfinished at first. They are inserted "
            "a million at once and in no order of time, which is the harder case for a store that is sorted by day."
        ),
        (
            f"- **As loaded and merged**: *loaded* is the state after inserting: {_parts(large, 'loaded')} of "
            f"`sessions`, old versions included. *Merged* is the state after `OPTIMIZE … FINAL`: "
            f"{_parts(large, 'merged')}. Merges are off during the measurements."
        ),
        "- **Answers first**: before anything is timed, the answers of all contestants are compared whole, row by "
        "row. " + "; ".join(results.checked) + ".",
        (
            f"- **Rounds**: in each of {results.rounds} rounds the contestants are measured one after the other, each "
            f"in a process of its own. It opens the data, asks once to warm up, and is timed {results.repeats} times. "
            "Tables show the median, the minimum and the maximum of all rounds."
        ),
        (
            "- **pageroles**: a server process and a client process; the time is from the client's call of `Pages` to "
            "the bytes of the whole answer. **The others**: in process, until the result is there in their own form "
            "(Native blocks, Arrow table, data frame). All may use all cores."
        ),
        (
            "- **The floor**: as many threads read the same statements as a report of pageroles does, to their ends, "
            "and drop the bytes."
        ),
        (
            "- **Memory**: the peak of resident memory (`VmHWM`) during `any`, the first time included, less the "
            "resident memory after the answer for an empty window. For pageroles, of the server's process."
        ),
        "- A debug build of the core is refused.",
    ]
    return "".join(_wrapped(line, "  ") for line in lines)


def _loading(results: Results) -> Table:
    columns = ["", "inserted a second", "bytes a session, loaded", "merged", "merging s"]
    table = Table("Loading", columns)
    for name, loading in results.loading.items():
        sessions = loading["merged"]["sessions"]["rows"]
        loaded, merged = (
            sum(table["bytes"] for table in loading[state].values()) / sessions for state in ("loaded", "merged")
        )
        rate = sessions / loading["load_seconds"]
        table.rows.append([name, f"{rate:,.0f}", f"{loaded:.0f}", f"{merged:.0f}", f"{loading['merge_seconds']:.0f}"])
    return table


def _parts(loading: dict[str, object], state: str) -> str:
    sessions = msgspec.convert(loading[state], dict[str, dict[str, int]])["sessions"]
    count = sessions["parts"]
    return f"{sessions['rows']:,} rows in {count} part{'' if count == 1 else 's'}"


def _versions(results: Results) -> str:
    names = {"sql": "ClickHouse", "duckdb": "DuckDB", "polars": "Polars"}
    versions = {one.contestant: one.facts.get("version") for one in results.measured}
    return ", ".join(f"{shown} {versions[name]}" for name, shown in names.items() if name in versions)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) + "\n"


def _image(name: str, drawn: dict[str, str]) -> str:
    return f"![{drawn[name]}](benchmarks/{name}.svg)\n"
