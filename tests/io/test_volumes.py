"""Densities in files: written whole or not at all, and compared with other readers."""

import ase.io.cube
import ase.io.xsf
import ase.units
import gemmi
import numpy as np
import pytest
from pymatgen.core import Lattice
from pymatgen.io.common import VolumetricData
from pymatgen.io.vasp import Chgcar

from cmed_jax.io.volumes import Atoms, check_output, save_volume

SHAPE = (5, 8, 13)
"""A shape of unequal axes, not multiples of the six values in a line, shows exchanged axes."""

VOLUMES = [
    "a.cube", "a.xsf", "a.ccp4", "a.map", "a.mrc", "a.chgcar", "a.vasp", "CHGCAR", "CHGCAR_salt",
]  # fmt: skip
PLACEHOLDER = "X"


@pytest.fixture
def density():
    return np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def crystal():
    """Return an oblique cell with a along x, by pymatgen."""
    return Lattice.from_parameters(4.1, 5.3, 6.7, 81.0, 97.0, 112.0, vesta=True)


@pytest.fixture(scope="module")
def turned(crystal):
    """Return the same cell in a general orientation."""
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3))).Q
    return crystal.matrix @ rotation * np.linalg.det(rotation)


@pytest.fixture(scope="module")
def blob():
    """Return a peak at the grid point (1, 6, 4) on a background of different voxels."""
    density = 0.05 + np.random.default_rng(2).random(SHAPE).astype(np.float32)
    density[1, 6, 4] = 12.5
    return density


def peak(shape, lattice):
    """Return the Cartesian coordinates of the peak."""
    return np.array([1, 6, 4]) / shape @ lattice


def brightest(density):
    return np.array(np.unravel_index(np.argmax(density), density.shape))


def check(values, lattice, blob, expected_lattice, *, rtol):
    """Compare the values from a reader, e/angstrom^3 in a cell, with the written ones."""
    assert values.shape == SHAPE
    np.testing.assert_allclose(values, blob, rtol=rtol)
    np.testing.assert_allclose(lattice, expected_lattice, atol=2e-6)
    integral = values.mean(dtype=float) * abs(np.linalg.det(lattice))
    expected = blob.mean(dtype=float) * abs(np.linalg.det(expected_lattice))
    assert integral == pytest.approx(expected, rel=1e-4)
    found = brightest(values) / values.shape @ lattice
    np.testing.assert_allclose(found, peak(SHAPE, expected_lattice), atol=1e-5)


def read_xsf(path):
    with path.open() as file:
        return ase.io.xsf.read_xsf(file, read_data=True)


def test_npy_holds_the_density(tmp_path, density):
    save_volume(str(tmp_path / "a.npy"), density, density)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), density)


def test_npz_holds_what_is_known(tmp_path, density, turned):
    save_volume(tmp_path / "a.npz", density, 2 * density, turned)
    save_volume(tmp_path / "b.npz", density)
    with np.load(tmp_path / "a.npz") as all_three, np.load(tmp_path / "b.npz") as alone:
        assert sorted(all_three) == ["density", "lattice", "std"]
        np.testing.assert_array_equal(all_three["std"], 2 * density)
        np.testing.assert_array_equal(all_three["lattice"], turned)
        assert list(alone) == ["density"]


def test_ase_reads_the_cube(tmp_path, blob, turned):
    save_volume(tmp_path / "a.cube", blob, lattice=turned)
    with (tmp_path / "a.cube").open() as file:
        found = ase.io.cube.read_cube(file)
    check(found["data"] / ase.units.Bohr**3, found["atoms"].cell.array, blob, turned, rtol=1e-5)
    np.testing.assert_array_equal(found["origin"], 0)
    assert found["atoms"].get_chemical_symbols() == [PLACEHOLDER]


def test_pymatgen_reads_the_cube(tmp_path, blob, turned):
    save_volume(tmp_path / "a.cube", blob, lattice=turned)
    found = VolumetricData.from_cube(tmp_path / "a.cube")
    bohr = 0.529177249  # pymatgen's, of 1986
    values, lattice = found.data["total"] / bohr**3, found.structure.lattice.matrix
    check(values, lattice, blob, turned, rtol=1e-5)


def test_cube_columns_are_where_fixed_width_readers_look(tmp_path, blob, turned):
    save_volume(tmp_path / "a.cube", blob, lattice=turned)
    lines = (tmp_path / "a.cube").read_text().splitlines()
    edges = turned / np.array(SHAPE)[:, None] / ase.units.Bohr
    for line, n, edge in zip(lines[3:6], SHAPE, edges, strict=True):
        assert int(line[:5]) == n
        columns = [float(line[start : start + 12]) for start in (5, 17, 29)]
        np.testing.assert_allclose(columns, edge, atol=1e-7)
    assert {len(line) for line in lines[7:]} == {6 * 13, 13}  # thirteen values along c


def test_ase_reads_the_xsf(tmp_path, blob, turned):
    save_volume(tmp_path / "a.xsf", blob, lattice=turned)
    closed, origin, span, atoms = read_xsf(tmp_path / "a.xsf")
    assert closed.shape == tuple(n + 1 for n in SHAPE)
    for axis in range(3):
        np.testing.assert_array_equal(closed.take(0, axis), closed.take(-1, axis))
    check(closed[:-1, :-1, :-1], span, blob, turned, rtol=1e-5)
    np.testing.assert_array_equal(origin, 0)
    np.testing.assert_array_equal(span, atoms.cell.array)
    assert atoms.pbc.all()
    assert atoms.get_chemical_symbols() == [PLACEHOLDER]


