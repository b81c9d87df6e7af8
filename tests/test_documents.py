"""The examples stand in the page as they are, and every variable in the settings; test_blocks.py runs the pages."""

from __future__ import annotations

import re
from pathlib import Path

from pageroles import admin, cli

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
FEWEST_EXAMPLES = 5


def test_every_example_stands_in_the_page() -> None:
    page = (ROOT / "docs" / "rest.md").read_text()
    examples = sorted(EXAMPLES.rglob("ask*.*"))
    assert len(examples) >= FEWEST_EXAMPLES
    for example in examples:
        assert f"\n{example.read_text().rstrip()}\n```" in page, example.name


def test_every_variable_is_documented() -> None:
    sources = "".join(Path(str(module.__file__)).read_text() for module in (admin, cli))
    used = set(re.findall(r"PAGEROLES_[A-Z_]+", sources))
    documented = set(re.findall(r"PAGEROLES_[A-Z_]+", (ROOT / "docs" / "operating.md").read_text()))
    assert used <= documented
