"""The picture of the rooms in CONTRIBUTING.md is that of the linter's layers."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_picture_is_of_the_layers():
    drawn = runpy.run_path(str(ROOT / "docs" / "rooms.py"))
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert drawn["page"](text) == text


def test_every_room_of_the_package_is_in_it():
    drawn = runpy.run_path(str(ROOT / "docs" / "rooms.py"))
    rooms = {room for layer in drawn["layers"]() for room in layer}
    package = ROOT / "cmed_jax"
    there = {path.parent.name for path in package.glob("*/__init__.py")}
    there |= {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert there - rooms == {"released"}
