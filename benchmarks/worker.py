"""One contestant's turn, in a process of its own: opened, warmed up, timed, closed.

Takes a `Turn` as JSON for its argument, and writes what it found as the last line of standard output.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from benchmarks import contestants, memory
from benchmarks.cases import NOTHING, Question


class Turn(msgspec.Struct, frozen=True):
    """What to do.

    Attributes:
        contestant: Who, of `contestants.NAMES`.
        folder: The folder of the made-up traffic.
        state: Of the store: `loaded` or `merged`.
        form: Of the query.
        questions: What to ask.
        repeats: How often to time each question.
        answer: Where to write the answer to the first question, to be compared.
    """

    contestant: str
    folder: str
    state: str
    form: str
    questions: list[Question]
    repeats: int = 1
    answer: str | None = None


class Found(msgspec.Struct):
    """What came out.

    Attributes:
        seconds: Of each question, by its name.
        cpu: Seconds at work of all its threads, of each question on average.
        idle: Bytes resident before the first real question.
        peak: The most bytes resident while the first question was asked, the first time included.
        peak_of_all: The same of all questions.
        facts: Versions, threads, and what else there is to know.
    """

    seconds: dict[str, list[float]] = {}
    cpu: dict[str, float] = {}
    idle: int = 0
    peak: int = 0
    peak_of_all: int = 0
    facts: dict[str, object] = {}


def run(turn: Turn) -> Found:
    """Do it."""
    with contestants.enter(turn.contestant, Path(turn.folder), state=turn.state, form=turn.form) as contestant:
        if turn.answer is not None:
            contestant.read(contestant.ask(turn.questions[0])).write(Path(turn.answer))
        found = Found()
        contestant.ask(NOTHING)
        found.idle = memory.resident(contestant.pid)
        memory.reset_peak(contestant.pid)
        for question in turn.questions:
            contestant.ask(question)
            worked = memory.cpu_seconds(contestant.pid)
            found.seconds[question.name] = [_seconds(contestant, question) for _ in range(turn.repeats)]
            found.cpu[question.name] = (memory.cpu_seconds(contestant.pid) - worked) / max(turn.repeats, 1)
            found.peak_of_all = memory.peak(contestant.pid)
            found.peak = found.peak or found.peak_of_all
        found.facts = contestant.facts()
        return found


def _seconds(contestant: contestants.Contestant, question: Question) -> float:
    began = time.perf_counter()
    contestant.ask(question)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(run(msgspec.json.decode(sys.argv[1], type=Turn))).decode() + "\n")
