"""What gRPC and REST share: who asks, may they, what for, how much is left; then the report, and its log line.

A transport brings an `Asked` and takes away an `Answer` or a `PagerolesError`. Nothing here knows how bytes travel.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from pageroles.access.keys import KeyRing, KeyStore
from pageroles.access.quotas import QuotaMeter, QuotaStore
from pageroles.errors import CancelledError, InternalError, OverloadedError, PagerolesError
from pageroles.question.request import to_query
from pageroles.report.run import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.access.keys import Caller
    from pageroles.question.model import QuotaState
    from pageroles.report.run import Report
    from pageroles.store.call import Call
    from pageroles.store.store import Store
    from pageroles.v1 import pages_pb2

_log = structlog.get_logger(__name__)

# What a request may take where its caller sets no deadline, or a longer one.
MAX_REQUEST_SECONDS = 60.0
# Requests taken on at once; the others are told to come back. Most of them wait for a worker.
MAX_REQUESTS = 64
_RETRY_SECONDS = 1.0

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def request_id(given: str | None) -> str:
    """Return the caller's id for a request where it is fit for logs and headers, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came.

    Attributes:
        method: What was called, for the log.
        request: The question.
        key: The API key; None where none came.
        domain: The domain that the caller names; None where none.
        seconds: How long the caller waits; None: as long as it takes.
        request_id: Names the request in the log and in the answer.
    """

    method: str
    request: pages_pb2.PagesRequest
    key: str | None
    domain: str | None
    seconds: float | None
    request_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A finished report, and what is left of the domain's quota (None: it has none)."""

    report: Report
    quota: QuotaState | None


class PagesService:
    """Answers requests from a store; safe to use from many threads."""

    def __init__(
        self,
        store: Store,
        *,
        max_seconds: float = MAX_REQUEST_SECONDS,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        """Answer from `store`.

        Raises:
            SettingError: The store lacks the schema.
            StoreUnavailableError: The store can't be reached.
        """
        store.check()
        self.max_seconds = max_seconds
        self.max_requests = max_requests
        self._store = store
        self._keys = KeyRing(KeyStore(store))
        self._quotas = QuotaMeter(QuotaStore(store))
        self._reporter = Reporter(store)
        self._places = threading.BoundedSemaphore(max_requests)

    def close(self) -> None:
        """End the workers, and give back what was set aside of quotas and not used."""
        self._reporter.close()
        self._quotas.close()

    def ask(self, asked: Asked, started: Callable[[Call], None]) -> Answer:
        """Answer a request.

        Args:
            asked: The request.
            started: Told the call before any query runs, so that the transport can cancel it.

        Raises:
            PagerolesError: Whatever went wrong; its class knows the status.
        """
        line = _Line(asked)
        try:
            answer = self._ask(asked, started, line)
        except PagerolesError as error:
            line.write(error)
            raise
        except Exception as error:
            fault = InternalError(repr(error)).with_traceback(error.__traceback__)
            line.write(fault)
            raise fault from error
        line.sessions = answer.report.total_sessions
        line.write(None)
        return answer

    def _ask(self, asked: Asked, started: Callable[[Call], None], line: _Line) -> Answer:
        if not self._places.acquire(blocking=False):
            raise OverloadedError("the server has all the requests it takes on at once; try again", _RETRY_SECONDS)
        try:
            line.caller = caller = self._keys.caller(asked.key, asked.domain)
            query = to_query(asked.request, caller.domain, datetime.now(UTC))
            quota = self._quotas.take(caller.domain)
            call = self._store.call(self.max_seconds if asked.seconds is None else min(asked.seconds, self.max_seconds))
            started(call)
            try:
                return Answer(self._reporter.report(query, call), quota)
            except CancelledError:
                raise
            except PagerolesError:
                self._quotas.give_back(caller.domain)
                raise
            finally:
                call.finish()
        finally:
            self._places.release()


class _Line:
    """The line of the log that a request gets."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._began = time.monotonic()
        self.caller: Caller | None = None
        self.sessions: int | None = None

    def write(self, error: PagerolesError | None) -> None:
        ours = error is not None and error.ours
        (_log.error if ours else _log.info)(
            "request",
            request_id=self._asked.request_id,
            method=self._asked.method,
            status=error.status.name if error else "OK",
            key_id=self.caller.key_id if self.caller else None,
            domain=self.caller.domain if self.caller else None,
            sessions=self.sessions,
            milliseconds=round((time.monotonic() - self._began) * 1000, 1),
            **({"error": str(error)} if error else {}),
            **({"exc_info": error} if ours else {}),
        )
