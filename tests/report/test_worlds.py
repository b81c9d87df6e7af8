"""Made-up worlds over the wire: what a client gets is what the reference says, to the last row's place."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pageroles.access.keys import KeyStore
from pageroles.v1 import pages_pb2, pages_pb2_grpc
from support import reference
from support.lives import Life
from support.reference import CONVERSION_ROLES, DROP_OFF_ROLES, InvalidRequestError, report
from support.served import serving_with
from support.stores import faults
from support.wire import message as asked_message
from support.worlds import World, domain, moving, request, world

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from pageroles.store.store import Store
    from support.reference import Erase, Session

WORLDS = 1000
# So many share a store, one after the other.
GROUP = 50
FAST_GROUPS = 1
ERASURES = 5
REQUESTS = 2

REFUSED = {"error": "invalid argument"}


@dataclasses.dataclass
class Asking:
    """A client of a served store, and a count of the kinds of answers that it got."""

    stub: pages_pb2_grpc.PageRolesServiceStub
    key: str
    kinds: Counter[str] = dataclasses.field(default_factory=Counter)

    def agrees(self, seed: int, drawn: World, came: Sequence[Session | Erase], rng: random.Random) -> None:
        """Ask in either way, and compare with the reference."""
        who, asked = domain(rng, drawn), request(rng, drawn)
        more: dict[str, Any] = {
            "limit": rng.choice((0, 0, 1, 2, 1000)),
            "balance": rng.random() < 0.5,
            "landing": rng.random() < 0.5,
        }
        method = rng.choice((self._pages, self._stream_pages))
        before = datetime.now(UTC)
        try:
            answer = method(who, asked, more)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, (seed, who, asked, error)  # noqa: PT017
            answer = REFUSED
        expected = possible(came, who, asked, more, before, datetime.now(UTC))
        assert answer in expected, (
            f"seed {seed}, world's now {drawn.now.isoformat()}, domain {who}, request {asked}, {more}, got:\n{answer}\n"
            f"expected:\n{expected[0]}"
        )
        self.kinds[next(iter(answer))] += 1

    def _pages(self, who: str, asked: Mapping[str, str], more: Mapping[str, Any]) -> dict[str, Any]:
        return rest(self.stub.Pages(with_more(asked, more), metadata=self._metadata(who), timeout=60))

    def _stream_pages(self, who: str, asked: Mapping[str, str], more: Mapping[str, Any]) -> dict[str, Any]:
        first, *others = self.stub.StreamPages(with_more(asked, more), metadata=self._metadata(who), timeout=60)
        if first.message:
            assert not others
        else:
            assert first.HasField("time_frame")
            assert first.HasField("summary_totals")
        for part in others:
            assert not part.HasField("time_frame")
            assert not part.HasField("summary_totals")
            assert not part.HasField("balance")
            assert not part.HasField("omitted")
            first.MergeFrom(part)
        return rest(first)

    def _metadata(self, who: str) -> list[tuple[str, str]]:
        return [("authentication", self.key), ("domain", who)]


@pytest.fixture
def asking(empty_store: Store) -> Iterator[Asking]:
    key, _ = KeyStore(empty_store).create(None)
    with serving_with(empty_store) as (target, _, _), grpc.insecure_channel(target) as channel:
        yield Asking(pages_pb2_grpc.PageRolesServiceStub(channel), key)  # type: ignore[no-untyped-call]


def drawn_world(seed: int, now: datetime) -> World:
    """Return the world of a seed; in every other one, sessions move."""
    rng = random.Random(seed)
    return (moving(rng, world(rng, now)) if seed % 2 else world(rng, now)).renamed(f"world{seed}")


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "group",
    [pytest.param(group, marks=[pytest.mark.slow] if group >= FAST_GROUPS else []) for group in range(WORLDS // GROUP)],
)
def test_an_answer_is_what_the_reference_says(empty_store: Store, asking: Asking, group: int) -> None:
    """While a store is fed, merged, killed and erased from, and afterwards; and it is sound then."""
    # The server's clock is the real one: worlds lie around it, so that requests without dates find sessions.
    now = datetime.now(UTC)
    seeds = range(group * GROUP, (group + 1) * GROUP)
    rng = random.Random(f"life of {group}")
    life = Life(empty_store, rng, [drawn_world(seed, now) for seed in seeds])

    def between() -> None:
        for number in rng.sample(range(GROUP), 8):
            asking.agrees(seeds[number], life.worlds[number], life.came[number], rng)

    life.live(between, ERASURES)
    asking.kinds.clear()
    for seed, drawn, came in zip(seeds, life.worlds, life.came, strict=True):
        requests = random.Random(f"requests of {seed}")
        for _ in range(REQUESTS):
            asking.agrees(seed, drawn, came, requests)
    assert faults(empty_store) == {}
    # The worlds show nothing where hardly any request finds a session.
    asked = asking.kinds.total()
    assert asking.kinds["time_frame"] > asked / 5, asking.kinds
    assert asking.kinds["error"] < asked / 5, asking.kinds
    assert all(life.seen[kind] for kind in ("merged", "killed", "erased")), life.seen


def with_more(asked: Mapping[str, str], more: Mapping[str, Any]) -> pages_pb2.PagesRequest:
    found = asked_message(asked)
    found.limit = more["limit"]
    if more["balance"]:
        found.include.append(pages_pb2.INCLUDE_BALANCE)
    if more["landing"]:
        found.include.append(pages_pb2.INCLUDE_LANDING)
    return found


def possible(
    came: Sequence[Session | Erase],
    who: str,
    asked: Mapping[str, str],
    more: Mapping[str, Any],
    before: datetime,
    after: datetime,
) -> list[dict[str, Any]]:
    """Return what the server may answer, whose clock showed some second between two instants."""
    answers = []
    now = before.replace(microsecond=0)
    while now <= after:
        try:
            answers.append(report(came, who, asked, now, **more))
        except InvalidRequestError:
            answers.append(REFUSED)
        now += timedelta(seconds=1)
    return answers


# ---- between the REST shape and messages ----


def rest(response: pages_pb2.PagesResponse) -> dict[str, Any]:
    beside = {}
    if response.HasField("balance"):
        beside["balance"] = counts_of(response.balance, [kind.name for kind in response.balance.DESCRIPTOR.fields])
    if response.message:
        assert response == pages_pb2.PagesResponse(
            message=response.message, balance=response.balance if beside else None
        )
        return {"message": response.message} | beside
    if response.HasField("omitted"):
        omitted = response.omitted
        beside["omitted"] = {field.name: getattr(omitted, field.name) for field in omitted.DESCRIPTOR.fields}
    totals = response.summary_totals
    return {
        "time_frame": {"start": shown(response.time_frame.start), "end": shown(response.time_frame.end)},
        "summary_totals": {field.name: getattr(totals, field.name) for field in totals.DESCRIPTOR.fields},
        "conversion_performance": [row(page, CONVERSION_ROLES) for page in response.conversion_performance],
        "drop_off_performance": [row(page, DROP_OFF_ROLES) for page in response.drop_off_performance],
        **beside,
    }


def shown(at: Timestamp) -> str:
    return reference.shown(at.ToDatetime(UTC))


def row(page: pages_pb2.ConversionPage | pages_pb2.DropOffPage, roles: tuple[str, ...]) -> dict[str, Any]:
    return {"url": page.url} | counts_of(page, [*roles, *(["landing"] if page.HasField("landing") else [])])


def counts_of(message: Message, names: Sequence[str]) -> dict[str, dict[str, int]]:
    assert all(message.HasField(name) for name in names), message
    counts = {name: getattr(message, name) for name in names}
    return {name: {"sessions": count.sessions, "users": count.users} for name, count in counts.items()}
