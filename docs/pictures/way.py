"""The way of one real request through the rooms: traced as it goes, and drawn as SVG.

Every thread of the server tells each call and return while the request is under way. A call into a module that
`STAGES` names begins its stage, unless the request is further on; all else belongs to the stage that called it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
import threading
import time
from concurrent.futures import thread as pool
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

import pageroles
from pageroles import service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, FrameType

_PACKAGE = Path(pageroles.__file__).parent


class Stage(NamedTuple):
    """A stage of a request: its room, and what happens there."""

    room: str
    does: str


_IN = Stage("transport", "HTTP and JSON to a PagesRequest")
_COUNT = Stage("report/run", "count: the core counts what is in memory")
_NAME = Stage("report/run", "name: the pages of the answer")
_ANSWER = Stage("report/answers", "counts to messages")
_OUT = Stage("transport", "messages to JSON and HTTP")
# By module, in the order of a request.
STAGES = {
    "transport": _IN,
    "service": Stage("service", "a place among the requests; the log"),
    "access/keys": Stage("access/keys", "who asks"),
    "question/request": Stage("question", "request to a validated question"),
    "access/quotas": Stage("access/quotas", "what is left of the month"),
    "report/facts": Stage("report/facts", "what is kept of the domain, as it is now"),
    "report/plan": Stage("report/plan", "facts to how the report is made"),
    "report/run": _COUNT,
}
_ORDER = [*STAGES.values(), _NAME, _ANSWER, _OUT]
_LEAST = 0.01

# Who works, and the colours for light and dark ground.
WORKERS = {
    "python": ("Python", "#1f6feb", "#58a6ff"),
    "store": ("ClickHouse", "#d08700", "#e3a82b"),
    "core": ("the core, in Rust", "#b02a6f", "#f778ba"),
}


class Doing(NamedTuple):
    """What a thread is at: a stage, and who works for it; empty where the thread waits for another."""

    stage: Stage
    worker: str


class Span(NamedTuple):
    """What a thread did from one moment to another, in seconds from the start of the request."""

    doing: Doing
    start: float
    end: float


@dataclasses.dataclass
class Way:
    """A traced request; `seconds` is what its client waited."""

    spans: list[Span]
    seconds: float

    def stages(self) -> list[Stage]:
        """Return the stages that the request passed, in order."""
        passed = {span.doing.stage for span in self.spans}
        return [stage for stage in _ORDER if stage in passed]

    def of(self, stage: Stage) -> list[Span]:
        """Return the spans of a stage."""
        return sorted((span for span in self.spans if span.doing.stage == stage), key=lambda span: span.start)

    def worked(self, worker: str) -> float:
        """Return the seconds of all threads together for which somebody worked."""
        return sum(span.end - span.start for span in self.spans if span.doing.worker == worker)

    def spent(self, stage: Stage) -> float:
        """Return the seconds in which at least one thread was at a stage."""
        total = reached = 0.0
        for span in self.of(stage):
            total += max(0.0, span.end - max(span.start, reached))
            reached = max(reached, span.end)
        return total


class Tracer:
    """Records what each thread does; install it before the server starts its threads."""

    def __init__(self) -> None:
        """Record nothing yet."""
        self.on = False
        self.is_answered = False
        self.events: list[tuple[float, int, Doing | None]] = []

    def install(self) -> None:
        """Hear of the calls of every thread that starts from now on."""
        threading.setprofile(lambda *heard: _Thread(self).begin(*heard))

    def trace(self, ask: Callable[[], object]) -> Way:
        """Return the way of the request that `ask` makes and waits for.

        Raises:
            RuntimeError: The request left out a stage.
        """
        self.events, self.is_answered, self.on = [], False, True
        start = time.perf_counter()
        ask()
        end = time.perf_counter()
        self.on = False
        threads: dict[int, list[tuple[float, Doing | None]]] = {}
        for at, thread, doing in self.events:
            threads.setdefault(thread, []).append((at, doing))
        spans = [
            Span(doing, begun - start, min(ended, end) - start)
            for events in threads.values()
            for (begun, doing), (ended, _) in itertools.pairwise([*events, (end, None)])
            if doing is not None and doing.worker
        ]
        way = Way(spans, end - start)
        if missed := [stage for stage in _ORDER if stage not in way.stages()]:
            raise RuntimeError(f"the request did not pass {missed}; does a module of STAGES have another name now?")
        return way


class _Thread:
    """What one thread does. Calls of other packages must cost little here: they are most, and the time is measured."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._id = threading.get_ident()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._events = self._tracer.events
        self._stack: list[Doing | None] = []
        self._now: Doing | None = None

    def begin(self, frame: FrameType, event: str, argument: Any) -> None:
        sys.setprofile(self._heard)
        self._heard(frame, event, argument)

    def _heard(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._tracer.on:
            return
        if self._events is not self._tracer.events:
            self._begin_anew()  # the thread may not have heard the end of the request before
        if event in {"call", "return"}:
            module = _module(frame.f_code)
            if module is None:
                return
            if event == "call":
                self._push(self._called(module, frame.f_code.co_name))
            else:
                self._tracer.is_answered |= frame.f_code is _SERVE
                self._pop()
        elif _is_of_core(argument) or (argument is next and frame.f_code is _TAKE):
            if event == "c_call":
                # Messages of a report are taken one by one, by a thread of a pool, from an iterator of the core.
                stage = self._now.stage if self._now else _ANSWER
                self._push(Doing(stage, "core"))
            else:
                self._pop()

    def _push(self, doing: Doing | None) -> None:
        self._stack.append(self._now)
        self._set(doing)

    def _pop(self) -> None:
        if self._stack:  # else the call came before the recording
            self._set(self._stack.pop())

    def _set(self, doing: Doing | None) -> None:
        if doing != self._now:
            self._now = doing
            self._events.append((time.perf_counter(), self._id, doing))

    def _called(self, module: str, function: str) -> Doing | None:
        now = self._now
        if now is not None and module.startswith("store/"):
            return Doing(now.stage, "store")
        if now is not None and module == "report/workers":
            return Doing(now.stage, "")
        stage = STAGES.get(module) or STAGES.get(module.partition("/")[0])
        if stage is _COUNT and now is not None and function != "run":
            stage = _NAME if function == "_is_named" else None
        if module == "report/answers":
            stage = _ANSWER
        if stage is _IN and self._tracer.is_answered:
            stage = _OUT
        is_further = now is not None and stage is not None and _ORDER.index(now.stage) > _ORDER.index(stage)
        is_reading = now is not None and now.stage is _IN and module != "service"
        return now if stage is None or is_further or is_reading else Doing(stage, "python")


_SERVE = service.PagesService.answer.__code__
_TAKE = pool._WorkItem.run.__code__  # noqa: SLF001


@functools.cache
def _module(code: CodeType) -> str | None:
    """Return the module of the package that a function is of, as `report/run`; None where it is of another."""
    path = Path(code.co_filename)
    return path.relative_to(_PACKAGE).with_suffix("").as_posix() if _PACKAGE in path.parents else None


def _is_of_core(called: Any) -> bool:
    return type(getattr(called, "__self__", None)).__module__ == "pageroles._core"


# ---- the drawing ----

_WIDTH, _LEFT, _RIGHT = 880, 300, 800
_TOP, _ROW = 96, 38
_MOST_TICKS = 6
_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink) }
  .room { font-weight: 600 }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11.5px; fill: var(--muted) }
  .ms { text-anchor: end; font-variant-numeric: tabular-nums }
  .tick { text-anchor: middle }
  .ground { fill: var(--ground); stroke: var(--line) }
  .line { stroke: var(--line) }
  .way { stroke: var(--muted); fill: none }
