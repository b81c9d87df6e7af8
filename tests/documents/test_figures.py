"""The figures of the benchmarks that the documents name are those that were found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
STALE = "import pathlib, sys; from benchmarks.documents import stale; print(*stale(pathlib.Path(sys.argv[1])))"


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A copy of the pages, which a test may change."""
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path / "docs"


def test_the_pages_have_the_figures_that_were_found() -> None:
    done = _python("-m", "benchmarks.documents", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "has", "other"), [("performance.md", "| `any` |", "0."), ("../README.md", "On two cores", " ms")]
)
def test_other_figures_are_found_stale(docs: Path, name: str, has: str, other: str) -> None:
    assert _python("-c", STALE, str(docs)).stdout.split() == []
    page = docs / name
    text = page.read_text()
    figure = next(line for line in text.splitlines() if line.startswith(has))
    page.write_text(text.replace(figure, figure.replace(other, f"1{other}")))
    assert _python("-c", STALE, str(docs)).stdout.split() == [name]


def test_a_section_that_no_page_has_is_an_error(docs: Path) -> None:
    page = docs / "scaling.md"
    page.write_text(page.read_text().replace("<!-- figures: rates -->", ""))
    assert "no page has the figures of rates" in _python("-c", STALE, str(docs)).stderr
