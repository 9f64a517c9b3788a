"""Writing of densities: as arrays, and as volumes in their cell for visualisation programs.

Every format except XSF holds the density on the fractional grid i/n with the endpoint excluded.
Grids of XSF repeat the first plane at the end. Cube, XSF and CHGCAR files list atoms: those of the
crystal whose density it is. The density of a network has none, but pymatgen and ASE need at least
one. A placeholder (atomic number 0, symbol X) is then written at the origin.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.crystal.lattice import cell_parameters
from cmed_jax.io.atomic import atomic_write
from cmed_jax.physics.cell import cell_volume, reciprocal_lattice

BOHR = 0.529177210544
"""The Bohr radius in angstrom (CODATA 2022)."""

Density = Float[np.ndarray, "a b c"]
Lattice = Float[np.ndarray, "3 3"]


class Atoms(NamedTuple):
    """The atoms of a cell: their atomic numbers and fractional coordinates."""

    numbers: Integer[np.ndarray, " n"]
    coords: Float[np.ndarray, "n 3"]


PLACEHOLDER = Atoms(np.zeros(1, int), np.zeros((1, 3)))
"""The atom of a density without atoms."""


def check_output(path: str | Path, lattice: Lattice | None = None) -> None:
    """Check that a density can be written, before it is computed.

    Args:
        path: the file to write.
        lattice: rows a, b, c in angstrom of the cell, where it is known.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the name has no known format, the format needs a cell and none is given, or
            the lattice is flat or left-handed.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix not in (*_ARRAYS, *_VOLUMES):
        raise ValueError(
            f"cannot write {path.name!r}: the suffix must be one of "
            f"{', '.join((*_ARRAYS, *_VOLUMES))}, or the name begin with CHGCAR"
        )
    if lattice is None and suffix in _VOLUMES:
        raise ValueError(
            f"cannot write {path.name!r}: the format holds the cell, so give it (--cell, or a "
            f"lattice), or write one of {', '.join(_ARRAYS)}, which go without"
        )
    if lattice is not None:
        _check_lattice(lattice)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path.name!r}: there is no folder {path.parent}")


def needs_cell(suffix: str) -> bool:
    """Return whether the format of a suffix, without the dot, holds the cell."""
    return f".{suffix}" in _VOLUMES


def save_volume(
    path: str | Path,
    density: Density,
    std: Density | None = None,
    lattice: Lattice | None = None,
    atoms: Atoms = PLACEHOLDER,
) -> None:
    """Write a density atomically, in the format of the file's suffix or name.

    | name | holds |
    |---|---|
    | .npy | the density, e/angstrom^3 |
    | .npz | "density", and where known its deviation "std" and the "lattice" (rows, angstrom) |
    | .cube | Gaussian cube: bohr and e/bohr^3, atoms |
    | .xsf | XCrySDen: angstrom and e/angstrom^3, atoms |
    | .ccp4, .map, .mrc | CCP4 map in P 1: cell parameters, without the orientation of the cell |
    | .chgcar, .vasp, CHGCAR* | VASP: density times volume of the cell (electrons), atoms |

    Args:
        path: the file to write.
        density: the density, e/angstrom^3, on the fractional grid i/n, axes a, b, c.
        std: the standard deviation at each voxel, e/angstrom^3.
        lattice: rows a, b, c in angstrom of the cell; all formats but the arrays need it.
        atoms: the atoms in the cell, for the formats that list them.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the name has no known format, or the lattice is missing or unusable.
    """
    check_output(path, lattice)
    path = Path(path)
    suffix = _suffix(path)
    with atomic_write(path) as partial:
        if lattice is not None and suffix in _VOLUMES:
            _VOLUMES[suffix](partial, density, lattice, atoms)
        elif suffix == ".npz":
            _write_npz(partial, density=density, std=std, lattice=lattice)
        else:
            _write_npy(partial, density)


def _suffix(path: Path) -> str:
    return ".chgcar" if path.name.startswith("CHGCAR") and not path.suffix else path.suffix


def _check_lattice(lattice: Lattice) -> None:
    reciprocal_lattice(lattice)  # raises where the rows span no volume
    if np.linalg.det(lattice) < 0:
        raise ValueError(
            f"lattice {lattice.tolist()} is left-handed, which cell parameters cannot tell: give "
            "right-handed rows a, b, c"
        )


