"""The public JSON shape ↔ the contract: the one body model, its sentences, and statuses as HTTP has them."""

from __future__ import annotations

import difflib
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import grpc
import msgspec

from pageroles.errors import InvalidArgumentError
from pageroles.question.model import TouchScope
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from pageroles.transport.faults import Refusal

# Filters have at most 8 KiB each; what is larger is no question.
MAX_BODY_BYTES = 64 << 10

# For readers of the document; `window.py` reads dates, and says more.
_DATE = r"^$|^\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}(:?\d{2})?)?)?$"

Scope = Literal["any", "first", "converting", "assist", "after"]

# Not in the standard, but known by it: the caller left before the answer.
CLIENT_CLOSED_REQUEST = 499

# The one table from gRPC's statuses to HTTP's; what is not in it is a fault of ours.
HTTP_STATUS = {
    grpc.StatusCode.OK: HTTPStatus.OK,
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.CANCELLED: CLIENT_CLOSED_REQUEST,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}


def _text(description: str, *examples: str, pattern: str | None = None) -> msgspec.Meta:
    return msgspec.Meta(description=description, examples=list(examples) or None, pattern=pattern)


class PagesBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which sessions to look at. Every field may be left out; an empty string means: not set.

    Filters are exact, case-sensitive, and combined with AND.
    """

    start_date: Annotated[
        str,
        _text(
            "Start of the window: a date (00:00:00 UTC) or an ISO 8601 date-time. Sessions that started then or later "
            "are in. Default: 30 days before now, or before `end_date` where that is earlier.",
            "2025-07-01",
            "2025-07-01T09:30:00Z",
            pattern=_DATE,
        ),
    ] = ""
    end_date: Annotated[
        str,
        _text(
            "End of the window, in the same forms; a date covers that whole day. Default: now. A window longer than "
            "30 days is cut to the last 30 before `end_date`; `time_frame` shows the window that was used.",
            "2025-07-31",
            "2025-07-31T23:59:59Z",
            pattern=_DATE,
        ),
    ] = ""
    conversion_page: Annotated[
        str, _text("The URL on which the conversion was tracked, as it was tracked.", "https://example.com/signup")
    ] = ""
    meta_type: Annotated[
        str, _text("The conversion's type: `hubspot_form`, `custom`, `html_form`, …", "hubspot_form")
    ] = ""
    meta_id: Annotated[str, _text("The conversion's id, such as that of a form.", "form-1")] = ""
    source: Annotated[
        str, _text("Effective source: `utm_source`, else the tracked source, else the referrer's domain.", "google.com")
    ] = ""
    medium: Annotated[str, _text("Effective medium: `utm_medium`, else the tracked medium.", "cpc", "organic")] = ""
    campaign: Annotated[str, _text("`utm_campaign`.", "summer-sale")] = ""
    content: Annotated[str, _text("`utm_content`.", "banner-b")] = ""
    term: Annotated[str, _text("`utm_term`.", "page analytics")] = ""
    landing_page: Annotated[
        str,
        _text("The canonical page on which the session began.", "https://example.com/pricing"),
    ] = ""
    touch_scope: Annotated[
        Scope,
        msgspec.Meta(
            description="Which sessions of each user's journey: `any`; `first`: the user's first session; "
            "`converting`: sessions with a conversion; `assist`: between the first and the first converting session; "
            "`after`: after the first converting session."
        ),
    ] = "any"


class TimeFrame(msgspec.Struct):
    """The window that was used, UTC, both ends included."""

    start: Annotated[str, _text("Start.", "2025-07-01T00:00:00Z")]
    end: Annotated[str, _text("End.", "2025-07-31T23:59:59Z")]


Count = Annotated[int, msgspec.Meta(ge=0)]


class SummaryTotals(msgspec.Struct):
    """Totals over the included sessions."""

    total_sessions: Count
    total_users: Count
    total_conversion_events: Count
    total_conversion_users: Count


class RoleCount(msgspec.Struct):
    """In how many sessions a page had a role, and for how many distinct users."""

    sessions: Count
    users: Count


class ConversionPage(msgspec.Struct):
    """What one page did for conversions."""

    url: str
    conversion: RoleCount
    conversion_assist: RoleCount
    landing_assisted_conversion: RoleCount


class DropOffPage(msgspec.Struct):
    """Where sessions ended."""

    url: str
    drop_off: RoleCount
    drop_off_assist: RoleCount
    landing_assisted_drop_off: RoleCount


class PagesAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The report: pages by what they did for conversions, and by where sessions ended; most sessions first."""

    time_frame: TimeFrame
    summary_totals: SummaryTotals
    conversion_performance: list[ConversionPage]
    drop_off_performance: list[DropOffPage]


