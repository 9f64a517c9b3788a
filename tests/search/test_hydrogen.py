"""Placement of hydrogen: as many atoms as are asked for, on positions with room for them."""

import numpy as np
import pytest
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from cmed_jax.search.hydrogen import Placed, with_hydrogen
from cmed_jax.search.wyckoff import wyckoff


def oxygen(number, count):
    """Return oxygen on general positions, with its cell."""
    position = wyckoff(number).positions[-1]
    free = np.random.default_rng(1).uniform(0, 1, (count // position.multiplicity, 3))
    coords = np.concatenate([position.linear @ each + position.offset for each in free])
    return Placed(np.full(len(coords), 8), coords), np.diag([10.0, 11.0, 12.0])


@pytest.mark.parametrize(("number", "count"), [(1, 11), (1, 40), (14, 44), (14, 52), (62, 56)])
def test_all_atoms_are_placed_and_none_too_near(number, count):
    """The general position takes three free coordinates for each orbit, however many these are."""
    heavy, lattice = oxygen(number, 24)
    found = with_hydrogen(wyckoff(number), lattice, heavy, count)
    assert found is not None
    hydrogen = np.flatnonzero(found.numbers == 1)
    assert len(hydrogen) == count
    structure = Structure(Lattice(lattice), found.numbers.tolist(), found.coords)
    distances = structure.distance_matrix[hydrogen]
    assert distances[distances > 0].min() > 0.7
    symmetry = spglib.get_symmetry_dataset((lattice, found.coords, found.numbers), symprec=1e-3)
    assert len(symmetry.rotations) >= len(wyckoff(number).rotations)


def test_hydrogen_of_a_hydrate_is_not_on_centres_of_symmetry():
    """Eleven orbits on the general position hold all 44 atoms; a centre is an unusual place."""
    heavy, lattice = oxygen(14, 24)
    found = with_hydrogen(wyckoff(14), lattice, heavy, 44)
    doubled = 2 * found.coords[found.numbers == 1]
    assert np.abs(doubled - np.rint(doubled)).max(axis=1).min() > 0.01


@pytest.mark.parametrize("palladium", [0.0, 0.5])
def test_positions_that_the_normalizer_exchanges_are_different_places_for_hydrogen(palladium):
    """The hydrogen of SrPdH3 is between palladium atoms, whichever of them is the origin."""
    strontium = 0.5 - palladium
    hydrogen = [palladium, palladium, strontium]
    sites = [[strontium] * 3, [palladium] * 3, hydrogen]
    truth = Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.82), ["Sr", "Pd", "H"], sites)
    heavy = Placed(np.array([38, 46]), np.array(sites[:2]))
    found = with_hydrogen(wyckoff(221), truth.lattice.matrix, heavy, 3)
    assert found is not None
    placed = Structure(truth.lattice, found.numbers.tolist(), found.coords)
    assert StructureMatcher(stol=0.01).fit(placed, truth)
