"""The benchmark: makes the data, compares the reports, then measures the contestants alternately."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks import adapter, contestants, data, figures, processes, reports
from benchmarks.cases import ANY, FILTERS, SCOPES, WINDOWS, Traffic
from benchmarks.worker import Task, TaskResult

if TYPE_CHECKING:
    from collections.abc import Callable

LOADED, MERGED = data.LOADED, data.MERGED
# So many forms are tried on the large traffic after the small.
_BEST = 3
# The best forms of earlier runs; they compete where none are tried.
_KNOWN = {
    ("sql", MERGED): "pairs first",
    ("sql", LOADED): "grouping sets",
    ("duckdb", MERGED): "pairs first",
    ("duckdb", contestants.ARRAYS): "pairs first" + contestants.ARRAYS,
    ("polars", MERGED): "n_unique per role, streaming engine, memory",
    ("polars", contestants.ARRAYS): "n_unique per role, streaming engine, memory" + contestants.ARRAYS,
}


def _known(name: str) -> list[str]:
    return [form for (contestant, state), form in _KNOWN.items() if contestant == name and state in {LOADED, MERGED}]


@dataclasses.dataclass(slots=True)
class Trial:
    """A form of a query that was tried: how long it took on some traffic, or what was wrong with its report."""

    contestant: str
    form: str
    description: str
    traffic: str
    state: str
    seconds: float
    fault: str | None = None


@dataclasses.dataclass(slots=True)
class Results:
    """All that a run measured."""

    size: int
    rounds: int
    repeats: int
    sizes: figures.Sizes
    machine: dict[str, Any]
    loading: dict[str, dict[str, Any]]
    trials: list[Trial]
    checked: list[str]
    measured: list[figures.Measurement]
    targets: list[figures.Target]


class WrongReportError(Exception):
    """A contestant's report is not that of the others."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A contestant in a state of the traffic, with the form of its query."""

    made: data.Dataset
    state: str
    contestant: str
    form: str

    def task(self, **more: Any) -> Task:
        """Return a task for it."""
        return Task(self.contestant, str(self.made.folder), self.state, self.form, **{"questions": [ANY], **more})


