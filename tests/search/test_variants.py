"""Variants of structures, found in the lines that pymatgen calculates for the true ones."""

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.material import Material
from cmed_jax.search.known import known_structure
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.variants import distortions, exchanges

CU_K_ALPHA_1 = 1.54056
SPAN = (10.0, 110.0)
CELL = Lattice.tetragonal(3.90, 4.15)


def perovskite(calcium, titanium, apex, plane):
    group = "P4mm" if plane != 0.5 else "P4/mmm"
    sites = [[0, 0, calcium], [0.5, 0.5, titanium], [0.5, 0.5, apex], [0.5, 0, plane]]
    return Structure.from_spacegroup(group, CELL, ["Ca", "Ti", "O", "O"], sites)


POLAR = perovskite(0, 0.54, 0.115, 0.615)  # displaced as in PbTiO3


def heusler(*elements):
    sites = [[0, 0, 0], [0.25] * 3, [0.5] * 3]
    return Structure.from_spacegroup("F-43m", Lattice.cubic(5.9), elements, sites)


def found_from(wrong, truth):
    numbers = np.array([site.specie.Z for site in wrong])
    crystal = canonical_cell(
        Material("wrong", wrong.lattice.matrix, numbers, wrong.frac_coords), 0.01
    )
    calculated = XRDCalculator(CU_K_ALPHA_1).get_pattern(truth, two_theta_range=SPAN)
    lines = ObservedLines.of_angles(calculated.x, calculated.y, SPAN, 0.05, CU_K_ALPHA_1)
    begun = known_structure(crystal, lines, fitted=True, origin="the test")
    rng = np.random.default_rng(0)
    tried = (*distortions(begun, lines, rng), *exchanges(begun, lines, rng))
    return begun, min(filter(None, tried), key=lambda each: each.score)


@pytest.mark.parametrize(
    ("wrong", "truth", "group"),
    [
        (perovskite(0, 0.5, 0, 0.5), POLAR, 99),
        (heusler("Mg", "N", "Ca"), heusler("Mg", "Ca", "N"), 216),
    ],
    ids=["a distortion", "exchanged elements"],
)
def test_the_true_structure_is_a_variant_of_one_that_is_nearly_right(wrong, truth, group):
    begun, best = found_from(wrong, truth)
    assert begun.space_group == canonical_number(wrong)
    assert (best.space_group, best.formula) == (group, begun.formula)
    assert best.residual < 0.05 < begun.residual
    assert StructureMatcher(stol=0.02).fit(best.structure, truth)


def test_a_variant_is_described_in_its_own_space_group():
    """Mn2CoAl: the elements of the inverse Heusler phase exchanged give the full one."""
    inverse, full = (
        Structure.from_spacegroup(
            "F-43m", Lattice.cubic(5.8), elements, [[0] * 3, [0.25] * 3, [0.5] * 3, [0.75] * 3]
        )
        for elements in (("Mn", "Mn", "Al", "Co"), ("Mn", "Al", "Mn", "Co"))
    )
    best = found_from(inverse, full)[1]
    assert best.space_group == canonical_number(full) == 225
    assert StructureMatcher(stol=0.02).fit(best.structure, full)


def canonical_number(structure):
    return structure.get_space_group_info(0.01)[1]
