"""The walk in CONTRIBUTING.md is the one that `prediction/predict.py` takes."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cmed_jax"


def walk():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [section] = re.findall(r"## A walk from(.*?)\n## ", text, re.DOTALL)
    files = re.findall(r"^\d+\. `([\w/]+\.py)`", section, re.MULTILINE)
    [count] = re.findall(r"enters\s+(\d+) files", section)
    return files, int(count)


def imported():
    """Names in predict.py, by the file that they are imported from."""
    tree = ast.parse((PACKAGE / "prediction" / "predict.py").read_text(encoding="utf-8"))
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("cmed_jax."):
            path = node.module.removeprefix("cmed_jax.").replace(".", "/") + ".py"
            found.setdefault(path, set()).update(alias.name for alias in node.names)
    return found


def test_no_file_is_entered_twice():
    files, count = walk()
    assert len(set(files)) == len(files) == count


def test_each_file_is_there_and_used():
    files, _ = walk()
    assert all((PACKAGE / file).is_file() for file in files)
    assert set(files) <= set(imported())
