"""Known crystals of any source explain a pattern with the known part of its composition."""

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.composition import Knowledge, anonymous_formula, parse_composition
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.records import Recipe
from cmed_jax.physics.patterns import BINS, MO_K_ALPHA
from cmed_jax.solution.prototypes import prototypes_of
from cmed_jax.solution.solve import solve

WHOLE = np.ones(BINS, np.float32)


def cubic(group, edge, **sites):
    return Structure.from_spacegroup(group, Lattice.cubic(edge), list(sites), list(sites.values()))


def material(name, structure):
    numbers = np.array([site.specie.Z for site in structure])
    return Material(name, structure.lattice.matrix, numbers, structure.frac_coords)


ORIGIN, CENTRE, QUARTER = (0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
COINCIDING = material("coinciding", cubic("Fm-3m", 4.2, Mg=ORIGIN, O=CENTRE))
COINCIDING.frac_coords[:] = 0.0
KNOWN = [
    Refusal("refused", "it has no atoms"),
    COINCIDING,
    material("rock salt", cubic("Fm-3m", 4.21, Mg=ORIGIN, O=CENTRE)),
    material("fluorite", cubic("Fm-3m", 5.46, Ca=ORIGIN, F=QUARTER)),
    material("copper", cubic("Fm-3m", 3.61, Cu=ORIGIN)),
]
SALT = cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE)


@pytest.fixture(scope="module")
def pattern():
    """The strongest of pymatgen's lines of rock salt in each bin, strongest 1."""
    lines = XRDCalculator(MO_K_ALPHA).get_pattern(SALT, scaled=True, two_theta_range=(0, 179))
    pattern = np.zeros(BINS, np.float32)
    np.maximum.at(pattern, (BINS * lines.x / 180).astype(int), lines.y / 100)
    return pattern


@pytest.fixture
def solved(pattern):
    def solved(given, knowledge, known=KNOWN):
        composition, _ = parse_composition(given)
        formula = anonymous_formula(composition) if knowledge == Knowledge.FULL else None
        prototypes = prototypes_of(known, formula, Recipe())
        return solve(prototypes, pattern, composition, knowledge, WHOLE)

    return solved


@pytest.mark.parametrize(
    ("given", "knowledge", "names"),
    [
        ("NaCl", Knowledge.FULL, {"rock salt"}),
        (["Na", "Cl"], Knowledge.NO_RATIOS, {"rock salt", "fluorite"}),
        (["Cl"], Knowledge.MISSING_ELEMENT, {"rock salt", "fluorite"}),
        (None, Knowledge.NONE, {"rock salt", "fluorite", "copper"}),
    ],
)
def test_crystals_are_those_that_a_composition_may_describe(solved, given, knowledge, names):
    found = solved(given, knowledge)
    assert {each.crystal.material_id for each in found} <= names
    residuals = [each.residual for each in found]
    assert residuals == sorted(residuals)
    assert residuals


@pytest.mark.parametrize(
    ("given", "knowledge"), [("NaCl", Knowledge.FULL), (["Na", "Cl"], Knowledge.NO_RATIOS)]
)
def test_the_crystal_is_found_through_another_of_its_type(solved, given, knowledge):
    best, *_ = solved(given, knowledge)
    assert best.crystal.material_id == "rock salt"
    assert sorted(best.crystal.numbers) == [11, 17]
    assert best.crystal.volume == pytest.approx(SALT.volume / 4, rel=1e-3)
    assert best.residual < 0.06  # the cost of a line in the neighbouring bin


def test_cells_of_the_source_do_not_matter(solved):
    primitive = cubic("Fm-3m", 4.21, Mg=ORIGIN, O=CENTRE).get_primitive_structure()
    once, again = (
        solved("NaCl", Knowledge.FULL, [material("salt", structure)])[0]
        for structure in (primitive, cubic("Fm-3m", 4.21, Mg=ORIGIN, O=CENTRE))
    )
    np.testing.assert_allclose(once.crystal.lattice, again.crystal.lattice, rtol=1e-6, atol=1e-6)
    assert once.residual == pytest.approx(again.residual, abs=1e-6)


@pytest.mark.parametrize("known", [[], KNOWN[:2], KNOWN[3:]], ids=["none", "unusable", "others"])
def test_where_no_crystal_is_of_the_type_there_are_no_prototypes(known):
    assert prototypes_of(known, "AB", Recipe()) is None


def test_without_a_pattern_there_is_no_answer():
    composition, knowledge = parse_composition("NaCl")
    prototypes = prototypes_of(KNOWN, "AB", Recipe())
    assert solve(prototypes, np.zeros(BINS, np.float32), composition, knowledge, WHOLE) == []
