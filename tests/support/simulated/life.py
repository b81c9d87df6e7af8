"""The life of a service by seed: writers, askers, merges, erasures and restarts, while anything may go wrong.

After every step the reference says what the answers have to be; an error has to be the fault's, in time and in words
for anyone; and nothing may be left behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import json
from collections import Counter
from datetime import UTC
from random import Random
from typing import TYPE_CHECKING

import structlog

from pageroles import service as service_module
from pageroles.access import keys, quotas
from pageroles.access.keys import KeyStore, Permission
from pageroles.access.quotas import QuotaStore
from pageroles.errors import CancelledError, InvalidArgumentError, PagerolesError, Status
from pageroles.incoming import Incoming, Origin
from pageroles.ingest.session import parse_line
from pageroles.question.request import to_query
from pageroles.report import plan, residents
from pageroles.report.kept import DOMAIN_BYTES
from pageroles.report.plan import InMemory
from pageroles.service import PagesService
from pageroles.store import erasure, recovery
from pageroles.store.store import Store
from pageroles.v1 import pages_pb2
from support import reference, worlds
from support.erasing import drawn_erasure, to_erasure
from support.residing import expected_answer
from support.simulated import network as networks
from support.simulated.clickhouse import ClickHouse
from support.simulated.network import KINDS, Fault, Network
from support.simulated.threads import SCHEDULE, Datetime, Thread
from support.wire import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pageroles.question.model import PagesQuery
    from pageroles.store.call import Call
    from support.reference import Erase, Session

DSN = "clickhouse://reports:secret@made.up:8123/default"
STEPS = 14
LARGE = 1 << 30
# What a request may take beyond its time. The look-ups of a key and a quota are not its own: each ends by itself, one
# after the other, where the store does not answer.
_SLACK, _LOOK_UPS = 3.0, 5 * 8.0
# How long after a fault something may still be in its way: a connection that stays silent.
_LINGERS = 100.0
# The bytes of an answer that found nothing.
_NOTHING = 60
_ALLOWED = {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.RESOURCE_EXHAUSTED}
# No sentence for callers has any of these.
_SECRET = ("SELECT", "made.up", "secret", "Code:", "Traceback", "object at")


@dataclasses.dataclass
class Asked:
    """A question: who asks what, and what came of it."""

    domain: str
    request: Mapping[str, str]
    now: datetime | None = None
    answer: bytes | None = None
    error: PagerolesError | None = None
    in_memory: bool = False


class Life:
    """A service over a made-up server.

    Attributes:
        seed: What everything is drawn from.
        seen: How often what happened.
        told: What happened, in order.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = Random(f"life {seed}")
        self.seen: Counter[str] = Counter()
        self.told: list[str] = []
        SCHEDULE.begin(seed, worlds.NOW)
        self.server = ClickHouse(Random(f"server {seed}"))
        self.network = Network(self.server, Random(f"network {seed}"))
        networks.take_over(self.network)
        self._draw_limits()
        self.world = worlds.moving(self.rng, worlds.world(self.rng))
        self.left = list(self.world.deliveries)
        self.came: list[Session | Erase] = []
        # Of writes that were cut short the sessions, by the ids of the writes.
        self.cut_short: dict[int, Sequence[Session]] = {}
        self.is_erasing = False
        # What somebody writes while others ask.
        self.rushing: list[Session | Erase] = []
        self.rush_began = 0.0
        self._questions: dict[int, datetime] = {}
        self.spent = self.cancelled = 0

    def _draw_limits(self) -> None:
        rng = self.rng
        residents.SMALL_ROWS = rng.choice((0, 10, 20_000))
        residents.MOST_NEW_ROWS = rng.choice((0, 5, 20_000))
        residents._ROWS_AT_ONCE = rng.choice((5, 500_000))
        plan.SMALL_ROWS = rng.choice((5, 100_000))
        plan.ROWS_PER_UNIT = plan.DATED_ROWS_PER_UNIT = rng.choice((10, 1_500_000))
        self.memory = rng.choice((0, LARGE, LARGE, 2 * DOMAIN_BYTES + 10_000))
        self.max_seconds = rng.choice((10.0, 60.0))
        self.watch_seconds = rng.choice((2.0, 60.0, 60.0))

    # ---- the processes ----

    def _open(self) -> None:
        """Start the service."""
        self.store = Store.open(DSN, readers=self.rng.choice((2, 4)), silence=self.max_seconds + 10)
        try:
            self.service = PagesService(
                self.store, max_seconds=self.max_seconds, memory=self.memory, watch_seconds=self.watch_seconds
            )
        except BaseException:
            self.store.close()
            raise
        self.spent = self.cancelled = 0
        try:
            recovery.recover(self.store)
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        self.service.close()
        self.store.close()

    def live(self) -> None:
        """Live, and check what holds after each step."""
        with self._born():
            steps: list[Callable[[], None]] = [
                *[self.write] * 4, *[self.ask_some] * 4, self.ask_at_once, self.rush, *[self.break_something] * 4,
                self.mend, self.merge, self.pass_time, self.erase, self.restart, self.die,
            ]  # fmt: skip
            self.write()
            for _ in range(STEPS):
                step = self.rng.choice(steps)
                self._tell(step.__name__)
                step()
                self.check()
            self.recover()

    def meet(self, kind: str, *, whole: bool) -> None:
        """Let each request in turn meet a fault, whatever is done: the first one, the second one, and so on.

        Args:
            kind: The fault, a key of `KINDS`.
            whole: Also while the service starts and while somebody erases, which takes long.
        """
        self.watch_seconds = 60.0
        with self._born():
            self.left = []
            self.deliver(self.world.deliveries)
            asked = Asked(self.world.domains[0], {"start_date": "2025-07-01", "touch_scope": "first"})
            steps = [lambda: self._ask(dataclasses.replace(asked), None, None), self.write]
            for step in [*steps, self.erase, self.restart] if whole else steps:
                for after in itertools.count():
                    fault = Fault(kind, after)
                    self._forget()
                    self.network.faults = [fault]
                    self._tell(f"{fault}")
                    step()
                    self.check()
                    if fault.times:
                        break
                    self.mend()
                    self._wait()
            self.recover()

    def _forget(self) -> None:
        """Let the service ask for all that it would know by now."""
        self.service.reread()
        self.service._reporter.residents._kept.clear()
        self.service._reporter._facts._small.clear()

    @contextlib.contextmanager
    def _born(self) -> Iterator[None]:
        """Begin with a store, a key, a quota and the service; nothing is left of them in the end."""
        with Store.open(DSN, readers=2, silence=70) as self.admin:
            may = [Permission.REPORT, Permission.WRITE]
            self.key, _ = KeyStore(self.admin).create(None, permissions=may)
            self.limited = self.rng.choice(self.world.domains)
            QuotaStore(self.admin).set(self.limited, self.rng.choice((1000, 100_000)))
            reports = service_module._KINDS[pages_pb2.PagesRequest]._replace(read=self._to_query)
            service_module._KINDS[pages_pb2.PagesRequest] = reports
            self._open()
            yield
            self._close()
        _ = gc.collect()  # what is left is in errors, which hold their frames
        assert not SCHEDULE.others, f"threads are left: {SCHEDULE.others}"
        assert not SCHEDULE.failures, SCHEDULE.failures
        assert not self.network.open_connections, "connections are left"

    def _tell(self, what: str) -> None:
        self.seen[what.partition(":")[0].partition("(")[0]] += 1
        self.told.append(f"{SCHEDULE.seconds:.6f} {what}")

    def _to_query(self, request: pages_pb2.PagesRequest, domain: str, now: datetime) -> PagesQuery:
        self._questions[id(request)] = now
        return to_query(request, domain, now)

    # ---- what happens ----

    def break_something(self) -> None:
        self.network.faults.append(
            Fault(
                self.rng.choice(KINDS),
                after=self.rng.choice((0, 0, 1, 2, 3, 5, 8, 13, 21)),
                times=self.rng.choice((1, 1, 1, 2, 3, 10)),
            )
        )
        self._tell(str(self.network.faults[-1]))

    def mend(self) -> None:
        """Let nothing go wrong any more: as soon as the server listens, the very next question is answered."""
        self.network.faults.clear()
        SCHEDULE.sleep(max(self.network.down_until - SCHEDULE.seconds, 0.0))
        asked = self._drawn()
        self._ask(asked, None, None)
        assert asked.error is None or isinstance(asked.error, InvalidArgumentError), f"{asked}"

    def _wait(self) -> None:
        """Let what is under way meet its end."""
        self.network.faults.clear()
        SCHEDULE.sleep(100.0)

    def merge(self) -> None:
        for _ in range(self.rng.randint(1, 6)):
            self.server.merge()

    def pass_time(self) -> None:
        SCHEDULE.sleep(self.rng.choice((0.1, 3.0, 25.0, 90.0, 200.0)))

    def write(self) -> None:
        """Write some of what is left, or some of what came once more."""
        size = self.rng.choice((1, 3, 10, 30))
        batch, self.left = self.left[:size], self.left[size:]
        if not batch:
            came = [one for one in self.came if isinstance(one, dict)]
            batch = self.rng.sample(came, min(size, len(came)))
        if batch:
            self.deliver(batch)

    def deliver(self, batch: Sequence[Session]) -> None:
        begun, began = set(self.server.begun), SCHEDULE.seconds
        seconds = self.rng.choice((None, 2.0, 30.0))
        incoming = Incoming(Origin("WriteSessions", "w"), self.key, None, seconds)
        try:
            with self.service.sessions.delivery(incoming) as delivery:
                delivery.add([parse_line(_line(session)) for session in batch])
                delivery.wait(0)
        except PagerolesError as error:
            self._tell(f"not written: {type(error).__name__} {error}")
            self._is_right_error(error)
            # The writer may be at it still.
            while self.service.sessions.writer.unstored_bytes:
                SCHEDULE.sleep(1.0)
            self._settle()
            new = set(self.server.begun) - begun
            if new - self.server.ended:
                assert len(new) == 1, "one batch is written at a time"
                self.cut_short[min(new)] = batch
            elif new:
                self.came += batch
        else:
            self._is_in_time(began, seconds, "writing")
            self._settle()
            assert not self.cut_short, "what was cut short is finished before anything is acknowledged"
            new = set(self.server.begun) - begun
            assert new <= self.server.ended, "what is acknowledged has ended"
            self.came += batch

    def _settle(self) -> None:
        """Note what was cut short and has been finished since."""
        for write_id in [write_id for write_id in self.cut_short if write_id in self.server.ended]:
            self.came += self.cut_short.pop(write_id)

    def erase(self) -> None:
        came = [one for one in self.came if isinstance(one, dict)]
        if not came:
            return
        wanted = drawn_erasure(self.rng, came)
        asked = to_erasure(wanted)
        while True:
            try:
                erasure.erase(self.admin, asked)
            except PagerolesError as error:
                self._tell(f"not erased: {type(error).__name__} {error}")
                self._settle()
                self.is_erasing = True
                self.ask_some()
                self._wait()
            else:
                break
        self.is_erasing = False
        self._settle()
        self.came.append(wanted)

    def restart(self) -> None:
        """Stop the service, and start it again."""
        self._close()
        self._open_again()

    def die(self) -> None:
        """Kill the service: nothing of it reaches the server any more."""
        self.network.is_cut_off = True
        self.network.end_connections()
        self._close()
        self.network.is_cut_off = False
        self._open_again()

    def _open_again(self) -> None:
        while True:
            try:
                self._open()
            except PagerolesError as error:
                self._tell(f"not started: {type(error).__name__} {error}")
                self._wait()
            else:
                break
        self._settle()

    # ---- questions ----

    def ask_some(self) -> None:
        for _ in range(self.rng.randint(1, 4)):
            self.ask()

    def ask(self) -> None:
        cancel_after = self.rng.choice((None, None, self.rng.uniform(0, 0.03), 1.0))
        self._ask(self._drawn(), self.rng.choice((None, 0.3, 5.0, 30.0)), cancel_after)

    def ask_at_once(self) -> None:
        """Ask several questions at once."""
        asked = [(self._drawn(), self.rng.choice((None, 1.0, 30.0))) for _ in range(self.rng.randint(2, 5))]
        threads = [Thread(target=self._ask, args=(*each, None), name="asker") for each in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not SCHEDULE.failures, SCHEDULE.failures[0]

    def rush(self) -> None:
        """Ask while somebody writes: what is counted in memory is the store at one moment."""
        batch, self.left = self.left[:3], self.left[3:]
        if not batch or self.cut_short:
            return
        asked = [self._drawn() for _ in range(4)]
        self.rushing, self.rush_began = [*batch], SCHEDULE.seconds
        threads = [Thread(target=self._ask, args=(each, None, None), name="asker") for each in asked]
        for thread in threads[:2]:
            thread.start()
        writer = Thread(target=self.deliver, args=(batch,), name="deliverer")
        writer.start()
        for thread in threads[2:]:
            thread.start()
        for thread in (*threads, writer):
            thread.join()
        self.rushing = []
        assert not SCHEDULE.failures, SCHEDULE.failures[0]

    def _drawn(self) -> Asked:
        return Asked(worlds.domain(self.rng, self.world), worlds.request(self.rng, self.world))

    def _ask(self, asked: Asked, seconds: float | None, cancel_after: float | None) -> None:
        request = message(asked.request)
        incoming = Incoming(Origin("Pages", "q"), self.key, asked.domain, seconds)
        began = SCHEDULE.seconds
        before = [*self.came]

        def started(call: Call) -> None:
            if cancel_after is not None:
                Thread(target=_cancel, args=(call, cancel_after), name="canceller").start()

        try:
            reply = self.service.answer(incoming, request, started)
            asked.answer = reply.report.message()
            reply.turn.leave()
            asked.in_memory = isinstance(reply.report.plan, InMemory)
            self.spent += reply.quota is not None
        except PagerolesError as error:
            asked.error = error
            self.cancelled += isinstance(error, CancelledError) and asked.domain == self.limited
        self._is_in_time(began, seconds, f"{asked}")
        asked.now = self._questions.pop(id(request), None)
        self._is_right(asked, before, is_cancelled=cancel_after is not None)

    def _is_half_written(self, asked: Asked) -> bool:
        """Tell whether an answer may be of a moment within a write, which fails or which a report streams through."""
        return bool(self.rushing) and (not asked.in_memory or self.network.last_met >= self.rush_began)

    def _is_right(self, asked: Asked, before: Sequence[Session | Erase], *, is_cancelled: bool) -> None:
        if asked.error is not None:
            self._tell(f"no answer: {type(asked.error).__name__} {asked.error}")
            if isinstance(asked.error, InvalidArgumentError):
                with contextlib.suppress(reference.InvalidRequestError):
                    reference.window(asked.request, asked.now or SCHEDULE.now(UTC))
                    raise AssertionError(f"{asked} is a question")
            elif not (is_cancelled and isinstance(asked.error, CancelledError)):
                self._is_right_error(asked.error)
            return
        assert asked.now is not None
        assert asked.answer is not None
        self.seen["answered"] += 1
        self.seen["in memory"] += asked.in_memory
        if self.cut_short or self.is_erasing or self._is_half_written(asked):
            self.seen["not compared"] += 1
            return
        states = [before, [*before, *self.rushing]] if self.rushing else [before]
        expected = [expected_answer(came, asked.domain, asked.request, asked.now) for came in states]
        self.seen["found something"] += len(expected[0]) > _NOTHING
        self.seen["while somebody wrote"] += expected[0] != expected[-1]
        assert asked.answer in expected, (
            f"{asked.domain} {asked.request} got:\n{pages_pb2.PagesResponse.FromString(asked.answer)}\nexpected:\n"
            f"{pages_pb2.PagesResponse.FromString(expected[-1])}"
        )

    def _is_right_error(self, error: PagerolesError) -> None:
        assert error.status in _ALLOWED, f"{type(error).__name__}: {error}"
        assert not any(word in str(error) for word in _SECRET), error
        went_wrong = max(self.network.last_met, self.network.down_until)
        assert SCHEDULE.seconds - went_wrong < _LINGERS, f"without a fault: {error}"

    def _is_in_time(self, began: float, seconds: float | None, what: str) -> None:
        limit = min(self.max_seconds if seconds is None else seconds, self.max_seconds)
        took = SCHEDULE.seconds - began
        assert took <= max(limit, _LOOK_UPS) + _SLACK, f"it took {took} s of {limit} s: {what}"

    # ---- what holds ----

    def check(self) -> None:
        """Check what holds between steps."""
        assert not self.service.admission.taken, "places are given back"
        assert not self.service.sessions.admission.taken, "places of writers are given back"
        assert not SCHEDULE.failures, SCHEDULE.failures
        counts = self.service._quotas.counts.read()
        kept = counts["spent"] - counts["returned"]
        assert self.spent <= kept <= self.spent + self.cancelled, f"{counts}, {self.spent} answered"

    def recover(self) -> None:
        """End all faults: the next question is answered, and soon nothing is left of what went wrong."""
        self.mend()
        self._wait()
        late = SCHEDULE.seconds - 5.0
        running = [each.statement.text[:60] for each in self.network.running if each.began < late]
        assert not running, f"queries are under way: {running}"
        if self.cut_short:
            self.deliver([one for batch in self.cut_short.values() for one in batch])
        for domain in self.world.domains:
            for scope in reference.SCOPES:
                asked = Asked(domain, {"touch_scope": scope})
                self._ask(asked, None, None)
                assert asked.answer is not None, f"{asked}"


def _cancel(call: Call, after: float) -> None:
    SCHEDULE.sleep(after)
    call.cancel()


def _line(session: Session) -> bytes:
    views = [{**view, "url": view["url"] or "?"} for view in session.get("page_views", [])]
    return json.dumps({**session, "page_views": views}).encode()


structlog.configure(logger_factory=lambda *_: structlog.ReturnLogger(), processors=[lambda *_: ""])
for _module in (service_module, keys, quotas):
    _module.datetime = Datetime  # type: ignore[attr-defined]
