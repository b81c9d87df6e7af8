"""`WriteSessions`: the messages of a call → a delivery → the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pageroles.ingest import messages
from pageroles.ingest.session import BadRowError
from pageroles.v1 import sessions_pb2
from pageroles.writing import Rejected, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import grpc

    from pageroles.ingest.session import Row
    from pageroles.writing import Delivery

SERVICE = "pageroles.v1.SessionService"
METHOD = "WriteSessions"
PATH = f"/{SERVICE}/{METHOD}"

# What a message is filled up to; a server takes 4 MiB.
_MESSAGE_BYTES = 1 << 20
# The longest line of a session that fits into a message: as JSON it is longer than as a message.
MOST_ROW_BYTES = 3 << 20


def write(
    delivery: Delivery, requests: Iterable[sessions_pb2.WriteSessionsRequest]
) -> sessions_pb2.WriteSessionsResponse:
    """Store the sessions of a call, and return its answer; waits in this thread.

    Raises:
        PagerolesError: As for a `Delivery`, or as the requests raise.
    """
    for request in requests:
        delivery.add(sessions(request))
        delivery.wait()
    delivery.wait(0)
    return answer(delivery.written())


def sessions(request: sessions_pb2.WriteSessionsRequest) -> Iterator[Row | str]:
    """Give the rows of a message, and for a session that breaks a rule the reason."""
    for session in request.sessions:
        try:
            row = messages.read(session)
        except BadRowError as error:
            yield str(error)
        else:
            yield row


def answer(found: Written) -> sessions_pb2.WriteSessionsResponse:
    """Return what became of the sessions of a call as the contract's answer."""
    return sessions_pb2.WriteSessionsResponse(
        stored=found.stored,
        rejected=[sessions_pb2.Rejected(index=each.index, reason=each.reason) for each in found.rejected],
        rejected_count=found.rejected_count,
    )


# ---- the other side ----


def method(channel: grpc.Channel) -> Any:
    """Return the method as a channel has it; the stubs do not know the types of its requests and answers."""
    return channel.stream_unary(
        PATH,
        request_serializer=sessions_pb2.WriteSessionsRequest.SerializeToString,
        response_deserializer=sessions_pb2.WriteSessionsResponse.FromString,
    )


def requests(rows: Sequence[Row]) -> Iterator[sessions_pb2.WriteSessionsRequest]:
    """Give the messages that carry rows to a server, in their order; none is larger than a server takes.

    Args:
        rows: Rows of at most `MOST_ROW_BYTES`.
    """
    begun: list[sessions_pb2.Session] = []
    size = 0
    for row in rows:
        if begun and size + len(row.line) > _MESSAGE_BYTES:
            yield sessions_pb2.WriteSessionsRequest(sessions=begun)
            begun, size = [], 0
        begun.append(messages.make(row))
        size += len(row.line)
    if begun:
        yield sessions_pb2.WriteSessionsRequest(sessions=begun)


def written(response: sessions_pb2.WriteSessionsResponse) -> Written:
    """Return what a server answers."""
    rejected = [Rejected(each.index, each.reason) for each in response.rejected]
    return Written(response.stored, rejected, response.rejected_count)
