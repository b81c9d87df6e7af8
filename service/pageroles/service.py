"""What gRPC and REST share: check the key, read the question, count the request against the quota, make the report.

A transport calls it with who calls and the question, and gets a `Reply` or a `PagerolesError`. Nothing here knows how
requests travel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable  # noqa: TC003 - a field of a NamedTuple
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from pageroles.access.domains import StoredDomains
from pageroles.access.keys import KeyRing, KeyStore, KeyUses, Permission
from pageroles.access.quotas import QuotaMeter, QuotaStore
from pageroles.admission import Admission
from pageroles.errors import CancelledError, InternalError, OverloadedError, PagerolesError, UnauthenticatedError
from pageroles.question.request import to_days_query, to_query, to_sessions_query, to_values_query
from pageroles.report.answerer import Answerer
from pageroles.report.answers import Opened, Unchanged
from pageroles.report.run import Reporter
from pageroles.settings import ServerSettings
from pageroles.store.watch import EVERY_SECONDS, Watch
from pageroles.telemetry.readings import Parts
from pageroles.telemetry.record import Telemetry
from pageroles.turns import Turns
from pageroles.v1 import pages_pb2
from pageroles.writing import SessionWriting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.access.keys import Caller
    from pageroles.admission import Place
    from pageroles.errors import QuotaState
    from pageroles.incoming import Incoming
    from pageroles.question.model import Query
    from pageroles.report.answers import Answer
    from pageroles.report.residents import Memory
    from pageroles.store.call import Call
    from pageroles.store.store import Store
    from pageroles.telemetry.record import RequestRecord
    from pageroles.turns import Turn

_log = structlog.get_logger(__name__)

Asked = (
    pages_pb2.PagesRequest | pages_pb2.PageSessionsRequest | pages_pb2.PageDaysRequest | pages_pb2.FilterValuesRequest
)


class _Kind(NamedTuple):
    """A kind of question.

    Attributes:
        permission: What its key must allow.
        is_counted: Whether it counts against the quota.
        read: Returns what a request asks about a domain at a time.
    """

    permission: Permission
    is_counted: bool
    read: Callable[[Any, str, datetime], Query]


_KINDS: dict[type, _Kind] = {
    pages_pb2.PagesRequest: _Kind(Permission.REPORT, True, to_query),
    pages_pb2.PageSessionsRequest: _Kind(Permission.SESSIONS, True, to_sessions_query),
    pages_pb2.PageDaysRequest: _Kind(Permission.REPORT, True, to_days_query),
    pages_pb2.FilterValuesRequest: _Kind(Permission.REPORT, False, to_values_query),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer.

    Attributes:
        report: The answer; that it is unchanged, where the caller has it already.
        key_id: The id of the caller's key.
        quota: The domain's quota after this request; None where it has no quota.
        turn: The request's turn, to leave when the caller has the answer.
    """

    report: Answer
    key_id: str
    quota: QuotaState | None
    turn: Turn


