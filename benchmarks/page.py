"""Writes docs/benchmarks.md, the plots and the raw figures."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks import cases, documents, figures, flat, many, plots, tables
from benchmarks import load as loads
from benchmarks.cases import short
from benchmarks.load import Load
from benchmarks.many import Many
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


def write_many(found: Many, docs: Path = DOCS) -> Path:
    """Write what counting a hundred million sessions took; return the page, which has it from then on."""
    _keep(found, docs / "benchmarks" / "many.json")
    return render(docs)


def write_soak(found: flat.Soak, docs: Path = DOCS) -> Path:
    """Write what a soak found; return the page, which has it from then on."""
    (docs / "benchmarks" / _FILES[flat.Soak]).write_bytes(msgspec.json.encode(found) + b"\n")
    return render(docs)


def render(docs: Path = DOCS) -> Path:
    """Write the page and the plots from the figures beside it."""
    folder = docs / "benchmarks"
    results, load, many, soak = (_kept(docs, Results), _kept(docs, Load), _kept(docs, Many), _kept(docs, flat.Soak))
    parts: list[str] = []
    if results is not None:
        parts.append(_page(results, goals(results, docs), plots.draw(results, folder)))
    if load is not None:
        parts.append(_load(load))
    if many is not None:
        parts.append(_many(many))
    if soak is not None:
        parts.append(_soak(soak, plots.draw_soak(soak, folder)))
    page = docs / "benchmarks.md"
    page.write_text("\n".join(parts))
    if results is not None and load is not None and many is not None:
        documents.render(docs)
    return page


def goals(results: Results, docs: Path = DOCS) -> list[figures.Target]:
    """Return the targets, those included that the load test and the count of many sessions measure."""
    return figures.targets(results.measured, results.fed, results.sizes, load=_kept(docs, Load), many=_kept(docs, Many))


_FILES: dict[type, str] = {Results: "results.json", Load: "load.json", Many: "many.json", flat.Soak: "soak.json"}
_Kept = TypeVar("_Kept")


def _kept(docs: Path, form: type[_Kept]) -> _Kept | None:
    path = docs / "benchmarks" / _FILES[form]
    return msgspec.json.decode(path.read_text(), type=form) if path.exists() else None


def _keep(found: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = msgspec.json.decode(msgspec.json.encode(found))
    path.write_text(json.dumps(raw, indent=1) + "\n")


def _load(load: Load) -> str:
    small, everything = (f"{size / figures.MIB:,.0f} MiB" for size in load.resident_bytes)
    parts = [
        "## Under load\n",
        _wrapped(
            f"Written by `make load-test`. One store holds a domain of {load.sessions:,} sessions and {load.domains:,} "
            f"domains of 1,000 sessions each. One server serves it, and its callers run on the same cores. Each step "
            f"of small requests lasts {load.seconds} s; the load average before was {load.load_before[0]:.1f}. Each "
            "small request is for a random domain; the client leaves the answers as bytes, of "
            f"{load.served[0].answer_bytes:,} on average. The bare server is gRPC for Python alone: it sends as many "
            "bytes and does nothing else."
        ),
    ]
    small_table, large_table, flood_table, further_table = loads.tables(load)
    peak, left = loads.flood_memory(load.flood)
    parts += [
        small_table.markdown(),
        large_table.markdown(),
        _wrapped(
            f"Memory above idle with all small domains in memory: {small}, with the large one as well: {everything}."
        ),
        _wrapped(
            "A caller with a key of its own asks about small domains, one request every 10 ms, while callers of a "
            "second key ask without pause: as many as the server takes, ten and fifty times as many. They try again at "
            "once when they are refused."
        ),
        flood_table.markdown(),
        _wrapped(
            f"Most memory meanwhile, above what it was before: {peak} MiB; a second later: {left} MiB. The last line "
            "is of that time."
        ),
        _wrapped(
            "Of small domains the days have totals, and the sessions are all that are included; of the large one they "
            "are those of a page."
        ),
        further_table.markdown(),
    ]
    return "\n".join(parts)


def _many(found: Many) -> str:
    parts = [
        "## A hundred million sessions\n",
        _wrapped(
            f"Written by `make bench-many`: {found.sessions:,} made-up sessions with {found.pages:,} pages, counted by "
            f"the core alone on {found.threads} threads, without names and message. They take "
            f"{found.bytes / found.sessions:.1f} bytes a session; to make the blocks took {found.filling_seconds:.0f} "
            "s of one thread."
        ),
        many.table(found).markdown(),
    ]
    return "\n".join(parts)


def _soak(found: flat.Soak, name: str) -> str:
    calls = sum(found.done.values())
    files = ", ".join(f"{number:,} {kind}" for kind, number in sorted(found.kinds.items(), key=lambda one: -one[1]))
    parts = [
        "## An hour at work\n",
        _wrapped(
            f"Written by `make soak` on {found.date}: {found.cores} cores, {found.memory_bytes / 2**30:.0f} GiB. One "
            f"server with an embedded store worked for {found.seconds[-1] / 60:.0f} minutes, on {found.used_cores:.2f} "
            f"cores: {calls:,} calls of those who write and ask, over gRPC and REST, of those who hang up or send what "
            "they should not, and commands beside it. Old sessions are erased as new ones come: the store had "
            f"{flat.rows(found)[0]:,.0f} rows of sessions in the first half, and {flat.rows(found)[1]:,.0f} in the "
            "second. Of the answers, "
            f"{found.done.get('answers compared', 0):,} were compared with the reference; "
            f"{len(found.faults) or 'none'} went wrong."
        ),
        f"![Memory, threads and open files of a server at work](benchmarks/{name}.svg)\n",
        flat.table(found).markdown(),
        _wrapped(
            "The first quarter is a warm-up; the rest is judged in two halves, by the step from the median of one to "
            "that of the other, and by a line through the second. Pools have as many threads as were ever at work at "
            f"once. The open files at the end: {files}. Those of threads, three for each of the engine's, are judged "
            "with the threads. Memory is without the pages of files, such as libraries, of which there were "
            f"{(found.figures['resident'][-1] - found.figures['anonymous'][-1]) / figures.MIB:,.0f} MiB at the end."
        ),
    ]
    return "\n".join(parts)


def _page(results: Results, goals: list[figures.Target], drawn: dict[str, str]) -> str:
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
        _wrapped(
            "*In memory*: the domain is kept in memory, as it is from a second question on. *Streamed*: nothing is "
            "kept, so each report reads the store, as the first one does. [performance.md](performance.md) says where "
            "the time goes."
        ),
        "## Targets\n",
        tables.targets(results, goals).markdown(),
        _wrapped(
            "“Before” is 25 November 2026, when all reports streamed: 0.298 s, and 142 MiB. *Met* says which of both "
            "limits is."
        ),
        f"## Seconds for each case, {size} sessions\n",
        tables.every_case(results).markdown(),
        _wrapped(
            "In brackets, how many times longer than pageroles in memory. Each of the others answers each case in the "
            "form of its query that was fastest for it: ClickHouse from the same store, DuckDB and Polars from copies "
            "of its columns, in memory where that was faster. All have the columns that our store works out at insert: "
            "landing, exit and before-exit page as keys, the source, and when a user was first seen."
        ),
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
        tables.in_memory(results).markdown(),
        "## Every question\n",
        _image("questions", drawn),
        tables.every_question(results).markdown(),
        "## While sessions are written\n",
        _wrapped(
            f"One caller asks `any` about the {size} sessions again and again, in memory. Meanwhile "
            f"{results.fed[0].per_second} new sessions a second are written into the same domain, in four batches a "
            "second, by the loader in the same process."
        ),
        tables.fed(results).markdown(),
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
                f"Seconds. All forms were tried on {results.sizes.small}, where each answer was compared too, and of "
                "each case the best on the large traffic. The fastest of those compete."
            ),
        ]
        for table in tables.trials(results):
            parts += [f"### {table.title}\n", table.markdown()]
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
            "- **The floor**: as many threads read the same statements as a streamed report does, to their ends, and "
            "drop the bytes."
        ),
        (
            "- **Memory**: the peak of resident memory (`VmHWM`) during `any`, the first time included, less the "
            "resident memory after the answer for an empty window. For pageroles, of the server's process; in memory, "
            "what is kept is part of it."
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
