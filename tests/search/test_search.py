"""The search: structures in patterns calculated by pymatgen, and none in meaningless lines."""

import time
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.composition import parse_composition
from cmed_jax.search import search as module
from cmed_jax.search import solved
from cmed_jax.search.exploration import Progress
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import search_structures
from cmed_jax.search.several_cells import search_cells

CU = 1.54184
CRYSTALS = {
    "CaF2": ("Fm-3m", Lattice.cubic(5.463), ["Ca", "F"], [[0] * 3, [0.25] * 3]),
    "CaCO3": (
        "R-3c",
        Lattice.hexagonal(4.99, 17.06),
        ["Ca", "C", "O"],
        [[0, 0, 0], [0, 0, 0.25], [0.257, 0, 0.25]],
    ),
    "TiO2": (
        "P4_2/mnm",
        Lattice.tetragonal(4.594, 2.959),
        ["Ti", "O"],
        [[0] * 3, [0.305, 0.305, 0]],
    ),
    "SrTiO3": (
        "Pm-3m",
        Lattice.cubic(3.905),
        ["Sr", "Ti", "O"],
        [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]],
    ),
    "Mg(OH)2": (
        "P-3m1",
        Lattice.hexagonal(3.148, 4.775),
        ["Mg", "O", "H"],
        [[0, 0, 0], [1 / 3, 2 / 3, 0.22], [1 / 3, 2 / 3, 0.43]],
    ),
    "FeS2": (
        "Pnnm",
        Lattice.orthorhombic(4.443, 5.425, 3.387),
        ["Fe", "S"],
        [[0, 0, 0], [0.2, 0.378, 0]],
    ),
}


def pattern(formula, top=90.0):
    crystal = Structure.from_spacegroup(*CRYSTALS[formula])
    lines = XRDCalculator(CU).get_pattern(crystal, two_theta_range=(10, top), scaled=False)
    observed = ObservedLines.of_angles(lines.x, lines.y, (10.0, top), 0.08, CU)
    return crystal, observed


@pytest.mark.parametrize("formula", CRYSTALS)
def test_a_structure_is_found_in_its_pattern(formula):
    crystal, lines = pattern(formula)
    cell = np.array(crystal.lattice.parameters)
    found = search_structures(cell, formula, lines, seconds=20)
    best = found.structures[0]
    assert found.verdict in ("found", "likely")
    assert StructureMatcher().fit(best.structure, crystal)
    assert best.space_group == crystal.get_space_group_info()[1]
    sites = sum(site.multiplicity for site in best.sites)
    assert sites == len(best.structure)
    assert best.residual < 0.06  # hydrogen is in the pattern, not in the fit


def test_a_primitive_cell_does_as_well_and_the_space_group_may_be_given():
    crystal, lines = pattern("CaF2")
    primitive = crystal.get_primitive_structure().lattice.matrix
    found = search_structures(primitive, {"Ca": 1, "F": 2}, lines, seconds=10, space_group=225)
    assert found.structures[0].space_group == 225
    assert {site.letter for site in found.structures[0].sites} == {"a", "c"}


def test_shuffled_intensities_find_nothing():
    crystal, lines = pattern("CaCO3")
    shuffled = np.random.default_rng(0).permutation(lines.area)
    nonsense = ObservedLines(
        lines.s, shuffled, lines.s_min, lines.s_max, lines.resolution, lines.wavelength
    )
    cell = np.array(crystal.lattice.parameters)
    assert search_structures(cell, "CaCO3", nonsense, seconds=4).verdict == "not found"


def test_a_cell_that_is_off_is_corrected():
    crystal, lines = pattern("TiO2")
    cell = np.array(crystal.lattice.parameters) * [1.004, 1.004, 0.997, 1, 1, 1]
    found = search_structures(cell, "TiO2", lines, seconds=10).structures[0]
    np.testing.assert_allclose(found.cell[:3], crystal.lattice.abc, rtol=1e-3)


