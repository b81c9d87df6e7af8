"""What gRPC and REST share of writing: check the key, and hand the sessions of a request to the one writer.

A transport opens a `Delivery` for a request, gives it the sessions as they come, and waits for what it is told to wait
for. Nothing here knows how requests travel, nor whether those who wait are threads or tasks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections import deque
from concurrent import futures
from typing import TYPE_CHECKING, NamedTuple

from pageroles import sentences
from pageroles.admission import Admission
from pageroles.counts import Counts
from pageroles.errors import CancelledError, DeadlineError, InternalError, PagerolesError
from pageroles.ingest.session import Row
from pageroles.ingest.writer import Writer, size_of
from pageroles.telemetry.record import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from pageroles.access.keys import Caller, KeyRing, KeyUses
    from pageroles.incoming import Incoming
    from pageroles.ingest.writer import RecoverableStore, Times
    from pageroles.store.watch import Watch
    from pageroles.telemetry.record import RequestRecord

# Requests that write, at once; each may hold this many bytes of rows that are not stored yet.
MOST_DELIVERIES = 256
MOST_UNSTORED_BYTES = 4 << 20
MOST_LISTED = 1000
# Between the times of a write, and what a request's rows come from, in the words of telemetry.
_STAGES = ("wait", "prepare", "insert")
_SOURCE = "caller"


@dataclasses.dataclass(frozen=True, slots=True)
class Rejected:
    """A session that is not stored: its position in the request, from 0, and what is wrong with it."""

    index: int
    reason: str


class Written(NamedTuple):
    """What became of the sessions of a request.

    Attributes:
        stored: Sessions that are stored.
        rejected: The first 1,000 that are not, in their order.
        rejected_count: How many are not.
    """

    stored: int
    rejected: list[Rejected]
    rejected_count: int


class Delivery:
    """The sessions of one request, on their way to the store; for one thread or task at a time."""

    def __init__(self, writer: Writer, domain: str, seconds: float, record: RequestRecord | None = None) -> None:
        """Begin with none; `SessionWriting.delivery` checks who calls first.

        Args:
            writer: Takes the rows.
            domain: The domain whose sessions are taken; empty: any.
            seconds: The time that the request has.
            record: Is told what storing took; None: nobody is.
        """
        self._record = record
        self._writer = writer
        self._domain = domain
        self._ends = time.monotonic() + seconds
        self._taken = 0
        self._rejected: list[Rejected] = []
        self._rejected_count = 0
        self._under_way: deque[tuple[Future[Times], int]] = deque()
        self._bytes = 0

    def remaining(self) -> float:
        """Return the seconds left, more than 0.

        Raises:
            DeadlineError: No time is left.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise DeadlineError("the request took too long; send fewer sessions at once, or allow more time")
        return left

    def add(self, sessions: Iterable[Row | str]) -> None:
        """Take the next sessions over: rows, and for those that break a rule the reason.

        Raises:
            DeadlineError: The request's time is over.
            OverloadedError: Too much waits to be stored.
            StoreUnavailableError: The server is stopping.
        """
        self.remaining()
        rows: list[Row] = []
        for index, session in enumerate(sessions, start=self._taken + self._rejected_count):
            if not isinstance(session, Row):
                self._reject(index, session)
            elif self._domain and session.key[0] != self._domain:
                given, own = sentences.shown(session.key[0]), sentences.shown(self._domain)
                self._reject(index, f"domain must be {own}, for which the request is, not {given}")
            else:
                rows.append(session)
        self._taken += len(rows)
        if rows:
            size = sum(map(size_of, rows))
            self._under_way.append((self._writer.submit(rows), size))
            self._bytes += size

    def under_way(self, most_bytes: int = MOST_UNSTORED_BYTES) -> Future[Times] | None:
        """Return what to wait for, before more sessions are read or all are stored; None: nothing.

        Ask again after it: while more than `most_bytes` are under way, this returns the oldest write.

        Args:
            most_bytes: The bytes of rows that may stay under way; 0 at the end of a request.

        Raises:
            PagerolesError: A write that has ended failed; all sessions have to be sent again.
        """
        while self._under_way:
            (oldest, size) = self._under_way[0]
            if not oldest.done():
                return oldest if self._bytes > most_bytes else None
            self._under_way.popleft()
            self._bytes -= size
            self._tell(oldest.result())
        return None

    def wait(self, most_bytes: int = MOST_UNSTORED_BYTES) -> None:
        """Wait in this thread for what `under_way` returns, until that is nothing.

        Raises:
            PagerolesError: As for `under_way`, or the request's time is over.
        """
        while (oldest := self.under_way(most_bytes)) is not None:
            futures.wait((oldest,), self.remaining())

    def written(self) -> Written:
        """Return what became of the sessions, once nothing is under way."""
        return Written(self._taken, self._rejected, self._rejected_count)

    def _tell(self, times: Times) -> None:
        if self._record is not None:
            now = time.perf_counter()
            for name, (began, ended) in zip(_STAGES, itertools.pairwise(times), strict=True):
                self._record.took(name, ended - began, now - ended)

    def _reject(self, index: int, reason: str) -> None:
        self._rejected_count += 1
        if len(self._rejected) < MOST_LISTED:
            self._rejected.append(Rejected(index, reason))


