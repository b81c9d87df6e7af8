"""A query with its bound values."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """A query with its bound values.

    Attributes:
        text: SQL with a placeholder `{name:Type}` for each value.
        parameters: The values by name.
    """

    text: str
    parameters: Mapping[str, object] = dataclasses.field(default_factory=dict)
