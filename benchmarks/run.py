"""The benchmark: makes the data, compares the reports, then measures the contestants alternately."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks import adapter, contestants, data, figures, processes, reports, stages
from benchmarks.cases import ANY, CASES, DOMAIN, EMPTY_WINDOW, MORE, Question, Traffic
from benchmarks.stages import Stages  # noqa: TC001 - msgspec reads it
from benchmarks.worker import Task, TaskResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOADED, MERGED = data.LOADED, data.MERGED
# So many forms are tried on the large traffic after the small.
_BEST = 2
# Sessions written a second into a domain that is asked about, and how many at once.
_FED_PER_SECOND, _FED_BATCH = 500, 125
_NO_FORMS = {question.name: "" for question in CASES}


def _same(form: str) -> dict[str, str]:
    return {question.name: form for question in CASES}


# The best forms of earlier runs; they compete where none are tried.
_KNOWN = {
    ("sql", MERGED): _same("pairs first, materialized"),
    ("sql", LOADED): _same("grouping sets, materialized"),
    ("duckdb", MERGED): _same("pairs first, memory"),
    ("polars", MERGED): _same("n_unique per role, streaming engine, memory"),
}


@dataclasses.dataclass(slots=True)
class Trial:
    """A form of a query that was tried: how long each question took on some traffic, and what was wrong."""

    contestant: str
    form: str
    description: str
    traffic: str
    state: str
    seconds: dict[str, float]
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
    fed: list[figures.Fed]
    stages: list[Stages] = dataclasses.field(default_factory=list)


class WrongReportError(Exception):
    """A contestant's report is not that of the others."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A contestant in a state of the traffic, with the form of its query for each question."""

    made: data.Dataset
    state: str
    contestant: str
    forms: dict[str, str]

    @property
    def questions(self) -> list[Question]:
        """Return what it is asked."""
        return [question for question in (*CASES, *MORE) if question.name in self.forms]

    def tasks(self, **more: Any) -> list[Task]:
        """Return a task for each of its forms."""
        return [
            Task(
                self.contestant,
                str(self.made.folder),
                self.state,
                form,
                [question for question in self.questions if self.forms[question.name] == form],
                **more,
            )
            for form in dict.fromkeys(self.forms[question.name] for question in self.questions)
        ]


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
    groups = _entries(small, large, many_pages, best, quick=quick)
    checked = _check(groups, progress)
    measured = _measure(groups, rounds, repeats, progress)
    fed = [_fed(large, progress, merges=merges, seconds=10 if quick else 40) for merges in (True, False)]
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
        fed=fed,
        stages=_stages((small, large, many_pages), progress),
    )


# ---- the best forms of the others' queries ----


def _try_forms(
    small: data.Dataset, large: data.Dataset, progress: Callable[[str], None]
) -> tuple[list[Trial], dict[tuple[str, str], dict[str, str]]]:
    """Try all forms on the small traffic, and of each question the best on the large; the best of those compete."""
    expected, _ = _reports(_Entry(small, MERGED, "pageroles", _NO_FORMS))
    trials: list[Trial] = []
    best: dict[tuple[str, str], dict[str, str]] = {}
    for name in contestants.OTHERS:
        descriptions = contestants.forms(name)
        heats: list[Trial] = []
        for form, description in descriptions.items():
            progress(f"trying {contestants.NAMES[name]}: {form}")
            found, seconds = _reports(_Entry(small, MERGED, name, _same(form)), repeats=1)
            heats.append(Trial(name, form, description, small.traffic.name, MERGED, seconds, _fault(expected, found)))
        trials += heats
        right = [one for one in heats if one.fault is None]
        finalists: dict[str, list[Question]] = {}
        for question in CASES:
            fastest = sorted(right, key=lambda one, name=question.name: one.seconds[name])[:_BEST]  # type: ignore[misc]
            # The best of earlier runs are tried on the large, too, whatever their times on the small.
            known = [forms[question.name] for (each, _), forms in _KNOWN.items() if each == name]
            for form in dict.fromkeys([*(one.form for one in fastest), *known]):
                finalists.setdefault(form, []).append(question)
        for state in (LOADED, MERGED) if name == "sql" else (MERGED,):
            finals = dict(finalists)
            if (name, state) == ("sql", MERGED):
                finals |= {form + contestants.NO_FINAL: questions for form, questions in finalists.items()}
            tried = _finals(large, state, name, finals, progress)
            trials += tried
            best[name, state] = {
                question.name: min(
                    (one for one in tried if question.name in one.seconds),
                    key=lambda one, name=question.name: one.seconds[name],  # type: ignore[misc]
                ).form
                for question in CASES
            }
    return trials, best


def _finals(
    large: data.Dataset, state: str, name: str, finals: dict[str, list[Question]], progress: Callable[[str], None]
) -> list[Trial]:
    """Time forms alternately in two rounds, and take the best time of each question."""
    descriptions = contestants.forms(name)
    found = {
        form: Trial(name, form, descriptions[form.partition(";")[0]], large.traffic.name, state, {}) for form in finals
    }
    for _ in range(2):
        for form, questions in finals.items():
            progress(f"trying {contestants.NAMES[name]} on {large.traffic.name}, {state}: {form}")
            for task in _Entry(large, state, name, {question.name: form for question in questions}).tasks(repeats=1):
                for question, seconds in _run(task).seconds.items():
                    best = found[form].seconds.get(question, seconds[0])
                    found[form].seconds[question] = min(best, *seconds)
    return list(found.values())


def _fault(expected: dict[str, reports.Report], found: dict[str, reports.Report]) -> str | None:
    for question, report in expected.items():
        if (difference := reports.difference(report, found[question])) is not None:
            return f"{question}: {difference}"
    return None


