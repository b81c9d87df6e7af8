"""The roles of pages, as the contract has them, and their names for people."""

from __future__ import annotations

from typing import Any

from pageroles.v1 import pages_pb2

# The headings of columns. Which side is meant, the table's title says.
_HEADINGS = {
    "conversion": "conversion",
    "conversion_assist": "assist",
    "landing_assisted_conversion": "landing",
    "drop_off": "drop-off",
    "drop_off_assist": "assist",
    "landing_assisted_drop_off": "landing",
}


LANDING = "landing"


def _roles_of(page: Any) -> tuple[str, ...]:
    """Return the roles that a page's message counts; its landings are no role of the report's."""
    # Any: each implementation of protobuf has a type of its own for descriptors.
    counts = pages_pb2.RoleCount.DESCRIPTOR
    return tuple(field.name for field in page.fields if field.message_type is counts and field.name != LANDING)


CONVERSION_ROLES = _roles_of(pages_pb2.ConversionPage.DESCRIPTOR)
DROP_OFF_ROLES = _roles_of(pages_pb2.DropOffPage.DESCRIPTOR)


def heading(role: str) -> str:
    """Return the heading of a role's column; a role without one in the table gets its own name."""
    return _HEADINGS.get(role, role.replace("_", " "))
