"""Ask a server over gRPC, as `pageroles report` does, and get the answer in the shape of REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, cast

import grpc
import msgspec

from pageroles._core import JsonAnswer
from pageroles.transport import headers
from pageroles.transport.tls import client_credentials
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pageroles.settings import ClientTls

_METHOD = "/pageroles.v1.PageRolesService/StreamPages"


class Answer(TypedDict, total=False):
    """An answer in the public shape: `message` alone, or all but `message`."""

    time_frame: dict[str, str]
    summary_totals: dict[str, int]
    conversion_performance: list[dict[str, object]]
    drop_off_performance: list[dict[str, object]]
    message: str


class AskError(Exception):
    """The server refused, or can't be reached.

    Attributes:
        status: The name of the gRPC status.
    """

    def __init__(self, status: str, message: str) -> None:
        """Keep the status and its sentence."""
        super().__init__(message)
        self.status = status


class Asked(NamedTuple):
    """What a server answered.

    Attributes:
        body: The answer as JSON in the public shape; `read` decodes it.
        plan: How the server made the report, as a sentence; None where that was not asked for, or it did not say.
    """

    body: bytes
    plan: str | None


def ask(
    target: str,
    key: str,
    request: pages_pb2.PagesRequest,
    *,
    domain: str | None = None,
    seconds: float | None = None,
    plan: bool = False,
    tls: ClientTls | None = None,
) -> Asked:
    """Ask a server for a report of any size.

    Args:
        target: The server's address, `host:port`.
        key: The API key.
        request: The question.
        domain: The domain to read; only with a key for all domains.
        seconds: The longest time to wait; None: the server's limit.
        plan: Also ask how the report was made.
        tls: What the server is trusted by; None: without TLS.

    Returns:
        The answer, and the plan.

    Raises:
        AskError: The server refused, or can't be reached.
        SettingError: The files of TLS can't be used.
    """
    metadata = headers.caller_metadata(key, domain or None)
    if plan:
        metadata.append((headers.PLAN.metadata, "1"))
    channel = grpc.insecure_channel(target) if tls is None else grpc.secure_channel(target, client_credentials(tls))
    with channel:
        # The messages stay bytes here: the core makes JSON of them.
        method: Any = channel.unary_stream(_METHOD, request_serializer=pages_pb2.PagesRequest.SerializeToString)
        try:
            call = method(request, metadata=metadata, timeout=seconds)
            body = _as_json(call)
            told = dict(call.trailing_metadata() or ()).get(headers.PLAN.metadata)
            return Asked(body, None if told is None else str(told))
        except grpc.RpcError as error:
            failed = cast("grpc.Call", error)
            raise AskError(failed.code().name, failed.details() or "") from error


def read(body: bytes) -> Answer:
    """Decode an answer that `ask` returned."""
    return msgspec.json.decode(body, type=Answer)


def to_answer(messages: Iterable[bytes]) -> Answer:
    """Return the answer of serialized PagesResponses, given in the order of StreamPages."""
    return read(_as_json(messages))


def _as_json(messages: Iterable[bytes]) -> bytes:
    answer = JsonAnswer()
    return b"".join([*map(answer.feed, messages), answer.finish()])
