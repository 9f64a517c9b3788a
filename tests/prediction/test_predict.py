"""Prediction: from every form of a pattern, and with an error for every mistake."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from pymatgen.io.common import VolumetricData

import cmed_jax
from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.crystal.lattice import cell_parameters, primitive_lattice
from cmed_jax.crystal.material import Material
from cmed_jax.data.dataset import load_examples
from cmed_jax.data.query import full_query, read_in_bins
from cmed_jax.data.records import make_record
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.io.pattern import load_pattern
from cmed_jax.mixture.experts import Expert, Mixture
from cmed_jax.model.network import predict
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import density_at
from cmed_jax.prediction.cells import ASKED
from cmed_jax.prediction.checks import UNLIKELY
from cmed_jax.prediction.predict import restore_and_predict
from cmed_jax.prediction.restore import restore
from cmed_jax.training.checkpoint import find_checkpoint

GRID = (6, 5, 4)
SALT = {"cell": (5.64, 5.64, 5.64, 90, 90, 90), "centring": "F"}
"""The cell of rock salt, in which a network reads its lines."""


@pytest.fixture(scope="module")
def peaks():
    """Copper lines of rock salt, from pymatgen."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], sites)
    lines = XRDCalculator(wavelength=1.54187).get_pattern(salt)
    return lines.x, lines.y


@pytest.fixture
def file(peaks, tmp_path):
    path = tmp_path / "salt.xy"
    np.savetxt(path, np.column_stack(peaks), header="two_theta intensity")
    return path


@pytest.fixture(scope="module")
def ask(finished, peaks):
    """A function that predicts rock salt with changed arguments."""
    restored = restore(finished)

    def ask(pattern=peaks, composition="NaCl", checkpoint=restored, **options):
        options = {"wavelength": "CuKa", "grid": GRID, "analogues": 0} | options
        return restore_and_predict(checkpoint, pattern, composition, **options)

    return ask


