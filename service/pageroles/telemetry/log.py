"""The log: lines that wait for a thread that writes them.

A log line may be lost; an answer must not be. So whoever logs neither waits nor fails, whatever the reader of the log
does.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from typing import TYPE_CHECKING

import structlog

from pageroles.sentences import escaped

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any, TextIO

_log = structlog.get_logger(__name__)


# Lines that wait for the reader of the log; more are lost. Some megabytes at most.
_MOST_LINES = 10_000
# Lines are written together that come within this time. To wake the thread for each of them takes far longer than to
# write it, and all other threads wait meanwhile.
_TOGETHER_SECONDS = 0.01


class LogWriter:
    """A file for log lines that never holds up or fails whoever writes.

    Attributes:
        lost: The number of lines that were not written: too many waited, or the stream refused them.
    """

    def __init__(self, stream: TextIO, *, most_lines: int = _MOST_LINES) -> None:
        """Write to `stream` from a thread, with at most `most_lines` waiting."""
        self.lost = 0
        self._stream = stream
        self._most_lines = most_lines
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        _writers.add(self)

    def write(self, line: str) -> int:
        """Take a line with its newline; it is written soon, or lost."""
        if self._lines.qsize() < self._most_lines:
            self._lines.put(line)
        else:
            self.lost += 1
        return len(line)

    def flush(self) -> None:
        """Do nothing: lines are flushed when they are written."""

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, for at most some seconds, and end."""
        self._lines.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        reported = 0
        closing = False
        while not closing:
            lines = [self._lines.get()]
            time.sleep(_TOGETHER_SECONDS)
            lines += [self._lines.get() for _ in range(self._lines.qsize())]
            closing = None in lines
            written = [line for line in lines if line is not None]
            lost = self.lost
            note = f'{{"event": "log lines lost", "count": {lost - reported}}}\n' if lost > reported else ""
            try:
                self._stream.write(note + "".join(written))
                self._stream.flush()
            except (OSError, ValueError):  # its reader is gone, or it is closed
                self.lost += len(written)
            else:
                reported = lost


_writers: weakref.WeakSet[LogWriter] = weakref.WeakSet()


def lines_lost() -> int:
    """Return how many lines of this process's log were not written."""
    return sum(writer.lost for writer in _writers)


def escape_text(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what a terminal would obey in the texts of an event, so that it stays one line; a step of structlog.

    A traceback keeps its lines.
    """
    for name, value in event.items():
        if name == "exception":
            event[name] = "\n".join(map(escaped, str(value).split("\n")))
        elif isinstance(value, str):
            event[name] = escaped(value)
    return event


def unserved(request_id: str, path: str, error: Exception) -> None:
    """Write the line of a request that failed outside of the service, with its traceback."""
    _log.error("request", request_id=request_id, path=path, error=repr(error), exc_info=error)
