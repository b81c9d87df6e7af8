"""Metrics in the form of Prometheus: what requests took, under the names that the gRPC and HTTP worlds use.

No label has a value that callers choose, such as a domain or a key: so the number of series is bounded.

A request is measured by a few additions to series that are made once. What the parts of a server count themselves is
read when somebody asks for the metrics (`readings.py`).
"""

from __future__ import annotations

import functools
import platform
from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, exposition
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from pageroles import __version__, _core
from pageroles.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import Metric

    from pageroles.telemetry.methods import Rpc

# When each series was made, which the client would tell with as many series more, nobody asks for.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

# Seconds: a question about a small domain takes less than a millisecond, the largest ones as long as they may.
_SECONDS = (
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip
_STAGE_SECONDS = (0.0001, *_SECONDS)
# The source of the stages of a request that failed before its plan was made.
_NO_SOURCE = "none"


class Metrics:
    """The metrics of one server, in a registry of its own; safe to use from many threads."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._registry = registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.GCCollector(registry=registry)
        build = Info(
            "pageroles_build", "The versions of pageroles and Python, and how the core was built.", registry=registry
        )
        build.info({"version": __version__, "python": platform.python_version(), "core": _core.__build__})
        rpc = ("grpc_type", "grpc_service", "grpc_method")
        self._started = Counter("grpc_server_started_total", "RPCs that began.", rpc, registry=registry)
        self._handled = Counter(
            "grpc_server_handled_total",
            "RPCs that ended, by the status that the server gave.",
            (*rpc, "grpc_code"),
            registry=registry,
        )
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "Seconds of RPCs from their begin until their answer was sent, or their caller was gone.",
            rpc,
            buckets=_SECONDS,
            registry=registry,
        )
        self._http = Histogram(
            "http_server_request_duration_seconds",
            "Seconds from the head of an HTTP request to the end of its answer.",
            ("http_request_method", "http_route", "http_response_status_code"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._http_active = Gauge("http_server_active_requests", "HTTP requests at work.", registry=registry)
        self._stages = Histogram(
            "pageroles_stage_seconds",
            "Seconds of each stage of a request, by what its report was made from; caller: it wrote sessions.",
            ("stage", "source"),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self._rows = Counter(
            "pageroles_rows_total",
            "Rows that reports were counted from: sessions in memory, or rows of streams from the store.",
            ("source",),
            registry=registry,
        )
        registry.register(_Read(_of_process))
        # A look-up of a series checks and compares names; it takes as long as to add to it.
        self._series = functools.cache(lambda metric, *labels: metric.labels(*labels))

    def watch(self, readings: Callable[[], Iterable[Metric]]) -> None:
        """Add metrics that are read when somebody asks."""
        self._registry.register(_Read(readings))

    def rpc_started(self, rpc: Rpc) -> None:
        """Count an RPC that begins."""
        self._series(self._started, rpc.kind, rpc.service, rpc.name).inc()

    def rpc_handled(self, rpc: Rpc, code: str, seconds: float) -> None:
        """Count an RPC that ended.

        Args:
            rpc: The method.
            code: The name of the gRPC status that it was given.
            seconds: How long it took.
        """
        self._series(self._handled, rpc.kind, rpc.service, rpc.name, code).inc()
        self._series(self._handling, rpc.kind, rpc.service, rpc.name).observe(seconds)

    def http_began(self) -> None:
        """Count an HTTP request that begins."""
        self._http_active.inc()

    def http_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP request that ended.

        Args:
            method: Its method, one of a closed set.
            route: The path that serves it, as it is registered; empty for one that is not served.
            status: The status of the answer.
            seconds: How long it took.
        """
        self._http_active.dec()
        self._series(self._http, method, route, str(status)).observe(seconds)

    def stage(self, name: str, source: str | None, seconds: float) -> None:
        """Measure a stage of a request.

        Args:
            name: The stage.
            source: What the report is made from, `memory` or `store`; `caller`: the request writes; None: nothing yet.
            seconds: How long it took.
        """
        self._series(self._stages, name, source or _NO_SOURCE).observe(seconds)

    def rows(self, source: str, number: int) -> None:
        """Count rows that a report was counted from."""
        self._series(self._rows, source).inc(number)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics, and their media type.

        Args:
            accept: The formats that the reader accepts, as HTTP's header of that name says it.
        """
        encoder, media_type = exposition.choose_encoder(accept)
        return encoder(self._registry), media_type

    def families(self) -> list[Metric]:
        """Return all metrics as they are now."""
        return list(self._registry.collect())


def counter(name: str, text: str, values: Mapping[str, float] | float, label: str = "") -> Metric:
    """Return a counter as it is now.

    Args:
        name: Its name, without `_total`.
        text: What it counts.
        values: Its value, or values by those of `label`.
        label: The name of its label; empty: it has none.
    """
    return _filled(CounterMetricFamily(name, text, labels=[label] if label else None), values)


def gauge(name: str, text: str, values: Mapping[str, float] | float, label: str = "") -> Metric:
    """Return a gauge as it is now; the arguments are those of `counter`."""
    return _filled(GaugeMetricFamily(name, text, labels=[label] if label else None), values)


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, float] | float
) -> CounterMetricFamily | GaugeMetricFamily:
    if isinstance(values, (int, float)):
        family.add_metric([], values)
    else:
        for value, number in values.items():
            family.add_metric([value], number)
    return family


def _of_process() -> Iterable[Metric]:
    yield counter("pageroles_log_lines_lost", "Lines of the log that were not written.", log.lines_lost())


class _Read(Collector):
    """Metrics that are read when somebody asks."""

    def __init__(self, readings: Callable[[], Iterable[Metric]]) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        """Read them."""
        return self._readings()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry then does not read them to look for names that come twice."""
        return ()