def run(size: int, rounds: int, repeats: int, progress: Callable[[str], None], *, quick: bool = False) -> Results:
    """Measure at a size and at a tenth of it.

    Args:
        size: Sessions of the large traffic.
        rounds: How often each contestant is measured.
        repeats: How often each question is timed in a round.
        progress: Is told what is done.
        quick: Try no forms, and measure the others only at the large size.

    Raises:
        WrongReportError: A report differs.
        processes.ProcessFailedError: A contestant failed.
    """
    load_before = os.getloadavg()
    small, large = (data.make(Traffic(sessions), progress) for sessions in (size // 10, size))
    many_pages = data.make(Traffic(size, pages=max(size // 20, 10_000)), progress)
    sizes = figures.Sizes(small.traffic.name, large.traffic.name, many_pages.traffic.name)

    trials, best = ([], _KNOWN) if quick else _try_forms(small, large, progress)
    entries = _entries(small, large, many_pages, best, quick=quick)
    checked = _check(entries, progress)
    measured = _measure(entries, rounds, repeats, progress)
    _measure_every_question(measured, large, rounds, progress)
    return Results(
        size=size,
        rounds=rounds,
        repeats=repeats,
        sizes=sizes,
        machine=_machine(load_before),
        loading={made.traffic.name: made.loading for made in (small, large, many_pages)},
        trials=trials,
        checked=checked,
        measured=measured,
        targets=figures.targets(measured, sizes),
    )


# ---- the best forms of the others' queries ----


def _try_forms(
    small: data.Dataset, large: data.Dataset, progress: Callable[[str], None]
) -> tuple[list[Trial], dict[tuple[str, str], str]]:
    """Try all forms on the small traffic and the best on the large; the best of those compete."""
    expected, _ = _report(_Entry(small, MERGED, "pageroles", ""))
    trials: list[Trial] = []
    best: dict[tuple[str, str], str] = {}
    for name in ("sql", "duckdb", "polars"):
        forms = contestants.forms(name)
        heats: list[Trial] = []
        for form in forms:
            progress(f"trying {contestants.NAMES[name]}: {form}")
            entry = _Entry(small, MERGED, name, form)
            report, seconds = _report(entry, repeats=2)
            fault = reports.difference(expected, report)
            heats.append(Trial(name, form, forms[form], small.traffic.name, MERGED, seconds, fault))
        trials += heats
        right = sorted((one for one in heats if one.fault is None), key=_time)
        # The best of earlier runs are tried on the large, too, whatever their times on the small.
        final = list(dict.fromkeys([*(one.form for one in right[:_BEST]), *_known(name)]))
        if name == "sql":
            plain = [form + contestants.NO_FINAL for form in final]
            loaded = _finals([_Entry(large, LOADED, name, form) for form in final], forms, progress)
            best[name, LOADED] = min(loaded, key=_time).form
            trials += loaded
            final += plain
        finals = _finals([_Entry(large, MERGED, name, form) for form in final], forms, progress)
        trials += finals
        best[name, MERGED] = min(finals, key=_time).form
        arrays = best[name, MERGED].partition(";")[0] + contestants.ARRAYS
        if name != "sql":
            best[name, contestants.ARRAYS] = arrays
        trials += _finals([_Entry(large, MERGED, name, arrays)], forms, progress)
    return trials, best


def _finals(entries: list[_Entry], forms: dict[str, str], progress: Callable[[str], None]) -> list[Trial]:
    """Time forms alternately in two rounds, and take the best time of each."""
    times: list[list[float]] = [[] for _ in entries]
    for _ in range(2):
        for entry, seconds in zip(entries, times, strict=True):
            seconds.extend(_run(entry.task(repeats=2)).seconds[ANY.name])
    found: list[Trial] = []
    for entry, seconds in zip(entries, times, strict=True):
        description = forms[entry.form.partition(";")[0]]
        found.append(
            Trial(entry.contestant, entry.form, description, entry.made.traffic.name, entry.state, min(seconds))
        )
        progress(f"tried {contestants.NAMES[entry.contestant]}: {entry.form}, {entry.state}: {min(seconds):.2f} s")
    return found


def _time(trial: Trial) -> float:
    return trial.seconds


# ---- the contestants on each traffic ----


def _entries(
    small: data.Dataset,
    large: data.Dataset,
    many_pages: data.Dataset,
    best: dict[tuple[str, str], str],
    *,
    quick: bool,
) -> list[list[_Entry]]:
    """Return groups of contestants that are measured alternately."""
    groups: list[list[_Entry]] = []
    for made in (small, large, many_pages):
        if quick and made is not large:
            groups.append([_Entry(made, MERGED, "pageroles", "")])
            continue
        merged = [_Entry(made, MERGED, name, best.get((name, MERGED), "")) for name in contestants.NAMES]
        if made is large:
            merged += [_Entry(made, MERGED, name, best[name, contestants.ARRAYS]) for name in ("duckdb", "polars")]
        groups.append(merged)
        if made is not many_pages:
            groups.append(
                [_Entry(made, LOADED, name, best.get((name, LOADED), "")) for name in contestants.OF_THE_STORE]
            )
    return groups


def _check(groups: list[list[_Entry]], progress: Callable[[str], None]) -> list[str]:
    """Compare the reports of all contestants, whole."""
    checked: list[str] = []
    for made in {entry.made.traffic.name: entry.made for group in groups for entry in group}.values():
        expected: reports.Report | None = None
        entries = [entry for group in groups for entry in group if entry.made is made and entry.contestant != "floor"]
        for entry in entries:
            progress(f"checking {contestants.NAMES[entry.contestant]} on {made.traffic.name}, {entry.state}")
            report, _ = _report(entry)
            expected = expected or report
            if (difference := reports.difference(expected, report)) is not None:
                raise WrongReportError(
                    f"{entry.contestant} ({entry.form}) on {made.traffic.name}, {entry.state}: {difference}"
                )
        assert expected is not None
        checked.append(
            f"{made.traffic.name}: {len(entries)} answers of {len(expected.pages):,} rows are the same; "
            f"{expected.totals[0]:,} sessions of {expected.totals[1]:,} users"
        )
    return checked


def _report(entry: _Entry, repeats: int = 0) -> tuple[reports.Report, float]:
    """Return a contestant's report, and the best time of some repeats."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report"
        found = _run(entry.task(report=str(path), repeats=repeats))
        return reports.read(path), min(found.seconds[ANY.name], default=0.0)


# ---- the measurements ----


def _measure(
    groups: list[list[_Entry]], rounds: int, repeats: int, progress: Callable[[str], None]
) -> list[figures.Measurement]:
    measured: dict[_Entry, figures.Measurement] = {}
    for group in groups:
        for nth in range(rounds):
            for entry in group:
                progress(
                    f"{entry.made.traffic.name}, {entry.state}: round {nth + 1} of {rounds}, "
                    f"{contestants.NAMES[entry.contestant]}"
                )
                one = measured.setdefault(
                    entry, figures.Measurement(entry.made.traffic.name, entry.state, entry.contestant, entry.form)
                )
                _add(one, _run(entry.task(repeats=repeats)))
    return list(measured.values())


def _measure_every_question(
    measured: list[figures.Measurement], large: data.Dataset, rounds: int, progress: Callable[[str], None]
) -> None:
    """Ask pageroles every question."""
    ours = figures.find(measured, large.traffic.name, MERGED, "pageroles")
    questions = [ANY, *SCOPES, *FILTERS, *WINDOWS]
    for nth in range(rounds):
        progress(f"{large.traffic.name}: round {nth + 1} of {rounds}, all questions")
        found = _run(_Entry(large, MERGED, "pageroles", "").task(questions=questions, repeats=2))
        _add_times(ours, found)
        ours.facts["peak of all questions"] = found.peak_of_all - found.idle


def _run(task: Task) -> TaskResult:
    return processes.call("worker", [msgspec.json.encode(task).decode()], TaskResult)


def _add(one: figures.Measurement, found: TaskResult) -> None:
    _add_times(one, found)
    one.peaks.append(found.peak - found.idle)
    one.idle = found.idle
    one.facts |= found.facts


def _add_times(one: figures.Measurement, found: TaskResult) -> None:
    for name, seconds in found.seconds.items():
        one.seconds.setdefault(name, []).extend(seconds)
        one.cpu.setdefault(name, []).append(found.cpu[name])


def _machine(load_before: tuple[float, float, float]) -> dict[str, Any]:
    cpu = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.machine(),
    )  # fmt: skip
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "load_before": load_before,
        "load_after": os.getloadavg(),
        "pageroles": adapter.version(),
        "build": adapter.build(),
    }
