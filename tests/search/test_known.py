"""Known structures, fitted to the lines that pymatgen calculates."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.material import Material
from cmed_jax.search.known import distance_misfit, fitted_coordinates, known_structure
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.solved import different

CU_K_ALPHA_1 = 1.54056
SPAN = (10.0, 110.0)


def rutile(x):
    sites = [[0, 0, 0], [x, x, 0]]
    return Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], sites
    )


def calcite(x, c=17.06):
    sites = [[0, 0, 0], [0, 0, 0.25], [x, 0, 0.25]]
    return Structure.from_spacegroup("R-3c", Lattice.hexagonal(4.99, c), ["Ca", "C", "O"], sites)


def brucite(oxygen, hydrogen, exchanged=False):
    names = ["Mg", "H", "O"] if exchanged else ["Mg", "O", "H"]
    sites = [[0, 0, 0], [1 / 3, 2 / 3, oxygen], [1 / 3, 2 / 3, hydrogen]]
    return Structure.from_spacegroup("P-3m1", Lattice.hexagonal(3.148, 4.779), names, sites)


def canonical(structure):
    numbers = np.array([site.specie.Z for site in structure])
    return canonical_cell(
        Material("known", structure.lattice.matrix, numbers, structure.frac_coords)
    )


def lines(structure, span=SPAN):
    found = XRDCalculator(CU_K_ALPHA_1).get_pattern(structure, two_theta_range=span)
    return ObservedLines.of_angles(found.x, found.y, span, 0.05, CU_K_ALPHA_1)


def shortest(crystal, one, other):
    """The shortest distance of two elements in a crystal, by pymatgen."""
    structure = Structure(crystal.lattice, crystal.numbers.tolist(), crystal.frac_coords)
    sites = {name: structure.indices_from_symbol(name) for name in (one, other)}
    distances = structure.distance_matrix[np.ix_(sites[one], sites[other])]
    return distances[distances > 1e-3].min()


@pytest.mark.parametrize(
    ("begun", "truth", "bond"),
    [(rutile(0.28), rutile(0.305), ("Ti", "O")), (calcite(0.29), calcite(0.257), ("C", "O"))],
)
def test_coordinates_become_those_of_the_measured_crystal(begun, truth, bond):
    found = fitted_coordinates(canonical(begun), lines(truth))
    assert found.space_group == canonical(truth).space_group
    assert shortest(found, *bond) == pytest.approx(shortest(canonical(truth), *bond), abs=0.01)


def test_hydrogen_is_put_where_it_binds_and_not_where_the_prototype_has_it():
    """In brucite's own type the elements may be exchanged: the pattern shows the oxygen alone."""
    truth = brucite(0.222, 0.43)
    found = fitted_coordinates(canonical(brucite(0.30, 0.55)), lines(truth))
    assert shortest(found, "Mg", "O") == pytest.approx(
        shortest(canonical(truth), "Mg", "O"), abs=0.02
    )
    assert shortest(found, "O", "H") == pytest.approx(0.97, abs=0.08)


def test_right_coordinates_stay():
    begun = canonical(rutile(0.305))
    found = fitted_coordinates(begun, lines(rutile(0.305)))
    assert shortest(found, "Ti", "O") == pytest.approx(shortest(begun, "Ti", "O"), abs=3e-3)


def test_a_crystal_stays_as_it_is_where_there_are_too_few_lines_for_its_coordinates():
    begun = canonical(rutile(0.28))
    assert fitted_coordinates(begun, lines(rutile(0.305), (26.0, 30.0))) is begun


def test_exchanged_elements_have_unusual_distances():
    assert distance_misfit(canonical(calcite(0.257))) < 0.15
    exchanged = calcite(0.257)
    exchanged.replace_species({"Ca": "C", "C": "Ca"})
    assert distance_misfit(canonical(exchanged)) > 0.5


def judged(crystal, truth, fitted=False, **shares):
    return known_structure(crystal, lines(truth), fitted=fitted, origin="a collection", **shares)


def test_a_known_structure_is_judged_by_the_lines_and_by_what_was_fitted():
    right = judged(canonical(rutile(0.305)), rutile(0.305))
    wrong = judged(canonical(rutile(0.25)), rutile(0.305))
    fitted = judged(canonical(rutile(0.305)), rutile(0.305), fitted=True)
    assert right.residual < 0.05 < 0.2 < wrong.residual
    assert (right.free_coordinates, fitted.free_coordinates) == (0, 1)
    assert fitted.raised_residual > fitted.residual == right.residual == right.raised_residual
    assert right.score < fitted.score < wrong.score
    assert right.origin == "a collection"


def test_the_cif_of_a_solid_solution_has_the_elements_that_share_a_site(tmp_path):
    crystal = canonical(rutile(0.305))
    found = judged(crystal, rutile(0.305), shares={22: {22: 0.9, 41: 0.1}})
    path = tmp_path / "shared.cif"
    path.write_text(found.cif())
    read = gemmi.read_small_structure(str(path))
    assert read.spacegroup.number == 136
    occupancies = {site.type_symbol: site.occ for site in read.sites}
    assert occupancies == pytest.approx({"Ti": 0.9, "Nb": 0.1, "O": 1.0})


def test_of_a_merged_list_the_best_structure_has_the_largest_probability():
    """Even where that of the answer, which is worse, stands first."""
    truth = rutile(0.305)
    right = judged(canonical(truth), truth)
    worse = judged(canonical(rutile(0.2)), truth)
    first, second = different([worse, right], lines(truth))
    assert first.material is worse.material
    assert second.probability > first.probability
    assert first.probability + second.probability <= 1


def test_probabilities_of_different_structures_are_of_one_event():
    """Structures that explain the lines equally well share what the likeliest one leaves."""
    truth = rutile(0.305)
    right = judged(canonical(truth), truth)
    others = (rutile(0.1), calcite(0.257), calcite(0.4), brucite(0.22, 0.43))
    rivals = [replace(right, material=canonical(each), score=1.01 * right.score) for each in others]
    found = different([right, *rivals], lines(truth))
    first, *shares = [each.probability for each in found]
    assert len(found) == 5
    assert first > 0.7
    assert first + sum(shares) == pytest.approx(1)
    faint = shares.pop()  # hydrogen hardly scatters, and the structure is less likely
    assert shares == pytest.approx([shares[0]] * 3)
    assert faint == pytest.approx(0.75 * shares[0])
    (lonely,) = different(rivals[:1], lines(truth))
    assert max(shares) < lonely.probability


def test_a_solid_solution_is_judged_with_the_elements_of_its_sites():
    """Rubidium for half of the potassium in KCl changes which lines are strong."""
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(6.44), ["K", "Cl"], [[0] * 3, [0.5] * 3]
    )
    mixed = salt.copy()
    mixed.replace_species({"K": {"K": 0.5, "Rb": 0.5}})
    shared = judged(canonical(salt), mixed, shares={19: {19: 0.5, 37: 0.5}})
    assert shared.residual < 0.05 < judged(canonical(salt), mixed).residual
    assert shared.formula == "K0.5Rb0.5Cl"


def test_an_element_that_hardly_scatters_lowers_the_probability():
    """Hydrogen in brucite and oxygen in it: only the first is hard to see."""
    structures = (brucite(0.22, 0.43), rutile(0.305))
    probabilities = []
    for structure in structures:
        found = known_structure(
            canonical(structure), lines(structure), fitted=False, origin="the test"
        )
        (judged,) = different([found], lines(structure))
        probabilities.append(judged.probability)
    assert probabilities[0] <= 0.75 < probabilities[1]
