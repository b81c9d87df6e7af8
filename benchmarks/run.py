"""The benchmark: makes the data, compares the answers, then measures, the contestants taking turns."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import adapter, answers, contestants, data, figures, turns
from benchmarks.cases import ANY, FILTERS, SCOPES, WINDOWS, Traffic
from benchmarks.worker import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.worker import Found

LOADED, MERGED = data.LOADED, data.MERGED
# Forms that go on from the small traffic to the large.
_BEST = 3
# Who competes where no forms are tried: the best of earlier runs.
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
class Tried:
    """A form of a query that was tried: how long it took on traffic in a state, or what was wrong."""

    contestant: str
    form: str
    told: str
    traffic: str
    state: str
    seconds: float
    fault: str | None = None


@dataclasses.dataclass(slots=True)
class Results:
    """All that a run found."""

    size: int
    rounds: int
    repeats: int
    sizes: figures.Sizes
    machine: dict[str, Any]
    loading: dict[str, dict[str, Any]]
    tried: list[Tried]
    checked: list[str]
    measured: list[figures.Measured]
    targets: list[figures.Target]


class WrongError(Exception):
    """A contestant's answer is not that of the others."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Seat:
    """A contestant in a state of the traffic, with the form of its query."""

    made: data.Made
    state: str
    contestant: str
    form: str

    def turn(self, **more: Any) -> Turn:
        """Return a turn of it."""
        return Turn(self.contestant, str(self.made.folder), self.state, self.form, **{"questions": [ANY], **more})