def test_an_interruption_leaves_the_best_so_far_and_progress_is_stated():
    crystal, lines = pattern("TiO2")
    seen = []

    def progress(now: Progress):
        seen.append(now)
        if now.residual < 0.1:
            raise KeyboardInterrupt

    cell = np.array(crystal.lattice.parameters)
    found = search_structures(cell, "TiO2", lines, seconds=20, progress=progress)
    assert found.interrupted
    assert not found.complete
    assert found.structures[0].space_group == 136
    assert seen[-1].tried == len(seen) - 1 == found.tried


def test_an_interruption_among_variants_ends_the_search_in_all_cells(monkeypatch):
    crystal, lines = pattern("TiO2")
    searched = []

    def interrupted(structures, *others, distorted):
        searched.append(structures)
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("cmed_jax.search.search._variants", interrupted)
    lattice = np.array(crystal.lattice.matrix)
    found = search_cells([lattice, 1.01 * lattice], "TiO2", lines, seconds=10)
    assert found.interrupted
    assert found.structures[0].space_group == 136
    assert len(searched) == 1


def test_an_interruption_before_anything_is_finished_leaves_what_the_search_found(monkeypatch):
    """In the symmetrisation of the first structure, and before the search in the second cell."""
    crystal, lines = pattern("TiO2")
    lattice, own = np.array(crystal.lattice.matrix), solved._higher

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(solved, "_higher", interrupted)
    found = search_cells([lattice], "TiO2", lines, seconds=10)
    assert found.interrupted
    assert StructureMatcher().fit(found.structures[0].structure, crystal)
    monkeypatch.setattr(solved, "_higher", own)
    calls = iter([module.aligned, interrupted])
    monkeypatch.setattr(module, "aligned", lambda *given: next(calls)(*given))
    monkeypatch.setattr("cmed_jax.search.several_cells.FOREIGN", -1.0)  # no cell ends the search
    found = search_cells([lattice, 1.01 * lattice], "TiO2", lines, seconds=10)
    assert (found.interrupted, len(found.structures) > 0) == (True, True)


@pytest.mark.parametrize("step", ["_residual", "_distinct"])
def test_an_interruption_after_the_search_leaves_what_is_finished(step, monkeypatch):
    """In the symmetrisation of the second structure, or in the first comparison."""
    crystal, lines = pattern("TiO2")
    own, calls = getattr(solved, step), []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == (2 if step == "_residual" else 1):
            raise KeyboardInterrupt
        return own(*given)

    monkeypatch.setattr(solved, step, interrupted)
    found = search_structures(np.array(crystal.lattice.parameters), "TiO2", lines, seconds=10)
    assert found.interrupted
    assert len(calls) >= 2
    assert found.structures[0].space_group == 136
    assert found.structures[0].probability > 0.5


def test_symmetrisation_keeps_to_the_time(monkeypatch):
    """Each structure takes as long as the whole search may.

    The best one comes nevertheless, and the others are its rivals, as they were found.
    """
    crystal, lines = pattern("TiO2")
    own, calls = solved._higher, []

    def slow(*given):
        calls.append(given)
        time.sleep(4)
        return own(*given)

    monkeypatch.setattr(solved, "_higher", slow)
    found = search_structures(np.array(crystal.lattice.parameters), "TiO2", lines, seconds=4)
    assert found.structures[0].space_group == 136
    assert len(calls) == 1
    assert len(found.structures) > 1
    assert found.verdict != "found" or found.structures[1].score > 1.3 * found.structures[0].score