class SessionWriting:
    """Takes sessions that callers write; safe to use from many threads.

    Attributes:
        writer: Stores them.
        admission: Accounts for the places of requests that write; those that ask have others.
        counts: How many were `stored`, and `rejected`.
    """

    def __init__(
        self,
        store: RecoverableStore,
        keys: KeyRing,
        uses: KeyUses,
        watch: Watch,
        *,
        max_seconds: float,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Start the writer.

        Args:
            store: Where the sessions go.
            keys: Checks keys.
            uses: Keeps when keys were used.
            watch: Tells whether the store is damaged.
            max_seconds: The longest time that a request may take, in seconds.
            telemetry: What requests are told to, beside the log.
        """
        self.counts = Counts("stored", "rejected")
        self._telemetry = telemetry or Telemetry()
        self.writer = Writer(store)
        self.admission = Admission(MOST_DELIVERIES)
        self._keys = keys
        self._uses = uses
        self._watch = watch
        self._max_seconds = max_seconds

    def close(self) -> None:
        """Store what was taken, and take no more."""
        self.writer.close()

    def refused(self) -> Mapping[str, int]:
        """Return how many requests were refused, by what was wanting.

        One of all places of those that write (`writes`), or of those of a key (`writes_of_key`); or room, since too
        many sessions are `unstored`.
        """
        places = self.admission.refused.read()
        return {"writes": places["places"], "writes_of_key": places["key"], **self.writer.refused.read()}

    @contextlib.contextmanager
    def delivery(self, incoming: Incoming) -> Iterator[Delivery]:
        """Take the sessions of a request while the block runs; then write its line of the log.

        Yields:
            Takes the sessions. At the end of the block nothing of it may be under way, unless the request failed.

        Raises:
            PagerolesError: The request was refused, or failed; unexpected errors are raised as `InternalError`.
        """
        with self._telemetry.request(incoming.origin) as record:
            record.source, record.stored, record.rejected = _SOURCE, 0, 0
            delivery: Delivery | None = None
            failed = True
            try:
                with self.admission.place() as place:
                    with record.stage("admission"):
                        caller = self._caller(incoming)
                        record.key_id, record.domain = caller.key_id, caller.domain or None
                        place.belongs_to(caller.key_id)
                    seconds = self._max_seconds if incoming.seconds is None else incoming.seconds
                    delivery = Delivery(self.writer, caller.domain, min(seconds, self._max_seconds), record)
                    yield delivery
                failed = False
            except PagerolesError:
                raise
            except Exception as error:
                raise InternalError(repr(error)).with_traceback(error.__traceback__) from error
            except BaseException:
                record.refuse(CancelledError.status.name)
                raise
            finally:
                if delivery is not None:
                    written = delivery.written()
                    record.stored = 0 if failed else written.stored
                    record.rejected = written.rejected_count
                    self.counts.add("stored", record.stored)
                    self.counts.add("rejected", record.rejected)

    def _caller(self, incoming: Incoming) -> Caller:
        # Where rows are lost, nobody knows what the sessions replace.
        self._watch.refuse_damaged()
        caller = self._keys.writer(incoming.key, incoming.domain, incoming.origin.address)
        self._uses.note(caller.key_id)
        return caller
