"""What ClickHouse says where the system does not let it write becomes a sentence for callers."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from pageroles.errors import CancelledError, InternalError, OverloadedError, PagerolesError, StoreUnwritableError
from pageroles.store import faults
from pageroles.store.call import Call

FULL, READ_ONLY = "disk is full", "disk or folder is read-only"


def translated(code: int, text: str) -> Exception:
    error = DatabaseError(f"Code: {code}. DB::Exception: {text}")
    error.code = code
    with pytest.raises(PagerolesError) as raised, faults.translated():
        raise error
    return raised.value


@pytest.mark.parametrize(
    ("code", "text", "says"),
    [
        (243, "Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)", FULL),
        (243, "Cannot reserve 1.00 MiB, not enough space: while pushing to view default.users_feed.", FULL),
        (75, "Cannot write to file /a/data.bin: , errno: 28, strerror: No space left on device", FULL),
        (75, "Cannot write to file /a/data.bin: , errno: 122, strerror: Disk quota exceeded", FULL),
        (
            76,
            "Cannot open file /a/tmp_insert_all_1_1_0/data.bin: , errno: 30, strerror: Read-only file system",
            READ_ONLY,
        ),
        (1001, 'std::filesystem_error: filesystem error: in create_directories: No space left on device ["/a"].', FULL),
        (1001, 'std::filesystem_error: filesystem error: in create_directories: Permission denied ["/a"].', READ_ONLY),
        (1001, 'std::filesystem_error: filesystem error: in rename: Read-only file system ["/a"] ["/b"].', READ_ONLY),
        (242, "Table is in readonly mode", "read-only for now"),
    ],
)
def test_a_disk_that_takes_nothing_is_told(code: int, text: str, says: str) -> None:
    error = translated(code, text)
    assert isinstance(error, StoreUnwritableError)
    assert says in str(error)
    assert "/a" not in str(error), "callers learn of no path"
    assert faults.kind(error) == "unwritable"


def test_too_many_open_files_are_too_much_to_do() -> None:
    error = translated(573, "Cannot open epoll descriptor: , errno: 24, strerror: Too many open files. (EPOLL_ERROR)")
    assert isinstance(error, OverloadedError)
    assert str(error) == "ClickHouse is busy (no more open files); try again"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (107, "Cannot open file /a/data.bin: , errno: 2, strerror: No such file or directory"),
        (1001, 'std::filesystem_error: filesystem error: in rename: Directory not empty ["/a"] ["/b"].'),
        (27, "Cannot parse input: expected ',' before: 'No space left on device'"),
    ],
)
def test_all_else_is_an_error_of_ours(code: int, text: str) -> None:
    assert isinstance(translated(code, text), InternalError)


def test_want_of_memory_is_an_overload_unless_the_call_is_over() -> None:
    """An answer that breaks off may read as one of any size."""
    with pytest.raises(OverloadedError, match="no memory"), faults.translated():
        raise MemoryError
    call = Call(60)
    with pytest.raises(OverloadedError, match="no memory"), faults.translated(call):
        raise MemoryError
    call.cancel()
    with pytest.raises(CancelledError), faults.translated(call):
        raise MemoryError
