"""The command that predicts: its files, its output, and its errors."""

import html
import json
import shlex

import gemmi
import jax
import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.common import VolumetricData
from pymatgen.io.vasp import Chgcar

from cmed_jax.predict import main
from cmed_jax.prediction.predict import restore_and_predict
from cmed_jax.prediction.restore import restore

GRID = (6, 5, 4)

LINES = [[27.37, 9], [31.70, 100], [45.44, 65], [56.47, 20], [66.22, 8], [75.29, 13]]
"""The lines of rock salt: two-theta (degrees, copper K-alpha) and intensity."""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "salt.xy"
    np.savetxt(path, LINES)
    return path


@pytest.fixture
def predict(finished, file, tmp_path, answer):
    """Return a function that runs the command, by default on rock salt, with changed options."""

    def predict(*files, out=tmp_path / "out", **options):
        files = files or ([] if "manifest" in options else [file])
        plain = {"model": str(finished), "wavelength": "CuKa", "composition": "NaCl", "samples": 2}
        plain |= {"analogues": 0}
        given = {name: x for name, x in (plain | options).items() if x is not None}
        words = [str(word) for name, x in given.items() for word in (f"--{name}", *wrapped(x))]
        words = [word for word in words if word != "True"]
        return answer(main, *files, "--grid", *GRID, "--out", out, *words)

    return predict


def wrapped(value):
    return value if isinstance(value, tuple | list) else [value]


def results(folder):
    return json.loads((folder / "results.json").read_text())


CELL = (5.64, 5.64, 5.64, 90, 90, 90)


def test_the_command_writes_what_python_returns(finished, file, predict, tmp_path):
    code, printed, errors = predict(samples=3, seed=2)
    assert code == 0
    assert "salt.xy" in printed
    options = {"wavelength": "CuKa", "grid": GRID, "samples": 3, "seed": 2, "analogues": 0}
    expected = restore_and_predict(finished, file, "NaCl", cell="auto", **options)
    kinds = [("doubt", x) for x in expected.doubts] + [("note", x) for x in expected.notes]
    assert errors.splitlines() == [f"{kind}: salt.xy: {sentence}" for kind, sentence in kinds]
    assert expected.doubts
    assert expected.notes
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "results.json", "salt.html", "salt.npz",
    ]  # fmt: skip
    with np.load(tmp_path / "out" / "salt.npz") as saved:
        np.testing.assert_allclose(saved["density"], expected.density, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(saved["std"], expected.std, rtol=1e-3, atol=1e-4)
    (found,) = results(tmp_path / "out")
    assert found["composition"] == "NaCl"
    assert found["files"] == ["salt.html", "salt.npz"]


def test_volumes_are_of_the_primitive_cell_and_hold_the_electrons_of_the_results(predict, tmp_path):
    code, _, errors = predict(formats=("npz", "cube", "vasp", "ccp4"), cell=CELL, centring="F")
    assert code == 0, errors
    out = tmp_path / "out"
    cell = results(out)[0]["cell"]
    cube, chgcar = VolumetricData.from_cube(out / "salt.cube"), Chgcar.from_file(out / "salt.vasp")
    with np.load(out / "salt.npz") as saved:
        for volume in (cube, chgcar):
            matrix = volume.structure.lattice.matrix
            np.testing.assert_allclose(matrix, saved["lattice"], atol=1e-5)
    ccp4 = gemmi.read_ccp4_map(str(out / "salt.ccp4")).grid.unit_cell.parameters
    np.testing.assert_allclose(ccp4, [5.64 / 2**0.5] * 3 + [60.0] * 3, rtol=1e-6)
    np.testing.assert_allclose(cell["parameters"], ccp4, atol=1e-4)
    bohr = 0.529177249  # pymatgen's
    electrons = cube.data["total"].mean() / bohr**3 * cube.structure.volume
    np.testing.assert_allclose([electrons, chgcar.data["total"].mean()], cell["electrons"], 1e-4)


def test_the_command_of_the_results_repeats_them(predict, tmp_path, answer):
    assert predict(seed=3, cell=CELL, centring="F", formats=("npy",))[0] == 0
    (first,) = results(tmp_path / "out")
    before = (tmp_path / "out" / "salt.npy").read_bytes()
    (tmp_path / "out" / "salt.npy").unlink()
    python, _, module, *words = shlex.split(first["command"])
    assert (python, module) == ("python", "cmed_jax.predict")
    assert answer(main, *words)[0] == 0
    assert results(tmp_path / "out") == [first]
    assert (tmp_path / "out" / "salt.npy").read_bytes() == before
    assert html.escape(first["command"]) in (tmp_path / "out" / "salt.html").read_text()


def test_one_bad_file_does_not_stop_the_rest(predict, file, tmp_path, monkeypatch):
    folder = tmp_path / "patterns"
    folder.mkdir()
    for name in ("a.xy", "c.xy"):
        (folder / name).write_bytes(file.read_bytes())
    (folder / "b.xy").write_text("10 nan\n11 2\n")
    restored = []
    monkeypatch.setattr(
        "cmed_jax.predict.restore", lambda run: restored.append(run) or restore(run)
    )
    code, printed, errors = predict(folder)
    assert code == 2
    assert len(restored) == 1
    assert [("error" in row) for row in results(tmp_path / "out")] == [False, True, False]
    (error,) = (line for line in errors.splitlines() if line.startswith("error: "))
    assert "b.xy" in error
    assert "nan" in error
    assert "failed" in printed
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"a.html", "a.npz", "c.html", "c.npz", "results.json"}


