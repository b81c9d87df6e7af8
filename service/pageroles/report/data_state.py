"""What an answer was made from: a version of the domain's data, and until when it is complete.

A look at the parts of the store that shows what an earlier one has shown has its number and its time. So the number of
a look names the data of every domain, and what did not change since an earlier look may keep that one's number. Where
two looks around a reading do not show the same, or nothing can be proved, the version is of that one answer.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pageroles.errors import CancelledError, DeadlineError, PagerolesError
from pageroles.question.model import to_milliseconds
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.call import Call
    from pageroles.store.parts import Looks, Parts


# How long no look is taken after one that proves nothing.
_UNPROVED_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class DataState:
    """What an answer was made from.

    Attributes:
        version: Equal versions of a domain mean equal answers to the same question.
        complete_through: Every write that was acknowledged before this instant is in the answer, UTC.
    """

    version: str
    complete_through: datetime

    def message(self) -> pages_pb2.DataState:
        """Return it as the contract has it, in whole milliseconds."""
        message = pages_pb2.DataState(version=self.version)
        message.complete_through.FromMilliseconds(to_milliseconds(self.complete_through))
        return message


@dataclasses.dataclass(frozen=True, slots=True)
class Passage:
    """A reading of the store that has begun.

    Attributes:
        look: What the look before it has shown; None: it can't be relied on.
        began: When it began.
    """

    look: Parts | None
    began: datetime


class DataStates:
    """Names what answers are made from; safe to use from many threads."""

    def __init__(self, looks: Looks, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Name states by the looks of one process: others, and a later one, have other names.

        Args:
            looks: The looks.
            clock: Returns the time in seconds.
        """
        self._looks = looks
        self._clock = clock
        # A look costs a query, which is in vain where nothing can be proved.
        self._no_look_before = -math.inf
        self._process = secrets.token_hex(6)
        self._answers = itertools.count(1)

    def at(self, look: Parts) -> DataState:
        """Return the state that a look has shown, whose data can be proved."""
        return DataState(f"{self._process}-{look.number}", look.looked_at or datetime.fromtimestamp(0, UTC))

    def begin(self, call: Call) -> Passage:
        """Look at the store before it is read.

        Raises:
            CancelledError: The call was cancelled.
            DeadlineError: The call's time is over.
        """
        began = datetime.now(UTC)
        return Passage(self._look(call), began)

    def known(self, passage: Passage) -> DataState | None:
        """Return the state that the store had when the reading began; None where it can't be proved."""
        return None if passage.look is None else self.at(passage.look)

    def end(self, passage: Passage, call: Call) -> DataState:
        """Return the state that was read.

        Raises:
            CancelledError: The call was cancelled.
            DeadlineError: The call's time is over.
        """
        if passage.look is not None and self._look(call) is passage.look:
            return self.at(passage.look)
        return self.alone(passage.began)

    def alone(self, complete_through: datetime) -> DataState:
        """Return a state that is of one answer alone."""
        return DataState(f"{self._process}-a{next(self._answers)}", complete_through)

    def _look(self, call: Call) -> Parts | None:
        if self._clock() < self._no_look_before:
            return None
        try:
            look = self._looks.now(call)
        except (CancelledError, DeadlineError):
            raise
        except PagerolesError:
            # The report tells what is wrong, if it fails as well.
            return None
        if look.unproved is None:
            return look
        self._no_look_before = self._clock() + _UNPROVED_SECONDS
        return None
