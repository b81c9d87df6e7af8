"""Asks a server, as `pageroles report` does, and gives the answer in the public REST shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

import grpc
import msgspec

from pageroles._core import JsonAnswer
from pageroles.transport import headers
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

_METHOD = "/pageroles.v1.PageRolesService/StreamPages"


class Answer(TypedDict, total=False):
    """The public shape of an answer: either `message`, or all the rest."""

    time_frame: dict[str, str]
    summary_totals: dict[str, int]
    conversion_performance: list[dict[str, object]]
    drop_off_performance: list[dict[str, object]]
    message: str


class AskError(Exception):
    """A server that refused, or can't be reached; `status` is the name of gRPC's status."""

    def __init__(self, status: str, message: str) -> None:
        """Hold what was said."""
        super().__init__(message)
        self.status = status


def ask(
    target: str,
    key: str,
    request: pages_pb2.PagesRequest,
    *,
    domain: str | None = None,
    seconds: float | None = None,
) -> bytes:
    """Ask a server for a report of any size.

    Args:
        target: The server, `host:port`.
        key: The API key.
        request: The question.
        domain: The domain to read; with a key for all domains only.
        seconds: How long to wait; None: as long as the server works on it.

    Returns:
        The answer as JSON in the public shape; `read` decodes it.

    Raises:
        AskError: The server refused, or can't be reached.
    """
    metadata = [(headers.AUTHENTICATION.metadata, key)] + ([(headers.DOMAIN.metadata, domain)] if domain else [])
    with grpc.insecure_channel(target) as channel:
        # The core turns the messages into JSON: they stay bytes here.
        method: Any = channel.unary_stream(_METHOD, request_serializer=pages_pb2.PagesRequest.SerializeToString)
        try:
            return _as_json(method(request, metadata=metadata, timeout=seconds))
        except grpc.RpcError as error:
            call = cast("grpc.Call", error)
            raise AskError(call.code().name, call.details() or "") from error


def read(body: bytes) -> Answer:
    """Decode an answer."""
    return msgspec.json.decode(body, type=Answer)


def to_answer(messages: Iterable[bytes]) -> Answer:
    """Return the answer that serialized PagesResponses make, in the order of StreamPages."""
    return read(_as_json(messages))


def _as_json(messages: Iterable[bytes]) -> bytes:
    answer = JsonAnswer()
    return b"".join([*map(answer.feed, messages), answer.finish()])
