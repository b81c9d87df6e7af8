"""What requests hold together is bounded, and given back however they end."""

from __future__ import annotations

import contextlib

import pytest

from pageroles import admission
from pageroles.admission import Admission, Failures
from pageroles.errors import OverloadedError

MB = 1 << 20


def test_places_are_bounded_and_come_back() -> None:
    held = Admission(2)
    with held.place(), contextlib.suppress(RuntimeError), held.place():
        assert held.taken == 2
        with pytest.raises(OverloadedError, match="busy"), held.place():
            pass
        raise RuntimeError
    assert held.taken == 0
    with held.place(), held.place():
        pass


def test_a_key_leaves_places_for_others() -> None:
    held = Admission(8)
    with contextlib.ExitStack() as places:
        for _ in range(6):
            places.enter_context(held.place()).belongs_to("greedy")
        with pytest.raises(OverloadedError, match="one key"), held.place() as place:
            place.belongs_to("greedy")
        for _ in range(2):
            places.enter_context(held.place()).belongs_to("modest")
        with pytest.raises(OverloadedError, match="busy"), held.place():
            pass
    assert (held.taken, held._taken_by) == (0, {})


def test_large_reports_leave_places_for_small_ones() -> None:
    held = Admission(4)
    with contextlib.ExitStack() as places:
        for _ in range(2):
            places.enter_context(held.place()).take_large()
        with pytest.raises(OverloadedError, match="large reports"), held.place() as place:
            place.take_large()
        for _ in range(2):
            places.enter_context(held.place()).belongs_to("small")
    with held.place() as place:
        place.take_large()


@pytest.mark.parametrize("places", [1, 2])
def test_few_places_can_all_be_used(places: int) -> None:
    held = Admission(places)
    with held.place() as place:
        place.belongs_to("only")
        place.take_large()


def test_answers_that_are_not_read_are_bounded() -> None:
    held = Admission(4, answer_bytes=10 * MB)
    with contextlib.ExitStack() as answers:
        answers.enter_context(held.answer("one", 6 * MB))
        with pytest.raises(OverloadedError, match="this key"):
            answers.enter_context(held.answer("one", 2 * MB))
        answers.enter_context(held.answer("other", 4 * MB))
        assert held.unread_bytes == 10 * MB
        with pytest.raises(OverloadedError, match="on their way; try again"):
            answers.enter_context(held.answer("third", MB))
        # Small ones are always let through.
        answers.enter_context(held.answer("third", 1000))
    assert (held.unread_bytes, held._bytes_of) == (0, {})


def test_an_answer_larger_than_all_is_let_through_alone() -> None:
    held = Admission(4, answer_bytes=MB)
    with held.answer("one", 50 * MB), pytest.raises(OverloadedError), held.answer("other", MB):
        pass
    with held.answer("one", 50 * MB):
        pass


def test_failures_of_an_address_are_forgotten_with_time() -> None:
    now = 0.0
    failures = Failures(clock=lambda: now)
    for _ in range(admission._MOST_FAILURES):
        assert not failures.are_too_many("10.0.0.1")
        failures.add("10.0.0.1")
    assert failures.are_too_many("10.0.0.1")
    assert not failures.are_too_many("10.0.0.2")
    now = 1.5
    assert not failures.are_too_many("10.0.0.1")
    failures.add("10.0.0.1")
    failures.add("10.0.0.1")
    assert failures.are_too_many("10.0.0.1")


def test_no_more_addresses_are_remembered_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MOST_ADDRESSES", 3)
    failures = Failures(clock=lambda: 0.0)
    for number in range(10):
        failures.add(f"10.0.0.{number}")
    assert list(failures._known) == ["10.0.0.7", "10.0.0.8", "10.0.0.9"]
