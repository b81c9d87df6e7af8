"""Translate the errors of the driver and of ClickHouse into those of this project."""

from __future__ import annotations

import contextlib
import errno
import re
from typing import TYPE_CHECKING

import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError, StreamFailureError

from pageroles.errors import (
    CancelledError,
    DeadlineError,
    InternalError,
    OverloadedError,
    PagerolesError,
    SettingError,
    StoreUnavailableError,
    StoreUnwritableError,
)
from pageroles.store.call import TOO_LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.call import Call

NO_SCHEMA = "the store has no schema: run `pageroles schema`"
NOT_REACHED = "ClickHouse can't be reached; try again"
BROKE_OFF = "the connection to ClickHouse broke off; try again"
NOT_ANSWERED = "ClickHouse does not answer; try again"

# ClickHouse's error codes with a meaning of their own.
_TIMEOUT_EXCEEDED = 159
_TOO_SLOW = 160
_QUERY_WAS_CANCELLED = 394
_BUSY = {
    202: "too many queries at once",
    241: "more memory than a query may take",
    252: "more parts than it merges",
    439: "no free thread",
}
_UNKNOWN_TABLE = 60
_ACCESS_DENIED = 497
_LOGIN = {192, 193, 194, 516}

_FULL = "the store's disk is full: its operator has to make room there; try again then"
_READ_ONLY = "the store's disk or folder is read-only: its operator has to let the store be written to; try again then"
_UNWRITABLE = {243: _FULL, 242: "ClickHouse's tables are read-only for now; try again"}
# Under several codes, ClickHouse tells why the system refuses it: by a number or, of folders, in words.
_OF_SYSTEM = re.compile(r"errno: (?P<number>\d+)|filesystem error: in \w+: (?P<words>[A-Z][\w -]+\w)")
_UNWRITABLE_FILES = {
    f"{errno.ENOSPC}": _FULL,
    "No space left on device": _FULL,
    f"{errno.EDQUOT}": _FULL,
    "Disk quota exceeded": _FULL,
    f"{errno.EROFS}": _READ_ONLY,
    "Read-only file system": _READ_ONLY,
    f"{errno.EACCES}": _READ_ONLY,
    "Permission denied": _READ_ONLY,
}
_BUSY_SYSTEM = {f"{number}": "no more open files" for number in (errno.EMFILE, errno.ENFILE)}

_CODE = re.compile(rb"Code: (\d+)")
# What stands behind the code of an error.
_WORDS = "DB::Exception"

# What a query can end with, for whoever counts: each error that `translated` raises is of the first kind that fits.
_KINDS: tuple[tuple[str, type[PagerolesError]], ...] = (
    ("unavailable", StoreUnavailableError),
    ("unwritable", StoreUnwritableError),
    ("busy", OverloadedError),
    ("deadline", DeadlineError),
    ("cancelled", CancelledError),
    ("schema", SettingError),
    ("refused", PagerolesError),
)
KINDS = tuple(name for name, _ in _KINDS)


@contextlib.contextmanager
def translated(call: Call | None = None) -> Iterator[None]:
    """Raise the driver's errors in the block as errors of this project.

    Args:
        call: The call that the block works for; if it is over, its end explains the failure.

    Raises:
        PagerolesError: The driver raised an error.
    """
    try:
        yield
    except PagerolesError:
        raise
    except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
        if call is not None:
            call.remaining()  # raises if the call is over
        raise _translated_error(error) from error
    except MemoryError as error:
        # An answer that breaks off may read as one of any size.
        if call is not None:
            call.remaining()
        raise OverloadedError("there is no memory for what ClickHouse answers; try again", retry_after=1.0) from error


def kind(error: PagerolesError) -> str:
    """Return the kind of an error of a query, one of `KINDS`."""
    return next(name for name, of in _KINDS if isinstance(error, of))


def fault_in(tail: bytes) -> PagerolesError | None:
    """Return the error that ClickHouse wrote at the end of a broken stream; None where it wrote none."""
    text = tail.rpartition(b"__exception__")[0]
    code = _CODE.search(text)
    return _translated_code(int(code[1]), text.decode(errors="replace")) if code else None


def is_not_granted(error: InternalError) -> bool:
    """Return whether an error says that the store's user lacks a grant."""
    return f"Code: {_ACCESS_DENIED}." in str(error)


def _translated_error(error: Exception) -> PagerolesError:
    """Return the error of this project for one of the driver."""
    if isinstance(error, StreamFailureError) and _WORDS not in str(error):
        # ClickHouse's own words may break off as well: what is left of their code is another one.
        return StoreUnavailableError(BROKE_OFF)
    code = getattr(error, "code", None)
    if code is not None:
        return _translated_code(code, error)
    if isinstance(error, (urllib3.exceptions.HTTPError, OSError, OperationalError)):
        return StoreUnavailableError(NOT_REACHED)
    return InternalError(f"ClickHouse refused: {error}")


def _translated_code(code: int, error: Exception | str) -> PagerolesError:
    """Return the error of this project for one of ClickHouse's codes."""
    if code in {_TIMEOUT_EXCEEDED, _TOO_SLOW}:
        return DeadlineError(TOO_LONG)
    if code == _QUERY_WAS_CANCELLED:
        return CancelledError("the query was cancelled")
    said = _OF_SYSTEM.search(str(error))
    of_system = (said["number"] or said["words"]) if said else ""
    if (busy := _BUSY.get(code) or _BUSY_SYSTEM.get(of_system)) is not None:
        return OverloadedError(f"ClickHouse is busy ({busy}); try again", retry_after=1.0)
    if code == _UNKNOWN_TABLE:
        return SettingError(NO_SCHEMA)
    if code in _LOGIN:
        return StoreUnavailableError("ClickHouse refuses the user or the password of the store's address")
    unwritable = _UNWRITABLE.get(code) or _UNWRITABLE_FILES.get(of_system)
    return InternalError(f"ClickHouse refused: {error}") if unwritable is None else StoreUnwritableError(unwritable)
