"""Log lines may be lost; answers are not, and whoever logs neither waits nor fails."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from pageroles.telemetry.log import LogWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

# More lines of the request log than a pipe of Linux holds.
REQUESTS = 300


class Stuck(io.StringIO):
    """A stream whose reader does not read until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Event()
        self.asked = threading.Event()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        self.asked.set()
        self.reads.wait(30)
        return super().write(text)


class Broken(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_lines_are_written_in_order() -> None:
    stream = io.StringIO()
    writer = LogWriter(stream)
    for number in range(100):
        writer.write(f"line {number}\n")
    writer.close()
    assert stream.getvalue().splitlines() == [f"line {number}" for number in range(100)]
    assert writer.lost == 0


def test_a_reader_that_does_not_read_costs_lines_and_is_told_how_many() -> None:
    stream = Stuck()
    writer = LogWriter(stream, most_lines=10)
    writer.write("first\n")
    assert stream.asked.wait(30)
    for number in range(100):
        writer.write(f"line {number}\n")
    assert writer.lost == 90
    stream.reads.set()
    writer.close(30)
    written = stream.getvalue().splitlines()
    assert written[0] == "first"
    assert written[1] == '{"event": "log lines lost", "count": 90}'
    assert written[2:] == [f"line {number}" for number in range(10)]
    assert stream.writes == 2, "the lines that waited are written together"


@pytest.mark.parametrize("closed", [False, True])
def test_a_reader_that_is_gone_costs_lines_alone(closed: bool) -> None:
    stream = io.StringIO() if closed else Broken()
    if closed:
        stream.close()
    writer = LogWriter(stream)
    for _ in range(5):
        writer.write("line\n")
    writer.close(30)
    assert writer.lost == 5


@pytest.fixture(params=["is gone", "never reads"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """REST of a server whose log goes to a reader that is gone, or never reads."""
    reading, writing = os.pipe()
    command = [
        str(Path(sys.executable).with_name("pageroles")), "serve", "--store", f"chdb://{tmp_path}/store",
        "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=writing) as process:
        os.close(writing)
        with os.fdopen(reading, "rb", closefd=False) as log:
            line = next(line for line in log if b'"serving"' in line)
        if request.param == "is gone":
            os.close(reading)
        yield f"http://{json.loads(line)['http']}"
        process.terminate()
        assert process.wait(30) == 0
    if request.param != "is gone":
        os.close(reading)


def test_a_server_answers_whatever_the_reader_of_its_log_does(address: str) -> None:
    with requests.Session() as session:
        for _ in range(REQUESTS):
            assert session.post(f"{address}/api/v1/pages", timeout=30).status_code in {401, 429}
