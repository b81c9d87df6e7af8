"""Every number opens: its sessions, its days and the values of its filters are those of the reference, and agree."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pageroles.access.keys import KeyStore, Permission
from pageroles.question.filters import FILTERS
from pageroles.v1 import pages_pb2, pages_pb2_grpc
from support import reference
from support.lives import Life
from support.reference import CONVERSION_ROLES, DROP_OFF_ROLES
from support.served import serving_with
from support.wire import message as asked_message
from support.worlds import World, domain, moving, request, world

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from pageroles.store.store import Store
    from support.reference import Erase, Session

ROLES = (*CONVERSION_ROLES, *DROP_OFF_ROLES, "landing")
# Worlds that share a store, by what the answers are made from. So many groups make 10,000 cells and more.
GROUP = {"memory": 10, "store": 6}
GROUPS = 16
FAST_REQUESTS, REQUESTS = 2, 6
CELLS = 40
MOST_VALUES = 1000


@dataclasses.dataclass
class Asking:
    """A client of a served store; it counts what it has compared."""

    stub: Any
    key: str
    compared: Counter[str] = dataclasses.field(default_factory=Counter)
    answers: dict[tuple[str, str, str], bytes] = dataclasses.field(default_factory=dict)

    def agree(self, drawn: World, came: Sequence[Session | Erase], rng: random.Random, where: str) -> None:
        """Ask about a world, and compare all answers with the reference."""
        who, asked = domain(rng, drawn), dated(rng, request(rng, drawn), drawn.now)
        now = datetime.now(UTC)
        try:
            known = reference.question(came, who, asked, now)
        except reference.InvalidRequestError:
            return
        told = f"{where}, domain {who}, request {asked}"
        self._is_of_its_version(who, asked, told)
        report = reference.report(came, who, asked, now, landing=True)
        for cell in cells(rng, report):
            self._opens(known, who, asked, cell, rng, told)
        self._opens(known, who, asked, (None, None, None), rng, told)
        url = rng.choice([row["url"] for row in rows(report)] or ["/never"])
        self._has_days(known, who, asked, url, report, told)
        self._has_values(came, who, asked, now, rng, told)
        self._is_of_its_version(who, asked, told)
        # The same question at each time.
        self._is_of_its_version(who, dict(zip(("start_date", "end_date"), month(drawn.now), strict=True)), told)

    def _is_of_its_version(self, who: str, asked: Mapping[str, str], told: str) -> None:
        """Compare a report with an earlier one that was made from the same version of the data."""
        wanted = asked_message(asked)
        wanted.include.extend([pages_pb2.INCLUDE_DATA, pages_pb2.INCLUDE_BALANCE, pages_pb2.INCLUDE_LANDING])
        answer = self.stub.Pages(wanted, metadata=self._metadata(who), timeout=60)
        # A window without a start begins with now.
        window = f"{shown(answer.time_frame.start)} {shown(answer.time_frame.end)}"
        place = (who, answer.data.version, f"{wanted} {window}")
        written = answer.SerializeToString(deterministic=True)
        assert self.answers.setdefault(place, written) == written, (told, place)
        self.compared["reports"] += 1

    def _opens(
        self, known: reference.Question, who: str, asked: Mapping[str, str], cell: Cell, rng: random.Random, told: str
    ) -> None:
        url, role, number = cell
        limit = rng.choice((0, 0, 1, 3))
        expected = reference.sessions(known, url, role, limit)
        found = self.sessions(who, asked, url, role, limit)
        assert found == expected, (
            f"{told}, page {url}, role {role}, limit {limit}, got:\n{found}\nexpected:\n{expected}"
        )
        if number is not None:
            # The sessions behind a number are as many as it says, and so are their users.
            assert found["total"] == number, (told, cell)
            self.compared["cells"] += 1
        if not limit:
            assert len(found["sessions"]) == found["total"]["sessions"], told
            assert len({each["user_id"] for each in found["sessions"]}) == found["total"]["users"], told

    def _has_days(
        self,
        known: reference.Question,
        who: str,
        asked: Mapping[str, str],
        url: str,
        report: Mapping[str, Any],
        told: str,
    ) -> None:
        for page in (None, url):
            found, expected = self.days(who, asked, page), reference.days(known, page)
            assert found == expected, f"{told}, page {page}, got:\n{found}\nexpected:\n{expected}"
            total = report.get("summary_totals", {"total_sessions": 0})["total_sessions"]
            assert sum(day["summary_totals"]["total_sessions"] for day in found["days"]) == total, told
            self.compared["days"] += len(found["days"])

    def _has_values(
        self,
        came: Sequence[Session | Erase],
        who: str,
        asked: Mapping[str, str],
        now: datetime,
        rng: random.Random,
        told: str,
    ) -> None:
        for field in rng.sample([each.name for each in FILTERS], 3):
            contains, limit = rng.choice(("", "", "", "A", "/")), rng.choice((0, 0, 1, 1000))
            expected = reference.values(came, who, asked, now, field, contains, limit or 100)
            found = self.values(who, asked, field, contains, limit)
            assert found == expected, (
                f"{told}, field {field}, contains {contains!r}, got:\n{found}\nexpected:\n{expected}"
            )
            self.compared["values"] += len(found["values"])

    def sessions(
        self, who: str, asked: Mapping[str, str], url: str | None, role: str | None, limit: int
    ) -> dict[str, Any]:
        wanted = pages_pb2.PageSessionsRequest(
            question=asked_message(asked),
            url=url or "",
            role=f"ROLE_{(role or 'unspecified').upper()}",
            limit=limit,
        )
        first, *others = self.stub.PageSessions(wanted, metadata=self._metadata(who), timeout=60)
        assert first.data.version
        assert not any(part.HasField("total") or part.HasField("data") for part in others)
        return {
            "total": {"sessions": first.total.sessions, "users": first.total.users},
            "sessions": [session(each) for part in (first, *others) for each in part.sessions],
        }

    def days(self, who: str, asked: Mapping[str, str], url: str | None) -> dict[str, Any]:
        wanted = pages_pb2.PageDaysRequest(question=asked_message(asked), url=url or "")
        return {
            "days": [day(each) for each in self.stub.PageDays(wanted, metadata=self._metadata(who), timeout=60).days]
        }

    def values(self, who: str, asked: Mapping[str, str], field: str, contains: str, limit: int) -> dict[str, Any]:
        wanted = pages_pb2.FilterValuesRequest(
            question=asked_message(asked), field=field, contains=contains, limit=limit
        )
        answer = self.stub.FilterValues(wanted, metadata=self._metadata(who), timeout=60)
        return {"values": [{"value": each.value, "sessions": each.sessions} for each in answer.values]}

    def _metadata(self, who: str) -> list[tuple[str, str]]:
        return [("authentication", self.key), ("domain", who)]


Cell = tuple[str | None, str | None, dict[str, int] | None]


@pytest.fixture
def asking(empty_store: Store) -> Iterator[Asking]:
    key, _ = KeyStore(empty_store).create(None, permissions=[Permission.REPORT, Permission.SESSIONS])
    with serving_with(empty_store) as (target, _, _), grpc.insecure_channel(target) as channel:
        yield Asking(pages_pb2_grpc.PageRolesServiceStub(channel), key)  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("made_from", ["memory", "store"])
@pytest.mark.parametrize(
    "group", [pytest.param(group, marks=[pytest.mark.slow] if group else []) for group in range(GROUPS)]
)
def test_every_number_opens_as_the_reference_says(
    empty_store: Store, asking: Asking, group: int, made_from: str, request: pytest.FixtureRequest
) -> None:
    """Also while the store is fed, merged, killed and erased from."""
    if made_from == "store":
        request.getfixturevalue("streaming")
    now, size = datetime.now(UTC), GROUP[made_from]
    seeds = range(group * size, (group + 1) * size)
    rng = random.Random(f"opened life of {group}")
    worlds = []
    for seed in seeds:
        drawn = random.Random(seed)
        made = moving(drawn, world(drawn, now)) if seed % 2 else world(drawn, now)
        worlds.append(made.renamed(f"opened{seed}"))
    life = Life(empty_store, rng, worlds)

    def between() -> None:
        number = rng.randrange(size)
        asking.agree(life.worlds[number], life.came[number], rng, f"seed {seeds[number]}, meanwhile")

    life.live(between, 2)
    for seed, drawn_world, came in zip(seeds, life.worlds, life.came, strict=True):
        requests = random.Random(f"opened {seed}")
        for _ in range(REQUESTS if group else FAST_REQUESTS):
            asking.agree(drawn_world, came, requests, f"seed {seed}")
    # The worlds show nothing where hardly a number is not 0.
    assert asking.compared["cells"] > size * 5, asking.compared
    assert asking.compared["values"] > size, asking.compared
    # Many were made from a version that was seen before.
    assert len(asking.answers) < asking.compared["reports"] * 0.8, asking.compared


def dated(rng: random.Random, asked: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return a request whose window does not end with now."""
    given = dict(asked)
    if not given.get("end_date"):
        given["end_date"] = (now + timedelta(days=rng.randrange(3))).date().isoformat()
    return given