@pytest.mark.parametrize("name", ["a.ccp4", "a.map", "a.mrc"])
def test_gemmi_reads_the_ccp4_map(tmp_path, blob, crystal, name):
    save_volume(tmp_path / name, blob, lattice=crystal.matrix)
    volume = gemmi.read_ccp4_map(str(tmp_path / name), setup=True)
    grid = volume.grid
    assert grid.spacegroup.hm == "P 1"
    assert grid.axis_order == gemmi.AxisOrder.XYZ
    lattice = np.array(grid.unit_cell.orth.mat.tolist()).T
    check(grid.array, lattice, blob, crystal.matrix, rtol=0)
    position = grid.get_position(*map(int, brightest(grid.array))).tolist()
    np.testing.assert_allclose(position, peak(SHAPE, crystal.matrix), atol=1e-5)
    assert volume.header_float(22) == pytest.approx(blob.mean(dtype=float), rel=1e-6)


def test_a_ccp4_map_tells_the_cell_but_not_how_it_lies(tmp_path, blob, turned, crystal):
    save_volume(tmp_path / "a.ccp4", blob, lattice=turned)
    cell = gemmi.read_ccp4_map(str(tmp_path / "a.ccp4")).grid.unit_cell
    np.testing.assert_allclose(cell.parameters, crystal.parameters, rtol=1e-6)


@pytest.mark.parametrize("name", ["CHGCAR", "CHGCAR_salt", "a.chgcar", "a.vasp"])
def test_pymatgen_reads_the_chgcar(tmp_path, blob, turned, name):
    save_volume(tmp_path / name, blob, lattice=turned)
    found = Chgcar.from_file(tmp_path / name)
    volume = abs(np.linalg.det(turned))
    check(found.data["total"] / volume, found.structure.lattice.matrix, blob, turned, rtol=1e-9)
    electrons = found.data["total"].sum() / found.ngridpts
    assert electrons == pytest.approx(blob.mean(dtype=float) * volume, rel=1e-9)
    assert [site.specie.symbol for site in found.structure] == [PLACEHOLDER]


def test_other_readers_find_the_atoms(tmp_path, blob, turned):
    atoms = Atoms(np.array([17, 11, 17]), np.array([[-0.1, 0.2, 0.3], [0, 0, 0], [0.5, 0.5, 1.25]]))
    for name in ("a.cube", "a.xsf", "a.vasp"):
        save_volume(tmp_path / name, blob, lattice=turned, atoms=atoms)
    with (tmp_path / "a.cube").open() as file:
        cube = ase.io.cube.read_cube(file)["atoms"]
    xsf = read_xsf(tmp_path / "a.xsf")[3]
    structure = Chgcar.from_file(tmp_path / "a.vasp").structure
    places = np.array([[0.9, 0.2, 0.3], [0, 0, 0], [0.5, 0.5, 0.25]])
    for found in (cube, xsf):
        assert found.get_chemical_symbols() == ["Cl", "Na", "Cl"]
        np.testing.assert_allclose(found.positions, places @ turned, atol=1e-6)
    assert [site.specie.symbol for site in structure] == ["Na", "Cl", "Cl"]
    np.testing.assert_allclose(structure.frac_coords, places[[1, 0, 2]], atol=1e-6)


@pytest.mark.parametrize("name", VOLUMES)
def test_a_missing_cell_is_asked_for(tmp_path, density, name):
    for answer in (lambda: check_output(name), lambda: save_volume(tmp_path / name, density)):
        with pytest.raises(ValueError, match=rf"cannot write '{name}': .* so give it \(--cell, or"):
            answer()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.cub", "a", "a.NPZ", "npz", "CHGCAR.gz", "a.cube.gz", "CHG"])
def test_an_unknown_suffix_is_answered_with_the_known_ones(tmp_path, density, turned, name):
    for answer in (
        lambda: check_output(name, turned),
        lambda: save_volume(tmp_path / name, density, lattice=turned),
    ):
        with pytest.raises(ValueError, match=rf"cannot write '{name}': .* one of \.npy, \.npz"):
            answer()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 0, 0], [0, 1, 0], [1, 1, 0]], "spans no volume"),
        ([[1, 0, 0], [0, np.nan, 0], [0, 0, 1]], "is no cell"),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 1]], "left-handed"),
    ],
)
def test_an_unusable_lattice_is_refused(tmp_path, density, rows, message):
    with pytest.raises(ValueError, match=rf"lattice .* {message}"):
        save_volume(tmp_path / "a.cube", density, lattice=np.array(rows, float))
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path, density, turned):
    with pytest.raises(FileNotFoundError, match=r"'a\.map': there is no folder .*nowhere"):
        save_volume(tmp_path / "nowhere" / "a.map", density, lattice=turned)


def test_a_save_that_fails_leaves_what_was_there(tmp_path, density, monkeypatch):
    path = tmp_path / "a.npy"
    save_volume(path, density)

    def fail(file, array):
        file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="full"):
        save_volume(path, 2 * density)
    np.testing.assert_array_equal(np.load(path), density)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", VOLUMES)
def test_a_volume_is_all_that_is_left(tmp_path, density, turned, name):
    for _ in range(2):  # the second write replaces the first
        save_volume(tmp_path / name, density, lattice=turned)
    assert [path.name for path in tmp_path.iterdir()] == [name]
