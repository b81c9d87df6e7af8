"""The audit log: each deed is written down before it is done, by whom, and without secrets."""

from __future__ import annotations

import getpass
import json
import os
import platform
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from pageroles.access.keys import KeyStore
from pageroles.access.quotas import QuotaStore
from pageroles.command.app import app
from pageroles.errors import StoreUnavailableError
from pageroles.store import audit, erasure
from pageroles.store.audit import Action
from pageroles.store.erasure import Erasure
from pageroles.store.retention import Retention
from support.endless import until
from support.made import session
from support.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable

    from pageroles.store.audit import Deed
    from pageroles.store.store import Store
    from support.clickhouse_standin import StandIn

DOMAIN = session("s")["domain"]


def deeds(store: Store) -> list[Deed]:
    """Return all deeds, the earliest first."""
    return audit.deeds(store, 1000)[::-1]


def test_keys_and_quotas_leave_a_row_each(empty_store: Store) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    keys = KeyStore(empty_store)
    key, record = keys.create("a.example", name="dashboard")
    keys.revoke(record.id)
    keys.revoke(record.id)
    QuotaStore(empty_store).set("a.example", 7)
    QuotaStore(empty_store).set("a.example", None)
    found = deeds(empty_store)
    assert [deed.action for deed in found] == [
        Action.KEY_CREATED, Action.KEY_REVOKED, Action.QUOTA_SET, Action.QUOTA_SET,
    ]  # fmt: skip
    assert {deed.domain for deed in found} == {"a.example"}
    assert [deed.key_id for deed in found] == [record.id, record.id, "", ""]
    assert found[0].details == {"name": "dashboard", "allow": "report"}
    assert [deed.details for deed in found[2:]] == [{"requests_a_month": 7}, {"requests_a_month": None}]
    assert {deed.by for deed in found} == {f"{getpass.getuser()}@{platform.node()}, command"}
    assert all(began <= deed.at <= datetime.now(UTC) for deed in found)
    assert key not in str(found)
    assert record.hash not in str(found)


@pytest.mark.usefixtures("at_once")
def test_an_erasure_leaves_its_begin_and_its_end_and_names_nobody(empty_store: Store) -> None:
    write(empty_store, [session("secret-session", "secret-user"), session("s2", "u2")])
    erasure.erase(empty_store, Erasure(DOMAIN, user_id="secret-user"))
    erasure.erase(empty_store, Erasure(DOMAIN, session_id="secret-session"))
    erasure.erase(empty_store, Erasure(DOMAIN))
    found = deeds(empty_store)
    assert [deed.action for deed in found] == [Action.ERASURE_BEGUN, Action.ERASURE_ENDED] * 3
    assert {deed.domain for deed in found} == {DOMAIN}
    assert found[0].details == {"of": [{"domain": DOMAIN, "user": "one"}]}
    assert found[2].details == {"of": [{"domain": DOMAIN, "session": "one"}]}
    assert [deed.details for deed in found[1::2]] == [
        {"sessions": 1, "users": 1}, {"sessions": 0, "users": 0}, {"sessions": 1, "users": 1},
    ]  # fmt: skip
    assert "secret" not in str(found)


@pytest.mark.usefixtures("at_once")
def test_what_a_server_erases_is_said_to_be_a_servers(empty_store: Store) -> None:
    with Retention(empty_store, {None: 1000, DOMAIN: 10}):
        assert until(lambda: len(deeds(empty_store)) == 2)
    begun, _ = deeds(empty_store)
    assert begun.by.endswith(", server")
    assert begun.domain == ""
    assert [set(of) for of in begun.details["of"]] == [{"all domains but", "before"}, {"domain", "before"}]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("deed", ["create", "revoke", "quota", "erase"])
def test_nothing_is_done_that_could_not_be_written_down(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    keys, quotas = KeyStore(empty_store), QuotaStore(empty_store)
    _, record = keys.create(DOMAIN)
    write(empty_store, [session("s1")])

    def refuse(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("not now")

    monkeypatch.setattr(audit, "record", refuse)
    act: Callable[[], object] = {
        "create": lambda: keys.create(DOMAIN),
        "revoke": lambda: keys.revoke(record.id),
        "quota": lambda: quotas.set(DOMAIN, 1),
        "erase": lambda: erasure.erase(empty_store, Erasure(DOMAIN)),
    }[deed]
    with pytest.raises(StoreUnavailableError):
        act()
    (left,) = keys.list()
    assert left.revoked_at is None
    assert quotas.limits() == {}
    assert erasure.has_sessions(empty_store, DOMAIN)


def test_the_command_shows_the_latest_first(empty_store: Store, standin: StandIn) -> None:
    keys = KeyStore(empty_store)
    records = [keys.create(f"d{number}\x1b[31m.example")[1] for number in range(3)]

    def run(*args: str) -> str:
        done = CliRunner().invoke(
            app, ["audit", "--store", standin.dsn, *args], env={"COLUMNS": "200", "NO_COLOR": "1"}
        )
        assert done.exit_code == 0, done.stderr
        return done.stdout

    table = run("--rows", "2")
    assert table.index(records[2].id) < table.index(records[1].id)
    assert records[0].id not in table
    assert "\x1b" not in table
    told = json.loads(run("--json"))
    assert [row["key_id"] for row in told] == [record.id for record in records[::-1]]
    assert set(told[0]) == {"at", "action", "by", "domain", "key_id", "details"}


def test_a_user_without_a_name_is_known_by_its_number(empty_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    audit.record(empty_store, Action.QUOTA_SET)
    assert deeds(empty_store)[-1].by.startswith(f"{os.getuid()}@")
