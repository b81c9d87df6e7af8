"""REST against its own OpenAPI document: many generated requests, and never an internal error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# `make fuzz-rest` asks for 5,000.
CASES = int(os.environ.get("PAGEROLES_FUZZ_CASES", "500"))


@pytest.mark.timeout(1200)
def test_made_up_requests_get_documented_answers(rest_in_process: str, key: str, tmp_path: Path) -> None:
    """All checks of schemathesis but one: documented statuses, shapes and types, no 5xx, bad data refused."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "--no-color",
            "run",
            f"{rest_in_process}/openapi.json",
            "--url",
            rest_in_process,
            "--header",
            f"Authentication: {key}",
            "--max-examples",
            str(CASES),
            "--seed",
            "1",
            "--generation-database",
            "none",
            # A schema can't say which dates exist, nor which of two is later.
            "--exclude-checks",
            "positive_data_acceptance",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    generated = re.search(r"([\d,]+) generated", done.stdout)
    assert generated, done.stdout
    assert int(generated[1].replace(",", "")) >= CASES, done.stdout
