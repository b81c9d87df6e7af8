"""Domains in memory never differ from the store: what is asked of them is what the reference says of all that came."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import pytest

from pageroles.report import kept, plan, residents
from pageroles.store.store import Store
from support import worlds
from support.lives import Life
from support.residing import Residing
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support.clickhouse_standin import StandIn
    from support.reference import Session
    from support.worlds import World

# They look at parts, and could see what others have left of theirs.
pytestmark = pytest.mark.schema_made_anew

# Each life takes some seconds. One is lived again with `pytest -m "" -k "NAME and [SEED]"`.
WORLDS = 3
ERASURES = 2
LARGE = 1 << 30


def seeds(fast: range, slow: range) -> list[object]:
    return [*fast, *(pytest.param(seed, marks=pytest.mark.slow) for seed in slow)]


@pytest.fixture
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Draw the limits by a seed, so that every way is taken; return the bytes that may be used."""
    rng = random.Random(f"limits {request.node.callspec.params['seed']}")
    monkeypatch.setattr(residents, "SMALL_ROWS", rng.choice((0, 10, 20_000)))
    monkeypatch.setattr(residents, "MOST_NEW_ROWS", rng.choice((0, 5, 20_000)))
    monkeypatch.setattr(residents, "_ROWS_AT_ONCE", rng.choice((5, 500_000)))
    monkeypatch.setattr(residents, "_REFUSED_SECONDS", 0.05)
    monkeypatch.setattr(residents, "_KEEP_UP_SECONDS", rng.choice((0.1, 20.0)))
    monkeypatch.setattr(plan, "SMALL_ROWS", rng.choice((5, 100_000)))
    return rng.choice((LARGE, LARGE, 2 * kept.DOMAIN_BYTES + 10_000))


def drawn_worlds(name: str, seed: int) -> Sequence[World]:
    """Draw worlds whose sessions move; the names of their domains are those of the seed."""
    rng = random.Random(f"worlds of {seed}")
    return [worlds.moving(rng, worlds.world(rng)).renamed(f"{name}{seed}w{number}") for number in range(WORLDS)]


def lived(
    store: Store, life: Life, rng: random.Random, limits: int, name: str, record: Callable[[str, object], None]
) -> None:
    """Live a life, with a reporter over a store; at the end each domain is in memory, where there is room."""
    with Residing(store, life, rng, limits, name) as residing:
        life.live(residing.between, ERASURES)
        residing.rush()
        residing.between()
        if limits == LARGE:
            residing.settle()
    assert residing.seen["in memory"]
    assert residing.seen["found something"]
    for kind, times in (residing.seen + life.seen).items():
        record(kind, times)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("seed", seeds(range(1), range(1, 200)))
def test_what_is_kept_of_an_embedded_store_is_right(
    store: Store, seed: int, limits: int, record_property: Callable[[str, object], None]
) -> None:
    rng = random.Random(f"life of {seed}")
    life = Life(store, rng, drawn_worlds("embedded", seed))
    lived(store, life, rng, limits, f"seed {seed}", record_property)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("seed", seeds(range(1), range(1, 30)))
def test_what_is_kept_of_a_server_is_right(
    standin: StandIn, empty_store: Store, seed: int, limits: int, record_property: Callable[[str, object], None]
) -> None:
    """Another client writes to it. Old parts stay for a while, as a server keeps them."""
    empty_store.command("ALTER TABLE sessions MODIFY SETTING old_parts_lifetime = 480")
    rng = random.Random(f"life on a server of {seed}")
    with Store.open(standin.dsn) as other:
        life = Life(other, rng, drawn_worlds("server", seed))
        lived(empty_store, life, rng, limits, f"seed {seed} on a server", record_property)


@pytest.mark.parametrize("seed", seeds(range(0), range(5)))
def test_what_is_kept_of_thousands_is_right(
    store: Store, seed: int, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """Of several blocks, which several threads count; read in the background, and so are large batches."""
    monkeypatch.setattr(residents, "SMALL_ROWS", 1_000)
    monkeypatch.setattr(residents, "MOST_NEW_ROWS", 1_000)
    monkeypatch.setattr(residents, "_ROWS_AT_ONCE", 2_000)
    monkeypatch.setattr(plan, "SMALL_ROWS", 1_000)
    rng = random.Random(f"crowd {seed}")
    crowd = drawn_crowd(rng, f"crowd{seed}.example")
    life = Life(store, rng, [crowd])
    left = crowd.deliveries
    with Residing(store, life, rng, LARGE, f"crowd {seed}") as residing:
        for size in (8_000, 1, 40, 2_000, 300, len(left)):
            batch, left = left[:size], left[size:]
            write(store, batch)
            life.note(batch)
            residing.ask(rng)
            residing.settle()
            residing.ask(rng)
    assert residing.seen["in memory"] >= 10
    for kind, times in residing.seen.items():
        record_property(kind, times)


def drawn_crowd(rng: random.Random, domain: str) -> World:
    """Draw a world of thousands of sessions of hundreds of users in one domain."""
    drawn = [worlds.moving(rng, worlds.world(rng)) for _ in range(360)]
    deliveries: list[Session] = [
        {**one, "domain": domain, "session_id": f"{number} {one['domain']} {one['session_id']}",
         "user_id": f"{number % 200} {one['user_id']}"}
        for number, world in enumerate(drawn)
        for one in world.deliveries
    ]  # fmt: skip
    # Users of the same name come again, so that late batches are of users that are known.
    return dataclasses.replace(drawn[0], deliveries=deliveries, domains=[domain])
