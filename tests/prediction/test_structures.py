"""The structures of a prediction: those of the search, and known crystals."""

import itertools
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.common import VolumetricData
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from cmed_jax.mixture.experts import Mixture
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import electron_density
from cmed_jax.prediction.checks import check_probability
from cmed_jax.prediction.predict import restore_and_predict
from cmed_jax.prediction.restore import restore
from cmed_jax.prediction.result import Answer
from cmed_jax.prediction.results import results
from cmed_jax.report.output import write_report
from cmed_jax.search.several_cells import NOTHING

GRID = (24, 24, 16)
RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
)
CELL = (4.594, 4.594, 2.959, 90.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def ask(finished, known):
    restored = restore(finished)
    lines = XRDCalculator(wavelength=1.54187).get_pattern(RUTILE, two_theta_range=(15, 110))

    def ask(composition="TiO2", **options):
        options = {"cell": CELL, "grid": GRID, "structures": known, "wavelength": "CuKa"} | options
        return restore_and_predict(restored, (lines.x, lines.y), composition, **options)

    return ask


@pytest.fixture(scope="module")
def solved(ask):
    """The answer where no known crystal explains the pattern, and no search was asked for."""
    return ask()


def test_a_structure_without_a_known_crystal_is_found(solved):
    best = solved.structures[0]
    assert best.space_group == 136
    assert StructureMatcher().fit(best.structure, RUTILE)
    independent = SpacegroupAnalyzer(best.structure).get_symmetrized_structure()
    assert {f"{site.multiplicity}{site.letter}" for site in best.sites} == set(
        independent.wyckoff_symbols
    )
    assert {site.element: site.multiplicity for site in best.sites} == {"Ti": 2, "O": 4}
    assert best.residual < 0.05


def test_its_density_is_given_and_the_question_is_consistent(solved):
    """Without the search the density was that of the network, and there was no assessment."""
    (expert,) = solved.experts
    assert expert.refined is not None
    crystal = expert.refined.crystal
    atoms = Crystal.of(crystal.lattice, crystal.numbers, crystal.frac_coords)
    np.testing.assert_allclose(solved.density, electron_density(atoms, shape=GRID), rtol=1e-4)
    assert solved.alarms == ()
    assert solved.assessment.consistent
    assert "TiO2 from the search explains the pattern" in solved.assessment.sentence
    assert solved.conventional.space_group == 136


def test_with_a_wrong_wavelength_the_volume_of_the_structure_raises_an_alarm(ask):
    """The structure is found in the stretched cell; half of it would have a usual volume."""
    stretched = 1.79026 / 1.54187
    cell = (*(stretched * each for each in CELL[:3]), *CELL[3:])
    found = ask(cell=cell, wavelength="CoKa")
    (alarm,) = found.alarms
    assert "the wavelength looks wrong" in alarm
    assert found.structures[0].structure.volume == pytest.approx(
        stretched**3 * RUTILE.volume, rel=0.01
    )


def test_an_unlikely_structure_that_answers_is_doubted(solved):
    first, *others = solved.structures
    mixture = Mixture(solved.density[None], None, solved.experts)
    answer = Answer(mixture, solved.lattice, solved.conventional, solved.calculated)
    assert check_probability(answer, solved.structures) == []
    (doubt,) = check_probability(answer, [replace(first, probability=0.07), *others])
    assert doubt.severity == "doubt"
    assert "has a probability of 7%" in doubt.message
    pair = [replace(first, probability=each) for each in (0.3, 0.6)]
    (doubt,) = check_probability(answer, pair)  # another one is likelier
    assert "has a probability of 30%" in doubt.message
    assert check_probability(answer, [replace(first, probability=0.6), pair[0]]) == []
    of_network = answer._replace(mixture=mixture._replace(experts=()))
    assert check_probability(of_network, [replace(first, probability=0.07)]) == []


def test_known_crystals_and_those_of_the_search_are_one_list(ask, solved):
    """The structure of the density comes first, and no structure comes twice."""
    structures = solved.structures
    assert {each.origin for each in structures} == {"the search"}  # none is of this formula type
    assert structures[0].material is solved.experts[0].refined.crystal
    scores = [each.score for each in structures[1:]]
    assert scores == sorted(scores)
    for one, other in itertools.combinations(structures, 2):
        assert not StructureMatcher().fit(one.structure, other.structure)
    for each in structures:
        assert each.structure.composition.reduced_formula == "TiO2"
        pair, distance = each.shortest_distance
        matrix = (each.structure * (2, 2, 2)).distance_matrix  # an image of each atom is another
        assert distance == pytest.approx(matrix[matrix > 0].min(), rel=1e-4)
        assert set(pair.split("-")) <= {"Ti", "O"}
    assert structures[0].rwp == pytest.approx(solved.calculated.rwp, rel=1e-6)


def test_figures_page_and_cif_tell_the_structure(solved, tmp_path):
    found = results(solved)
    assert found["search"]["verdict"] in ("found", "likely")
    assert found["structures"][0]["space_group"] == 136
    assert found["structures"][0]["structure_type"] == "TiO2 type (Rutile, C4)"
    assert "search" in {each["code"] for each in found["diagnostics"]}
    write_report(solved, tmp_path / "rutile.html")
    text = (tmp_path / "rutile.html").read_text()
    assert "P42/mnm (136)" in text
    assert "TiO2 type (Rutile, C4)" in text
    assert "Ti 2a (0.000, 0.000, 0.000)" in text
    solved.save(tmp_path / "rutile.cif")
    block = gemmi.cif.read(str(tmp_path / "rutile.cif")).sole_block()
    assert gemmi.make_small_structure_from_block(block).spacegroup.number == 136
    solved.save(tmp_path / "rutile.cube")
    cube = VolumetricData.from_cube(tmp_path / "rutile.cube")
    numbers = [site.specie.Z for site in cube.structure]
    assert sorted(numbers) == [8, 8, 8, 8, 22, 22]
    for site in cube.structure:  # at titanium is the maximum, and there is a lesser one at oxygen
        at, away = (cube.value_at(*site.frac_coords % 1), cube.data["total"].max())
        assert at > (0.9 if site.specie.symbol == "Ti" else 0.2) * away


def test_a_structure_without_the_hydrogen_of_its_formula_says_so(ask, solved, monkeypatch):
    best = replace(solved.searched.structures[0], lacks_hydrogen=True)
    found = replace(solved.searched, structures=(best,))
    monkeypatch.setattr("cmed_jax.prediction.structures.search_cells", lambda *a, **k: found)
    answer = ask()
    assert any("without hydrogen" in note for note in answer.notes)
    assert results(answer)["structures"][0]["lacks_hydrogen"]


def test_what_the_search_needs_is_said_where_it_is_missing(ask):
    found = ask(composition=["Ti", "O"], search=20)
    assert found.structures == ()
    with pytest.raises(ValueError, match="no structure is known for this pattern"):
        found.save("rutile.cif")
    assert any("sought: that takes all elements of the formula" in note for note in found.notes)


@pytest.mark.parametrize(
    ("composition", "options", "reason"),
    [
        ("Ti0.9Nb0.1O2", {}, "the search does not place elements that share sites"),
        ("Cs2Ti6O13", {}, "sought: no number of formula units fits the volume of the cell"),
        ("TiO2", {"cell": np.array(CELL) / [8, 8, 5, 1, 1, 1]}, "no reflection in the measured"),
    ],
)
def test_each_reason_against_a_search_is_said(ask, composition, options, reason):
    found = ask(composition, search=20, **options)
    assert any(reason in note for note in found.notes), found.notes


def test_a_search_without_structures_is_not_stated_as_one_that_never_ran(ask, monkeypatch):
    empty = replace(NOTHING, tried=812, seconds=19.6, outside=0.1)
    monkeypatch.setattr("cmed_jax.prediction.structures.search_cells", lambda *a, **k: empty)
    found = ask()  # by default a structure is sought here as well
    (note,) = (each for each in found.diagnostics if each.code == "no_structure")
    assert "of 812 Wyckoff assignments, tried in 20 s, none" in note.message
    assert results(found)["search"]["tried"] == 812


def test_why_there_is_no_rietveld_refinement_is_said(ask):
    found = ask(rietveld=True, search=0)
    assert found.rietveld is results(found)["rietveld"] is None
    assert any("no Rietveld refinement: no structure is known" in note for note in found.notes)


def test_without_a_cell_the_lines_are_indexed_and_the_structure_is_found(ask):
    found = ask(cell=None, search=40)  # half of it for the first cell
    assert StructureMatcher().fit(found.structures[0].structure, RUTILE)
    cells = results(found)["search"]["cells"]
    assert cells[0]["lattice_type"] == "tetragonal P"
    np.testing.assert_allclose(cells[0]["parameters"], CELL, rtol=1e-3)
    assert cells[0]["indexed"] == cells[0]["lines"]


def test_nothing_is_sought_where_that_is_asked_for(ask):
    assert ask(search=0).searched is None
    with pytest.raises(ValueError, match="search is -1"):
        ask(search=-1)
