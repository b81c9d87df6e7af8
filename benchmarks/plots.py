"""The plots, as SVG that can be read on a light and on a dark background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import contestants, figures, flat, tables
from benchmarks.cases import short

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Measurement
    from benchmarks.flat import Soak
    from benchmarks.run import Results

_INK, _GROUND, _GRID = "#24292f", "#ffffff", "#d8dee4"
_OURS, _OTHERS, _FLOOR = "#1f6feb", "#8c959f", "#bf8700"
# The same colours in a dark colour scheme.
_DARK = {_INK: "#e6edf3", _GROUND: "#0d1117", _GRID: "#30363d", _OURS: "#58a6ff", _OTHERS: "#6e7681", _FLOOR: "#d29922"}
_ROW_INCHES = 0.34
_WIDTH_INCHES = 8.0

mpl.rcParams.update(
    {
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
        "font.size": 10,
        "svg.fonttype": "none",
        "svg.hashsalt": "pageroles",
    }
)


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Draw the plots into a folder; return their names and what they show."""
    size = short(results.size)
    drawn = {
        "any": (f"Seconds for any, {size} sessions", _contestants(results, lambda one: one.median(), "s")),
        "memory": (
            f"Memory above idle for any, {size} sessions",
            _contestants(results, lambda one: one.peak / figures.MIB, "MiB"),
        ),
        "questions": (f"Milliseconds of pageroles in memory for each question, {size} sessions", _questions(results)),
        "growth": ("Seconds for any by size", _growth(results)),
    }
    for name, (_, figure) in drawn.items():
        _write(figure, folder / f"{name}.svg")
    return {name: title for name, (title, _) in drawn.items()}


def draw_soak(found: Soak, folder: Path) -> str:
    """Draw what a soak saw over its time into a folder; return the name."""
    figure = Figure(figsize=(_WIDTH_INCHES, 4.2), facecolor=_GROUND, layout="constrained")
    minutes = [at / 60 for at in found.seconds]
    for axes, (name, bound) in zip(figure.subplots(len(flat.BOUNDS), sharex=True), flat.BOUNDS.items(), strict=True):
        values = [value / bound.size for value in found.figures[name]]
        _plain(axes)
        axes.plot(minutes, values, color=_OURS, linewidth=1.4)
        axes.set_ylim(0, max(values) * 1.15)
        axes.set_title(bound.name, loc="left", fontsize=10, color=_INK)
        axes.yaxis.grid(visible=True, color=_GRID, linewidth=0.8)
    axes.set_xlim(0, minutes[-1])
    axes.set_xlabel("minutes", color=_INK)
    _write(figure, folder / "soak.svg")
    return "soak"


def _write(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    path.write_text(_with_dark_scheme(path.read_text()))


def _contestants(results: Results, value: Any, unit: str) -> Figure:
    here = [
        one
        for one in results.measured
        if (one.traffic, one.state) == (results.sizes.large, "merged") and (unit == "s" or one.contestant != "floor")
    ]
    here.sort(key=value)
    return _bars(
        [tables.label(one) for one in here], [value(one) for one in here], [_colour(one) for one in here], unit
    )


def _questions(results: Results) -> Figure:
    ours = figures.find(results.measured, results.sizes.large, "merged", "pageroles")
    names = list(ours.seconds)
    return _bars(names, [ours.median(name) * 1000 for name in names], [_OURS for _ in names], "ms")


def _bars(names: list[str], values: list[float], colours: list[str], unit: str) -> Figure:
    figure, axes = _page(0.6 + _ROW_INCHES * len(names))
    places = list(range(len(names)))[::-1]
    axes.barh(places, values, color=colours, height=0.62)
    axes.set_yticks(places, names)
    for place, value in zip(places, values, strict=True):
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if unit == "ms" else f"{value:.3f}"
        axes.annotate(f"{text} {unit}", (value, place), (4, 0), textcoords="offset points", va="center", color=_INK)
    axes.set_xlim(0, max(values) * 1.14)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.xaxis.grid(visible=True, color=_GRID, linewidth=0.8)
    return figure


def _growth(results: Results) -> Figure:
    figure, axes = _page(3.6)
    sizes = (results.size // 10, results.size)
    ends: list[tuple[float, str]] = []
    for name in contestants.NAMES:
        found = [
            one
            for traffic in (results.sizes.small, results.sizes.large)
            for one in results.measured
            if (one.traffic, one.state, one.contestant) == (traffic, "merged", name)
        ]
        if len(found) == len(sizes):
            times = [one.median() for one in found]
            axes.plot(
                sizes,
                times,
                color=_colour(found[0]),
                marker="o",
                linewidth=2 if name in {"pageroles", "streamed"} else 1.4,
            )
            ends.append((times[-1], tables.label(found[-1])))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xticks(sizes, [f"{short(size)} sessions" for size in sizes])
    ticks = [
        tick for tick in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if _spans(axes, tick)
    ]
    axes.set_yticks(ticks, [f"{tick:g} s" for tick in ticks])
    axes.set_xlim(sizes[0] / 1.15, sizes[1] * 3.2)
    axes.yaxis.grid(visible=True, color=_GRID, linewidth=0.8)
    _beside(axes, sizes[1], ends)
    return figure


def _beside(axes: Any, at: float, ends: list[tuple[float, str]]) -> None:
    """Write the names at the ends of the lines, so that none covers another."""
    lowest = -float("inf")
    for value, name in sorted(ends):
        height = axes.transData.transform((at, value))[1]
        shifted = max(height, lowest + 16)
        lowest = shifted
        axes.annotate(
            name, (at, value), (8, (shifted - height) * 0.72), textcoords="offset points", va="center", color=_INK
        )


def _spans(axes: Any, tick: float) -> bool:
    low, high = axes.get_ylim()
    return bool(low <= tick <= high)


def _page(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(_WIDTH_INCHES, height), facecolor=_GROUND, layout="constrained")
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def _plain(axes: Any) -> None:
    axes.set_facecolor(_GROUND)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _colour(one: Measurement) -> str:
    return {"pageroles": _OURS, "streamed": _OURS, "floor": _FLOOR}.get(one.contestant, _OTHERS)


def _with_dark_scheme(svg: str) -> str:
    """Add the colours of the dark scheme; programs that do not know the rule show the light ones."""
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in _DARK.items()
        for kind in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>"
    head, mark, rest = svg.partition("<defs>")
    # No spaces at the ends of lines.
    return "\n".join(line.rstrip() for line in (head + style + mark + rest).splitlines()) + "\n"
