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
        report: Where to write the report that answers the first question, to be compared.
    """

    contestant: str
    folder: str
    state: str
    form: str
    questions: list[Question]
    repeats: int = 1
    report: str | None = None


class TaskResult(msgspec.Struct):
    """What a task found.

    Attributes:
        seconds: Of each question, by its name.
        cpu: Processor seconds of all threads, of each question on average.
        idle: Bytes resident before the first real question.
        peak: The most bytes resident while the first question was asked, the first time included.
        peak_of_all: The same of all questions.
        facts: Versions, threads, and the like.
    """

    seconds: dict[str, list[float]] = {}
    cpu: dict[str, float] = {}
    idle: int = 0
    peak: int = 0
    peak_of_all: int = 0
    facts: dict[str, object] = {}


def run(task: Task) -> TaskResult:
    """Do a task in this process."""
    opened = contestants.open_contestant(task.contestant, Path(task.folder), state=task.state, form=task.form)
    with opened as contestant:
        if task.report is not None:
            contestant.read(contestant.ask(task.questions[0])).write(Path(task.report))
        result = TaskResult()
        contestant.ask(EMPTY_WINDOW)
        result.idle = memory.resident(contestant.pid)
        memory.reset_peak(contestant.pid)
        for question in task.questions:
            contestant.ask(question)
            cpu_before = memory.cpu_seconds(contestant.pid)
            result.seconds[question.name] = [_seconds(contestant, question) for _ in range(task.repeats)]
            result.cpu[question.name] = (memory.cpu_seconds(contestant.pid) - cpu_before) / max(task.repeats, 1)
            result.peak_of_all = memory.peak(contestant.pid)
            result.peak = result.peak or result.peak_of_all
        result.facts = contestant.facts()
        return result


def _seconds(contestant: contestants.Contestant, question: Question) -> float:
    began = time.perf_counter()
    contestant.ask(question)
    return time.perf_counter() - began


if __name__ == "__main__":
    processes.reply(run(msgspec.json.decode(sys.argv[1], type=Task)))
