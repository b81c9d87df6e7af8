"""What the driver and ClickHouse raise → the errors of this project."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from pageroles.errors import (
    CancelledError,
    DeadlineError,
    InternalError,
    OverloadedError,
    PagerolesError,
    SettingError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.call import Call

NO_SCHEMA = "the store has no schema yet: run `pageroles schema` first"

# ClickHouse's error codes that mean something to a caller.
_TIMEOUT_EXCEEDED = 159
_TOO_SLOW = 160
_QUERY_WAS_CANCELLED = 394
_BUSY = {202: "too many queries at once", 241: "more memory than a query may take", 439: "no thread to be had"}
_UNKNOWN_TABLE = 60
_LOGIN = {192, 193, 194, 516}

_CODE = re.compile(rb"Code: (\d+)")


@contextlib.contextmanager
def translated(call: Call | None = None) -> Iterator[None]:
    """Turn what the driver raises into the errors of this project.

    Args:
        call: The call that the block works for; where it is over, that explains the failure.
    """
    try:
        yield
    except PagerolesError:
        raise
    except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
        if call is not None:
            call.remaining()  # raises where the call is over
        raise _meaning(error) from error


def fault_in(tail: bytes) -> PagerolesError | None:
    """Find the exception that ClickHouse wrote into the end of a stream before it broke off."""
    words = tail.rpartition(b"__exception__")[0]
    code = _CODE.search(words)
    return _meaning_of_code(int(code[1]), words.decode(errors="replace")) if code else None


def _meaning(error: Exception) -> PagerolesError:
    """Return the error of this project for one of the driver's."""
    code = getattr(error, "code", None)
    if code is not None:
        return _meaning_of_code(code, error)
    if isinstance(error, (urllib3.exceptions.HTTPError, OSError, OperationalError)):
        return StoreUnavailableError("ClickHouse can't be reached; try again")
    return InternalError(f"ClickHouse refused: {error}")


def _meaning_of_code(code: int, error: Exception | str) -> PagerolesError:
    """Return the error of this project for one of ClickHouse's codes."""
    if code in {_TIMEOUT_EXCEEDED, _TOO_SLOW}:
        return DeadlineError("the time for this request is over; ask for a shorter window or allow more time")
    if code == _QUERY_WAS_CANCELLED:
        return CancelledError("the query was stopped")
    if code in _BUSY:
        return OverloadedError(f"ClickHouse is busy ({_BUSY[code]}); try again", retry_after=1.0)
    if code == _UNKNOWN_TABLE:
        return SettingError(NO_SCHEMA)
    if code in _LOGIN:
        return StoreUnavailableError("ClickHouse refuses the user or the password of the store's address")
    return InternalError(f"ClickHouse refused: {error}")
