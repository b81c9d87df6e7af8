"""What a serving process needs: signals that stop it, and logs for people or machines."""

from __future__ import annotations

import atexit
import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING

import structlog
import typer

from pageroles.telemetry import LogWriter, escape_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def on_stop_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set; a second signal ends the process at once."""
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def on_hangup(reread: Callable[[], None]) -> None:
    """Call `reread` at each SIGHUP, which otherwise would end the process."""
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, lambda *_: reread())


def set_up_logs(level: str) -> None:
    """Write logs to standard error: as text to a terminal, else one JSON object a line.

    Args:
        level: The least severe level that is written: debug, info, warning or error.

    Raises:
        typer.BadParameter: There is no such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise typer.BadParameter(
            f"there is no level {level!r}; give debug, info, warning or error", param_hint="--log-level"
        )
    # JSON escapes all but ASCII by itself.
    renderers: tuple[structlog.typing.Processor, ...] = (
        (escape_text, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback))
        if sys.stderr.isatty()
        else (structlog.processors.JSONRenderer(),)
    )
    writer = LogWriter(sys.stderr)
    atexit.register(writer.close)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type] # it writes and flushes
        cache_logger_on_first_use=True,
    )
