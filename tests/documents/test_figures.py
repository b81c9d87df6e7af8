"""The figures of the benchmarks that the documents name are those that were found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
STALE = "import pathlib, sys; from benchmarks.documents import stale; print(*stale(pathlib.Path(sys.argv[1])))"


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_pages_have_the_figures_that_were_found() -> None:
    done = _python("-m", "benchmarks.documents", "--check")
    assert done.returncode == 0, done.stderr


def test_other_figures_are_found_stale(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path, dirs_exist_ok=True)
    assert _python("-c", STALE, str(tmp_path)).stdout.split() == []
    page = tmp_path / "performance.md"
    text = page.read_text()
    figure = next(line for line in text.splitlines() if line.startswith("| `any` |"))
    page.write_text(text.replace(figure, figure.replace("0.", "1.")))
    assert _python("-c", STALE, str(tmp_path)).stdout.split() == ["performance.md"]


def test_a_section_that_no_page_has_is_an_error(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path, dirs_exist_ok=True)
    page = tmp_path / "scaling.md"
    page.write_text(page.read_text().replace("<!-- figures: rates -->", ""))
    assert "no page has the figures of rates" in _python("-c", STALE, str(tmp_path)).stderr