def test_a_record_is_predicted_as_the_network_decodes_it(finished, dataset):
    """The network reads the pattern in the given cell."""
    examples = load_examples(dataset, "test").rows(np.arange(1))
    amounts = {SYMBOLS[z]: float(x) for z, x in enumerate(examples.composition[0]) if x}
    cell = cell_parameters(examples.lattice[0])
    found = restore_and_predict(finished, examples.pattern[0], amounts, cell=cell, analogues=0)
    assert found.density.shape == (50, 50, 50)
    assert found.density.dtype == np.float32
    assert found.density.min() >= 0
    network = restore(finished).network
    network.eval()
    query = read_in_bins(full_query(examples), primitive_lattice(cell)[None])
    keys = jax.random.split(jax.random.key(0), 1)
    expected = predict(network, query, shape=(50, 50, 50), keys=keys)
    np.testing.assert_allclose(found.density, expected[0, 0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.composition, examples.composition[0], rtol=1e-6)
    np.testing.assert_allclose(found.pattern, examples.pattern[0], rtol=1e-6)


def test_a_pair_a_path_and_the_grid_are_the_same_pattern(ask, peaks, file):
    pair = ask(**SALT)
    columns = ask([list(peaks[0]), list(peaks[1])], **SALT)
    rows = ask(np.array(peaks), **SALT)
    for same in (columns, rows, ask(file, **SALT), ask(str(file), **SALT)):
        np.testing.assert_allclose(same.pattern, pair.pattern, atol=1e-6)
        np.testing.assert_allclose(same.density, pair.density, rtol=1e-3, atol=1e-3)
    in_bins = ask(pair.pattern, wavelength=None, **SALT)
    np.testing.assert_allclose(in_bins.pattern, pair.pattern, atol=1e-6)


@pytest.mark.parametrize("wavelength", [1.54187, "1.54187"])
def test_a_wavelength_is_a_name_or_a_number(ask, wavelength):
    np.testing.assert_allclose(ask(wavelength=wavelength).pattern, ask().pattern, atol=1e-6)


def test_another_wavelength_is_another_pattern(ask):
    assert (ask(wavelength="CoKa").pattern != ask().pattern).any()


@pytest.mark.parametrize(
    ("composition", "sodium"),
    [("NaCl", 0.5), ({"Na": 2, "Cl": 2}, 0.5), (["Na", "Cl"], 1), (None, 0)],
)
def test_a_composition_is_stated_as_it_is_known(ask, composition, sodium):
    expected = np.zeros(119, np.float32)
    expected[[11, 17]] = sodium
    np.testing.assert_array_equal(ask(composition=composition).composition, expected)


def test_samples_are_candidates_and_their_deviation(ask):
    found = ask(samples=3, seed=1)
    assert found.candidates.shape == (3, *GRID)
    squares = [np.square(each - found.density) for each in found.candidates]
    np.testing.assert_allclose(found.std, np.sqrt(np.mean(squares, axis=0)), rtol=1e-5)
    np.testing.assert_allclose(found.density, ask().density, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.candidates, ask(samples=3, seed=1).candidates)
    assert (found.candidates != ask(samples=3, seed=2).candidates).any()
    assert ask().candidates is None
    assert ask().std is None


def test_a_prediction_knows_its_run_and_its_limits(ask, dataset):
    found = ask()
    assert found.config.data == str(dataset)
    assert found.config.network.width == 16
    assert 0 < found.coverage.mean() < 1
    without = ask(found.pattern, composition=None, wavelength=None).doubts
    assert [words.split(",")[0] for words in without] == ["the network was asked without a cell"]
    assert ask(found.pattern, composition=None, wavelength=None, **SALT).warnings == ()
    assert any("no training crystal holds Na, Cl" in warning for warning in found.warnings)


def test_a_cell_that_is_given_is_filled_and_implies_a_pattern(ask):
    found = ask(cell=(5.64, 5.64, 5.64, 90, 90, 90), centring="F", grid=(12, 12, 12))
    assert np.linalg.det(found.lattice) == pytest.approx(5.64**3 / 4)
    assert 0 <= found.calculated.cosine <= 1
    assert 0 <= found.calculated.rwp <= 1
    assert found.cells == ()


def test_a_cell_is_sought_by_the_lines(ask, sought):
    found = sought
    assert 1 < len(found.cells) <= ASKED
    assert any(
        cell.lattice_type == "cubic F" and cell.parameters[0] == pytest.approx(5.64, rel=1e-3)
        for cell in found.cells
    )
    assert {cell.origin for cell in found.cells} == {"the predicted density"}
    assert max(found.cells, key=lambda cell: cell.merit).merit <= 1
    np.testing.assert_array_equal(found.lattice, found.cells[0].lattice)
    assert found.calculated is not None


@pytest.fixture(scope="module")
def sought(ask):
    """A prediction whose cell was sought."""
    return ask(cell="auto", grid=(12, 12, 12))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "guess"}, "cell is 'guess': give six numbers, or auto"),
        (
            {"cell": "auto", "pattern": np.eye(1, 1024, 99)[0], "wavelength": None},
            "the cell cannot be sought from a pattern on the network's grid",
        ),
    ],
)
def test_a_cell_that_cannot_be_had_is_an_error(ask, options, message):
    with pytest.raises(ValueError, match=message):
        ask(**options)


def test_a_checkpoint_is_as_good_as_its_run(ask, finished):
    np.testing.assert_array_equal(ask(checkpoint=find_checkpoint(finished)).density, ask().density)


def test_a_prediction_is_saved(ask, tmp_path):
    found = ask(samples=2)
    found.save(tmp_path / "salt.npz")
    with np.load(tmp_path / "salt.npz") as saved:
        np.testing.assert_array_equal(saved["density"], found.density)
        np.testing.assert_array_equal(saved["std"], found.std)
    with pytest.raises(ValueError, match=r"cannot write 'salt\.cube': .* \.npy, \.npz"):
        found.save(tmp_path / "salt.cube")
    lattice = cmed_jax.primitive_lattice((5.64, 5.64, 5.64, 90, 90, 90), "F")
    found.save(tmp_path / "salt.cube", lattice)
    written = VolumetricData.from_cube(tmp_path / "salt.cube").structure.lattice.matrix
    np.testing.assert_allclose(written, lattice, atol=1e-5)