def test_a_search_in_several_cells_tells_of_all_of_them(monkeypatch):
    """The first cell is refused, the third one is interrupted, and the last one is not begun."""
    crystal, lines = pattern("TiO2")
    right = np.array(crystal.lattice.matrix)
    own = search_structures(right, "TiO2", lines, seconds=5)
    outcomes = iter(
        [
            ValueError("the cell is too small"),
            replace(own, verdict="likely", tried=30, complete=True),
            replace(own, structures=(), verdict="not found", tried=12, interrupted=True),
        ]
    )

    def search(*given, **options):
        outcome = next(outcomes)
        if isinstance(outcome, ValueError):
            raise outcome
        return outcome

    monkeypatch.setattr("cmed_jax.search.several_cells.search_structures", search)
    found = search_cells([right] * 4, "TiO2", lines)
    assert (found.structures, found.verdict) == (own.structures, "likely")
    assert found.tried == 42
    assert found.interrupted
    assert not found.complete
    assert found.refused == ("the cell is too small",)


def test_a_structure_whose_hydrogen_has_no_place_is_kept_without_it(monkeypatch):
    crystal, lines = pattern("Mg(OH)2")
    monkeypatch.setattr(solved, "with_hydrogen", lambda *given: None)
    cell = np.array(crystal.lattice.parameters)
    found = search_structures(cell, "Mg(OH)2", lines, seconds=10)
    assert all(each.lacks_hydrogen for each in found.structures)
    assert found.verdict == "likely"
    crystal.remove_species(["H"])
    assert StructureMatcher().fit(found.structures[0].structure, crystal)


def test_a_search_without_structures_is_a_result():
    """Atoms come too near to each other in every arrangement."""
    crystal, lines = pattern("TiO2")
    small = np.array(crystal.lattice.matrix) * [[1.0], [1.0], [0.52]]
    found = search_cells([small], "TiO2", lines, seconds=4)
    assert (found.structures, found.verdict) == ((), "not found")
    assert found.complete
    assert found.refused == ()
    assert found.seconds > 0


def test_a_given_space_group_is_not_lowered(monkeypatch):
    """Elements are exchanged for every varied structure, which shows that there is one."""
    crystal, lines = pattern("FeS2")
    lowered, exchanged = [], []
    for name, seen in (("distortions", lowered), ("exchanges", exchanged)):
        monkeypatch.setattr(
            f"cmed_jax.search.search.{name}", lambda *given, seen=seen: seen.append(given) or ()
        )
    cell = np.array(crystal.lattice.parameters)
    search_structures(cell, "FeS2", lines, seconds=10, space_group=58)
    assert exchanged
    assert not lowered


def test_a_search_that_gives_space_groups_up_is_not_complete(monkeypatch):
    crystal, lines = pattern("CaF2")
    cell = np.array(crystal.lattice.parameters)
    assert search_structures(cell, "CaF2", lines, seconds=20, space_group=225).complete
    monkeypatch.setattr("cmed_jax.search.assignments.PATIENCE", 0)
    assert not search_structures(cell, "CaF2", lines, seconds=20, space_group=225).complete


@pytest.mark.parametrize(
    ("composition", "space_group", "message"),
    [
        (parse_composition(["Ti", "O"])[0], None, "ratios"),
        ("H2", None, "besides hydrogen"),
        ("TiO2", 225, "does not go with"),
        ("Cs2TiO2", None, "formula units"),
    ],
)
def test_what_cannot_be_searched_is_said(composition, space_group, message):
    crystal, lines = pattern("TiO2")
    cell = np.array(crystal.lattice.parameters)
    with pytest.raises(ValueError, match=message):
        search_structures(cell, composition, lines, space_group=space_group)


def test_a_cell_without_reflections_in_the_range_is_refused():
    """Such as a cell in nanometres."""
    lines = pattern("CaF2")[1]
    with pytest.raises(ValueError, match="no reflection in the measured range"):
        search_structures(np.array([0.5463] * 3 + [90.0] * 3), "CaF2", lines)


def test_lines_without_intensity_are_refused():
    with pytest.raises(ValueError, match="not all 0"):
        ObservedLines(np.array([0.3]), np.zeros(1), 0.1, 0.9)
    with pytest.raises(ValueError, match="s_min"):
        ObservedLines(np.array([0.3]), np.ones(1), 0.9, 0.1)