class NoResults(msgspec.Struct, forbid_unknown_fields=True):
    """No session matched; not an error."""

    message: Literal["No page data found for the given parameters."]


class Fault(msgspec.Struct, omit_defaults=True):
    """What went wrong: a sentence that says what to change."""

    error: str
    field: Annotated[str, _text("The parameter at fault, where one is.", "start_date")] | msgspec.UnsetType = (
        msgspec.UNSET
    )


class QuotaFault(msgspec.Struct):
    """The domain's requests of this month are used up; or, with `error` alone, the server is busy."""

    error: Annotated[str, _text("What is exceeded.", "API monthly limit exceeded.")]
    limit: Count | msgspec.UnsetType = msgspec.UNSET
    used: Count | msgspec.UnsetType = msgspec.UNSET
    domain: str | msgspec.UnsetType = msgspec.UNSET


_PARAMETERS = [field.name for field in msgspec.structs.fields(PagesBody)]
_SCOPES = [scope.name.lower() for scope in TouchScope]


def to_request(body: bytes) -> pages_pb2.PagesRequest:
    """Return the request that a body asks; an empty one asks with all defaults.

    Raises:
        InvalidArgumentError: The body can't be read; the sentence says what to change.
    """
    given = _parameters(body)
    for name, value in given.items():
        if name not in _PARAMETERS:
            raise InvalidArgumentError(name, _unknown(name))
        if not isinstance(value, str):
            raise InvalidArgumentError(name, f"must be a string, not {_kind(value)}")
    scope = given.pop("touch_scope", "any")
    if scope not in _SCOPES:
        accepted = ", ".join(f'"{name}"' for name in _SCOPES)
        raise InvalidArgumentError("touch_scope", f'"{_short(scope)}" is not a scope; give one of {accepted}')
    number = TouchScope[scope.upper()]
    return pages_pb2.PagesRequest(**given, touch_scope=pages_pb2.TouchScope.Name(number))


def _parameters(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        given = msgspec.json.decode(body)
    except RecursionError:
        raise InvalidArgumentError("", "the body is nested too deeply; give one flat JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise InvalidArgumentError("", f"the body is not valid JSON: {reason}") from None
    if not isinstance(given, dict):
        raise InvalidArgumentError("", f"the body must be a JSON object, not {_kind(given)}")
    return cast("dict[str, Any]", given)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name[:100], _PARAMETERS, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"the parameters are {', '.join(_PARAMETERS)}"
    return f'unknown parameter "{_short(name)}": {hint}'


def _short(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _kind(value: object) -> str:
    kinds: list[tuple[type, str]] = [
        (bool, "true or false"),
        (dict, "an object"),
        (list, "a list"),
        (str, "a string"),
        (type(None), "null; leave it out"),
    ]
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number")


def to_fault(refusal: Refusal) -> tuple[int, dict[str, object], dict[str, str]]:
    """Return the HTTP status, the body and the headers that a refusal becomes."""
    status = HTTP_STATUS.get(refusal.status, HTTPStatus.INTERNAL_SERVER_ERROR)
    body: dict[str, object] = {"error": refusal.message}
    headers: dict[str, str] = {}
    if refusal.field:
        body["field"] = refusal.field
    if refusal.quota is not None:
        body |= {"limit": refusal.quota.limit, "used": refusal.quota.used, "domain": refusal.quota.domain}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(max(math.ceil(refusal.retry_after), 1))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "1"
    return int(status), body, headers
