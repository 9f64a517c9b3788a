"""The notebook: executed, small, and with code that runs on any network."""

import json
from pathlib import Path

import numpy as np
import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "measured_pattern.ipynb"


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text())["cells"]


def code(cell):
    lines = "".join(cell["source"]).splitlines()
    return "\n".join(line for line in lines if not line.startswith("%"))


def test_it_was_executed_from_the_first_cell_to_the_last(cells):
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert {output["output_type"] for output in outputs} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    assert all(output.get("name") != "stderr" for output in outputs)


def test_it_is_small():
    assert NOTEBOOK.stat().st_size < 500_000


def test_its_code_runs_with_another_network(cells, finished, tmp_path, monkeypatch):
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path / "examples")
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(code(cell).replace('"../runs/demo"', repr(str(finished))), names)
    written = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert {"rbcl.xy", "rbcl.cube", "rbcl.vasp", "rbcl.html"} <= written
    angle, counts = np.loadtxt(tmp_path / "predictions" / "rbcl.xy").T
    strongest = angle[counts.argmax()]
    # The line 200 of rock salt, of the embedded cell, for the mean wavelength of copper K-alpha.
    edge = (4 * names["salt"].volume) ** (1 / 3)
    bragg = 2 * np.degrees(np.arcsin(1.54184 / edge))
    assert strongest == pytest.approx(bragg, abs=0.1)
