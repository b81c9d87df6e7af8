"""REST against its own OpenAPI document: many generated requests, and never an internal error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pageroles.access.keys import KeyStore, Permission
from support import fuzzing, worked

if TYPE_CHECKING:
    from support.served import Served

# `make fuzz-rest` asks for 5,000.
CASES = int(os.environ.get("PAGEROLES_FUZZ_CASES", "500"))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("path", "but"),
    [
        # A schema can't say which dates exist, nor which of two is later.
        ("/api/v1/pages", "positive_data_acceptance"),
        ("/api/v1/pages/days", "positive_data_acceptance"),
        ("/api/v1/pages/values", "positive_data_acceptance"),
        ("/api/v1/pages/sessions", "positive_data_acceptance"),
        # Bad lines are no bad request: they are rejected by themselves.
        ("/api/v1/sessions", "positive_data_acceptance,negative_data_rejection"),
    ],
)
def test_made_up_requests_get_documented_answers(
    rest_in_process: str, served: Served, key: str, tmp_path: Path, path: str, but: str
) -> None:
    """All checks of schemathesis but some: documented statuses, shapes and types, no 5xx, bad data refused."""
    if path == "/api/v1/pages/sessions":
        permissions = [Permission.REPORT, Permission.SESSIONS]
        key, _ = KeyStore(served.store).create(worked.DOMAIN, permissions=permissions)
        served.service._keys.forget()
    elif path.endswith("sessions"):
        key, _ = KeyStore(served.store).create("fuzzed.example.com", permissions=[Permission.WRITE])
        served.service._keys.forget()
    # They read their parameters as a report does.
    cases = CASES // 5 if path.count("/") > 3 else CASES
    hooks = {"SCHEMATHESIS_HOOKS": "support.fuzzing", "PYTHONPATH": str(Path(fuzzing.__file__).parents[1])}
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "--no-color",
            "run",
            f"{rest_in_process}/openapi.json",
            "--url",
            rest_in_process,
            "--include-path",
            path,
            "--header",
            f"Authentication: {key}",
            "--max-examples",
            str(cases),
            "--seed",
            "1",
            "--generation-database",
            "none",
            "--exclude-checks",
            but,
        ],
        cwd=tmp_path,
        env={**os.environ, **hooks},
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    generated = re.search(r"([\d,]+) generated", done.stdout)
    assert generated, done.stdout
    assert int(generated[1].replace(",", "")) >= cases, done.stdout
