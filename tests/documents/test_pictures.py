"""The pictures of README: light enough for the repository, and of rooms that there are."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
PICTURES = ROOT / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"


def test_the_pictures_are_light() -> None:
    sizes = {file.name: file.stat().st_size for file in PICTURES.iterdir() if file.suffix in {".png", ".svg"}}
    assert set(sizes) == {"explorer.png", "request.svg"}
    assert max(sizes.values()) < 200_000
    width = int.from_bytes((PICTURES / "explorer.png").read_bytes()[16:20], "big")
    assert width == 1200


def test_the_way_of_a_request_passes_rooms_that_are() -> None:
    drawing = ET.parse(PICTURES / "request.svg").getroot()  # noqa: S314  # our own file
    assert drawing.findtext(f"{SVG}title")
    assert drawing.findtext(f"{SVG}desc")
    rooms = [str(text.text) for text in drawing.iter(f"{SVG}text") if text.get("class") == "room"]
    service = ROOT / "service" / "pageroles"
    missing = [room for room in rooms if not (service / room).is_dir() and not (service / f"{room}.py").is_file()]
    assert missing == [], "a room has another name now: change docs/pictures/way.py and run make pictures"
    assert {"transport", "service", "access/keys", "question", "report/plan", "report/run"} <= set(rooms)