def test_a_manifest_says_what_is_known_of_each(predict, file, tmp_path):
    (tmp_path / "b.xy").write_bytes(file.read_bytes())
    manifest = tmp_path / "all.csv"
    manifest.write_text("file,composition,cell\nsalt.xy,,\nb.xy,KCl,5 5 5 90 90 90\n")
    code, printed, _ = predict(manifest=manifest)
    assert code == 0
    first, second = results(tmp_path / "out")
    assert [row["composition"] for row in (first, second)] == ["NaCl", "KCl"]
    assert first["cells"]  # found by the search
    assert second["cells"] == []
    assert second["cell"]["volume"] == pytest.approx(125)
    assert second["cell"]["conventional"]["parameters"] == [5, 5, 5, 90, 90, 90]
    assert "P 5 5 5" in printed


def test_the_command_takes_elements_without_ratios(predict, tmp_path):
    code, _, errors = predict(composition=None, elements=("Na", "Cl"), scale=True)
    assert code == 0
    assert results(tmp_path / "out")[0]["composition"] == "Na, Cl"
    assert "note: salt.xy: not scaled: the number of electrons is not known" in errors


def test_a_file_that_says_its_wavelength_needs_none(predict, tmp_path):
    path = tmp_path / "said.csv"
    np.savetxt(path, LINES, header="wavelength: 1.54184 A")
    assert predict(path, wavelength=None)[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "nowhere"}, "no checkpoint at"),
        ({"wavelength": "CuKx"}, "unknown radiation 'CuKx'"),
        ({"composition": "NaXq"}, "Xq"),
        ({"composition": "Xq"}, "Xq"),
        ({"elements": "Cl"}, "either --composition or --elements"),
        ({"centring": "F"}, "centring F is of no cell"),
        ({"cell": (5, 5, 5, 170, 20, 20)}, "encloses no volume"),
        ({"cell": CELL, "centring": "R"}, "centring R goes with angles"),
        ({"manifest": "nowhere.csv"}, "no manifest at"),
        ({"out": "salt.cube"}, "give --out . --formats cube"),
        ({"samples": -1}, "samples is -1"),
        ({"structures": "nowhere", "analogues": 3}, "no materials at nowhere"),
    ],
)
def test_a_mistake_about_all_is_answered_in_a_line(
    predict, tmp_path, options, message, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, _, errors = predict(**options)
    assert code == 2
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["salt.xy"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "no two columns"),
        ("10 nan\n11 2\n", {}, "nan"),
        ("60 1\n90 2\n", {"wavelength": "0.2"}, "outside the network's range"),
        ("10 1\n11 2\n", {"wavelength": None}, "--wavelength"),
    ],
)
def test_a_mistake_about_one_file_is_answered_in_a_line(predict, tmp_path, text, options, message):
    (tmp_path / "bad.xy").write_text(text)
    code, _, errors = predict(tmp_path / "bad.xy", **options)
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith("error: bad.xy: ")
    assert errors.count("bad.xy") == 1
    assert message in errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.json"]


