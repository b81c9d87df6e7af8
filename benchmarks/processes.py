"""Runs a module of this package in a process of its own, and reads what it found."""

from __future__ import annotations

import subprocess
import sys
from typing import TypeVar

import msgspec

_Result = TypeVar("_Result")


class ProcessFailedError(Exception):
    """A process failed; the text says which, and how."""


def call(module: str, arguments: list[str], result: type[_Result], *, seconds: float = 900) -> _Result:
    """Run a module until it ends, and return the result that it wrote with `reply`.

    Args:
        module: Its name in this package.
        arguments: Of its command line.
        result: The type of the result.
        seconds: How long it may take.

    Raises:
        ProcessFailedError: It failed.
        subprocess.TimeoutExpired: It took longer.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    if done.returncode:
        raise ProcessFailedError(f"{module} {' '.join(arguments)}:\n{done.stderr[-3000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=result)


def reply(result: object) -> None:
    """Write the result of this process as the last line of standard output."""
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
