"""Draw the rooms of the package, from the layers that import-linter checks.

    python docs/rooms.py

prints the picture as Mermaid text. `python docs/rooms.py --write` puts it into CONTRIBUTING.md. A
test holds that it shows the layers in pyproject.toml.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms: drawn by docs/rooms.py -->\n", "<!-- end of rooms -->\n"


def layers() -> list[list[str]]:
    """Return the rooms of each layer, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    [contract] = [each for each in contracts if each["type"] == "layers"]
    return [re.split(r"\s*[|:]\s*", layer) for layer in contract["layers"]]


def picture() -> str:
    """Return the picture: a room may import from all rooms below it."""
    names = [f"    layer{row}[{', '.join(rooms)}]" for row, rooms in enumerate(layers())]
    arrows = [f"    layer{row} --> layer{row + 1}" for row in range(len(names) - 1)]
    return "\n".join(["```mermaid", "flowchart TB", *names, *arrows, "```", ""])


def page(text: str) -> str:
    """Return the text of the page with the picture in its place."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + picture() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(picture(), end="")
