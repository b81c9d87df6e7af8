"""Pages whose commands make clients, and the tests run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PROTO = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists()) / "proto"


def commands(heading: str, page: Path = PROTO / "README.md") -> str:
    """Return the shell commands that a page gives under a heading."""
    (section,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", page.read_text(), re.DOTALL | re.MULTILINE)
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return str(block)


def shell(script: str, folder: Path, **environment: str) -> str:
    """Run a script in a folder, end it at its first fault, and return what it prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