ONE = np.array([20.0]), np.array([1.0])
MISTAKES = [
    pytest.param({"composition": "NaXq"}, "Xq", id="formula"),
    pytest.param({"composition": ["Na", "Xq"]}, "unknown element 'Xq'", id="element"),
    pytest.param({"composition": {"Na": -1.0}}, "amount -1.0 of Na", id="amount"),
    pytest.param({"composition": []}, "list of elements is empty", id="no element"),
    pytest.param({"pattern": (ONE[0], -ONE[1])}, "the largest is -1: give", id="negative"),
    pytest.param({"pattern": (ONE[0], np.nan * ONE[1])}, "intensity nan", id="nan"),
    pytest.param({"pattern": (ONE[0][:0], ONE[1][:0])}, "the pattern is empty", id="empty"),
    pytest.param({"pattern": ([], [])}, "the pattern is empty", id="empty lists"),
    pytest.param({"pattern": (ONE[0], np.ones(2))}, r"shape \(1,\) and .* \(2,\)", id="unequal"),
    pytest.param({"pattern": np.ones(1000)}, r"shape \(1000,\) is not on", id="length"),
    pytest.param({"wavelength": None}, "the wavelength is missing", id="no wavelength"),
    pytest.param({"wavelength": "CuKx"}, "unknown radiation 'CuKx'", id="radiation"),
    pytest.param({"wavelength": 1542.0}, r"wavelength 1542\.0 is not one of X-rays", id="nm"),
    pytest.param({"wavelength": float("nan")}, "wavelength nan", id="nan wavelength"),
    pytest.param(
        {"pattern": (9 * ONE[0], ONE[1]), "wavelength": 0.3}, "wavelength 0.3", id="range"
    ),
    pytest.param({"samples": -1}, "samples is -1", id="samples"),
    pytest.param({"grid": (0, 5, 5)}, r"grid is \(0, 5, 5\)", id="grid"),
    pytest.param({"grid": (1200, 1200, 1200)}, "1,728,000,000 points: give at most", id="huge"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_a_mistake_is_answered_with_the_value(ask, mistake, message):
    with pytest.raises(ValueError, match=message):
        ask(**mistake)


def test_a_missing_checkpoint_or_file_is_named(ask, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere"):
        ask(checkpoint=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.xy: there is no such file"):
        ask(tmp_path / "nowhere.xy")


def test_a_file_that_says_its_wavelength_needs_none(ask, peaks, tmp_path):
    path = tmp_path / "salt.csv"
    np.savetxt(path, np.column_stack(peaks), header="wavelength: 1.54187 A")
    np.testing.assert_allclose(ask(path, wavelength=None).pattern, ask().pattern, atol=1e-6)
    found = ask(path, wavelength="CoKa")
    assert "the file says that the wavelength is 1.54187" in found.notes[0]


def test_a_network_that_was_restored_once_serves_many_patterns(ask, finished, peaks):
    again = ask(**SALT), ask((peaks[0][:5], peaks[1][:5]), **SALT)
    anew = ask(checkpoint=finished, **SALT)
    np.testing.assert_allclose(again[0].density, anew.density, rtol=1e-4, atol=1e-5)
    assert (again[1].density != again[0].density).any()


def test_the_package_offers_prediction_by_name():
    assert cmed_jax.restore_and_predict is restore_and_predict
    assert cmed_jax.load_pattern is load_pattern
    assert cmed_jax.Prediction.__name__ == "Prediction"
    assert cmed_jax.restore is restore
    assert set(cmed_jax.__all__) == {name for name in cmed_jax.__all__ if hasattr(cmed_jax, name)}
    with pytest.raises(AttributeError, match="no attribute 'predictions'"):
        _ = cmed_jax.predictions


def test_the_package_lists_its_public_names_and_the_physics():
    assert {*cmed_jax.__all__, "physics"} <= set(dir(cmed_jax))
    asked = "import sys, cmed_jax as c; print('jax' in sys.modules, c.physics.Grid.__name__)"
    command = [sys.executable, "-c", asked]
    assert subprocess.check_output(command, text=True).split() == ["False", "Grid"]


def test_known_crystals_explain_a_pattern_beside_the_network(ask, known):
    (match,) = ask(analogues=3, structures=known).analogues
    assert match.crystal.material_id == "salt"
    assert match.parameters[:3] == pytest.approx(5.64, rel=1e-3)
    assert match.calculated.cosine > 0.99


def test_the_cell_of_a_known_crystal_is_a_candidate_with_its_origin(ask, known):
    found = ask(cell="auto", analogues=3, structures=known, grid=(12, 12, 12))
    (through,) = [cell for cell in found.cells if cell.origin == "NaCl like MgO"]
    assert through.lattice_type == "cubic F"
    assert through.parameters[0] == pytest.approx(5.64, rel=1e-3)
    assert through.merit > 0.97
    merits = [cell.merit for cell in found.cells]
    assert found.cells[0].merit > max(merits) - 0.05
    assert np.linalg.det(found.lattice) == pytest.approx(5.64**3 / 4, rel=5e-3)


def test_a_verdict_is_given_unless_it_is_switched_off_or_nothing_tells(ask, known):
    found = ask(analogues=3, structures=known)
    assert found.assessment.consistent
    assert found.alarms == ()
    wrong = ask(wavelength="CoKa", analogues=3, structures=known)
    assert not wrong.assessment.consistent
    assert wrong.alarms == (wrong.assessment.sentence,)
    assert wrong.warnings[0] == wrong.assessment.sentence
    assert ask(structures=known).assessment is None
    without = ask(composition="Na2Cl", analogues=3, structures=known)
    assert without.assessment is None
    assert any("no known crystal is of the type AB2" in sentence for sentence in without.notes)


def test_a_cell_that_has_no_room_is_an_alarm(ask):
    found = ask(cell=(2.8, 2.8, 2.8, 90, 90, 90), centring="F", grid=(12, 12, 12))
    assert any("has room for about 0.1" in sentence for sentence in found.alarms)


def test_the_electrons_of_whole_formula_units_scale_a_density_that_is_asked_for(ask):
    cell = {"cell": (5.64, 5.64, 5.64, 90, 90, 90), "centring": "F", "grid": (12, 12, 12)}
    found = ask(**cell, samples=2)
    assert found.electrons == 28
    scaled = found.scaled()
    volume = np.linalg.det(found.lattice)
    assert scaled.density.mean() * volume == pytest.approx(28, rel=1e-5)
    ratio = scaled.density.mean() / found.density.mean()
    np.testing.assert_allclose(scaled.std, ratio * found.std, rtol=1e-4)
    np.testing.assert_allclose(scaled.candidates, ratio * found.candidates, rtol=1e-4)
    with pytest.raises(ValueError, match="the number of electrons is not known"):
        ask(composition=["Na", "Cl"], **cell).scaled()


@pytest.mark.parametrize("composition", [["Na", "Cl"], None, "Na2Cl"])
def test_no_analogue_is_sought_where_the_composition_tells_none(ask, known, composition):
    assert ask(composition=composition, analogues=3, structures=known).analogues == ()


def test_a_negative_number_of_analogues_is_refused(ask):
    with pytest.raises(ValueError, match="analogues is -1"):
        ask(analogues=-1)


@pytest.fixture(scope="module")
def opened(gated):
    """The tiny network with its gate."""
    return restore(gated)


@pytest.fixture(scope="module")
def of_grid(ask, opened, known):
    """Predict from lines of rock salt on the network's grid, with a gate and a known crystal."""
    pattern = ask().pattern

    def of_grid(**options):
        options = {"checkpoint": opened, "wavelength": None, "structures": known} | options
        return ask(pattern, **{"analogues": 3} | options)

    return of_grid


def rock_salt(expert, grid):
    """The density of an expert's atoms, point by point."""
    crystal = expert.refined.crystal
    atoms = Crystal.of(crystal.lattice, crystal.numbers, crystal.frac_coords)
    axes = np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij")
    return np.asarray(density_at(atoms, np.stack(axes, -1).reshape(-1, 3))).reshape(grid)


@pytest.fixture(scope="module")
def in_its_cell(of_grid, opened):
    """Predict as the network does beside refined crystals: it is asked in the cell of the best."""

    def in_its_cell(expert, **options):
        cell = tuple(cell_parameters(expert.refined.crystal.lattice))
        return of_grid(checkpoint=opened._replace(gate=None), cell=cell, grid=FINE, **options)

    return in_its_cell


FINE = (24, 24, 24)
"""A grid that carries nearly all of the density of rock salt."""


def test_with_a_gate_refined_crystals_answer_beside_the_network(of_grid, in_its_cell):
    found = of_grid(grid=FINE)
    network, *crystals = found.experts
    assert network.refined is None
    assert crystals
    for each in crystals:  # the elements in either order, which is the same crystal
        crystal = each.refined.crystal
        assert (crystal.formula, crystal.material_id) == ("NaCl", "salt")
        assert crystal.volume == pytest.approx(5.64**3 / 4, rel=0.01)
        assert each.weight == pytest.approx(1 / len(found.experts))  # the weights of a new gate
    own = in_its_cell(crystals[0]).density
    densities = [own, *(rock_salt(each, FINE) for each in crystals)]
    expected = np.mean(np.sqrt(densities), axis=0) ** 2
    np.testing.assert_allclose(found.density, expected, atol=0.01 * expected.max())


@pytest.mark.parametrize(
    ("edge", "centring", "severity", "message"),
    [
        (5.64, "P", "alarm", "holds 4 primitive cells of NaCl after salt"),
        (6.1, "F", "doubt", "NaCl after salt explains the pattern in another cell than the given"),
    ],
)
def test_a_crystal_in_another_cell_than_the_given_one_takes_no_part(
    ask, opened, known, edge, centring, severity, message
):
    coords = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    salt = Material("salt", primitive_lattice(*SALT.values()), np.array([11, 17]), coords)
    cell = (edge, edge, edge, 90, 90, 90)
    found = ask(
        make_record(salt)["pattern"][0],
        checkpoint=opened,
        structures=known,
        analogues=3,
        cell=cell,
        centring=centring,
    )
    assert [each.refined for each in found.experts] == [None]
    np.testing.assert_array_equal(found.lattice, primitive_lattice(cell, centring))
    (said,) = (each for each in found.diagnostics if message in each.message)
    assert said.severity == severity


def test_without_a_cell_the_answer_has_that_of_the_crystal_that_outweighs_the_network(
    of_grid, monkeypatch
):
    weights = [0.1, 0.9]

    def weighed(gate, own, refined, *_):
        experts = zip(weights, (None, refined[0]), strict=True)
        return Mixture(own, None, tuple(Expert(*each) for each in experts))

    monkeypatch.setattr("cmed_jax.prediction.predict.combine", weighed)
    found = of_grid()
    assert np.linalg.det(found.lattice) == pytest.approx(5.64**3 / 4, rel=0.01)
    assert (found.conventional.centring, found.conventional.space_group) == ("F", 225)
    np.testing.assert_allclose(found.conventional.parameters, SALT["cell"], rtol=0.01)
    assert found.electrons == 28
    weights.reverse()
    assert of_grid().lattice is None


def test_an_embedded_crystal_is_named_by_its_pattern(opened, dataset):
    examples = load_examples(dataset, "test")
    source = str(dataset.parents[2] / "materials.jsonl")
    amounts = {SYMBOLS[z]: float(x) for z, x in enumerate(examples.composition[0]) if x}
    found = restore_and_predict(opened, examples.pattern[0], amounts, structures=source)
    assert sum(expert.weight for expert in found.experts) == pytest.approx(1)
    best = found.experts[1].refined
    assert best.crystal.formula == examples.formula[0]
    assert best.residual < 0.01
    alone = restore_and_predict(opened, examples.pattern[0], amounts, analogues=0)
    truth = examples.densities([0])
    assert ssim(truth, found.density[None])[0] > ssim(truth, alone.density[None])[0]


def test_without_known_crystals_the_network_answers_alone(of_grid, ask):
    found = of_grid(analogues=0, samples=2)
    plain = ask(found.pattern, wavelength=None, samples=2)  # from the run without a gate
    assert found.experts == plain.experts == ()
    np.testing.assert_array_equal(found.density, plain.density)
    np.testing.assert_array_equal(found.candidates, plain.candidates)


def test_without_a_crystal_of_its_type_the_network_answers_alone(of_grid):
    found = of_grid(composition="Na2Cl")
    assert [(expert.weight, expert.refined) for expert in found.experts] == [(1.0, None)]
    alone = of_grid(composition="Na2Cl", analogues=0)
    np.testing.assert_allclose(found.density, alone.density, rtol=1e-5)


@pytest.mark.parametrize(
    ("composition", "formula"),
    [(["Na", "Cl"], "NaCl"), (None, "MgO"), ({"Cl": 1, "Na": 1}, "NaCl")],
)
def test_known_crystals_keep_what_is_not_known_of_a_composition(of_grid, composition, formula):
    found = of_grid(composition=composition)
    assert found.experts[1].refined.crystal.formula == formula
    assert sum(expert.weight for expert in found.experts) == pytest.approx(1)
    assert np.isfinite(found.density).all()


def test_samples_are_of_the_network_and_of_the_crystals(of_grid, in_its_cell):
    found = of_grid(samples=8, grid=FINE)
    own = in_its_cell(found.experts[1]).density
    crystals = [rock_salt(expert, FINE) for expert in found.experts[1:]]
    of_network = 0
    for one in found.candidates:
        gaps = [np.abs(one - crystal).max() for crystal in crystals]
        near = np.abs(one - own).max() < 0.5 * min(gaps)
        of_network += near
        assert near or min(gaps) < 0.01 * one.max()
    assert 0 < of_network < 8
    assert found.std.shape == FINE
    gaps = [np.square(each - found.density) for each in (own, *crystals)]
    assert (
        found.std**2 >= 0.99 * np.mean(gaps, axis=0) - 1e-3
    ).all()  # plus the deviation within each expert


def test_one_sample_deviates_by_its_distance(of_grid):
    found = of_grid(samples=1, analogues=0)
    assert found.std.max() > 0
    np.testing.assert_allclose(found.std, np.abs(found.candidates[0] - found.density), rtol=1e-5)


def test_a_measured_pattern_is_answered_by_the_crystal_that_is_believed(ask, opened, known):
    found = ask(checkpoint=opened, analogues=3, structures=known, grid=FINE)
    (expert,) = found.experts
    assert found.assessment.consistent
    assert (expert.weight, expert.refined.crystal.formula) == (1.0, "NaCl")
    expected = rock_salt(expert, FINE)
    np.testing.assert_allclose(found.density, expected, atol=0.01 * expected.max())
    np.testing.assert_array_equal(found.lattice, expert.refined.crystal.lattice)
    assert found.density.mean() * np.linalg.det(found.lattice) == pytest.approx(28, rel=1e-3)
    assert found.calculated.cosine > 0.99


@pytest.mark.parametrize(
    "unlike",
    [
        {"analogues": 0},
        {"composition": ["Na", "Cl"]},
        {"composition": "Na2Cl"},
        {"cell": (5.2, 5.2, 5.2, 90, 90, 90), "centring": "F"},
    ],
    ids=lambda options: str(next(iter(options))),
)
def test_a_measured_pattern_is_the_network_s_where_no_crystal_is_believed(
    ask, opened, known, unlike
):
    options = {"analogues": 3, "structures": known, "grid": (12, 12, 12)} | unlike
    without = opened._replace(gate=None)
    found, plain = (ask(checkpoint=each, **options) for each in (opened, without))
    assert found.experts == ()
    np.testing.assert_array_equal(found.density, plain.density)


def test_the_crystal_that_explains_a_pattern_answers_beside_an_alarm(ask, opened, known):
    """With the wavelength of cobalt the cell is half as large again as is usual."""
    options = {"analogues": 3, "structures": known, "wavelength": "CoKa", "grid": (12, 12, 12)}
    found = ask(checkpoint=opened, **options)
    assert "the wavelength looks wrong" in found.alarms[0]
    assert [expert.refined.crystal.formula for expert in found.experts] == ["NaCl"]


def test_a_cell_that_is_given_roughly_is_refined_and_the_note_says_so(ask, opened, known):
    cell = {"cell": (5.6, 5.6, 5.6, 90, 90, 90), "centring": "F", "grid": (12, 12, 12)}
    found = ask(checkpoint=opened, analogues=3, structures=known, **cell)
    assert [expert.weight for expert in found.experts] == [1.0]
    assert np.linalg.det(found.lattice) == pytest.approx(5.64**3 / 4, rel=5e-3)
    (note,) = (x for x in found.notes if "the cell that was given" in x)
    assert "5.6 5.6 5.6 90 90 90, was refined to 5.6" in note
    assert float(note.split(" was refined to ")[1].split()[0]) == pytest.approx(5.64, rel=1e-3)
    assert not any("was refined" in x for x in ask(**cell).notes)  # no crystal takes part


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)], ids=["Pnma", "Pbnm", "Pmnb"])
def test_a_known_crystal_answers_in_a_cell_with_other_names_of_the_axes(
    ask, opened, tmp_path, axes
):
    """The density is then in the cell that the result and a note tell, and not in the given one."""
    edges = np.array([8.1, 4.7, 5.9])
    crystal = Structure.from_spacegroup(
        "Pnma", Lattice.orthorhombic(*edges), ["Ba", "S"], [[0.18, 0.25, 0.1], [0.47, 0.25, 0.6]]
    )
    crystal.to(str(tmp_path / "known.cif"))
    lines = XRDCalculator(wavelength=1.54187).get_pattern(crystal, two_theta_range=(10, 90))
    found = ask(
        (lines.x, lines.y),
        "BaS",
        opened,
        analogues=3,
        structures=str(tmp_path),
        cell=(*edges[list(axes)], 90, 90, 90),
        grid=FINE,
        search=0,
    )
    (expert,) = found.experts
    np.testing.assert_allclose(cell_parameters(found.lattice)[:3], edges, rtol=2e-3)
    np.testing.assert_allclose(found.conventional.parameters[:3], edges, rtol=2e-3)
    assert found.conventional.space_group == 62
    expected = rock_salt(expert, FINE)
    np.testing.assert_allclose(found.density, expected, atol=0.03 * expected.max())  # ripples
    renamed = any("these are other axes" in note for note in found.notes)
    assert renamed == (axes != (0, 1, 2))


def test_a_centred_cell_that_is_given_as_primitive_is_an_alarm(ask, opened, known):
    cell = {"cell": (5.64, 5.64, 5.64, 90, 90, 90), "grid": (12, 12, 12)}
    options = {"checkpoint": opened, "analogues": 3, "structures": known} | cell
    found = ask(**options)
    (alarm,) = found.alarms
    assert max(each.probability for each in found.structures) <= UNLIKELY
    assert "holds 4 primitive cells of NaCl like MgO" in alarm
    assert "give centring F" in alarm
    right = ask(**options, centring="F")
    assert right.alarms == ()
    assert right.structures[0].probability > UNLIKELY


def test_the_conventional_cell_stands_beside_the_primitive_one(ask, opened, known, sought):
    cell = (5.64, 5.64, 5.64, 90, 90, 90)
    given = ask(cell=cell, centring="F", grid=(12, 12, 12)).conventional
    assert (given.centring, given.space_group) == ("F", None)
    np.testing.assert_array_equal(given.parameters, cell)
    structure = Lattice.from_parameters(*sought.conventional.parameters)
    cells = {"F": 4, "I": 2, "R": 3}.get(sought.conventional.centring[0], 1)
    cells = 2 if sought.conventional.centring in "ABC" else cells
    assert structure.volume == pytest.approx(cells * np.linalg.det(sought.lattice), rel=1e-6)
    conventional = ask(checkpoint=opened, analogues=3, structures=known).conventional
    assert (conventional.centring, conventional.space_group) == ("F", 225)
    np.testing.assert_allclose(conventional.parameters, cell, rtol=1e-3)
    assert ask().conventional is None


def test_structures_that_are_refused_are_named(ask, tmp_path):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    for name, cation in (("salt", "Mg"), ("alloy", {"Mg": 0.5, "Fe": 0.5})):
        crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), [cation, "O"], sites)
        crystal.to(str(tmp_path / f"{name}.cif"))
    found = ask(analogues=3, structures=str(tmp_path))
    assert [each.crystal.material_id for each in found.analogues] == ["salt"]
    (note,) = (x for x in found.notes if "refused" in x)
    assert note.startswith("1 of 2 structures are refused: alloy: ")
    assert "partial occupancy" in note
    one = ask(analogues=3, structures=str(tmp_path / "salt.cif"))
    assert [each.crystal.material_id for each in one.analogues] == ["salt"]
    assert not any("refused" in x for x in one.notes)


def test_a_crystal_that_leaves_lines_unexplained_does_not_answer(ask, opened, tmp_path):
    """All even lines of rock salt are those of the type of CsCl with half the edge."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    crystal = Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.12), ["Cs", "Cl"], sites)
    crystal.to(str(tmp_path / "chloride.cif"))
    found = ask(checkpoint=opened, analogues=3, structures=str(tmp_path), grid=(12, 12, 12))
    assert found.experts == ()
    assert found.assessment.accepted is None
    assert any("27.3" in sentence for sentence in (*found.alarms, *found.doubts))