def month(now: datetime) -> tuple[str, str]:
    """Return the first and the last day of a window around a time."""
    first, last = now - timedelta(days=20), now + timedelta(days=10)
    return first.date().isoformat(), last.date().isoformat()


def rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*report.get("conversion_performance", []), *report.get("drop_off_performance", [])]


def cells(rng: random.Random, report: Mapping[str, Any]) -> Iterator[Cell]:
    """Give some cells of a report, and some pages in any role and none."""
    drawn = [
        (row["url"], role, number)
        for row in rows(report)
        for role, number in row.items()
        if role != "url" and (number["sessions"] or rng.random() < 0.2)
    ]
    yield from rng.sample(drawn, min(CELLS, len(drawn)))
    if drawn:
        yield rng.choice(drawn)[0] + rng.choice(("", "?a=b", "/", "#top")), None, None
    yield "/never seen", rng.choice(ROLES), {"sessions": 0, "users": 0}


def session(each: pages_pb2.PageSession) -> dict[str, Any]:
    return {
        "session_id": each.session_id,
        "user_id": each.user_id,
        "started_at": shown(each.started_at),
        "pages": list(each.pages),
        "conversions": [
            {"url": it.url, "type": it.type, "id": it.id, "occurred_at": shown(it.occurred_at)}
            for it in each.conversions
        ],
    }


def day(each: pages_pb2.PageDay) -> dict[str, Any]:
    totals = each.summary_totals
    found: dict[str, Any] = {
        "date": each.date,
        "summary_totals": {field.name: getattr(totals, field.name) for field in totals.DESCRIPTOR.fields},
    }
    if each.HasField("roles"):
        found["roles"] = {field.name: count(getattr(each.roles, field.name)) for field in each.roles.DESCRIPTOR.fields}
        found["landing"] = count(each.landing)
    return found


def count(number: pages_pb2.RoleCount) -> dict[str, int]:
    return {"sessions": number.sessions, "users": number.users}


def shown(at: Timestamp) -> str:
    return reference.shown(at.ToDatetime(UTC))
