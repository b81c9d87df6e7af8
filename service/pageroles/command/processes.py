"""What a serving process needs: signals that stop it, word to who started it, and logs for people or machines."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

import structlog
import typer

from pageroles.telemetry.log import LogWriter, escape_text

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


# Libraries that log the exceptions which they raise: these are told once, as errors of the store.
_THAT_RAISE = ("clickhouse_connect", "urllib3")

_log = structlog.get_logger("pageroles")


def on_stop_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set; a second signal ends the process at once."""
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def allow_most_files() -> None:
    """Let this process have as many files open as the system allows it.

    The usual limit of 1,024 is for programs that use `select`, and everybody else raises it. The embedded engine takes
    three files for each of its threads, some hundreds in all, and each connection takes one. Whoever comes to the limit
    can't be answered.
    """
    if resource is not None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):  # a system that names a limit which it does not allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def on_hangup(reread: Callable[[], None]) -> None:
    """Call `reread` at each SIGHUP, which otherwise would end the process."""
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, lambda *_: reread())


def tell_supervisor(state: str) -> None:
    """Tell systemd what this process does, where it has asked for that (`Type=notify`).

    Args:
        state: What `sd_notify` takes: `READY=1` when requests are answered, `STOPPING=1` when it ends.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An address in no file system begins with a zero byte, which a variable can't hold.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_supervisor:
        to_supervisor.sendto(state.encode(), name)


class _IntoLog(logging.Handler):
    """Writes what libraries log as lines of the log, in its form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        error = record.exc_info[1] if record.exc_info else None
        # A server that stops says how many requests it cancels: each one's traceback says no more.
        if not isinstance(error, asyncio.CancelledError):
            level = min(record.levelno // 10 * 10, logging.CRITICAL)
            _log.log(level, record.getMessage(), logger=record.name, **({"exc_info": error} if error else {}))


def _log_unraised(unraised: threading.ExceptHookArgs | sys.UnraisableHookArgs) -> None:
    """Write an exception that no code can catch, such as that of a thread."""
    _log.error("uncaught", error=repr(unraised.exc_value), exc_info=unraised.exc_value)


def set_up_logs(level: str) -> None:
    """Write logs to standard error: as text to a terminal, else one JSON object a line.

    What libraries log, as warnings or worse, and uncaught exceptions of threads have the same form.

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
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_IntoLog()], force=True)
    for name in _THAT_RAISE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    threading.excepthook = sys.unraisablehook = _log_unraised
