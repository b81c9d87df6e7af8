"""What both clients share: how they connect, what each call carries, and when it is tried again."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from pageroles.client.answers import data_state, role_count
from pageroles.client.errors import InternalError, RequestError, refused
from pageroles.transport import headers

if TYPE_CHECKING:
    import os

    from pageroles.client.answers import DataState, RoleCount
    from pageroles.v1 import pages_pb2

OPTIONS = [("grpc.max_receive_message_length", headers.MOST_MESSAGE_BYTES)]
# A second reading would find nothing, which looks like no sessions.
_READ_ONCE = "the sessions were read to their end, and are given once; keep them in a list, or ask again"
TIMEOUT = 60.0
RETRIES = 3
# Seconds: about how long the first pause is, where the server does not say; each next one is twice as long.
_FIRST_PAUSE = 0.2
# By how much of its length a pause may be longer, so that those who were refused together do not come back together.
_SPREAD = 0.25


class Settings:
    """Where a client asks, as whom, and for how long."""

    def __init__(
        self,
        target: str,
        key: str,
        *,
        domain: str | None,
        tls: bool | grpc.ChannelCredentials,
        ca: str | os.PathLike[str] | None,
        timeout: float | None,
        retries: int,
    ) -> None:
        """Keep them; see `Client`.

        Raises:
            OSError: The file of roots can't be read.
        """
        self.target = target
        self.timeout = timeout
        self.retries = retries
        self._metadata = headers.caller_metadata(key, domain or None)
        self.credentials: grpc.ChannelCredentials | None = None
        if isinstance(tls, grpc.ChannelCredentials):
            self.credentials = tls
        elif tls or ca is not None:
            self.credentials = grpc.ssl_channel_credentials(None if ca is None else Path(ca).read_bytes())

    def metadata(self, *, plan: bool = False) -> list[tuple[str, str | bytes]]:
        """Return what a call carries beside its request."""
        return [*self._metadata, *([(headers.PLAN.metadata, "1")] if plan else [])]

    def tries(self) -> Tries:
        """Begin a call."""
        return Tries(self.timeout, self.retries)


class Tries:
    """The tries of one call, within one timeout.

    A refusal is tried again only where that is safe and may help: the server can't be reached, or is busy and says when
    to come back. A spent quota is not.
    """

    def __init__(self, timeout: float | None, retries: int) -> None:
        """Begin: at most `retries` tries more than the first, all within `timeout` seconds."""
        self.timeout = timeout
        self._ends = None if timeout is None else time.monotonic() + timeout
        self._left = retries
        self._pause = _FIRST_PAUSE

    @property
    def seconds(self) -> float | None:
        """The time that is left, in seconds; None: as long as it takes."""
        return None if self._ends is None else max(self._ends - time.monotonic(), 0.0)

    def pause(self, error: grpc.RpcError) -> float:
        """Return how long to wait before the next try, in seconds.

        Raises:
            RequestError: What the error means, where no other try is to be made.
        """
        found = refused(error, self.timeout)
        least = self._pause if found.retry_after is None else found.retry_after
        wait = random.uniform(least, least * (1 + _SPREAD))  # noqa: S311 - nobody gains by guessing it
        left = self.seconds
        if not found.is_temporary or not self._left or (left is not None and wait >= left):
            raise found from error
        self._left -= 1
        self._pause *= 2
        return wait


class Opening:
    """What both kinds of opened sessions are: a number, and a call that brings its sessions, each once.

    Attributes:
        total: The number, as a report of the same data has it.
        data: What the answer was made from; None where the server does not say.
    """

    total: RoleCount
    data: DataState | None

    def __init__(self, first: pages_pb2.PageSessionsResponse, more: Any, timeout: float | None) -> None:
        """Keep what the first message tells, and the call that brings more."""
        self.total = role_count(first.total)
        self.data = data_state(first)
        self._call = more
        self._timeout = timeout
        self._is_read = False

    def __repr__(self) -> str:
        """Return what it is."""
        return f"{type(self).__name__}(total={self.total}, data={self.data})"

    def _refuse_again(self) -> None:
        if self._is_read:
            raise ValueError(_READ_ONCE)


def whole(messages: list[pages_pb2.PagesResponse]) -> pages_pb2.PagesResponse:
    """Return the messages of StreamPages as one.

    Raises:
        RequestError: There is none.
    """
    if not messages:
        raise nothing_came()
    first, *more = messages
    for message in more:
        first.MergeFrom(message)
    return first


def nothing_came() -> RequestError:
    """Return the error of a stream that ends well before its first message."""
    return InternalError("the server ended its answer before the first message")


def plan_of(trailing: Any) -> str | None:
    """Return the plan that the trailing metadata of a report tell; None where they tell none."""
    told = dict(iter(trailing or ())).get(headers.PLAN.metadata)
    return None if told is None else str(told)
