"""Results as tables, for the terminal and for Markdown."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

import rich.table

from benchmarks import contestants, figures
from benchmarks.cases import CASES, short

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.figures import Measurement
    from benchmarks.run import Results

_TIMES = ["median s", "min", "max", "CPU s"]


@dataclasses.dataclass(slots=True)
class Table:
    """A table: the first column is text, the others are figures."""

    title: str
    columns: list[str]
    rows: list[list[str]] = dataclasses.field(default_factory=list)

    def markdown(self) -> str:
        """Return it as Markdown."""
        return markdown(self.columns, self.rows, rule="---:")

    def rich(self) -> rich.table.Table:
        """Return it for the terminal."""
        table = rich.table.Table(title=self.title, title_justify="left", title_style="bold", header_style="dim")
        for nth, column in enumerate(self.columns):
            table.add_column(column, justify="right" if nth else "left")
        for row in self.rows:
            table.add_row(*row)
        return table


def markdown(columns: list[str], rows: list[list[str]], *, rule: str = "---") -> str:
    """Return a table as Markdown; `rule` aligns all columns but the first."""
    lines = [columns, ["---"] + [rule] * (len(columns) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def show(results: Results, goals: list[figures.Target], console: Console) -> None:
    """Print the tables of a run."""
    shown = [targets(results, goals), every_case(results)]
    shown += [any_on(results, *place) for place in places(results)]
    shown += [every_question(results), in_memory(results), fed(results)]
    for table in shown:
        console.print(table.rich())
    for line in results.checked:
        console.print(f"checked  {line}", highlight=False)


def targets(results: Results, goals: list[figures.Target]) -> Table:
    """Return the targets, and whether they are met."""
    table = Table(f"Targets, {short(results.size)} sessions", ["", "goal", "at least", "measured", "met"])
    table.rows = [one.row() for one in goals]
    return table


def every_case(results: Results) -> Table:
    """Return what every contestant took for every case, and how many times longer than pageroles in memory."""
    traffic = results.sizes.large
    names = ["pageroles", "streamed", *contestants.OTHERS]
    found = {one.contestant: one for one in results.measured if (one.traffic, one.state) == (traffic, "merged")}
    table = Table(f"Seconds for each case, {traffic}, merged", ["", *(contestants.NAMES[name] for name in names)])
    for question in CASES:
        ours = found["pageroles"].median(question.name)
        row = [question.name, f"{ours:.4f}"]
        for name in names[1:]:
            seconds = found[name].median(question.name)
            row.append(f"{seconds:.3f} ({seconds / ours:,.0f}{figures.TIMES})")
        table.rows.append(row)
    return table


def any_on(results: Results, traffic: str, state: str) -> Table:
    """Return what the contestants took for `any` on some traffic."""
    here = [one for one in results.measured if (one.traffic, one.state) == (traffic, state)]
    ours = figures.find(here, traffic, state, "pageroles").median()
    table = Table(f"any, {traffic}, {state}", ["", *_TIMES, "times ours", "memory above idle MiB", "idle"])
    for one in sorted(here, key=lambda each: each.median()):
        memory = [f"{size / figures.MIB:,.0f}" for size in (one.peak, one.idle)]
        table.rows.append([label(one), *_times(one, "any"), f"{one.median() / ours:.1f}", *memory])
    return table


def every_question(results: Results) -> Table:
    """Return what pageroles took for every question."""
    ours, streamed = (
        figures.find(results.measured, results.sizes.large, "merged", name) for name in ("pageroles", "streamed")
    )
    columns = ["", *(f"in memory: {name}" for name in _TIMES), *(f"streamed: {name}" for name in _TIMES)]
    rows = [[name, *_times(ours, name), *_times(streamed, name)] for name in ours.seconds]
    return Table(f"pageroles, every question, {results.sizes.large}, merged", columns, rows)


def in_memory(results: Results) -> Table:
    """Return what it takes to keep a domain in memory."""
    columns = ["", "bytes a session", "process grew by, bytes a session", "seconds to fill", "sessions a second"]
    table = Table("Domains in memory", columns)
    for one in results.measured:
        if one.filling:
            sessions, seconds = one.filled("sessions"), one.filled("seconds")
            row = [f"{one.traffic}, {one.state}", f"{one.bytes_per_session:.1f}"]
            row += [f"{one.filled('resident') / sessions:.0f}", f"{seconds:.1f}", f"{sessions / seconds:,.0f}"]
            table.rows.append(row)
    return table


def fed(results: Results) -> Table:
    """Return what questions took while sessions were written into the same domain."""
    columns = ["", "p50 ms", "p99 ms", "questions", f"p99, {figures.TIMES} quiet", "written a second"]
    table = Table("Written to while it is asked about", columns)
    for one in results.fed:
        for name, times in (("quiet", one.quiet), ("written to", one.busy)):
            row = [f"{name}, merges {'on' if one.merges else 'off'}"]
            row += [f"{figures.percentile(times, percent) * 1000:.1f}" for percent in (50, 99)]
            row.append(f"{len(times):,}")
            written = f"{one.written / sum(times):.0f}"
            row += [f"{figures.slowdown(one):.1f}", written] if times is one.busy else ["", ""]
            table.rows.append(row)
    return table


def trials(results: Results) -> list[Table]:
    """Return the forms that were tried, a table for each contestant, traffic and state."""
    tables: list[Table] = []
    for place in dict.fromkeys((one.contestant, one.traffic, one.state) for one in results.trials):
        here = [one for one in results.trials if (one.contestant, one.traffic, one.state) == place]
        contestant, traffic, state = place
        names = [question.name for question in CASES]
        table = Table(f"{contestants.NAMES[contestant]}, {traffic}, {state}", ["", *names])
        best = {name: min(one.seconds[name] for one in here if name in one.seconds) for name in names}
        for one in here:
            cells = [
                "" if (seconds := one.seconds.get(name)) is None
                # The fastest stands out.
                else f"**{seconds:.3f}**" if seconds == best[name] else f"{seconds:.3f}"
                for name in names
            ]  # fmt: skip
            additions = one.form[len(one.form.partition(";")[0]) :]
            table.rows.append([one.description + additions + (" (wrong)" if one.fault else ""), *cells])
        tables.append(table)
    return tables


def label(one: Measurement) -> str:
    """Return the name of a measurement's contestant for readers."""
    return contestants.NAMES[one.contestant]


def places(results: Results) -> list[tuple[str, str]]:
    """Return the traffics and states that were measured."""
    return list(dict.fromkeys((one.traffic, one.state) for one in results.measured))


def _times(one: Measurement, question: str) -> list[str]:
    seconds = one.seconds[question]
    cpu = statistics.median(one.cpu[question])
    return [*(_digits(value) for value in (one.median(question), min(seconds), max(seconds))), f"{cpu:.2f}"]


def _digits(seconds: float) -> str:
    return f"{seconds:.4f}" if seconds < 0.1 else f"{seconds:.3f}"
