"""A gRPC server that answers as the reference does, refuses as it is told, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
from concurrent import futures
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format

from pageroles.transport.faults import Code, Refusal, to_grpc
from pageroles.v1 import pages_pb2, pages_pb2_grpc
from support import reference
from support.endless import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.reference import Session

REQUEST_ID = "request-1"
_ROLES = (*reference.CONVERSION_ROLES, *reference.DROP_OFF_ROLES)


@dataclasses.dataclass
class Call:
    """What a call carried."""

    method: str
    request: Any
    metadata: dict[str, str | bytes]
    seconds: float


class Answering(pages_pb2_grpc.PageRolesServiceServicer):
    """Answers about sessions of one domain; each starts in a millisecond of its own, and none in a whole second."""

    def __init__(self, sessions: Sequence[Session], now: datetime) -> None:
        self.calls: list[Call] = []
        # What is given instead of the next answers.
        self.refusals: list[Refusal] = []
        # What is given instead of the second message of a stream.
        self.breaks_with: Refusal | None = None
        self.rows_a_message = 1
        # Whether a stream stops after its first message until the caller gives up; then `given_up` is set.
        self.holds = False
        self.given_up = threading.Event()
        self._sessions = sorted(sessions, key=lambda each: each["started_at"], reverse=True)
        self._domain = sessions[0]["domain"] if sessions else ""
        self._now = now

    # ---- the methods ----

    def StreamPages(self, request: pages_pb2.PagesRequest, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        self._began("StreamPages", request, context)
        context.set_trailing_metadata((("x-plan", "count them all"),))
        whole = json_format.ParseDict(self._report(_parameters(request), _beside(request)), pages_pb2.PagesResponse())
        rows: list[tuple[str, Any]] = []
        for name in ("conversion_performance", "drop_off_performance"):
            rows += [(name, row) for row in getattr(whole, name)]
        first = pages_pb2.PagesResponse()
        first.CopyFrom(whole)
        first.ClearField("conversion_performance")
        first.ClearField("drop_off_performance")
        messages = [first]
        for start in range(0, len(rows), self.rows_a_message):
            message = pages_pb2.PagesResponse()
            for name, row in rows[start : start + self.rows_a_message]:
                getattr(message, name).append(row)
            messages.append(message)
        yield from self._streamed(messages, context)

    def PageSessions(self, request: pages_pb2.PageSessionsRequest, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        self._began("PageSessions", request, context)
        role = pages_pb2.Role.Name(request.role).removeprefix("ROLE_").lower() if request.role else ""
        found = [
            session
            for session in self._sessions
            if self._has(_parameters(request.question), session, reference.canonical(request.url or "/"), role, request)
        ]
        total = pages_pb2.RoleCount(sessions=len(found), users=len({session["user_id"] for session in found}))
        data = pages_pb2.DataState(version="v1")
        data.complete_through.FromDatetime(self._now)
        kept = found[: request.limit or None]
        sessions = [json_format.ParseDict(_shape(each, request), pages_pb2.PageSession()) for each in kept]
        messages = [pages_pb2.PageSessionsResponse(total=total, data=data, sessions=sessions[: self.rows_a_message])]
        for start in range(self.rows_a_message, len(sessions), self.rows_a_message):
            messages.append(  # noqa: PERF401 - the first message differs
                pages_pb2.PageSessionsResponse(sessions=sessions[start : start + self.rows_a_message])
            )
        yield from self._streamed(messages, context)

    def PageDays(self, request: pages_pb2.PageDaysRequest, context: grpc.ServicerContext) -> pages_pb2.PageDaysResponse:  # noqa: N802
        self._began("PageDays", request, context)
        asked = _parameters(request.question)
        start, end, _ = reference.window(asked, self._now)
        days, at = [], start
        while at <= end:
            midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            last = min(end, midnight - timedelta(milliseconds=1))
            answer = self._report(asked | {"start_date": _exact(at), "end_date": _exact(last)}, {})
            day: dict[str, Any] = {"date": f"{at:%F}", "summary_totals": answer.get("summary_totals", {})}
            if request.url:
                page = reference.canonical(request.url)
                day["roles"] = {role: _of_page(answer, page)[role] for role in _ROLES}
                of_day = asked | {"start_date": _exact(at), "end_date": _exact(last)}
                # It may have landings without having a row.
                landed = [each for each in self._sessions if self._has(of_day, each, page, "landing", request)]
                day["landing"] = {"sessions": len(landed), "users": len({each["user_id"] for each in landed})}
            days.append(day)
            at = midnight
        return json_format.ParseDict({"days": days}, pages_pb2.PageDaysResponse())

    def FilterValues(  # noqa: N802
        self, request: pages_pb2.FilterValuesRequest, context: grpc.ServicerContext
    ) -> pages_pb2.FilterValuesResponse:
        self._began("FilterValues", request, context)
        asked = {name: value for name, value in _parameters(request.question).items() if name != request.field}
        if request.field in reference.CONVERSION_FILTERS:
            conversions = itertools.chain.from_iterable(each.get("conversions", []) for each in self._sessions)
            stored = {reference.conversion_values(each)[request.field] for each in conversions}
        else:
            stored = {reference.session_values(each).get(request.field, "") for each in self._sessions}
        counted = {
            value: self._total(asked | {request.field: value})
            for value in stored
            if value and reference.without_case(request.contains) in reference.without_case(value)
        }
        values = [
            {"value": value, "sessions": sessions}
            for value, sessions in sorted(counted.items(), key=lambda item: (-item[1], item[0].encode()))
            if sessions
        ]
        return json_format.ParseDict({"values": values[: request.limit or 100]}, pages_pb2.FilterValuesResponse())

    # ---- what they share ----

    def _began(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        metadata = dict(iter(context.invocation_metadata()))
        self.calls.append(Call(method, request, metadata, context.time_remaining() or 0))
        if self.refusals:
            context.abort_with_status(to_grpc(self.refusals.pop(0), REQUEST_ID))

    def _streamed(self, messages: Sequence[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        is_whole = False
        try:
            for number, message in enumerate(messages):
                if number and self.breaks_with:
                    context.abort_with_status(to_grpc(self.breaks_with, REQUEST_ID))
                if number and self.holds:
                    over = threading.Event()
                    if context.add_callback(over.set):
                        over.wait(PATIENCE)
                    return
                yield message
            is_whole = True
        finally:
            # A caller who has given up before the next message was due has it closed here.
            if not is_whole and not context.is_active():
                self.given_up.set()

    def _report(self, asked: dict[str, str], beside: dict[str, Any]) -> dict[str, Any]:
        return reference.report(self._sessions, self._domain, asked, self._now, **beside)

    def _total(self, asked: dict[str, str]) -> int:
        return int(self._report(asked, {}).get("summary_totals", {}).get("total_sessions", 0))

    def _has(self, asked: dict[str, str], session: Session, page: str, role: str, request: Any) -> bool:
        """Tell whether a session is behind a number: a report of its own millisecond has the page in the role."""
        start, end, _ = reference.window(asked, self._now)
        if not start <= reference.moment(session["started_at"]) <= end:
            return False
        alone = asked | {"start_date": session["started_at"], "end_date": session["started_at"]}
        if role == "landing":
            passing = alone if asked.get("touch_scope", "any") not in {"any", "converting"} else _of_sessions(alone)
            return bool(self._total(passing)) and reference.pages(session)[:1] == [page]
        if not request.url:
            return bool(self._total(alone))
        counts = _of_page(self._report(alone, {}), page)
        return any(counts[each]["sessions"] for each in ([role] if role else _ROLES))


@contextlib.contextmanager
def answering(sessions: Sequence[Session], now: datetime) -> Iterator[tuple[Answering, str]]:
    """Serve sessions; give the servicer and its address."""
    servicer = Answering(sessions, now)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    pages_pb2_grpc.add_PageRolesServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        server.stop(1).wait()


def refusal(code: Code, **more: Any) -> Refusal:
    """Return a refusal with a sentence that names its code."""
    return Refusal(code, f"this is {code.text}", **more)


def _parameters(request: pages_pb2.PagesRequest) -> dict[str, str]:
    """Return a question by the names of the reference."""
    scope = pages_pb2.TouchScope.Name(request.touch_scope).removeprefix("TOUCH_SCOPE_").lower()
    texts = {
        field.name: getattr(request, field.name)
        for field in request.DESCRIPTOR.fields
        if field.name not in {"touch_scope", "limit", "include"}
    }
    return texts | ({"touch_scope": scope} if request.touch_scope else {})


def _beside(request: pages_pb2.PagesRequest) -> dict[str, Any]:
    included = {pages_pb2.INCLUDE_BALANCE: "balance", pages_pb2.INCLUDE_LANDING: "landing"}
    return {"limit": request.limit} | {name: True for number, name in included.items() if number in request.include}


def _of_sessions(asked: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in asked.items() if name not in {*reference.CONVERSION_FILTERS, "touch_scope"}}


def _of_page(answer: dict[str, Any], page: str) -> dict[str, Any]:
    """Return the counts of a page, zeros where it has no row."""
    counts: dict[str, Any] = {role: {"sessions": 0, "users": 0} for role in _ROLES}
    for name in ("conversion_performance", "drop_off_performance"):
        for row in answer.get(name, []):
            if row["url"] == page:
                counts |= {role: count for role, count in row.items() if role != "url"}
    return counts


def _shape(session: Session, request: pages_pb2.PageSessionsRequest) -> dict[str, Any]:
    asked = _parameters(request.question)
    return {
        "session_id": session["session_id"],
        "user_id": session["user_id"],
        "started_at": session["started_at"],
        "pages": reference.pages(session),
        "conversions": [
            each for each in session.get("conversions", []) if reference.passes_conversion_filters(each, asked)
        ],
    }


def _exact(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
