"""The request log: one line for each request. Metrics and traces belong here, too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pageroles.errors import PagerolesError

_log = structlog.get_logger(__name__)


class RequestLog:
    """The line of a request in the log.

    Attributes:
        key_id: The id of the caller's key; None until it is known.
        domain: The domain that the caller asks about; None until it is known.
        sessions: The number of included sessions; None until there is a report.
    """

    def __init__(self, request_id: str, method: str) -> None:
        """Begin the line of a request, whose time counts from now."""
        self._request_id = request_id
        self._method = method
        self._began = time.monotonic()
        self.key_id: str | None = None
        self.domain: str | None = None
        self.sessions: int | None = None

    def write(self, error: PagerolesError | None = None) -> None:
        """Write the line: who asked, how the request ended, and how many milliseconds it took.

        Args:
            error: The fault that ended the request; None: it was answered. Internal errors come with their traceback.
        """
        ours = error is not None and error.ours
        (_log.error if ours else _log.info)(
            "request",
            request_id=self._request_id,
            method=self._method,
            status=error.status.name if error else "OK",
            key_id=self.key_id,
            domain=self.domain,
            sessions=self.sessions,
            milliseconds=round((time.monotonic() - self._began) * 1000, 1),
            **({"error": str(error)} if error else {}),
            **({"exc_info": error} if ours else {}),
        )


def unserved(request_id: str, path: str, error: Exception) -> None:
    """Write the line of a request that failed outside of the service, with its traceback."""
    _log.error("request", request_id=request_id, path=path, error=repr(error), exc_info=error)
