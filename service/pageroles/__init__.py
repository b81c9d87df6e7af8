"""Which role did each page play? The AttributionHub `/pages` API over ClickHouse."""

from importlib.metadata import version

__version__ = version("pageroles")
