"""What goes along with a request and its answer: gRPC's metadata and HTTP's headers, in one table."""

from __future__ import annotations

import dataclasses
import math
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pageroles import sentences
from pageroles.errors import QuotaState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """One name.

    Attributes:
        http: The name as HTTP's documents spell it.
        description: What its value says.
        kind: The JSON Schema type of its value.
    """

    http: str
    description: str
    kind: str = "string"

    @property
    def metadata(self) -> str:
        """Return the name in gRPC's metadata, and in HTTP/2."""
        return self.http.lower()


AUTHENTICATION = Header("Authentication", "The API key.")
DOMAIN = Header("Domain", "The domain to read; only with a key for all domains.")
REQUEST_ID = Header("X-Request-Id", "Names the request in the answer and in the server's log.")
RETRY_AFTER = Header("Retry-After", "Seconds after which to try again.", "integer")
LIMIT = Header("X-RateLimit-Limit", "Requests that the domain may make in a month; absent without a quota.", "integer")
USED = Header("X-RateLimit-Used", "Requests of this month, this one included.", "integer")
REMAINING = Header("X-RateLimit-Remaining", "Requests left this month.", "integer")
RESET = Header("X-RateLimit-Reset", "When the month is over, in seconds since 1970-01-01 UTC.", "integer")

ASKED = (AUTHENTICATION, DOMAIN, REQUEST_ID)
QUOTA = (LIMIT, USED, REMAINING, RESET)
ANSWERED = (REQUEST_ID, *QUOTA, RETRY_AFTER)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

# Faults are worded for gRPC; a caller over HTTP is told of headers.
_IN_HTTP = {
    sentences.KEY_PLACE: f"the header `{AUTHENTICATION.http}`",
    sentences.DOMAIN_PLACE: f"the header `{DOMAIN.http}`",
}


def request_id(given: str | None) -> str:
    """Return the caller's id for a request where it is fit for logs and headers, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def worded_for_http(sentence: str) -> str:
    """Return a sentence with HTTP's names in place of gRPC's."""
    for grpc_words, http_words in _IN_HTTP.items():
        sentence = sentence.replace(grpc_words, http_words)
    return sentence


def quota_metadata(quota: QuotaState | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata that tell a domain's quota; REST sends them as headers."""
    if quota is None:
        return ()
    reset = math.ceil(quota.resets_at.timestamp())
    values = (quota.limit, quota.used, quota.remaining, reset)
    return tuple((header.metadata, str(value)) for header, value in zip(QUOTA, values, strict=True))


def quota_part(metadata: Iterable[tuple[str, object]]) -> tuple[tuple[str, str], ...]:
    """Return those of some metadata that tell a domain's quota."""
    names = {header.metadata for header in QUOTA}
    return tuple((name, value) for name, value in metadata if name in names and isinstance(value, str))


def to_quota(domain: str, metadata: Mapping[str, str]) -> QuotaState:
    """Return the quota that metadata tell, as `quota_metadata` wrote it.

    Raises:
        KeyError, ValueError: The metadata tell none.
    """
    return QuotaState(
        domain=domain,
        limit=int(metadata[LIMIT.metadata]),
        used=int(metadata[USED.metadata]),
        resets_at=datetime.fromtimestamp(int(metadata[RESET.metadata]), UTC),
    )
