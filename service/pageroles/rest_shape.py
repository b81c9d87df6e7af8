"""Answers in the shape of REST, made of messages by the core: for commands, which print them, and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import msgspec

from pageroles._core import JsonAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable


class Hint(TypedDict):
    """A value that would have matched."""

    field: str
    value: str
    sessions: int
    sentence: str


class Answer(TypedDict, total=False):
    """An answer in the public shape: `message` alone, or all but `message`; and what was asked for beyond it."""

    time_frame: dict[str, str]
    summary_totals: dict[str, int]
    conversion_performance: list[dict[str, object]]
    drop_off_performance: list[dict[str, object]]
    message: str
    balance: dict[str, dict[str, int]]
    omitted: dict[str, int]
    hints: list[Hint]


def to_json(messages: Iterable[bytes]) -> bytes:
    """Return serialized PagesResponses, given in the order of StreamPages, as one answer in JSON."""
    answer = JsonAnswer()
    return b"".join([*map(answer.feed, messages), answer.finish()])


def read(body: bytes) -> Answer:
    """Decode an answer in JSON."""
    return msgspec.json.decode(body, type=Answer)


def to_answer(messages: Iterable[bytes]) -> Answer:
    """Return the answer of serialized PagesResponses, given in the order of StreamPages."""
    return read(to_json(messages))