def test_where_the_cell_is_not_known_formats_that_hold_it_are_left_out_and_named(predict, tmp_path):
    code, _, errors = predict(composition=None, formats=("cube", "npy", "vasp"))
    assert code == 0
    assert "note: salt.xy: not written: cube, vasp. The cell is not known" in errors
    assert results(tmp_path / "out")[0]["files"] == ["salt.html", "salt.npy"]


@pytest.mark.parametrize(
    "error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")]
)
def test_what_does_not_fit_into_memory_costs_a_line(predict, file, tmp_path, monkeypatch, error):
    def short(restored, pattern, *arguments, **options):
        if pattern.stem == "large":
            raise error
        return restore_and_predict(restored, pattern, *arguments, **options)

    monkeypatch.setattr("cmed_jax.prediction.batch.restore_and_predict", short)
    large = file.with_name("large.xy")
    large.write_bytes(file.read_bytes())
    code, _, errors = predict(large, file, samples=0)
    assert code == 2
    assert "error: large.xy: this machine could not compute it (" in errors
    assert [("error" in row) for row in results(tmp_path / "out")] == [True, False]


def test_a_question_that_goes_together_differs_from_one_that_does_not(known, predict, tmp_path):
    """With cobalt instead of copper the cell is half as large again."""
    asked = {"analogues": 2, "structures": known, "cell": "auto"}
    code, printed, errors = predict(**asked)
    assert (code, "consistent" in printed) == (0, True)
    assert "alarm: " not in errors
    assert results(tmp_path / "out")[0]["verdict"]["consistent"]
    code, printed, errors = predict(**asked, wavelength="CoKa")
    assert (code, "check it" in printed) == (0, True)
    assert "alarm: salt.xy: the wavelength looks wrong" in errors
    (found,) = results(tmp_path / "out")
    assert found["alarms"] == [found["verdict"]["sentence"]]
    assert "Alarm." in (tmp_path / "out" / "salt.html").read_text()


def test_the_density_is_scaled_to_the_electrons_where_it_is_asked_for(predict, tmp_path):
    cell = {"cell": CELL, "centring": "F"}
    predict(**cell)
    with np.load(tmp_path / "out" / "salt.npz") as saved:
        plain = saved["density"]
    code, _, _ = predict(**cell, scale=True)
    (found,) = results(tmp_path / "out")
    assert code == 0
    assert found["cell"]["electrons"] == pytest.approx(28, rel=1e-4)
    assert found["cell"]["electrons_known"] == 28
    assert "--scale" in shlex.split(found["command"])
    with np.load(tmp_path / "out" / "salt.npz") as saved:
        factor = saved["density"].mean() / plain.mean()
        np.testing.assert_allclose(saved["density"], factor * plain, rtol=1e-4, atol=1e-6)


def test_known_crystals_are_written_beside_the_prediction(known, predict, tmp_path):
    code, printed, _ = predict(analogues=2, structures=known, cell=CELL, centring="F")
    assert code == 0
    (outcome,) = results(tmp_path / "out")
    assert "like MgO" in printed
    (analogue,) = outcome["analogues"]
    assert analogue["space_group"] == 225
    assert analogue["parameters"] == pytest.approx([5.64] * 3 + [90] * 3, rel=1e-3)
    assert "salt.structure-1.cif" in outcome["files"]
    structure = Structure.from_file(tmp_path / "out" / "salt.structure-1.cif")
    assert structure.composition.reduced_formula == "NaCl"
    page = (tmp_path / "out" / "salt.html").read_text()
    assert "Fm-3m (225)" in page
    assert f"{analogue['rwp']:.3f}" in page