"""


def drawn(way: Way, title: str, note: str) -> str:
    """Return the drawing of a way: a row for each stage, from top to bottom, and time from left to right."""
    stages = way.stages()
    bottom = _TOP + _ROW * len(stages)
    scale = (_RIGHT - _LEFT) / way.seconds
    height = bottom + 60
    described = "; ".join(f"{one.room}, {one.does}: {milliseconds_of(way.spent(one))}" for one in stages)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"',
        ' role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(f"{described}. {note}")}</desc>',
        f"<style>{_colours()}{_STYLE}</style>",
        f'<rect class="ground" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="title" x="20" y="32">{escape(title)}</text>',
        *_legend(way),
        *_ticks(way.seconds, scale, bottom),
    ]
    for at, stage in enumerate(stages):
        parts += _row(way, stage, _TOP + _ROW * at, scale)
    parts += _steps(way, stages, scale)
    parts.append(f'<text class="small" x="20" y="{height - 16}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _colours() -> str:
    light = {name: colour for name, (_, colour, _) in WORKERS.items()}
    dark = {name: colour for name, (_, _, colour) in WORKERS.items()}
    light |= {"ink": "#1f2328", "muted": "#59636e", "line": "#d1d9e0", "ground": "#ffffff"}
    dark |= {"ink": "#f0f6fc", "muted": "#9198a1", "line": "#3d444d", "ground": "#0d1117"}

    def declared(colours: dict[str, str]) -> str:
        return "; ".join(f"--{name}: {colour}" for name, colour in colours.items())

    fills = " ".join(f".{name} {{ fill: var(--{name}) }}" for name in WORKERS)
    return f"""
  svg {{ {declared(light)} }}
  @media (prefers-color-scheme: dark) {{ svg {{ {declared(dark)} }} }}
  {fills}"""


def _legend(way: Way) -> Iterable[str]:
    for at, (name, (words, _, _)) in enumerate(WORKERS.items()):
        x = _LEFT + 170 * at
        yield f'<rect class="{name}" x="{x}" y="50" width="12" height="12" rx="2"/>'
        yield f'<text class="small" x="{x + 18}" y="60">{words}: {milliseconds_of(way.worked(name))}</text>'


def _ticks(seconds: float, scale: float, bottom: int) -> Iterable[str]:
    step = next(
        step
        for step in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
        if seconds / step <= _MOST_TICKS
    )
    for count in range(int(seconds / step) + 1):
        x = _LEFT + count * step * scale
        yield f'<line class="line" x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}"/>'
        unit = " ms" if count == 0 else ""
        yield f'<text class="small tick" x="{x:.1f}" y="{_TOP - 14}">{count * step * 1000:g}{unit}</text>'


def _row(way: Way, stage: Stage, top: float, scale: float) -> Iterable[str]:
    yield f'<text class="room" x="20" y="{top + 15}">{escape(stage.room)}</text>'
    yield f'<text class="small" x="20" y="{top + 30}">{escape(stage.does)}</text>'
    # Later in the list lies above: the core's short turns above the stream that feeds it.
    order = list(WORKERS)
    for span in sorted(way.of(stage), key=lambda span: order.index(span.doing.worker)):
        x, width = _LEFT + span.start * scale, max((span.end - span.start) * scale, 0.6)
        yield (f'<rect class="{span.doing.worker}" x="{x:.2f}" y="{top + 8}" width="{width:.2f}" height="18" rx=".5"/>')
    yield f'<text class="ms" x="{_WIDTH - 16}" y="{top + 21}">{milliseconds_of(way.spent(stage))}</text>'


def _steps(way: Way, stages: list[Stage], scale: float) -> Iterable[str]:
    """Draw how each stage hands over to the next."""
    for at, both in enumerate(itertools.pairwise(stages)):
        x, y = _LEFT + max(way.of(stage)[0].start for stage in both) * scale, _TOP + _ROW * at
        yield f'<path class="way" d="M{x:.1f} {y + 26}V{y + _ROW + 8}"/>'


def milliseconds_of(seconds: float) -> str:
    """Return seconds as milliseconds, with as many digits as mean something."""
    milliseconds = seconds * 1000
    if milliseconds < _LEAST:
        return f"under {_LEAST} ms"
    digits = next((digits for digits, least in enumerate((10, 1)) if milliseconds >= least), 2)
    return f"{milliseconds:.{digits}f} ms"
