"""The filters of a question: one table, which the request, the SQL, the command, OpenAPI and the explorer read.

A value matches exactly, case included, and all values that are given must match (docs/semantics.md, "Filters"). An
empty value sets no filter.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import NamedTuple


class Of(enum.Enum):
    """What a filter is compared with."""

    SESSION = "session"
    CONVERSION = "conversion"


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """One filter.

    Attributes:
        name: Its name in the contract.
        of: What is compared: a session, or each of its conversions.
        column: The column that is compared: of `sessions` and `converting_sessions`, or of a conversion in the latter.
        help: What it is compared with, for OpenAPI and the command.
        label: Its name in the explorer's form.
        example: A value as it may be given; the explorer's form shows it in the empty field.
        hint: What the explorer's form says below it; empty: nothing.
        is_page: It compares pages: the value is made canonical, and the column holds the page's key.
    """

    name: str
    of: Of
    column: str
    help: str
    label: str
    example: str
    hint: str = ""
    is_page: bool = False


class Condition(NamedTuple):
    """A filter that is set, and its value."""

    filter: Filter
    value: str


# In the order of the contract.
FILTERS = (
    Filter(
        "conversion_page",
        Of.CONVERSION,
        column="url",
        help="The URL on which a conversion was tracked, as it was tracked.",
        label="Conversion page",
        example="https://example.com/signup?plan=pro",
        hint="As it was tracked, with its query string.",
    ),
    Filter(
        "meta_type",
        Of.CONVERSION,
        column="type",
        help="A conversion's type: `hubspot_form`, `custom`, `html_form`, …",
        label="Type",
        example="hubspot_form",
    ),
    Filter(
        "meta_id",
        Of.CONVERSION,
        column="id",
        help="A conversion's id, such as that of a form.",
        label="Id",
        example="form-1",
    ),
    Filter(
        "source",
        Of.SESSION,
        column="effective_source",
        help="The effective source: `utm_source`, else the tracked source, else what the referrer tells (the domain of "
        "another site, the id of an app), else `(direct)`.",
        label="Source",
        example="google.com",
    ),
    Filter(
        "medium",
        Of.SESSION,
        column="effective_medium",
        help="The effective medium: `utm_medium`, else the tracked medium, else `(none)`.",
        label="Medium",
        example="organic",
    ),
    Filter(
        "campaign", Of.SESSION, column="utm_campaign", help="`utm_campaign`.", label="Campaign", example="summer-sale"
    ),
    Filter("content", Of.SESSION, column="utm_content", help="`utm_content`.", label="Content", example="banner-b"),
    Filter("term", Of.SESSION, column="utm_term", help="`utm_term`.", label="Term", example="page analytics"),
    Filter(
        "landing_page",
        Of.SESSION,
        column="landing_key",
        help="The page on which the session began. Any form of its URL finds it: query string, fragment and slashes at "
        "the end do not matter.",
        label="Landing page",
        example="https://example.com/pricing",
        hint="Any form of its URL: query string and slashes at the end do not matter.",
        is_page=True,
    ),
)

# The filters that compare a session's traffic, in the order of the core.
TRAFFIC = tuple(each for each in FILTERS if each.of is Of.SESSION and not each.is_page)
