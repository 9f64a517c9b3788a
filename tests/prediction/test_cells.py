"""The cell of a query: the network is asked in each plausible one, and the best is chosen."""

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.crystal.material import Material
from cmed_jax.physics.amplitudes import amplitudes_of_lines
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import electron_density
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.powder.cell_indexing import IndexedCell
from cmed_jax.prediction import indexed as module
from cmed_jax.prediction.cells import find_cells
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.solution.isostructural import match_pattern

WAVELENGTH = 1.54187
SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
CELL = np.array([5.64, 5.64, 5.64, 90, 90, 90])
PRIMITIVE = primitive_lattice(CELL, "F")


@pytest.fixture(scope="module")
def peaks():
    """Copper lines of rock salt, from pymatgen."""
    lines = XRDCalculator(wavelength=WAVELENGTH).get_pattern(SALT, two_theta_range=(10, 150))
    return lines.x, lines.y


def asked(peaks, **options):
    return PredictionQuery.of(
        peaks, "NaCl", PredictionOptions(WAVELENGTH, **options), as_measured=False
    )


def test_a_query_is_read_in_each_cell(peaks):
    query = asked(peaks)
    batch = query.in_cells([PRIMITIVE, None, 5.64 * np.eye(3)])
    np.testing.assert_allclose(batch.lattice[0], PRIMITIVE, rtol=1e-6)
    assert not batch.lattice[1].any()
    assert not batch.observed[1].any()
    assert not batch.amplitude[1].any()
    for column in batch[:4]:
        np.testing.assert_array_equal(column[1:], column[:-1])
    # In the conventional cell harmonics of mixed parity have no line.
    parity = harmonics() % 2
    mixed = (parity != parity[:, :1]).any(axis=1)
    seen = batch.observed[2] > 0
    assert not batch.amplitude[2, mixed].any()
    assert (batch.amplitude[2, ~mixed & seen] > 0).all()


def test_the_cell_of_a_sample_of_low_symmetry_tells_its_zero_shift():
    sites = [
        [0.76, 0.25, 0.415],
        [-0.085, 0.25, 0.762],
        [-0.095, 0.25, 0.922],
        [-0.087, 0.473, 0.68],
    ]
    cell = Lattice.orthorhombic(5.740, 4.961, 7.967)
    aragonite = Structure.from_spacegroup("Pnma", cell, ["Ca", "C", "O", "O"], sites)
    lines = XRDCalculator(WAVELENGTH).get_pattern(aragonite, two_theta_range=(10, 80))
    strong = lines.y > 1
    pattern = lines.x[strong] + 0.12, lines.y[strong]
    query = PredictionQuery.of(pattern, "CaCO3", PredictionOptions(WAVELENGTH), as_measured=False)
    assert query.prepared.shift.zero == pytest.approx(0.12, abs=0.005)
    spacings = np.array(lines.d_hkls)[strong]
    np.testing.assert_allclose(query.prepared.peaks.s, 1 / spacings, rtol=2e-4)
    assert "a zero shift of 0.12" in query.prepared.warnings[-1]
    assert not any("not corrected" in warning for warning in query.prepared.warnings)


def test_amplitudes_of_measured_lines_are_those_of_the_crystal(peaks):
    """Intensities without polarisation and Lorentz factor are |F|^2 with the multiplicity."""
    query = asked(peaks)
    angle, area = map(np.asarray, peaks)
    theta = np.radians(angle / 2)
    factor = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    s = 2 * np.sin(theta) / WAVELENGTH
    expected = amplitudes_of_lines(
        PRIMITIVE, s, area / factor, span=(s[0] - 1e-6, s[-1] + 1e-6), tolerance=1e-3
    )
    found = query.reflections(PRIMITIVE)
    both = (expected.observed > 0) & (found.observed > 0)
    scale = expected.amplitude[both] @ found.amplitude[both] / np.sum(found.amplitude[both] ** 2)
    np.testing.assert_allclose(
        scale * found.amplitude[both],
        expected.amplitude[both],
        atol=0.02 * expected.amplitude.max(),
    )
    assert both.sum() >= expected.observed.sum() - 20