def run(size: int, rounds: int, repeats: int, tell: Callable[[str], None], *, quick: bool = False) -> Results:
    """Measure at a size and at a tenth of it.

    Args:
        size: Sessions of the large traffic.
        rounds: How often each contestant has its turn.
        repeats: How often it is timed in a turn.
        tell: Told what goes on.
        quick: Try no forms, and measure the others at the large size alone.

    Raises:
        WrongError: An answer differs.
        turns.FailedError: A contestant failed.
    """
    load_before = os.getloadavg()
    small, large = (data.make(Traffic(sessions), tell) for sessions in (size // 10, size))
    many_pages = data.make(Traffic(size, pages=max(size // 20, 10_000)), tell)
    sizes = figures.Sizes(small.traffic.name, large.traffic.name, many_pages.traffic.name)

    tried, best = ([], _KNOWN) if quick else _try_forms(small, large, tell)
    seats = _seats(small, large, many_pages, best, quick=quick)
    checked = _check(seats, tell)
    measured = _measure(seats, rounds, repeats, tell)
    _ask_the_rest(measured, large, rounds, tell)
    return Results(
        size=size,
        rounds=rounds,
        repeats=repeats,
        sizes=sizes,
        machine=_machine(load_before),
        loading={made.traffic.name: made.loading for made in (small, large, many_pages)},
        tried=tried,
        checked=checked,
        measured=measured,
        targets=figures.targets(measured, sizes),
    )


# ---- which form of the others' queries is the best ----


def _try_forms(
    small: data.Made, large: data.Made, tell: Callable[[str], None]
) -> tuple[list[Tried], dict[tuple[str, str], str]]:
    """Try all forms on the small traffic and the best on the large; the best there compete."""
    expected, _ = _answer(_Seat(small, MERGED, "pageroles", ""))
    tried: list[Tried] = []
    best: dict[tuple[str, str], str] = {}
    for name in ("sql", "duckdb", "polars"):
        told = contestants.forms(name)
        heats: list[Tried] = []
        for form in told:
            tell(f"trying {contestants.NAMES[name]}: {form}")
            seat = _Seat(small, MERGED, name, form)
            answer, seconds = _answer(seat, repeats=2)
            fault = answers.difference(expected, answer)
            heats.append(Tried(name, form, told[form], small.traffic.name, MERGED, seconds, fault))
        tried += heats
        right = sorted((one for one in heats if one.fault is None), key=_time)
        # What was best on the large before goes on, too, wherever it comes in on the small.
        final = list(dict.fromkeys([*(one.form for one in right[:_BEST]), *_known(name)]))
        if name == "sql":
            plain = [form + contestants.NO_FINAL for form in final]
            loaded = _finals([_Seat(large, LOADED, name, form) for form in final], told, tell)
            best[name, LOADED] = min(loaded, key=_time).form
            tried += loaded
            final += plain
        finals = _finals([_Seat(large, MERGED, name, form) for form in final], told, tell)
        tried += finals
        best[name, MERGED] = min(finals, key=_time).form
        arrays = best[name, MERGED].partition(";")[0] + contestants.ARRAYS
        if name != "sql":
            best[name, contestants.ARRAYS] = arrays
        tried += _finals([_Seat(large, MERGED, name, arrays)], told, tell)
    return tried, best


def _finals(seats: list[_Seat], told: dict[str, str], tell: Callable[[str], None]) -> list[Tried]:
    """Time forms in two rounds, in turn, and take the best time of each."""
    times: list[list[float]] = [[] for _ in seats]
    for _ in range(2):
        for seat, seconds in zip(seats, times, strict=True):
            seconds.extend(turns.take(seat.turn(repeats=2)).seconds[ANY.name])
    found: list[Tried] = []
    for seat, seconds in zip(seats, times, strict=True):
        name = told[seat.form.partition(";")[0]]
        found.append(Tried(seat.contestant, seat.form, name, seat.made.traffic.name, seat.state, min(seconds)))
        tell(f"tried {contestants.NAMES[seat.contestant]}: {seat.form}, {seat.state}: {min(seconds):.2f} s")
    return found


def _time(tried: Tried) -> float:
    return tried.seconds


# ---- who competes, where ----


def _seats(
    small: data.Made,
    large: data.Made,
    many_pages: data.Made,
    best: dict[tuple[str, str], str],
    *,
    quick: bool,
) -> list[list[_Seat]]:
    """Return groups of contestants that take turns."""
    groups: list[list[_Seat]] = []
    for made in (small, large, many_pages):
        if quick and made is not large:
            groups.append([_Seat(made, MERGED, "pageroles", "")])
            continue
        merged = [_Seat(made, MERGED, name, best.get((name, MERGED), "")) for name in contestants.NAMES]
        if made is large:
            merged += [_Seat(made, MERGED, name, best[name, contestants.ARRAYS]) for name in ("duckdb", "polars")]
        groups.append(merged)
        if made is not many_pages:
            groups.append(
                [_Seat(made, LOADED, name, best.get((name, LOADED), "")) for name in contestants.OF_THE_STORE]
            )
    return groups


def _check(groups: list[list[_Seat]], tell: Callable[[str], None]) -> list[str]:
    """Compare the answers of all who compete, whole."""
    checked: list[str] = []
    for made in {seat.made.traffic.name: seat.made for group in groups for seat in group}.values():
        expected: answers.Answer | None = None
        seats = [seat for group in groups for seat in group if seat.made is made and seat.contestant != "floor"]
        for seat in seats:
            tell(f"checking {contestants.NAMES[seat.contestant]} on {made.traffic.name}, {seat.state}")
            answer, _ = _answer(seat)
            expected = expected or answer
            if (difference := answers.difference(expected, answer)) is not None:
                raise WrongError(f"{seat.contestant} ({seat.form}) on {made.traffic.name}, {seat.state}: {difference}")
        assert expected is not None
        checked.append(
            f"{made.traffic.name}: {len(seats)} answers of {len(expected.rows):,} rows are the same; "
            f"{expected.totals[0]:,} sessions of {expected.totals[1]:,} users"
        )
    return checked


def _answer(seat: _Seat, repeats: int = 0) -> tuple[answers.Answer, float]:
    """Return an answer, and the best time of some repeats."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer"
        found = turns.take(seat.turn(answer=str(path), repeats=repeats))
        return answers.read(path), min(found.seconds[ANY.name], default=0.0)


# ---- the measurements ----


def _measure(
    groups: list[list[_Seat]], rounds: int, repeats: int, tell: Callable[[str], None]
) -> list[figures.Measured]:
    measured: dict[_Seat, figures.Measured] = {}
    for group in groups:
        for nth in range(rounds):
            for seat in group:
                tell(
                    f"{seat.made.traffic.name}, {seat.state}: round {nth + 1} of {rounds}, "
                    f"{contestants.NAMES[seat.contestant]}"
                )
                one = measured.setdefault(
                    seat, figures.Measured(seat.made.traffic.name, seat.state, seat.contestant, seat.form)
                )
                _add(one, turns.take(seat.turn(repeats=repeats)))
    return list(measured.values())


def _ask_the_rest(measured: list[figures.Measured], large: data.Made, rounds: int, tell: Callable[[str], None]) -> None:
    """Ask pageroles everything else."""
    ours = figures.find(measured, large.traffic.name, MERGED, "pageroles")
    questions = [ANY, *SCOPES, *FILTERS, *WINDOWS]
    for nth in range(rounds):
        tell(f"{large.traffic.name}: round {nth + 1} of {rounds}, all questions")
        found = turns.take(_Seat(large, MERGED, "pageroles", "").turn(questions=questions, repeats=2))
        for name, seconds in found.seconds.items():
            ours.seconds.setdefault(name, []).extend(seconds)
            ours.cpu.setdefault(name, []).append(found.cpu[name])
        ours.facts["peak of all questions"] = found.peak_of_all - found.idle


def _add(one: figures.Measured, found: Found) -> None:
    for name, seconds in found.seconds.items():
        one.seconds.setdefault(name, []).extend(seconds)
        one.cpu.setdefault(name, []).append(found.cpu[name])
    one.peaks.append(found.peak - found.idle)
    one.idle = found.idle
    one.facts |= found.facts


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
