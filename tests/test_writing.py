"""What becomes of the sessions of one request: positions, rejects, domains, time, what is under way."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from pageroles.errors import DeadlineError, StoreUnavailableError
from pageroles.ingest.session import Row, parse_line
from pageroles.ingest.writer import Times, Writer, size_of
from pageroles.writing import Delivery, Rejected, Written
from support.fakes import FakeStore, session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Store(FakeStore):
    def finish_writes(self) -> int:
        return 0


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def writer(store: Store) -> Iterator[Writer]:
    made = Writer(store)
    yield made
    made.close()


def row(name: object, **more: Any) -> Row:
    return parse_line(session(name, **more))


def test_positions_count_over_the_whole_request(store: Store, writer: Writer) -> None:
    delivery = Delivery(writer, "example.com", 30)
    delivery.add([row(0), "bad", row(2)])
    delivery.add([])
    delivery.add(["worse", row(4, domain="other.com"), row(5)])
    delivery.wait(0)
    other = "domain must be 'example.com', for which the request is, not 'other.com'"
    rejected = [Rejected(1, "bad"), Rejected(3, "worse"), Rejected(4, other)]
    assert delivery.written() == Written(3, rejected, 3)
    assert sorted(store.content) == ["0", "2", "5"]


def test_without_a_domain_all_are_taken(store: Store, writer: Writer) -> None:
    delivery = Delivery(writer, "", 30)
    delivery.add([row(0), row(1, domain="other.com")])
    delivery.wait(0)
    assert delivery.written().stored == 2
    assert {one["domain"] for one in store.rows} == {"example.com", "other.com"}


def test_a_thousand_rejects_are_listed_and_all_are_counted(writer: Writer) -> None:
    delivery = Delivery(writer, "", 30)
    delivery.add("bad" for _ in range(1500))
    written = delivery.written()
    assert (written.stored, len(written.rejected), written.rejected_count) == (0, 1000, 1500)
    assert written.rejected[-1].index == 999


class HeldWriter:
    """Takes rows, which the test itself stores."""

    def __init__(self) -> None:
        self.submitted: list[Future[Times]] = []

    def submit(self, _: Sequence[Row]) -> Future[Times]:
        self.submitted.append(Future())
        return self.submitted[-1]


def test_the_oldest_write_is_waited_for_while_too_much_is_under_way() -> None:
    held = HeldWriter()
    delivery = Delivery(held, "", 30)  # type: ignore[arg-type]
    assert delivery.under_way(0) is None
    for number in range(3):
        delivery.add([row(number)])
    first, second, third = held.submitted
    assert delivery.under_way() is None, "three rows are not much"
    assert delivery.under_way(2 * size_of(row(0))) is first
    first.set_result(Times(0, 1, 3, 6))
    assert delivery.under_way(2 * size_of(row(0))) is None
    assert delivery.under_way(0) is second
    second.set_exception(StoreUnavailableError("away"))
    with pytest.raises(StoreUnavailableError):
        delivery.under_way(0)
    third.set_result(Times(0, 1, 3, 6))


def test_a_request_whose_time_is_over_is_told(writer: Writer) -> None:
    delivery = Delivery(writer, "", 0)
    with pytest.raises(DeadlineError, match="send fewer sessions"):
        delivery.add([row(0)])
