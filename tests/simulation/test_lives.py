"""A service whose server, network, clock and threads follow from a seed answers rightly, or says why it can't, in time.

Lives are lived in a process of their own: there time passes only where every thread waits. `make life SEED=7` brings
one back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.simulated.network import KINDS

TESTS = Path(__file__).parent.parent
FEW = "0-199"
# A life takes about an eighth of a second.
_MOST_SECONDS = 6 * 3600


def lived(*given: str) -> dict[str, Any]:
    """Live, and return what is told of it."""
    done = simulated(*given)
    told: dict[str, Any] = json.loads(done.stdout)
    assert not told["failed"], f"{told['failed']}\n{done.stderr[-20_000:]}"
    return told


def simulated(*given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "support.simulated", *given]
    return subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)


@pytest.mark.timeout(_MOST_SECONDS)
def test_whatever_breaks_answers_are_right_and_errors_are_those_of_the_fault() -> None:
    seeds = os.environ.get("PAGEROLES_SEEDS", FEW)
    told = lived(seeds)
    seen = told["seen"]
    if seeds == FEW:
        assert told["lived"] == 200
        # So much happens that a test of nothing would show.
        assert min(seen[f"met {kind}"] for kind in KINDS) >= 20
        assert seen["found something"] >= 500
        assert seen["in memory"] >= 500
        assert seen["answered"] - seen["in memory"] >= 500
        assert (
            min(seen[what] for what in ("erase", "die", "restart", "mend", "rush", "not written", "not erased")) >= 20
        )


@pytest.mark.parametrize("kind", ["cut", "hang after", pytest.param("", marks=pytest.mark.slow)])
def test_whichever_request_breaks_the_next_question_is_answered(kind: str) -> None:
    told = lived("1", "--meet", *([kind] if kind else [*KINDS, "--whole"]))
    assert told["seen"]["answered"] >= 20


def test_a_seed_brings_a_life_back() -> None:
    """To the last request that the server met, and to the microsecond."""
    one, other, another = (simulated(seed, "--trace").stdout for seed in ("7", "7", "8"))
    told, again = (text.partition("\n{")[0] for text in (one, other))
    assert told == again
    assert told.count("\n") > 100
    assert told != another.partition("\n{")[0]
