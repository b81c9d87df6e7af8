"""Results as tables, for the terminal and for Markdown alike."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks import contestants, figures
from benchmarks.cases import short

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.figures import Measured
    from benchmarks.run import Results


@dataclasses.dataclass(slots=True)
class Sheet:
    """A table without a look: the first column is text, the others figures."""

    title: str
    columns: list[str]
    rows: list[list[str]] = dataclasses.field(default_factory=list)

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.columns, ["---"] + ["---:"] * (len(self.columns) - 1), *self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def rich(self) -> Table:
        """Return it for the terminal."""
        table = Table(title=self.title, title_justify="left", title_style="bold", header_style="dim")
        for nth, column in enumerate(self.columns):
            table.add_column(column, justify="right" if nth else "left")
        for row in self.rows:
            table.add_row(*row)
        return table


def sheets(results: Results) -> list[Sheet]:
    """Return the tables of a run."""
    return [targets(results), *(any_of(results, *place) for place in _places(results)), rest(results)]


def show(results: Results, console: Console) -> None:
    """Print the tables."""
    for sheet in sheets(results):
        console.print(sheet.rich())
    for line in results.checked:
        console.print(f"checked  {line}", highlight=False)


def targets(results: Results) -> Sheet:
    """Return the targets, and whether they are met."""
    sheet = Sheet(f"Targets, {short(results.size)} sessions", ["", "target", "measured", "met"])
    sheet.rows = [[one.what, one.limit, one.measured, "yes" if one.met else "no"] for one in results.targets]
    return sheet


def any_of(results: Results, traffic: str, state: str) -> Sheet:
    """Return what the contestants took for `any` on some traffic."""
    here = [one for one in results.measured if (one.traffic, one.state) == (traffic, state)]
    ours = figures.find(here, traffic, state, "pageroles").median()
    sheet = Sheet(
        f"any, {traffic}, {state}",
        ["", "median s", "min", "max", "CPU s", "times ours", "memory above idle MiB", "idle"],
    )
    for one in sorted(here, key=lambda each: each.median()):
        times = one.seconds["any"]
        sheet.rows.append(
            [
                shown(one),
                f"{one.median():.3f}",
                f"{min(times):.3f}",
                f"{max(times):.3f}",
                f"{statistics.median(one.cpu['any']):.2f}",
                f"{one.median() / ours:.1f}",
                f"{one.peak / figures.MIB:,.0f}",
                f"{one.idle / figures.MIB:,.0f}",
            ]
        )
    return sheet


def rest(results: Results) -> Sheet:
    """Return what pageroles took for every question."""
    ours = figures.find(results.measured, results.sizes.large, "merged", "pageroles")
    sheet = Sheet(f"pageroles, every question, {results.sizes.large}, merged", ["", "median s", "min", "max", "CPU s"])
    for name, times in ours.seconds.items():
        sheet.rows.append(
            [
                name,
                f"{ours.median(name):.3f}",
                f"{min(times):.3f}",
                f"{max(times):.3f}",
                f"{statistics.median(ours.cpu[name]):.2f}",
            ]
        )
    return sheet


def tried(results: Results) -> Sheet:
    """Return the forms that were tried."""
    places = list(dict.fromkeys((one.traffic, one.state) for one in results.tried))
    sheet = Sheet("Forms tried, seconds", ["", *(f"{traffic}, {state}" for traffic, state in places)])
    forms = dict.fromkeys((one.contestant, one.form, one.told) for one in results.tried)
    times = {(one.contestant, one.form, one.traffic, one.state): one for one in results.tried}
    for contestant, form, told in forms:
        row = [f"{contestants.NAMES[contestant]}: {told}{_additions(form)}"]
        for traffic, state in places:
            one = times.get((contestant, form, traffic, state))
            row.append("" if one is None else f"{one.seconds:.2f}" + (" (wrong)" if one.fault else ""))
        sheet.rows.append(row)
    return sheet


def shown(one: Measured) -> str:
    """Name a contestant."""
    return contestants.NAMES[one.contestant] + (", from page arrays" if contestants.ARRAYS in one.form else "")


def _additions(form: str) -> str:
    return "; **pages from the arrays**" if contestants.ARRAYS in form else form[len(form.partition(";")[0]) :]


def _places(results: Results) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.traffic, one.state) for one in results.measured))
