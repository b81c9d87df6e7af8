"""Results as tables, for the terminal and for Markdown."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

import rich.table

from benchmarks import contestants, figures
from benchmarks.cases import short

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


def show(results: Results, console: Console) -> None:
    """Print the tables of a run."""
    for table in (targets(results), *(any_on(results, *place) for place in places(results)), every_question(results)):
        console.print(table.rich())
    for line in results.checked:
        console.print(f"checked  {line}", highlight=False)


def targets(results: Results) -> Table:
    """Return the targets, and whether they are met."""
    table = Table(f"Targets, {short(results.size)} sessions", ["", "target", "measured", "met"])
    table.rows = [[one.what, one.limit, one.measured, "yes" if one.met else "no"] for one in results.targets]
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
    ours = figures.find(results.measured, results.sizes.large, "merged", "pageroles")
    rows = [[name, *_times(ours, name)] for name in ours.seconds]
    return Table(f"pageroles, every question, {results.sizes.large}, merged", ["", *_TIMES], rows)


def trials(results: Results) -> Table:
    """Return the forms that were tried."""
    here = list(dict.fromkeys((one.traffic, one.state) for one in results.trials))
    table = Table("Forms tried, seconds", ["", *(f"{traffic}, {state}" for traffic, state in here)])
    forms = dict.fromkeys((one.contestant, one.form, one.description) for one in results.trials)
    found = {(one.contestant, one.form, one.traffic, one.state): one for one in results.trials}
    for contestant, form, description in forms:
        row = [f"{contestants.NAMES[contestant]}: {description}{_additions(form)}"]
        for traffic, state in here:
            one = found.get((contestant, form, traffic, state))
            row.append("" if one is None else f"{one.seconds:.2f}" + (" (wrong)" if one.fault else ""))
        table.rows.append(row)
    return table


def label(one: Measurement) -> str:
    """Return the name of a measurement's contestant for readers."""
    return contestants.NAMES[one.contestant] + (", from page arrays" if contestants.ARRAYS in one.form else "")


def places(results: Results) -> list[tuple[str, str]]:
    """Return the traffics and states that were measured."""
    return list(dict.fromkeys((one.traffic, one.state) for one in results.measured))


def _times(one: Measurement, question: str) -> list[str]:
    seconds = one.seconds[question]
    cpu = statistics.median(one.cpu[question])
    return [f"{one.median(question):.3f}", f"{min(seconds):.3f}", f"{max(seconds):.3f}", f"{cpu:.2f}"]


def _additions(form: str) -> str:
    return "; **pages from the arrays**" if contestants.ARRAYS in form else form[len(form.partition(";")[0]) :]
