"""`pageroles check` says what it found, mends it, and ends with a code that a script can go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from pageroles.command.app import app
from support import stores

if TYPE_CHECKING:
    from pageroles.store.store import Store
    from support.clickhouse_standin import StandIn

MOVED = (
    "INSERT INTO sessions (domain, session_id, user_id, started_at) VALUES ('a.com', 's1', '[b]anon', '2025-07-03'), "
    "('a.com', 's1', 'ada', '2025-07-03'), ('a.com', 's2', 'ada', '2025-07-04')"
)


@pytest.fixture
def store(empty_store: Store) -> Store:
    return empty_store


def check(standin: StandIn, *args: str) -> Result:
    return CliRunner().invoke(app, ["check", "--store", standin.dsn, *args], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_a_sound_store_is_said_to_be_sound(standin: StandIn, store: Store) -> None:
    store.command("INSERT INTO sessions (domain, session_id, user_id, started_at) VALUES ('a.com', 's', 'u', 0)")
    for args in ([], ["--repair"]):
        result = check(standin, *args)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "the store is sound" in result.stderr


def test_what_is_found_is_counted_shown_and_mended(standin: StandIn, store: Store) -> None:
    store.command(MOVED)
    store.command("TRUNCATE TABLE users")
    for _ in range(2):
        result = check(standin)
        assert result.exit_code == 1
        assert "session counts twice: run `pageroles check --repair`" in result.stderr
        lines = [line.split() for line in result.stdout.splitlines()]
        assert ["session", "counts", "twice", "1"] in [line[:4] for line in lines], "without --repair nothing changes"
        assert "a.com: s1" in result.stdout
        assert "a.com: [b]anon" in result.stdout, "text of the store is no markup"

    result = check(standin, "--repair")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["session", "counts", "twice", "1", "0"] in [line[:5] for line in lines]
    assert ["first", "seen", "too", "late", "2", "0"] in [line[:6] for line in lines]
    assert check(standin).exit_code == 0


def test_what_cannot_be_mended_is_left_and_says_what_to_do(standin: StandIn, store: Store) -> None:
    store.command("INSERT INTO sessions (domain, session_id, user_id, started_at) VALUES ('a.com', 's', 'u', 0)")
    store.command("TRUNCATE TABLE sessions")
    result = check(standin, "--repair")
    assert result.exit_code == 1
    assert "version that counts is lost: load these sessions again" in result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["version", "that", "counts", "is", "lost", "1", "1"] in [line[:7] for line in lines]
    assert ["first", "seen", "too", "early", "1", "0"] in [line[:6] for line in lines]


def test_a_store_without_the_schema_is_refused(standin: StandIn) -> None:
    with stores.bare(standin):
        assert "pageroles schema" in str(check(standin).exception)
