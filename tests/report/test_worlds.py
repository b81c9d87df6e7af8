"""Made-up worlds over the wire: what a client gets is what the reference says, to the last row's place."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pageroles.v1 import pages_pb2, pages_pb2_grpc
from support import reference
from support.reference import CONVERSION_ROLES, DROP_OFF_ROLES, InvalidRequestError, report
from support.wire import message
from support.worlds import World, domain, moving, request, world
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

    from support.served import Served

WORLDS = 1000
BATCH = 250
REQUESTS = 2

REFUSED = {"error": "invalid argument"}


@dataclasses.dataclass(frozen=True)
class Peopled:
    """A served store full of worlds."""

    stub: pages_pb2_grpc.PageRolesServiceStub
    key: str
    worlds: list[World]

    def pages(self, who: str, asked: Mapping[str, str]) -> dict[str, Any]:
        return rest(self.stub.Pages(message(asked), metadata=self._metadata(who), timeout=60))

    def stream_pages(self, who: str, asked: Mapping[str, str]) -> dict[str, Any]:
        first, *others = self.stub.StreamPages(message(asked), metadata=self._metadata(who), timeout=60)
        if first.message:
            assert not others
        else:
            assert first.HasField("time_frame")
            assert first.HasField("summary_totals")
        for part in others:
            assert not part.HasField("time_frame")
            assert not part.HasField("summary_totals")
            first.MergeFrom(part)
        return rest(first)

    def _metadata(self, who: str) -> list[tuple[str, str]]:
        return [("authentication", self.key), ("domain", who)]


@pytest.fixture(scope="module")
def peopled(served: Served) -> Iterator[Peopled]:
    # The server's clock is the real one: worlds lie around it, so that requests without dates find sessions.
    now = datetime.now(UTC)
    drawn = [drawn_world(seed, now).renamed(f"world{seed}") for seed in range(WORLDS)]
    write(served.store, (session for its_world in drawn for session in its_world.deliveries))
    with grpc.insecure_channel(served.target) as channel:
        yield Peopled(pages_pb2_grpc.PageRolesServiceStub(channel), served.all_domains_key, drawn)  # type: ignore[no-untyped-call]


def drawn_world(seed: int, now: datetime) -> World:
    """Return the world of a seed; in every other one, sessions move."""
    rng = random.Random(seed)
    return moving(rng, world(rng, now)) if seed % 2 else world(rng, now)


@pytest.mark.parametrize("method", ["pages", "stream_pages"])
@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(BATCH, WORLDS, BATCH))]
)
def test_an_answer_is_what_the_reference_says(peopled: Peopled, first: int, method: str) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        drawn = peopled.worlds[seed]
        rng = random.Random(f"requests of {seed}")
        for _ in range(REQUESTS):
            who, asked = domain(rng, drawn), request(rng, drawn)
            before = datetime.now(UTC)
            try:
                answer = getattr(peopled, method)(who, asked)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, (seed, who, asked, error)  # noqa: PT017
                answer = REFUSED
            expected = possible(drawn, who, asked, before, datetime.now(UTC))
            assert answer in expected, (
                f"seed {seed}, world's now {drawn.now.isoformat()}, domain {who}, request {asked}, got:\n{answer}\n"
                f"expected:\n{expected[0]}"
            )
            kinds[next(iter(answer))] += 1
    # The worlds show nothing where hardly any request finds a session.
    assert kinds["time_frame"] > BATCH * REQUESTS / 4, kinds
    assert kinds["error"] < BATCH * REQUESTS / 10, kinds


def possible(
    drawn: World, who: str, asked: Mapping[str, str], before: datetime, after: datetime
) -> list[dict[str, Any]]:
    """Return what the server may answer, whose clock showed some second between two instants."""
    answers = []
    now = before.replace(microsecond=0)
    while now <= after:
        try:
            answers.append(report(drawn.deliveries, who, asked, now))
        except InvalidRequestError:
            answers.append(REFUSED)
        now += timedelta(seconds=1)
    return answers


# ---- between the REST shape and messages ----


def rest(response: pages_pb2.PagesResponse) -> dict[str, Any]:
    if response.message:
        assert response == pages_pb2.PagesResponse(message=response.message)
        return {"message": response.message}
    totals = response.summary_totals
    return {
        "time_frame": {"start": shown(response.time_frame.start), "end": shown(response.time_frame.end)},
        "summary_totals": {field.name: getattr(totals, field.name) for field in totals.DESCRIPTOR.fields},
        "conversion_performance": [row(page, CONVERSION_ROLES) for page in response.conversion_performance],
        "drop_off_performance": [row(page, DROP_OFF_ROLES) for page in response.drop_off_performance],
    }


def shown(at: Timestamp) -> str:
    return reference.shown(at.ToDatetime(UTC))


def row(page: pages_pb2.ConversionPage | pages_pb2.DropOffPage, roles: tuple[str, ...]) -> dict[str, Any]:
    assert all(page.HasField(role) for role in roles), page
    counts = {role: getattr(page, role) for role in roles}
    return {"url": page.url} | {
        role: {"sessions": count.sessions, "users": count.users} for role, count in counts.items()
    }