class PagesService:
    """Answers requests from a store; safe to use from many threads.

    Attributes:
        max_seconds: The longest time that a request may take, in seconds.
        admission: Accounts for what the requests hold together.
        turns: Gives them their turns.
        watch: Tells whether the store is ready.
        telemetry: What requests are told to, beside the log.
        sessions: Takes sessions that callers write.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_seconds: float = ServerSettings.max_seconds,
        max_requests: int = ServerSettings.max_requests,
        memory: int | None = ServerSettings.memory,
        watch_seconds: float = EVERY_SECONDS,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Check the store, and start the workers.

        Args:
            store: The store to answer from; it stays open.
            max_seconds: The longest time that a request may take, in seconds.
            max_requests: The most requests at work at once; further ones are refused.
            memory: The most bytes of domains in memory; None: a quarter of what the process may use; 0: none is kept.
            watch_seconds: The time from one look at the store to the next, in seconds.
            telemetry: What requests are told to, beside the log.

        Raises:
            SettingError: The store lacks the schema or has another version of it, or its user may not see damage.
            StoreDamagedError: Parts of the store are damaged.
            StoreUnavailableError: The store can't be reached.
        """
        self.watch = Watch(store, every_seconds=watch_seconds)
        self.watch.start()
        try:
            self._reporter = Reporter(store, memory=memory)
            self._answerer = Answerer(store, self._reporter)
        except BaseException:
            self.watch.close()
            raise
        self.max_seconds = max_seconds
        self.admission = Admission(max_requests)
        self.turns = Turns()
        self._store = store
        self._domains = StoredDomains(store)
        self._keys = KeyRing(KeyStore(store))
        self._uses = KeyUses(KeyStore(store))
        self._quotas = QuotaMeter(QuotaStore(store))
        self.telemetry = telemetry or Telemetry()
        self.sessions = SessionWriting(
            store, self._keys, self._uses, self.watch, max_seconds=max_seconds, telemetry=self.telemetry
        )
        if self.telemetry.metrics:
            parts = Parts(
                store=store,
                watch=self.watch,
                residents=self._reporter.residents,
                quotas=self._quotas,
                admission=self.admission,
                turns=self.turns,
                refused=(
                    self.admission.refused.read,
                    self.turns.refused.read,
                    self._keys.refused.read,
                    self.sessions.refused,
                ),
                written=self.sessions.counts,
                writer=self.sessions.writer,
            )
            self.telemetry.metrics.watch(parts.read)

    def close(self) -> None:
        """Store what was taken, end the workers and the watch, and return what is reserved of quotas and not used."""
        self.watch.stop()
        self.sessions.close()
        self._reporter.close()
        self._quotas.close()
        self._uses.close()
        self.watch.close()

    @property
    def memory(self) -> Memory:
        """The domains in memory."""
        return self._reporter.residents.memory()

    def reread(self) -> None:
        """Read keys and quotas again at the next request, however new the copies are."""
        self._keys.forget()
        self._quotas.forget()

    def answer(self, incoming: Incoming, question: Asked, started: Callable[[Call], None]) -> Reply:
        """Answer a request.

        Args:
            incoming: Who calls.
            question: The question, not checked.
            started: Called with each call before any query of it runs, so that the transport can cancel it.

        Raises:
            PagerolesError: The request was refused, or failed; unexpected errors are raised as `InternalError`.
        """
        with self.telemetry.request(incoming.origin, question) as record:
            try:
                reply = self._answer(incoming, question, started, record)
            except PagerolesError:
                raise
            except Exception as error:
                raise InternalError(repr(error)).with_traceback(error.__traceback__) from error
            record.sessions = reply.report.total_sessions
        return reply

    def _answer(
        self,
        incoming: Incoming,
        question: Asked,
        started: Callable[[Call], None],
        record: RequestRecord,
    ) -> Reply:
        # Its time counts from here: a store that is slow to tell of keys leaves less of it to the report.
        seconds = self.max_seconds if incoming.seconds is None else min(incoming.seconds, self.max_seconds)
        call = self._store.call(seconds, record)
        with self.admission.place() as place:
            started(call)
            try:
                with record.stage("admission"):
                    caller, query, quota = self._admitted(incoming, question, place, record, call)
                try:
                    with record.stage("line"), place.set_aside():
                        call.turn = turn = self.turns.take(caller.key_id, call.remaining())

                    def go_on() -> contextlib.AbstractContextManager[Call]:
                        return self._going_on(call.deadline, caller.key_id, started)

                    report = self._answerer.answer(query, call, place.take_large, go_on, incoming.known)
                    # Again, for what happened meanwhile.
                    self.watch.refuse_damaged()
                except BaseException as error:
                    call.let_others()
                    if isinstance(error, PagerolesError) and not isinstance(error, CancelledError):
                        self._quotas.give_back(quota)
                    raise
            finally:
                call.finish()
            if isinstance(report, Unchanged):
                self._quotas.give_back(quota)
                quota = None
            if isinstance(report, Opened):
                # Each further part of it takes a turn of its own.
                turn.leave()
            else:
                turn.answered()
            return Reply(report, caller.key_id, quota, turn)

    @contextlib.contextmanager
    def handing_over(self, reply: Reply, request_id: str) -> Iterator[None]:
        """Hold an answer while the block hands it to its caller.

        Raises:
            OverloadedError: Too many large answers are on their way; it costs no quota then.
        """
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self.admission.answer(reply.key_id, reply.report.bytes))
            except OverloadedError as error:
                self._quotas.give_back(reply.quota)
                # The line of the request was written when the answer was made.
                _log.info("answer not sent", request_id=request_id, key_id=reply.key_id, error=str(error))
                raise
            yield

    @contextlib.contextmanager
    def _going_on(self, deadline: float, key_id: str, started: Callable[[Call], None]) -> Iterator[Call]:
        """Admit what an answer reads while its caller reads the answer; the deadline is that of `time.monotonic`."""
        with self.admission.place() as place:
            place.belongs_to(key_id)
            call = self._store.call(deadline - time.monotonic())
            started(call)
            try:
                with place.set_aside():
                    call.turn = self.turns.take(key_id, call.remaining())
                yield call
                self.watch.refuse_damaged()
            finally:
                call.let_others()
                call.finish()

    def _admitted(
        self, incoming: Incoming, question: Asked, place: Place, record: RequestRecord, call: Call
    ) -> tuple[Caller, Query, QuotaState | None]:
        """Return a caller who may ask, the question, and the quota that it was counted against."""
        self.watch.refuse_damaged()
        kind = _KINDS[type(question)]
        caller = self._caller(incoming, kind.permission)
        record.key_id = caller.key_id
        place.belongs_to(caller.key_id)
        self._uses.note(caller.key_id)
        record.domain = domain = self._domains.stored(caller.domain) if caller.names_domain else caller.domain
        query = kind.read(question, domain, datetime.now(UTC))
        # What nobody waits for any more is not counted.
        call.remaining()
        return caller, query, self._quotas.take(domain) if kind.is_counted else None

    def _caller(self, incoming: Incoming, permission: Permission) -> Caller:
        try:
            return self._keys.caller(incoming.key, incoming.domain, permission, incoming.origin.address)
        except UnauthenticatedError:
            # The key itself may be among the rows that are lost.
            self.watch.refuse_damaged()
            raise