# ---- the contestants on each traffic ----


def _entries(
    small: data.Dataset,
    large: data.Dataset,
    many_pages: data.Dataset,
    best: dict[tuple[str, str], dict[str, str]],
    *,
    quick: bool,
) -> list[list[_Entry]]:
    """Return groups of contestants that are measured alternately.

    All cases are asked of the others on the large traffic, merged; elsewhere `any` alone.
    """
    groups: list[list[_Entry]] = []
    ours = _NO_FORMS | {question.name: "" for question in MORE}
    only_any: Callable[[dict[str, str]], dict[str, str]] = lambda forms: {ANY.name: forms[ANY.name]}  # noqa: E731
    for made in (small, large, many_pages):
        for state in (MERGED,) if made is many_pages else (MERGED, LOADED):
            in_full = made is large and state == MERGED
            group: list[_Entry] = []
            for name in contestants.NAMES if state == MERGED else contestants.OF_THE_STORE:
                if name in {"pageroles", "streamed"}:
                    group.append(_Entry(made, state, name, ours if in_full else _NO_FORMS))
                elif name == "floor":
                    group.append(_Entry(made, state, name, {ANY.name: ""}))
                elif in_full or not quick:
                    forms = best[name, state]
                    group.append(_Entry(made, state, name, forms if in_full else only_any(forms)))
            groups.append(group)
    return groups


def _check(groups: list[list[_Entry]], progress: Callable[[str], None]) -> list[str]:
    """Compare the reports of all contestants, whole."""
    checked: list[str] = []
    for made in {entry.made.traffic.name: entry.made for group in groups for entry in group}.values():
        expected: dict[str, reports.Report] = {}
        compared = 0
        for entry in (each for group in groups for each in group if each.made is made and each.contestant != "floor"):
            progress(f"checking {contestants.NAMES[entry.contestant]} on {made.traffic.name}, {entry.state}")
            found, _ = _reports(entry)
            for question, report in found.items():
                if (difference := reports.difference(expected.setdefault(question, report), report)) is not None:
                    raise WrongReportError(
                        f"{entry.contestant} ({entry.forms[question]}) on {made.traffic.name}, {entry.state}, "
                        f"{question}: {difference}"
                    )
            compared += len(found)
        whole = expected[ANY.name]
        checked.append(
            f"{made.traffic.name}: {compared} answers to {len(expected)} questions agree; that of `any` has "
            f"{len(whole.pages):,} rows for {whole.totals[0]:,} sessions of {whole.totals[1]:,} users"
        )
    return checked


def _reports(entry: _Entry, repeats: int = 0) -> tuple[dict[str, reports.Report], dict[str, float]]:
    """Return a contestant's reports by question, and of each the best time of some repeats."""
    found: dict[str, reports.Report] = {}
    seconds: dict[str, float] = {}
    for task in entry.tasks(repeats=repeats):
        with tempfile.TemporaryDirectory() as folder:
            result = _run(msgspec.structs.replace(task, reports=folder))
            for nth, question in enumerate(task.questions):
                found[question.name] = reports.read(Path(folder) / str(nth))
        seconds |= {name: min(times, default=0.0) for name, times in result.seconds.items()}
    return found, seconds


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
                    entry, figures.Measurement(entry.made.traffic.name, entry.state, entry.contestant, entry.forms)
                )
                for task in entry.tasks(repeats=repeats):
                    _add(one, task.questions, _run(task))
    return list(measured.values())


def _run(task: Task) -> TaskResult:
    return processes.call("worker", [msgspec.json.encode(task).decode()], TaskResult)


def _add(one: figures.Measurement, questions: Iterable[Question], found: TaskResult) -> None:
    for name, seconds in found.seconds.items():
        one.seconds.setdefault(name, []).extend(seconds)
        one.cpu.setdefault(name, []).append(found.cpu[name])
    one.facts |= found.facts
    if found.filling:
        one.filling.append(found.filling)
    if ANY in questions:
        one.peaks.append(found.peak - found.idle)
        one.idle = found.idle


def _fed(large: data.Dataset, progress: Callable[[str], None], *, merges: bool, seconds: float) -> figures.Fed:
    """Ask `any` again and again, first alone and then while sessions are written into the same domain."""
    progress(f"{large.traffic.name}: written to while it is asked about, merges {'on' if merges else 'off'}")
    question = adapter.request(ANY)

    def ask(server: adapter.ServerProcess) -> list[float]:
        times: list[float] = []
        ends = time.perf_counter() + seconds
        while (began := time.perf_counter()) < ends:
            server.ask(question, DOMAIN)
            times.append(time.perf_counter() - began)
        return times

    with tempfile.TemporaryDirectory(dir=data.CACHE) as folder:
        store = Path(folder) / "store"
        data.copy(large.store(MERGED), store)
        with adapter.ServerProcess(store, merges=merges) as server:
            server.keep(adapter.request(EMPTY_WINDOW), DOMAIN)
            server.ask(question, DOMAIN)
            quiet = ask(server)
            with server.fed(DOMAIN, _FED_PER_SECOND, _FED_BATCH):
                busy = ask(server)
            return figures.Fed(merges, _FED_PER_SECOND, server.written, quiet, busy)


def _stages(all_made: Iterable[data.Dataset], progress: Callable[[str], None]) -> list[Stages]:
    """Measure the stages of a report of `any`, in memory and streamed."""
    progress("the stages of a report")
    return [
        stages.measure(made.traffic.name, made.store(MERGED), source)
        for made in all_made
        for source in ("memory", "store")
    ]


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
