"""A request as a transport received it, before anything is checked. What it asks or brings is handed on beside it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


# Stands for the tag of whatever answer there is (RFC 9110, 13.1.2).
ANY_ANSWER = "*"


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: what is known of every one, also of one that can't be read.

    Attributes:
        method: The method that was called, for those who watch: the name of an RPC, or HTTP's method and path.
        request_id: The id of the request in the log and in the answer.
        address: The address that the request came from, without its port; empty where it is not known.
        trace: What the request carries of the trace that it belongs to, by the names of its headers.
    """

    method: str
    request_id: str
    address: str = ""
    trace: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Incoming:
    """Who calls, as the request says, and how much time there is.

    Attributes:
        origin: Where the request comes from.
        key: The API key, not checked; None where there was none.
        domain: The domain that the caller names; None where it names none.
        seconds: The time until the caller's deadline; None: it has none.
        known: The tags of answers that the caller has already.
    """

    origin: Origin
    key: str | None = None
    domain: str | None = None
    seconds: float | None = None
    known: frozenset[str] = frozenset()
