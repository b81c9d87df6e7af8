"""The command in processes of its own, on the embedded store of a folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATIENCE = 60
PAGEROLES = [str(Path(sys.executable).with_name("pageroles"))]
ANY_PORTS = ("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0")


def dsn(folder: Path) -> str:
    return f"chdb://{folder}/store"


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PAGEROLES_STORE": dsn(folder), "COLUMNS": "200", "NO_COLOR": "1"}


def run(
    folder: Path, *args: str, text: str = "", program: Sequence[str] = PAGEROLES
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder to its end."""
    return subprocess.run(
        [*program, *args], cwd=folder, env=environment(folder), input=text,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@contextlib.contextmanager
def serving(folder: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `serve` until the block ends; yield the process and its address."""
    with started([*PAGEROLES, "serve", *ANY_PORTS, *args], folder, environment(folder)) as (process, line):
        yield process, line["grpc"]


@contextlib.contextmanager
def started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run what serves, in a folder, until the block ends; yield the process and its line that says where."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert '"serving"' in told, told + process.communicate(timeout=PATIENCE)[1]
        yield process, json.loads(told)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
