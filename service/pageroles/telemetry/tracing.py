"""Whether traces are wanted, as OpenTelemetry's environment variables say it. Its libraries are an extra.

Without these variables nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pageroles.telemetry.traces import Traces

_log = structlog.get_logger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def wanted(environment: Mapping[str, str]) -> bool:
    """Return whether traces are to be exported: an exporter is named, or an address to send them to.

    Args:
        environment: The environment's variables.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter:
        return exporter != "none"
    return any(environment.get(name, "").strip() for name in _ENDPOINTS)


def from_environment(environment: Mapping[str, str]) -> Traces | None:
    """Return traces that go where the environment says; None where none are wanted.

    Args:
        environment: The environment's variables.

    Raises:
        SettingError: The exporter that is named is not installed.
    """
    if not wanted(environment):
        return None
    try:
        module = importlib.import_module("pageroles.telemetry.traces")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        # The variables may be those of a whole cluster, and no reason not to serve.
        _log.warning(
            "no traces: OpenTelemetry is not installed",
            advice='run pip install "pageroles[traces]", or unset the variables that begin with OTEL_',
        )
        return None
    exported: Callable[[Mapping[str, str]], Traces] = module.exported
    return exported(environment)
