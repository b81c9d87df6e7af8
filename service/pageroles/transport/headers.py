"""One table of the names that requests and answers carry beside their bodies: gRPC metadata and HTTP headers."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pageroles import sentences
from pageroles.errors import InvalidArgumentError, QuotaState
from pageroles.incoming import ANY_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pageroles.report.answers import Answer


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """A name that a request or an answer carries.

    Attributes:
        http: The name as HTTP spells it.
        description: What its value means, for the OpenAPI document.
        kind: The JSON Schema type of its value.
    """

    http: str
    description: str
    kind: str = "string"

    @property
    def metadata(self) -> str:
        """The name in gRPC metadata: lower case, which HTTP takes as well."""
        return self.http.lower()


AUTHENTICATION = Header("Authentication", "The API key.")
AUTHORIZATION = Header("Authorization", "The API key, as `Bearer KEY`; another scheme is ignored.")
DOMAIN = Header("Domain", "The domain to read, in UTF-8 or its ASCII form (xn--…); only with a key for all domains.")
REQUEST_ID = Header("X-Request-Id", "Names the request in the answer and in the server's log.")
RETRY_AFTER = Header("Retry-After", "Seconds after which to try again.", "integer")
LIMIT = Header("X-RateLimit-Limit", "Requests that the domain may make in a month; absent without a quota.", "integer")
USED = Header("X-RateLimit-Used", "Requests of this month, this one included.", "integer")
REMAINING = Header("X-RateLimit-Remaining", "Requests left this month.", "integer")
RESET = Header("X-RateLimit-Reset", "When the month is over, in seconds since 1970-01-01 UTC.", "integer")
DATA_VERSION = Header("X-Data-Version", "What the answer was made from: with the same version it is the same.")
COMPLETE_THROUGH = Header(
    "X-Complete-Through", "Every write that was acknowledged before this instant is in the answer."
)
ETAG = Header("ETag", "Names the answer: with the same data, window, question and encoding it is the same.")
IF_NONE_MATCH = Header("If-None-Match", "The `ETag` of an answer that the caller has: where it still holds, 304 comes.")
# Over gRPC alone: with any value, it asks for the plan, which comes with the answer.
PLAN = Header("X-Plan", "How the report was made, as a sentence.")
# What a request carries of the trace that it belongs to (W3C Trace Context).
TRACE = ("traceparent", "tracestate")

OF_REQUESTS = (AUTHENTICATION, AUTHORIZATION, DOMAIN, REQUEST_ID)
OF_QUOTAS = (LIMIT, USED, REMAINING, RESET)
OF_DATA = (DATA_VERSION, COMPLETE_THROUGH)
OF_ANSWERS = (REQUEST_ID, *OF_QUOTAS, *OF_DATA, ETAG, RETRY_AFTER)

# An answer that a caller may keep, and has to ask for again.
ASKED_AGAIN = {
    "cache-control": "private, no-cache",
    "vary": f"{AUTHENTICATION.http}, {AUTHORIZATION.http}, {DOMAIN.http}",
}
# Of one message of an answer, for those who receive it. A message has whole sessions, and this is more than the largest
# one that can be stored: 10,000 pages of 8 KiB, and 1,000 conversions.
MOST_MESSAGE_BYTES = 128 << 20
CLOSE = {"connection": "close"}
NOT_KEPT = {"cache-control": "no-store"}

# gRPC's metadata are ASCII, but for names that end so; HTTP has headers in any bytes.
DOMAIN_IN_UTF8 = f"{DOMAIN.metadata}-bin"
# The scheme is compared without its case (RFC 9110).
_BEARER = re.compile(r"bearer +(?P<key>.+)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r'"([0-9a-f]{32})(?:-gzip)?"')
_NO_GZIP = re.compile(r"\bgzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE)
# A gateway passes tags on, and gRPC takes some 8 KiB of metadata.
_MOST_TAGS = 32
_UNSENDABLE = re.compile(r"[^ -~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

# Faults are worded for gRPC. HTTP has headers where gRPC has metadata.
_HTTP_WORDS = {
    sentences.KEY_PLACE: f"the header `{AUTHENTICATION.http}`",
    sentences.DOMAIN_PLACE: f"the header `{DOMAIN.http}`",
}


def request_id(proposed: str | None) -> str:
    """Return the id of a request: the caller's, if it is 1 to 64 letters, digits and `._-`, else a random one."""
    return proposed if proposed and _REQUEST_ID.fullmatch(proposed) else secrets.token_hex(8)


def key(authentication: Iterable[str], authorization: Iterable[str]) -> str | None:
    """Return the API key that a request carries, not checked; None where it carries none.

    Args:
        authentication: What came as `Authentication`, each time that it came.
        authorization: The same of `Authorization`; what is not of the scheme `Bearer` is ignored.

    Raises:
        InvalidArgumentError: Two keys differ.
    """
    bearers = (match["key"] for value in authorization if (match := _BEARER.fullmatch(value)))
    given = {value for value in (*authentication, *bearers) if value}
    if len(given) > 1:
        raise InvalidArgumentError(
            AUTHENTICATION.metadata, f"the request carries two keys that differ; send one, in {sentences.KEY_PLACE}"
        )
    return given.pop() if given else None


