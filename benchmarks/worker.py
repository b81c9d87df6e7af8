"""One contestant in a process of its own: opened, warmed up, timed, closed.

Takes a `Task` as JSON for its argument, and writes a `TaskResult` as the last line of standard output.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from benchmarks import contestants, memory, processes
from benchmarks.cases import EMPTY_WINDOW, Question


class Task(msgspec.Struct, frozen=True):
    """What to do.

    Attributes:
        contestant: One of `contestants.NAMES`.
        folder: The folder of the made-up traffic.
        state: Of the store: `loaded` or `merged`.
        form: Of the contestant's query.
        questions: What to ask.
        repeats: How often to time each question.
        reports: The folder to write reports to that answer the questions, to be compared; their names are numbers.
    """

    contestant: str
    folder: str
    state: str
    form: str
    questions: list[Question]
    repeats: int = 1
    reports: str | None = None


class TaskResult(msgspec.Struct):
    """What a task found.

    Attributes:
        seconds: Of each question, by its name.
        cpu: Processor seconds of all threads, of each question on average.
        idle: Bytes resident before the first real question.
        peak: The most bytes resident while the first question was asked, the first time included.
        facts: Versions, threads, and the like.
        filling: What filling the memory took, for a contestant that does it.
    """

    seconds: dict[str, list[float]] = {}
    cpu: dict[str, float] = {}
    idle: int = 0
    peak: int = 0
    facts: dict[str, object] = {}
    filling: dict[str, float] = {}


def run(task: Task) -> TaskResult:
    """Do a task in this process."""
    opened = contestants.open_contestant(task.contestant, Path(task.folder), state=task.state, form=task.form)
    with opened as contestant:
        result = TaskResult()
        contestant.ask(EMPTY_WINDOW)
        result.idle = memory.resident(contestant.pid)
        result.filling = contestant.prepare()
        if task.reports is not None:
            for nth, question in enumerate(task.questions):
                contestant.read(contestant.ask(question)).write(Path(task.reports) / str(nth))
        memory.reset_peak(contestant.pid)
        for question in task.questions:
            contestant.ask(question)
            cpu_before = memory.cpu_seconds(contestant.pid)
            result.seconds[question.name] = [_seconds(contestant, question) for _ in range(task.repeats)]
            result.cpu[question.name] = (memory.cpu_seconds(contestant.pid) - cpu_before) / max(task.repeats, 1)
            result.peak = result.peak or memory.peak(contestant.pid)
        result.facts = contestant.facts()
        return result


def _seconds(contestant: contestants.Contestant, question: Question) -> float:
    began = time.perf_counter()
    contestant.ask(question)
    return time.perf_counter() - began


if __name__ == "__main__":
    processes.reply(run(msgspec.json.decode(sys.argv[1], type=Task)))
