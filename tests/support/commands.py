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
    from collections.abc import Iterator

PATIENCE = 60
PAGEROLES = [str(Path(sys.executable).with_name("pageroles"))]


def dsn(folder: Path) -> str:
    return f"chdb://{folder}/store"


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PAGEROLES_STORE": dsn(folder), "COLUMNS": "200", "NO_COLOR": "1"}


def run(folder: Path, *args: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in a folder to its end."""
    return subprocess.run(
        [*PAGEROLES, *args], cwd=folder, env=environment(folder), input=text,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@contextlib.contextmanager
def serving(folder: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `serve` until the block ends; yield the process and its address."""
    process = subprocess.Popen(
        [*PAGEROLES, "serve", "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", *args],
        cwd=folder, env=environment(folder), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        assert line["event"] == "serving"
        yield process, line["grpc"]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