def _write_npy(path: Path, density: Density) -> None:
    with path.open("wb") as file:  # NumPy would append a suffix to a path
        np.save(file, density)


def _write_npz(path: Path, **arrays: np.ndarray | None) -> None:
    known: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    with path.open("wb") as file:
        np.savez_compressed(file, **known)


def _write_cube(path: Path, density: Density, lattice: Lattice, atoms: Atoms) -> None:
    edges = lattice / np.array(density.shape)[:, None] / BOHR
    places = atoms.coords % 1 @ lattice / BOHR
    head = [
        "electron density in e/bohr^3, written by cmed_jax",
        "OUTER LOOP: X, MIDDLE LOOP: Y, INNER LOOP: Z",
        f"{len(places):5d}" + _row(np.zeros(3)),
        *(f"{n:5d}" + _row(edge) for n, edge in zip(density.shape, edges, strict=True)),
        *(
            f"{z:5d}" + _row(np.array([z, *place]))
            for z, place in zip(atoms.numbers.tolist(), places, strict=True)
        ),
    ]
    runs = density.astype(float).reshape(-1, density.shape[2]) * BOHR**3
    path.write_text("\n".join(head) + "\n" + _six_a_line(runs), encoding="ascii")


def _write_xsf(path: Path, density: Density, lattice: Lattice, atoms: Atoms) -> None:
    closed = np.pad(density.astype(float), (0, 1), mode="wrap")
    rows = [_row(row) for row in lattice]
    places = zip(atoms.numbers.tolist(), atoms.coords % 1 @ lattice, strict=True)
    head = ["# electron density in e/angstrom^3, written by cmed_jax"]
    head += ["CRYSTAL", "PRIMVEC", *rows, "PRIMCOORD", f"{len(atoms.numbers)} 1"]
    head += [f"{z}{_row(place)}" for z, place in places]
    head += ["BEGIN_BLOCK_DATAGRID_3D", "electron_density", "BEGIN_DATAGRID_3D_density"]
    head += [" ".join(map(str, closed.shape)), _row(np.zeros(3)), *rows]
    tail = ["END_DATAGRID_3D", "END_BLOCK_DATAGRID_3D"]
    values = _six_a_line(closed.T.reshape(-1, closed.shape[0]))
    text = "\n".join(head) + "\n" + values + "\n".join(tail) + "\n"
    path.write_text(text, encoding="ascii")


def _write_ccp4(path: Path, density: Density, lattice: Lattice, atoms: Atoms) -> None:
    del atoms  # the format has no place for them
    cell = gemmi.UnitCell(*cell_parameters(lattice))
    grid = np.ascontiguousarray(density, np.float32)
    volume = gemmi.Ccp4Map()
    volume.grid = gemmi.FloatGrid(grid, cell, gemmi.SpaceGroup("P 1"))
    volume.update_ccp4_header()
    volume.write_ccp4_map(str(path))


def _write_chgcar(path: Path, density: Density, lattice: Lattice, atoms: Atoms) -> None:
    from pymatgen.core import DummySpecies, Structure
    from pymatgen.io.vasp import Chgcar

    order = np.argsort(atoms.numbers, kind="stable")  # the format lists elements one by one
    species = [SYMBOLS[z] if z else DummySpecies("X") for z in atoms.numbers[order].tolist()]
    structure = Structure(lattice, species, atoms.coords[order] % 1)
    electrons = density.astype(float) * cell_volume(lattice)
    Chgcar(structure, {"total": electrons}).write_file(str(path))


def _row(vector: Float[np.ndarray, " n"]) -> str:
    # Twelve columns, as fixed-width readers of cube files expect, with a blank for all others.
    return "".join(f" {x:11.8f}" for x in vector)


def _six_a_line(runs: Float[np.ndarray, "m n"]) -> str:
    """Return numbers, six to a line; each run of the fastest index begins a new line."""
    return "".join(
        "".join(f" {x:12.5E}" for x in run[i : i + 6]) + "\n"
        for run in runs.tolist()
        for i in range(0, len(run), 6)
    )


_ARRAYS = (".npy", ".npz")
_VOLUMES: dict[str, Callable[[Path, Density, Lattice, Atoms], None]] = {
    ".cube": _write_cube,
    ".xsf": _write_xsf,
    ".ccp4": _write_ccp4,
    ".map": _write_ccp4,
    ".mrc": _write_ccp4,
    ".chgcar": _write_chgcar,
    ".vasp": _write_chgcar,
}
