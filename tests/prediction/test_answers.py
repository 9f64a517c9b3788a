"""The answer: which of several structures it is of, its electrons, and how likely it is."""

import time
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.material import Material
from cmed_jax.mixture.experts import Expert, Mixture
from cmed_jax.prediction import structures as module
from cmed_jax.prediction.answers import answered
from cmed_jax.prediction.assessment import BESIDE, Assessment, Explanation
from cmed_jax.prediction.electrons import electrons_in_cell
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.prediction.result import Answer
from cmed_jax.prediction.structures import search_for_structures, structure_answer
from cmed_jax.search.known import known_structure
from cmed_jax.search.several_cells import NOTHING
from cmed_jax.solution.isostructural import IsostructuralMatch, match_pattern
from cmed_jax.solution.refinement import Refined

WAVELENGTH = 1.54187
PYRITE = Structure.from_spacegroup(
    "Pa-3", Lattice.cubic(5.418), ["Fe", "S"], [[0, 0, 0], [0.385, 0.385, 0.385]]
)


def question(structure, formula, **options):
    lines = XRDCalculator(WAVELENGTH).get_pattern(structure, two_theta_range=(10, 90))
    options = PredictionOptions(WAVELENGTH, formula, grid=(12, 12, 12), **options)
    return PredictionQuery.of((lines.x, lines.y), formula, options, as_measured=False)


def crystal_of(structure):
    numbers = np.array([site.specie.Z for site in structure])
    matrix = np.array(structure.lattice.matrix)
    return canonical_cell(Material("known", matrix, numbers, np.array(structure.frac_coords)))


def along_an_axis(*elements):
    """Atoms in a corner, in the middle, and in the middle of an edge, each on a site of its own."""
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0.5]]
    return Structure(Lattice.tetragonal(4.1, 6.1), elements, places)


def test_a_known_crystal_with_elements_exchanged_answers_where_that_is_better():
    """Substitution keeps equal elements equal: it never puts bromine into the middle."""
    true, other = along_an_axis("Tl", "Br", "Tl"), along_an_axis("Tl", "Tl", "Br")
    query = question(true, "Tl2Br", search=0)
    known = crystal_of(along_an_axis("Zr", "Zr", "Mo"))
    matches = match_pattern(query.prepared, query.formula, [known], 3)
    assert all(StructureMatcher().fit(other, each.crystal.structure) for each in matches)
    found = answered(query, matches, [])
    first = found.structures[0]
    assert StructureMatcher().fit(true, first.structure)
    assert "elements exchanged" in first.origin
    assert first.probability == max(each.probability for each in found.structures)
    (expert,) = found.answer.mixture.experts
    assert expert.refined.crystal is first.material
    assert found.assessment.consistent
    assert found.assessment.accepted.rwp == pytest.approx(first.rwp)
    assert any(StructureMatcher().fit(other, each.structure) for each in found.structures[1:])


def test_a_known_crystal_that_is_right_stays_the_answer():
    true = along_an_axis("Tl", "Tl", "Br")
    query = question(true, "Tl2Br", search=0)
    matches = match_pattern(query.prepared, query.formula, [crystal_of(true)], 3)
    found = answered(query, matches, [])
    assert found.known == matches
    (expert,) = found.answer.mixture.experts
    assert any(expert.refined.crystal is each.crystal for each in matches)


def test_a_structure_of_the_search_is_compared_without_the_noise(monkeypatch):
    """Where noise alone leaves an Rwp of 0.84, 0.90 is poor and 0.85 nearly right."""
    query = question(PYRITE, "FeS2")
    crystal = crystal_of(PYRITE)
    lines = module.observed_lines(query.prepared)
    best = known_structure(crystal, lines, fitted=True, origin="the search")
    result = replace(NOTHING, structures=(best,), verdict="found")
    calculated = module.calculate_crystal_pattern(crystal, query.prepared)
    noisy = replace(calculated, rwp=0.85, noise=0.84)
    monkeypatch.setattr(module, "calculate_crystal_pattern", lambda *_: noisy)

    def of_search(rwp):
        match = IsostructuralMatch(crystal, "known", 0.5)
        known = Explanation("known", rwp, 1.0, crystal=match, noise=0.84)
        return structure_answer(result, query, Assessment(True, "known", known))

    assert BESIDE > 0.90 - 0.85
    assert of_search(0.90) is not None
    assert of_search(0.852) is None


def test_the_time_of_the_indexing_is_not_that_of_the_search(monkeypatch):
    query = question(PYRITE, "FeS2", search=7)
    given = {}

    def slow(*_):
        time.sleep(0.05)
        return ()

    def search(*_, **options):
        given.update(options)
        return NOTHING

    monkeypatch.setattr(module, "indexed_cells", slow)
    monkeypatch.setattr(module, "search_cells", search)
    search_for_structures(query, [np.array(PYRITE.lattice.matrix)], None)
    assert given["seconds"] == 7


def electrons_of(formula, mixture, lattice):
    return electrons_in_cell(question(PYRITE, formula), Answer(mixture, lattice, None, None), ())


def test_the_electrons_are_those_of_the_crystal_that_answers():
    """The volume alone tells one or two formula units, and pyrite has four in its cell."""
    crystal = crystal_of(PYRITE)
    mixture = Mixture(np.ones((1, 4, 4, 4), np.float32), None, (Expert(1.0, Refined(crystal, 0)),))
    assert electrons_of("FeS2", mixture, crystal.lattice) == 4 * 58
    assert electrons_of("FeS2H", mixture, crystal.lattice) == 4 * 59  # none was placed
    assert electrons_of("FeS2", mixture._replace(experts=()), crystal.lattice) is None
    assert electrons_of("FeS2", mixture, None) is None
