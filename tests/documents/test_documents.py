"""What the documents show is so: the examples run, and stand in the page as they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pageroles.command import app, keys

if TYPE_CHECKING:
    from support.served import Served

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "docs" / "examples"
COMMANDS = {
    "ask.sh": ["bash"],
    "ask_rest.py": [sys.executable],
    "ask_grpc.py": [sys.executable],
    "ask.mjs": ["node"],
    "ask.go": ["go", "run"],
}


def test_every_example_stands_in_the_page() -> None:
    page = (ROOT / "docs" / "rest.md").read_text()
    assert set(COMMANDS) == {example.name for example in EXAMPLES.iterdir()}
    for name in COMMANDS:
        assert f"\n{(EXAMPLES / name).read_text().rstrip()}\n```" in page, name


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_run(name: str, served: Served, rest_in_process: str, key: str) -> None:
    command = COMMANDS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    environment = {"PAGEROLES_URL": rest_in_process, "PAGEROLES_TARGET": served.target, "PAGEROLES_KEY": key}
    done = subprocess.run(
        [*command, str(EXAMPLES / name)],
        env={**os.environ, **environment, "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if name == "ask.sh":
        assert '"total_sessions":2' in done.stdout
        assert '"url":"/signup","conversion":{"sessions":2,"users":2}' in done.stdout
    else:
        assert done.stdout.splitlines() == ["2", "/signup 2", "/pricing 0"]


def test_links_between_the_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_variable_is_documented() -> None:
    sources = "".join(Path(str(module.__file__)).read_text() for module in (app, keys))
    used = set(re.findall(r"PAGEROLES_[A-Z_]+", sources))
    documented = set(re.findall(r"PAGEROLES_[A-Z_]+", (ROOT / "docs" / "operating.md").read_text()))
    assert used <= documented


def test_the_commands_of_the_readme_are_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^    make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)) <= targets
