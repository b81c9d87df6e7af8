"""Which role did each page play? The AttributionHub `/pages` API over ClickHouse.

`Client` and `AsyncClient` ask a server; `pageroles.client` has the rest of what they need. They are imported when they
are first used: what serves does without.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pageroles.client import AsyncClient, Client, RequestError

__all__ = ["AsyncClient", "Client", "RequestError", "__version__"]
__version__ = version("pageroles")


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("pageroles.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
