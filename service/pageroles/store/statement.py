"""A query and the values it binds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """A query and the values it binds.

    Attributes:
        text: SQL, with `{name:Type}` where a value is bound.
        parameters: The values by name.
    """

    text: str
    parameters: Mapping[str, object] = dataclasses.field(default_factory=dict)
