"""A reporter with domains in memory over a store that lives, and those who ask it: each answer beside the reference.

What may be asked for: an answer has all that was written before it was asked for, byte for byte as the reference says.
Of batches that are written meanwhile, each is in it whole or not at all, where it is counted in memory, which is the
store at one moment. A report that streams reads several tables, one after the other: of a domain that somebody writes
to meanwhile it promises nothing, and is not compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import threading
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Self

from google.protobuf import json_format

from pageroles.errors import InvalidArgumentError
from pageroles.question.request import to_query
from pageroles.report.plan import InMemory
from pageroles.report.run import Reporter
from pageroles.v1 import pages_pb2
from support import reference, worlds
from support.endless import until
from support.wire import message
from support.worlds import NOW
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pageroles.question.model import PagesQuery
    from pageroles.report.plan import Plan
    from pageroles.store.store import Store
    from support.lives import Life
    from support.reference import Erase, Session

ASKERS = 3
WRITERS = 2
# Between two events nobody writes, and so many questions are asked; and so many after what happens then.
QUESTIONS, QUESTIONS_AFTER = 8, 4
# Others who fill the table write so many rows at once, of a domain that nobody asks about.
_NOISE = (3, 50, 3000)
_NOISY = "noise.example"
# Of the versions of others, so many come late.
_LATE = 1 / 3
_SECONDS = 60.0
_SETTLING_SECONDS = 0.02
_SETTLING_QUESTIONS = 500

Came = list["Session | Erase"]


@dataclasses.dataclass
class Writer:
    """Who writes batches one after the other.

    Attributes:
        insert: How.
        batches: What; of sessions that no one else writes.
        begun: How many batches are written, or are being written.
        ended: How many are written.
    """

    insert: Callable[[Sequence[Session]], None]
    batches: Sequence[Sequence[Session]]
    begun: int = 0
    ended: int = 0

    def run(self) -> None:
        for batch in self.batches:
            self.begun += 1
            self.insert(batch)
            self.ended += 1

    def written(self, batches: int) -> Iterator[Session]:
        """Return what the first batches bring."""
        return itertools.chain.from_iterable(self.batches[:batches])


@dataclasses.dataclass
class Residing:
    """A reporter over the store of a life.

    Attributes:
        store: The store as the reporter has it.
        life: Who changes it, perhaps by another client.
        rng: What everything is drawn from.
        memory: The bytes that the reporter may use.
        name: What brings a failure back.
        seen: How many answers were counted in memory and how many streamed, and how often other things happened.
    """

    store: Store
    life: Life
    rng: Random
    memory: int
    name: str
    seen: Counter[str] = dataclasses.field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._reporter = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reporter.close()

    def _opened(self) -> Reporter:
        return Reporter(self.store, workers_per_report=2, memory=self.memory)

    # ---- between the events of a life ----

    def between(self) -> None:
        """Ask while nobody writes, then let something happen that only a reporter notices."""
        for _ in range(QUESTIONS):
            self.ask(self.rng)
        assert until(self._is_within_bounds), self.name
        self.rng.choice((self.rush, self.move, self.move, self.restart, self.add_noise, self.insert_plainly))()
        for _ in range(QUESTIONS_AFTER):
            self.ask(self.rng)

    def ask(self, rng: Random) -> None:
        number = rng.randrange(len(self.life.worlds))
        who, asked = self._drawn(rng, number)
        self._agrees(who, asked, lambda: iter([self.life.came[number]]))

    def _is_within_bounds(self) -> bool:
        # What has grown is over the bound for a moment.
        return sum(each.bytes for each in self._reporter.residents.kept().values()) <= self.memory

    def settle(self) -> None:
        """Ask about each domain until it is counted in memory: nothing that is done in the background goes on."""
        for world, came in zip(self.life.worlds, self.life.came, strict=True):
            for who in sorted({one["domain"] for one in reference.written(came, NOW)}):
                for _ in range(_SETTLING_QUESTIONS):
                    if isinstance(self._agrees(who, {}, lambda came=came: iter([came])), InMemory):  # type: ignore[misc]
                        break
                    time.sleep(_SETTLING_SECONDS)
                else:
                    raise AssertionError(f"{self.name}: {who} of {world.domains} never gets into memory")

    # ---- what happens ----

    def restart(self) -> None:
        self.seen["restarted"] += 1
        self._reporter.close()
        self._reporter = self._opened()

    def add_noise(self) -> None:
        """Write many rows of a domain that nobody asks about."""
        self.seen["noise"] += 1
        rows = self.rng.choice(_NOISE)
        self.life.store.command(
            "INSERT INTO sessions (domain, session_id, user_id, started_at) SELECT {domain:String}, "
            "{tag:String} || number, 'u' || number % 99, {day:DateTime} + number FROM numbers({rows:UInt32})",
            {
                "domain": _NOISY,
                "tag": f"{self.rng.random()}",
                "rows": rows,
                "day": f"2025-0{self.rng.choice('678')}-01",
            },
        )

    def insert_plainly(self) -> None:
        """Insert as other programs do: new sessions, and new versions of some that stay at their places."""
        number = self.rng.randrange(len(self.life.worlds))
        there = reference.written(self.life.came[number], NOW)
        if not there:
            return
        self.seen["inserted plainly"] += 1
        chosen = self.rng.sample(there, self.rng.randint(1, min(6, len(there))))
        batch = [self._rewritten(one, self.rng.choice(there)) for one in chosen]
        self.life.store.insert("sessions", worlds.to_store_rows(batch, versions=True))
        self.life.note(batch)

    def move(self) -> None:
        """Load sessions again that have another user, or started at another time."""
        number = self.rng.randrange(len(self.life.worlds))
        there = reference.written(self.life.came[number], NOW)
        if not there:
            return
        self.seen["moved"] += 1
        batch = [self._moved(one, there) for one in self.rng.sample(there, self.rng.randint(1, min(6, len(there))))]
        write(self.life.store, batch, at_once=len(batch))
        self.life.note(batch)

    def _moved(self, one: Session, others: Sequence[Session]) -> Session:
        user, start = self.rng.choice(others)["user_id"], self.rng.choice(others)["started_at"]
        version: Session = {**one, **self.rng.choice(({"user_id": user}, {"started_at": start}))}  # type: ignore[typeddict-item]
        version.pop("written_at", None)
        return version

    def _rewritten(self, one: Session, other: Session) -> Session:
        tag = self.rng.choice(("", "", f" by others {self.rng.random()}"))
        version: Session = {**other, **{name: one[name] for name in ("domain", "session_id", "user_id", "started_at")}}  # type: ignore[typeddict-item]
        version.pop("written_at", None)
        if self.rng.random() < _LATE:
            # An older version that comes late changes nothing.
            version["written_at"] = "2025-01-01T00:00:00.000000Z"
        version["session_id"] += tag
        return version

    # ---- a rush ----

    def rush(self) -> None:
        """Write, merge, and perhaps erase, while several ask."""
        self.seen["rushes"] += 1
        number, *others = self.rng.sample(range(len(self.life.worlds)), len(self.life.worlds))
        writers = [self._writer(number, f"{self.rng.random()}") for _ in range(WRITERS)]
        work = [writer.run for writer in writers]
        erased = others.pop() if others and self.rng.random() < 1 / 2 else None
        if erased is not None:
            work.append(functools.partial(self.life.erase_in, erased))
        askers = [Random(self.rng.random()) for _ in range(ASKERS)]
        stopping = threading.Event()

        def ask(rng: Random) -> None:
            while not stopping.is_set():
                about = rng.choice((number, number, *others, erased))
                if about is None:
                    continue
                if about == erased:
                    # It goes part by part: meanwhile nothing is promised but an answer.
                    self._ask_in_vain(rng, about)
                else:
                    self._ask_in_a_rush(rng, about, writers if about == number else [])

        def merge() -> None:
            while not stopping.wait(0.1):
                self.life.store.command("OPTIMIZE TABLE sessions")

        _at_once(work, [*(functools.partial(ask, rng) for rng in askers), merge], stopping)
        for writer in writers:
            self.life.note([*writer.written(writer.ended)])

    def _writer(self, number: int, tag: str) -> Writer:
        """Make up who writes sessions of a world's domains: its users', all in one month.

        ClickHouse stores each month of a batch by itself, and so may show one without the others.
        """
        drawn = self.life.worlds[number]
        made = worlds.moving(self.rng, worlds.world(self.rng, NOW)).renamed(drawn.domains[0].partition(".")[0])
        users = sorted({one["user_id"] for one in drawn.deliveries})
        months: dict[str, set[str]] = {}
        for one in made.deliveries:
            months.setdefault(one["session_id"], set()).add(one["started_at"][:7])
        sessions: list[Session] = [
            {**one, "session_id": one["session_id"] + tag, "domain": self.rng.choice(drawn.domains)}
            for one in made.deliveries
            if len(months[one["session_id"]]) == 1
        ]
        domains: dict[str, str] = {}
        people = {user: self.rng.choice(users) for user in sorted({one["user_id"] for one in sessions})}
        for one in sessions:
            one["domain"] = domains.setdefault(one["session_id"], one["domain"])
            one["user_id"] = people[one["user_id"]]
        month = self.rng.choice([one["started_at"][:7] for one in sessions] or [""])
        # The first versions, the second ones, and so on: between two batches, sessions move.
        batches = worlds.rounds(one for one in sessions if one["started_at"].startswith(month))
        return Writer(lambda batch: write(self.life.store, batch, at_once=len(batch)), batches)

    def _ask_in_a_rush(self, rng: Random, number: int, writers: Sequence[Writer]) -> None:
        who, asked = self._drawn(rng, number)
        before = [writer.ended for writer in writers]

        def states() -> Iterator[Came]:
            ranges = [range(writer.begun, least - 1, -1) for writer, least in zip(writers, before, strict=True)]
            for batches in itertools.product(*ranges):
                came = [writer.written(many) for writer, many in zip(writers, batches, strict=True)]
                yield [*self.life.came[number], *itertools.chain.from_iterable(came)]

        self._agrees(who, asked, states)

    def _ask_in_vain(self, rng: Random, number: int) -> None:
        who, asked = self._drawn(rng, number)
        with contextlib.suppress(InvalidArgumentError):
            self._answer(to_query(message(asked), who, NOW))
            self.seen["not compared"] += 1

    # ---- one question ----

    def _drawn(self, rng: Random, number: int) -> tuple[str, dict[str, str]]:
        world = self.life.worlds[number]
        return worlds.domain(rng, world), worlds.request(rng, world)

    def _agrees(self, who: str, asked: Mapping[str, str], states: Callable[[], Iterator[Came]]) -> Plan | None:
        """Ask, and compare with what the answer may be; return the plan, or None for what is no question."""
        try:
            query = to_query(message(asked), who, NOW)
        except InvalidArgumentError:
            return None
        plan, answer = self._answer(query)
        possible = [*states()]
        if len(possible) > 1 and not isinstance(plan, InMemory):
            self.seen["not compared"] += 1
            return plan
        expected = (expected_answer(came, who, asked) for came in possible)
        assert answer in expected, (
            f"{self.name}: domain {who}, request {asked}, {plan}, {len(possible)} states, got:\n"
            f"{pages_pb2.PagesResponse.FromString(answer)}\nexpected:\n"
            f"{pages_pb2.PagesResponse.FromString(expected_answer(possible[0], who, asked))}"
        )
        self.seen["in memory" if isinstance(plan, InMemory) else "streamed"] += 1
        self.seen["while somebody wrote"] += len(possible) > 1
        self.seen["found something"] += len(answer) > len(NOTHING)
        return plan

    def _answer(self, query: PagesQuery) -> tuple[Plan, bytes]:
        call = self.store.call(_SECONDS)
        try:
            report = self._reporter.report(query, call)
            return report.plan, report.message()
        finally:
            call.finish()


NOTHING = pages_pb2.PagesResponse(message=reference.MESSAGE).SerializeToString()


def expected_answer(came: Sequence[Session | Erase], who: str, asked: Mapping[str, str], now: datetime = NOW) -> bytes:
    """Return the bytes of the answer that the reference gives."""
    answer = reference.report(came, who, asked, now)
    return json_format.ParseDict(answer, pages_pb2.PagesResponse()).SerializeToString(deterministic=True)


def _at_once(
    work: Sequence[Callable[[], None]], others: Sequence[Callable[[], None]], stopping: threading.Event
) -> None:
    """Run pieces of work at once, and others beside them until they end; raise what one of them raises."""
    failed: list[BaseException] = []

    def run(piece: Callable[[], None]) -> None:
        try:
            piece()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(piece,)) for piece in work]
    beside = [threading.Thread(target=run, args=(piece,)) for piece in others]
    for thread in [*threads, *beside]:
        thread.start()
    for thread in threads:
        thread.join()
    stopping.set()
    for thread in beside:
        thread.join()
    if failed:
        raise failed[0]
