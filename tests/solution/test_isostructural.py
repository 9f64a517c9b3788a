"""Structures of the literature, found from pymatgen's lines through crystals of their type."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.atomic_volumes import usual_relative_volume
from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.structure_types import structure_types
from cmed_jax.powder.indexing import Shift
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.solution.cell_ranking import agreement
from cmed_jax.solution.isostructural import find_isostructural
from cmed_jax.solution.prototypes import known_volumes

CU_K_ALPHA_1 = 1.54056
SPAN = (15.0, 90.0)


def rock_salt(cation, anion, a):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], sites)


def caesium_chloride(a):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(a), ["Cs", "Cl"], sites)


def zinc_blende(cation, anion, a):
    sites = [[0, 0, 0], [0.25, 0.25, 0.25]]
    return Structure.from_spacegroup("F-43m", Lattice.cubic(a), [cation, anion], sites)


def wurtzite(cation, anion, a, c):
    sites = [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]]
    return Structure.from_spacegroup("P6_3mc", Lattice.hexagonal(a, c), [cation, anion], sites)


def corundum(cation, a, c):
    sites = [[0, 0, 0.352], [0.306, 0, 0.25]]
    return Structure.from_spacegroup("R-3c", Lattice.hexagonal(a, c), [cation, "O"], sites)


def rutile(cation, a, c):
    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    return Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(a, c), [cation, "O"], sites)


def fluorite(cation, anion, a):
    sites = [[0, 0, 0], [0.25, 0.25, 0.25]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], sites)


def perovskite(a, site, *edges):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.orthorhombic(*edges), [a, site, "O", "O", "O"], sites)


def goethite(cation, a, b, c):
    sites = [[0.146, 0.25, 0.954], [0.802, 0.25, 0.716], [0.947, 0.25, 0.197]]
    lattice = Lattice.orthorhombic(a, b, c)
    return Structure.from_spacegroup("Pnma", lattice, [cation, "S", "O"], sites)


def material(name, structure):
    numbers = np.array([site.specie.Z for site in structure])
    return Material(name, structure.lattice.matrix, numbers, structure.frac_coords)


def structure_of(crystal):
    return Structure(crystal.lattice, crystal.numbers.tolist(), crystal.frac_coords)


def measured(structure, shift=0.0, wavelength=CU_K_ALPHA_1, span=SPAN):
    """The lines of a structure in the measured range, from pymatgen."""
    found = XRDCalculator(wavelength).get_pattern(structure, two_theta_range=span)
    strong = found.y > 0.1
    angle, area = found.x[strong] + shift, found.y[strong]
    return MeasuredLines(angle, area, *span, wavelength, Shift(shift, 0.0))


KNOWN = [
    material("rock salt", rock_salt("Mg", "O", 4.21)),
    material("rock salt, larger", rock_salt("K", "Br", 6.60)),
    material("zinc blende", zinc_blende("Ga", "As", 5.65)),
    material("wurtzite", wurtzite("Al", "N", 3.11, 4.98)),
    material("corundum", corundum("Cr", 4.96, 13.59)),
    material("rutile", rutile("Ti", 4.59, 2.96)),
    material("fluorite", fluorite("Zr", "O", 5.07)),
    material("goethite", goethite("Fe", 9.95, 3.02, 4.61)),
]


@pytest.mark.parametrize(
    ("expected", "truth"),
    [
        ("rock salt", rock_salt("Na", "Cl", 5.64)),
        ("zinc blende", zinc_blende("Cu", "I", 6.05)),
        ("wurtzite", wurtzite("Zn", "O", 3.25, 5.207)),
        ("corundum", corundum("Al", 4.76, 12.99)),
        ("rutile", rutile("Sn", 4.737, 3.186)),
        ("fluorite", fluorite("Ba", "F", 6.20)),
        ("goethite", goethite("Mn", 10.3, 3.05, 4.7)),
    ],
)
def test_a_structure_is_found_through_another_of_its_type(expected, truth):
    composition, _ = parse_composition(truth.composition.reduced_formula)
    best, *_ = find_isostructural(measured(truth), composition, KNOWN)
    assert best.crystal.material_id == expected
    assert best.merit > 0.97
    found = structure_of(best.crystal)
    assert StructureMatcher(ltol=1e-3, stol=0.1, scale=False).fit(found, truth)
    assert found.density == pytest.approx(truth.density, rel=1e-3)


@settings(deadline=None, max_examples=10)
@given(a=st.floats(2.6, 4.2), stretch=st.floats(-0.06, 0.06))
def test_axes_change_apart_from_each_other(a, stretch):
    truth = wurtzite("Zn", "O", a, a * 1.6 * np.exp(stretch))
    composition, _ = parse_composition("ZnO")
    best, *_ = find_isostructural(measured(truth), composition, KNOWN[3:4])
    found = Lattice(best.crystal.lattice)
    assert found.c / found.a == pytest.approx(1.6 * np.exp(stretch), rel=1e-3)


@pytest.mark.parametrize("edges", [(4.5, 3.9), (5.5, 2.6)])
def test_an_indexed_lattice_tells_axes_that_scaling_does_not_reach(edges):
    truth, composition = rutile("Sn", *edges), parse_composition("SnO2")[0]
    known, lattices = KNOWN[5:6], [Lattice.cubic(4.3).matrix, truth.lattice.matrix[[2, 0, 1]]]
    best, *_ = find_isostructural(measured(truth), composition, known, lattices=lattices)
    assert StructureMatcher(ltol=1e-3, stol=0.1, scale=False).fit(structure_of(best.crystal), truth)
    stretched, *_ = find_isostructural(measured(truth), composition, known)
    assert stretched.merit < best.merit


def test_an_indexed_lattice_tells_angles_that_scaling_does_not_reach():
    sites = [[0, 0, 0], [0.29, 0.5, 0.22]]
    forms = [Lattice.monoclinic(*edges) for edges in ((6, 3.4, 5.9, 95), (6.3, 3.3, 5.7, 112))]
    old, truth = (
        Structure.from_spacegroup("C2/m", lattice, elements, sites)
        for lattice, elements in zip(forms, (["Zr", "Se"], ["Ti", "S"]), strict=True)
    )
    lattice = truth.get_primitive_structure().lattice.matrix
    composition = parse_composition("TiS2")[0]
    known = [material("sheared", old)]
    best, *_ = find_isostructural(measured(truth), composition, known, lattices=[lattice])
    assert StructureMatcher(ltol=1e-3, stol=0.1, scale=False).fit(structure_of(best.crystal), truth)


def test_wrong_lattices_leave_the_crystals_that_scaling_finds():
    truth, composition = rutile("Sn", 4.737, 3.186), parse_composition("SnO2")[0]
    wrong = [Lattice.tetragonal(4.5, 3.53).matrix, Lattice.cubic(4.15).matrix]
    best, *_ = find_isostructural(measured(truth), composition, KNOWN, lattices=wrong)
    assert best.crystal.material_id == "rutile"
    assert best.merit > 0.97


def test_a_small_splitting_of_a_refined_cell_is_kept():
    truth = perovskite("Sr", "Ti", 4.00, 4.04, 4.02)
    known = [material("split", perovskite("Ba", "Zr", 4.1, 4.4, 4.25))]
    best, *_ = find_isostructural(measured(truth), parse_composition("SrTiO3")[0], known)
    np.testing.assert_allclose(sorted(best.parameters[:3]), [4.00, 4.02, 4.04], rtol=5e-4)


def test_lines_from_an_angle_of_zero_are_compared():
    """Lists of peaks for hard radiation may begin below one degree."""
    truth = rock_salt("Na", "Cl", 5.64)
    lines = measured(truth, wavelength=0.05, span=(0.0, 3.0))
    best, *_ = find_isostructural(lines, parse_composition("NaCl")[0], KNOWN[:3])
    assert best.crystal.volume == pytest.approx(5.64**3 / 4, rel=1e-3)
    assert best.merit > 0.97


def test_all_analogues_hold_the_composition_and_come_best_first():
    truth = zinc_blende("Cu", "I", 6.05)
    composition, _ = parse_composition("CuI")
    found = find_isostructural(measured(truth), composition, KNOWN, most=3)
    assert len(found) == 3
    merits = [analogue.merit for analogue in found]
    assert merits == sorted(merits, reverse=True)
    for analogue in found:
        assert structure_of(analogue.crystal).composition.reduced_formula == "CuI"


def test_a_polarised_beam_ranks_as_one_that_is_not():
    truth = rock_salt("Na", "Cl", 5.64)
    composition, _ = parse_composition("NaCl")
    lines = measured(truth)
    area = lines.area / (1 + np.cos(np.radians(lines.angle)) ** 2)
    polarised = lines._replace(area=area, monochromator=90.0)
    (plain, *_), (corrected, *_) = (
        find_isostructural(x, composition, KNOWN) for x in (lines, polarised)
    )
    assert corrected.merit == pytest.approx(plain.merit, rel=1e-6)
    assert corrected.cell(polarised).merit == pytest.approx(plain.cell(lines).merit, abs=1e-3)
    without = polarised._replace(monochromator=0.0)
    assert corrected.cell(polarised).merit > corrected.cell(without).merit


@pytest.mark.parametrize("scale", [1.0, 1.16])
def test_a_known_crystal_of_the_composition_tells_the_usual_volume_of_all_types(scale):
    """A wavelength that is too long scales every cell alike, whatever crystal explains it."""
    truth, composition = rock_salt("Mg", "O", 4.21 * scale), parse_composition("MgO")[0]
    mine = material("magnesia", rock_salt("Mg", "O", 4.21))
    found = find_isostructural(measured(truth), composition, [*KNOWN[1:4], mine])
    assert len({each.prototype for each in found}) > 1
    for each in found:
        ratio = (each.crystal.volume / len(each.crystal.numbers)) / (4.21**3 / 8)
        assert each.relative_volume == pytest.approx(ratio)
        assert each.volumes.are_usual(composition)
    assert found[0].relative_volume == pytest.approx(scale**3, rel=1e-3)
    (without, *_) = find_isostructural(measured(truth), composition, KNOWN[1:4])
    assert not without.volumes.are_usual(composition)
    assert without.relative_volume == usual_relative_volume(
        without.crystal.volume, composition, len(without.crystal.numbers)
    )


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_best_known_crystal_of_the_composition_is_always_among_them(most):
    truth, composition = rock_salt("Mg", "O", 4.21), parse_composition("MgO")[0]
    mine = material("of zinc blende", zinc_blende("Mg", "O", 4.6))
    found = find_isostructural(measured(truth), composition, [KNOWN[1], KNOWN[3], mine], most)
    assert [each.crystal.material_id for each in found if each.is_known] == ["of zinc blende"]
    assert len(found) == min(max(most, 2), 3)
    assert found[0].crystal.material_id == "rock salt, larger"


def test_of_crystals_that_became_the_same_the_known_one_is_kept():
    truth, composition = rutile("Ti", 4.594, 2.959), parse_composition("TiO2")[0]
    mine = material("titania", rutile("Ti", 4.66, 2.97))
    kin = material("kin", rutile("Sn", 4.594 * 1.05, 2.959 * 1.05))  # of the true shape
    for known in ([mine, kin], [kin, mine]):
        best, *_ = find_isostructural(measured(truth), composition, known)
        assert best.crystal.material_id == "titania"
        assert best.relative_volume == pytest.approx(4.594**2 * 2.959 / (4.66**2 * 2.97), rel=5e-3)


def test_each_form_of_an_element_has_its_own_usual_volume():
    """Diamond that is measured with the wrong anode does not pass for its volume in graphite."""
    forms = {"Fd-3m:1": (Lattice.cubic(3.567), [[0, 0, 0]])}
    forms["P6_3/mmc"] = Lattice.hexagonal(2.464, 6.711), [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25]]
    known = [
        material(group, Structure.from_spacegroup(group, lattice, len(sites) * ["C"], sites))
        for group, (lattice, sites) in forms.items()
    ]
    wrong = Structure.from_spacegroup("Fd-3m:1", Lattice.cubic(3.567 * 1.16), ["C"], [[0, 0, 0]])
    best, *_ = find_isostructural(measured(wrong), parse_composition("C")[0], known)
    assert best.crystal.material_id == "Fd-3m:1"
    assert best.relative_volume == pytest.approx(1.16**3, rel=1e-3)


def test_crystals_of_other_compositions_and_refusals_tell_no_volume():
    composition, _ = parse_composition("NaCl")
    refused = Refusal("broken", "no atoms")
    assert known_volumes([*KNOWN, refused], composition) == ()
    salt = material("salt", rock_salt("Na", "Cl", 5.64))
    assert known_volumes([*KNOWN, salt, refused], composition) == pytest.approx((5.64**3 / 8,))


def test_one_crystal_is_found_once():
    """Two rock salts, with their elements in either order, lead to the same rock salt."""
    truth = rock_salt("Na", "Cl", 5.64)
    composition, _ = parse_composition("NaCl")
    assert len(find_isostructural(measured(truth), composition, KNOWN[:2])) == 1


def test_a_zero_shift_that_is_known_is_taken_off():
    truth = rock_salt("Na", "Cl", 5.64)
    composition, _ = parse_composition("NaCl")
    best, *_ = find_isostructural(measured(truth, shift=0.3), composition, KNOWN[:1])
    assert best.crystal.volume == pytest.approx(5.64**3 / 4, rel=1e-4)


def test_a_prototype_that_is_much_smaller_is_found_as_well():
    """KCl is found through a hydride of half its edge.

    K+ and Cl- have equally many electrons, so that its lines are those of a cell of half the edge,
    which is too small for the atoms.
    """
    truth = rock_salt("K", "Cl", 6.293)
    composition, _ = parse_composition("KCl")
    small = [
        material("hydride", rock_salt("Pd", "H", 3.2)),
        material("CsCl", caesium_chloride(3.1)),
    ]
    best, *_ = find_isostructural(measured(truth), composition, small)
    assert best.crystal.space_group == 225
    assert best.parameters[0] == pytest.approx(6.293, rel=1e-3)
    assert best.relative_volume == pytest.approx(1, abs=0.15)


def test_the_cell_of_a_known_crystal_has_the_agreement_of_its_lines():
    truth = corundum("Al", 4.76, 12.99)
    composition, _ = parse_composition("Al2O3")
    lines = measured(truth)
    best, *_ = find_isostructural(lines, composition, KNOWN)
    cell = best.cell(lines)
    assert (cell.lattice_type, cell.origin) == ("hexagonal R", "Al2O3 like Cr2O3")
    np.testing.assert_allclose(cell.parameters, [4.76, 4.76, 12.99, 90, 90, 120], rtol=1e-3)
    assert cell.merit > 0.97


def test_the_agreement_is_the_cosine_of_profiles_of_roots():
    """The profiles are drawn with scipy and integrated; the shift is known."""
    one, other = (
        measured(corundum(*each), shift=0.1) for each in (("Al", 4.76, 12.99), ("Al", 4.77, 12.99))
    )
    angle = one.angle - 0.1
    theta = np.radians(angle / 2)
    factor = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    s = 2 * np.sin(theta) / CU_K_ALPHA_1
    calculated = np.stack([s, one.area * np.exp(s**2 / 2) / factor], axis=1)
    grid = np.arange(10, 95, 0.002)
    drawn, known = (
        sum(np.sqrt(a) * scipy.stats.norm.pdf(grid, x, 0.05) for x, a in zip(*each, strict=True))
        for each in ((one.angle, one.area), (other.angle, other.area))
    )
    expected = drawn @ known / (np.linalg.norm(drawn) * np.linalg.norm(known))
    assert 0.1 < expected < 0.99
    assert agreement(calculated, other) == pytest.approx(expected, abs=1e-4)
    assert agreement(calculated, one) == pytest.approx(1, abs=1e-4)


def test_lines_of_hard_radiation_are_compared_as_far_as_they_are_needed():
    """Silver radiation shows twice the range and many more lines, without changing the result."""
    truth = rock_salt("Na", "Cl", 5.64)
    composition, _ = parse_composition("NaCl")
    lines = measured(truth, wavelength=0.5594, span=(5.0, 100.0))
    best, *_ = find_isostructural(lines, composition, KNOWN[:3])
    assert best.crystal.volume == pytest.approx(5.64**3 / 4, rel=1e-4)
    assert best.merit > 0.97
    beyond = lines._replace(angle=lines.angle[-3:], area=lines.area[-3:])
    assert find_isostructural(beyond, composition, KNOWN) == []


def test_the_density_holds_the_electrons_of_the_cell():
    truth = rock_salt("Na", "Cl", 5.64)
    composition, _ = parse_composition("NaCl")
    best, *_ = find_isostructural(measured(truth), composition, KNOWN[:1])
    assert best.density((20, 20, 20)).mean() * best.crystal.volume == pytest.approx(28, rel=1e-4)


def test_a_match_is_in_its_conventional_cell():
    truth = corundum("Al", 4.76, 12.99)
    composition, _ = parse_composition("Al2O3")
    best, *_ = find_isostructural(measured(truth), composition, KNOWN)
    assert best.parameters == pytest.approx([4.76, 4.76, 12.99, 90, 90, 120], rel=1e-3)
    assert StructureMatcher(scale=False).fit(best.crystal.structure, truth)


def test_without_a_crystal_of_the_formula_there_is_no_analogue():
    composition, _ = parse_composition("KMgF3")
    assert find_isostructural(measured(rock_salt("Mg", "O", 4.21)), composition, KNOWN) == []


def test_a_type_that_no_embedded_crystal_has_is_found_with_its_own_coordinates():
    """The oxygen of MgCO3 lies elsewhere than that of the calcite among the structure types."""
    sites = [[0, 0, 0], [0, 0, 0.25], [0.2778, 0, 0.25]]
    lattice = Lattice.hexagonal(4.6328, 15.0129)
    magnesite = Structure.from_spacegroup("R-3c", lattice, ["Mg", "C", "O"], sites)
    composition, _ = parse_composition("MgCO3")
    first = find_isostructural(measured(magnesite), composition, structure_types())[0]
    found = structure_of(first.crystal)
    assert StructureMatcher(ltol=0.01, stol=0.03, scale=False).fit(found, magnesite)
    carbon = found[int(found.indices_from_symbol("C")[0])]
    bonds = [each.nn_distance for each in found.get_neighbors(carbon, 1.5)]
    assert bonds == pytest.approx([4.6328 * 0.2778] * 3, abs=0.01)
