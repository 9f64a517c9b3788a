"""The Rietveld refinement, of a profile that pymatgen and scipy calculate."""

import numpy as np
import pytest
import scipy.stats
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.material import Material
from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import prepare
from cmed_jax.search.known import known_structure
from cmed_jax.search.observed import ObservedLines
from cmed_jax.solution import rietveld
from cmed_jax.solution.rietveld import refine_profile

CU_K_ALPHA_1 = 1.54056


def rutile(x, a=4.594, c=2.959):
    sites = [[0, 0, 0], [x, x, 0]]
    return Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(a, c), ["Ti", "O"], sites)


def solved(structure, prepared):
    numbers = np.array([site.specie.Z for site in structure])
    crystal = canonical_cell(
        Material("known", structure.lattice.matrix, numbers, structure.frac_coords)
    )
    lines = ObservedLines.of_measured(MeasuredLines.of(prepared))
    return known_structure(crystal, lines, fitted=False, origin="a collection")


@pytest.fixture(scope="module")
def prepared():
    """Rutile, with lines of half Gaussians and half Lorentzians, over a background."""
    lines = XRDCalculator(CU_K_ALPHA_1).get_pattern(rutile(0.305), two_theta_range=(15, 125))
    angle = np.arange(20.0, 110, 0.02)
    total = np.full_like(angle, 40.0)
    for centre, height in zip(lines.x, lines.y, strict=True):
        width = 0.1
        sigma = width / np.sqrt(8 * np.log(2))
        total += 4 * height * scipy.stats.norm.pdf(angle, centre, sigma)
        total += 4 * height * scipy.stats.cauchy.pdf(angle, centre, width / 2)
    counts = np.random.default_rng(0).poisson(total).astype(float)
    return prepare(pattern_of_columns(angle, counts, CU_K_ALPHA_1))


def test_cell_and_coordinates_become_those_of_the_measured_crystal(prepared):
    found = refine_profile(solved(rutile(0.301, 4.597, 2.961), prepared), prepared)
    assert found.cell == pytest.approx([4.594, 4.594, 2.959, 90, 90, 90], abs=2e-3)
    assert 0.9 < found.goodness < 1.5
    assert found.rwp == pytest.approx(found.goodness * found.expected, rel=1e-6)
    read = CifParser.from_str(found.cif).parse_structures(primitive=False)[0]
    lengths = (each.distance_matrix[0][2:].min() for each in (read, rutile(0.305)))
    assert next(lengths) == pytest.approx(next(lengths), abs=0.01)  # of titanium and oxygen


def test_a_wrong_structure_fits_worse(prepared):
    right = refine_profile(solved(rutile(0.305), prepared), prepared)
    exchanged = rutile(0.305)
    exchanged.replace_species({"Ti": "Zr"})
    assert refine_profile(solved(exchanged, prepared), prepared).goodness > 1.2 * right.goodness


def test_a_list_of_peaks_and_a_missing_library_are_refused(prepared, monkeypatch):
    peaks = np.array([[27.4, 31.7, 45.5], [8.0, 100.0, 55.0]])
    listed = prepare(pattern_of_columns(*peaks, CU_K_ALPHA_1))
    with pytest.raises(ValueError, match="a list of peaks has no profile"):
        refine_profile(solved(rutile(0.305), prepared), listed)
    monkeypatch.setattr(rietveld, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'cmed-jax\[rietveld\]'"):
        refine_profile(solved(rutile(0.305), prepared), prepared)
