"""A soak tells what leaks from what fills, wavers or peaks."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
JUDGE = """
import json, sys
from benchmarks import flat
seconds, mib = json.load(sys.stdin)
figures = {"anonymous": [each * 2**20 for each in mib]}
print(flat.is_flat(flat.Soak("", 2, 0, seconds, figures, {}, {}, []), "anonymous"))
"""


@pytest.mark.parametrize(
    ("of_hour", "flat"),
    [
        pytest.param(lambda _: 500, True, id="it stays"),
        pytest.param(lambda at: 500 + 40 * math.sin(at * 100), True, id="it wavers"),
        pytest.param(lambda at: 600 - 100 * math.exp(-at * 6), True, id="a cache fills"),
        pytest.param(lambda at: 900 if 0.8 < at < 0.85 else 500, True, id="a peak"),
        pytest.param(lambda at: 500 + 30 * at, False, id="it leaks"),
        pytest.param(lambda at: 500 + 5 * int(at * 6), False, id="it leaks now and then"),
        pytest.param(lambda at: 500 + 40 * math.sin(at * 100) + 60 * at, False, id="it leaks and wavers"),
    ],
)
def test_what_rises_as_fast_at_the_end_is_not_flat(of_hour: Callable[[float], float], flat: bool) -> None:
    seconds = [number * 10.0 for number in range(360)]
    looks = json.dumps([seconds, [of_hour(at / 3600) for at in seconds]])
    done = subprocess.run(
        [sys.executable, "-c", JUDGE], cwd=ROOT, input=looks, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [str(flat)]