def domain(received: Iterable[bytes]) -> str | None:
    """Return the domain that a request names; None where it names none.

    Args:
        received: What came in each place that may name it, as it came.

    Raises:
        InvalidArgumentError: It is not UTF-8, has control characters, or differs from one place to the other.
    """
    given = {value for value in received if value}
    if len(given) > 1:
        raise InvalidArgumentError(
            "domain", f"the request names two domains that differ; name one, in {sentences.DOMAIN_PLACE}"
        )
    try:
        named = given.pop().decode() if given else None
    except UnicodeDecodeError:
        named = "\0"
    if named is not None and _CONTROL.search(named):
        raise InvalidArgumentError(
            "domain",
            f"{sentences.DOMAIN_PLACE} is not UTF-8, or has control characters; give the domain in UTF-8 or in its "
            "ASCII form (xn--…)",
        )
    return named


def trace(carried: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    """Return what a request carries of a trace, by the names of headers.

    Args:
        carried: Its metadata or headers, with names in lower case.
    """
    return {name: value for name, value in carried if name in TRACE and isinstance(value, str)}


def caller_metadata(key: str | None, domain: str | None) -> list[tuple[str, str | bytes]]:
    """Return the metadata of a request with a key and a domain.

    Of a key, `?` takes the place of what metadata can't carry; it stays a key that does not exist. A domain with such
    characters goes as UTF-8.
    """
    metadata: list[tuple[str, str | bytes]] = []
    if key is not None:
        metadata.append((AUTHENTICATION.metadata, _UNSENDABLE.sub("?", key)))
    if domain is not None:
        # An argument of a command may have bytes that are no UTF-8: the server refuses them.
        utf8 = _UNSENDABLE.search(domain)
        value = domain.encode(errors="surrogateescape") if utf8 else domain
        metadata.append((DOMAIN_IN_UTF8 if utf8 else DOMAIN.metadata, value))
    return metadata


def worded_for_http(sentence: str) -> str:
    """Return a sentence with HTTP's words in place of gRPC's."""
    for grpc_words, http_words in _HTTP_WORDS.items():
        sentence = sentence.replace(grpc_words, http_words)
    return sentence


def quota_metadata(quota: QuotaState | None) -> tuple[tuple[str, str], ...]:
    """Return a quota as metadata, which REST sends as headers; empty for None."""
    if quota is None:
        return ()
    reset = math.ceil(quota.resets_at.timestamp())
    values = (quota.limit, quota.used, quota.remaining, reset)
    return tuple((header.metadata, str(value)) for header, value in zip(OF_QUOTAS, values, strict=True))


def told(quota: QuotaState | None, answer: Answer, *, with_tag: bool = True) -> tuple[tuple[str, str], ...]:
    """Return what is told beside an answer, as metadata, which REST sends as headers: quota, data, and tag.

    A tag is a hash, which takes time; only REST sends it.
    """
    if answer.state is None:
        return quota_metadata(quota)
    through = sentences.instant(answer.state.complete_through)
    data = zip(OF_DATA, (answer.state.version, through), strict=True)
    name = answer.tag if with_tag else None
    tag = () if name is None else ((ETAG.metadata, f'"{name}"'),)
    return (*quota_metadata(quota), *((header.metadata, value) for header, value in data), *tag)


def tags(if_none_match: Iterable[str]) -> frozenset[str]:
    """Return the tags of the answers that a caller has, as `If-None-Match` gives them; the encoding is left out.

    Of very many, the first ones: an answer is sent again for the others.
    """
    given = [*if_none_match]
    found = (match[1] for value in given for match in _TAG.finditer(value))
    return frozenset(itertools.islice(found, _MOST_TAGS)) | ({ANY_ANSWER} & {*given})


def tag_as_sent(tag: str, if_none_match: Iterable[str]) -> str:
    """Return an answer's tag in the form in which its caller has it: as it is, or that of its bytes in gzip.

    A cache updates what it stored under this very tag (RFC 9111, 4.3.4).
    """
    packed = in_gzip(tag)
    sent = ",".join(if_none_match)
    return packed if packed in sent and tag not in sent else tag


def in_gzip(tag: str) -> str:
    """Return the tag of an answer that goes out in gzip: a tag stands for the very bytes (RFC 9110, 8.8.3)."""
    return f'{tag[:-1]}-gzip"'


def refuses_gzip(accept_encoding: str) -> bool:
    """Tell whether a caller says that it takes no answers in gzip, as `gzip;q=0` does."""
    return _NO_GZIP.search(accept_encoding) is not None


def passed_on(metadata: Iterable[tuple[str, object]]) -> tuple[tuple[str, str], ...]:
    """Return the part of an answer's metadata that `told` has made, for a gateway."""
    names = {header.metadata for header in (*OF_QUOTAS, *OF_DATA, ETAG)}
    return tuple((name, value) for name, value in metadata if name in names and isinstance(value, str))


def to_quota(domain: str, metadata: Mapping[str, str]) -> QuotaState:
    """Return the quota of a domain from metadata that `quota_metadata` made.

    Raises:
        KeyError: A part of the quota is missing.
        ValueError: A value is not a number.
    """
    return QuotaState(
        domain=domain,
        limit=int(metadata[LIMIT.metadata]),
        used=int(metadata[USED.metadata]),
        resets_at=datetime.fromtimestamp(int(metadata[RESET.metadata]), UTC),
    )