def test_a_cell_that_is_given_is_the_one_of_the_batch(peaks):
    query = asked(peaks, cell=tuple(CELL), centring="F")
    np.testing.assert_allclose(query.batch.lattice[0], PRIMITIVE, rtol=1e-6)
    assert not query.cell_is_sought
    assert find_cells(query, (), lambda lattices: pytest.fail("no cell is sought")) == ()


@pytest.fixture
def three(monkeypatch):
    """Three indexed cells: a wrong one, the right one, and one too large to ask a network in."""
    numbers = {"zero": 0.0, "lines": 20, "indexed": 20, "area": 1.0, "predicted": 20, "seen": 20}
    numbers |= {"m20": 50.0, "f20": 50.0, "relative_volume": 1.0}
    found = [
        IndexedCell(lattice_type, CELL, lattice, merit=merit, **numbers)
        for lattice_type, lattice, merit in (
            ("cubic P", 5.64 * np.eye(3), 30.0),
            ("cubic F", PRIMITIVE, 20.0),
            ("cubic P", 16.9 * np.eye(3), 10.0),
        )
    ]
    monkeypatch.setattr(module, "index_lines", lambda *_: tuple(found))
    return found


def test_the_cell_is_chosen_in_which_the_density_has_the_lines(peaks, three):
    salt = Crystal.of(PRIMITIVE, np.array([11, 17]), np.array([[0.0] * 3, [0.5] * 3]))
    density = electron_density(salt, shape=(24, 24, 24))
    asked_in = []

    def ask(lattices):
        asked_in.extend(lattices)
        return np.stack([density] * len(lattices))

    cells = find_cells(asked(peaks, cell="auto"), (), ask)
    assert [each is known.lattice for each, known in zip(asked_in, three, strict=False)] == [
        True
    ] * 2
    assert len(asked_in) == len(cells) == 2
    assert (cells[0].lattice_type, cells[1].lattice_type) == ("cubic F", "cubic P")
    assert cells[0].merit > 0.95
    assert cells[1].merit < 0.7
    assert cells[0].relative_volume == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(
    ("wavelength", "search", "tried"),
    [
        (WAVELENGTH, None, ["cubic"]),
        (WAVELENGTH, 5, ["cubic", "hexagonal", "orthorhombic"]),
        (1.2 * WAVELENGTH, None, ["cubic", "hexagonal", "orthorhombic"]),
    ],
    ids=["explained", "search", "unexplained"],
)
def test_no_lattice_lower_than_that_of_a_crystal_that_explains_the_pattern_is_tried(
    peaks, monkeypatch, wavelength, search, tried
):
    """With a wrong wavelength the volume of the crystal is unusual."""
    options = PredictionOptions(wavelength, cell="auto", search=search)
    query = PredictionQuery.of(peaks, "NaCl", options, as_measured=False)
    numbers = np.array([site.specie.Z for site in SALT])
    salt = Material("salt", SALT.lattice.matrix, numbers, SALT.frac_coords)
    known = match_pattern(query.prepared, query.formula, [salt])
    systems, lattices = [], []
    monkeypatch.setattr(module, "index_lines", lambda *asked: systems.append(asked[2][0]) or ())
    cells = find_cells(query, known, lambda asked: lattices.extend(asked) or ())
    assert systems == tried
    assert [each.origin for each in cells] == [known[0].name]
    np.testing.assert_array_equal(lattices, [cells[0].lattice])


def test_where_no_cell_explains_the_lines_none_is_found(peaks, monkeypatch):
    monkeypatch.setattr(module, "index_lines", lambda *_: ())
    query = asked(peaks, cell="auto")
    assert find_cells(query, (), lambda lattices: pytest.fail("there is none to ask in")) == ()
