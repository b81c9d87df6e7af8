"""Starts turns and collects what they found."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.worker import Found

if TYPE_CHECKING:
    from benchmarks.worker import Turn

_SECONDS = 900


class FailedError(Exception):
    """A turn failed; the text says whose, and how."""


def take(turn: Turn) -> Found:
    """Have a turn done by a process of its own.

    Raises:
        FailedError: It did not end well.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", msgspec.json.encode(turn).decode()],
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    if done.returncode:
        raise FailedError(f"{turn.contestant} {turn.form!r} on {turn.folder} ({turn.state}):\n{done.stderr[-3000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Found)
