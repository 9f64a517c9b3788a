"""Reader of VASP's CHGCAR: a structure and its density, with checks of both.

A file may look whole and still lack or repeat a number. Three checks find this: there are as many
values as grid points, the number of electrons is whole and not larger than that of the atoms, and
no density is far below zero.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.composition import atomic_number
from cmed_jax.crystal.encodings import to_number

if TYPE_CHECKING:
    from pymatgen.core import Structure

ELECTRONS = 0.05
"""The largest difference of the electrons from a whole number; VASP's files differ far less."""
LOWEST = -0.5
"""The lowest density, e/angstrom^3, that ringing near the cores may reach; silicon has -0.19."""
NEGATIVE = 0.02
"""The largest share of the electrons that may be below zero."""
FEWEST = 0.9
"""The least number of electrons for each atom, of which every one has a valence electron."""
MOST_POINTS = 10**9
FIRST_POSITION = 8
"""The number of lines before the positions, without the line of selective dynamics."""


class Head(NamedTuple):
    """The structure at the head of a file, and the line after it, from 0."""

    structure: "Structure"
    end: int


def read_head(text: str) -> Head:
    """Return the structure at the head of a CHGCAR, in VASP's format of a POSCAR.

    The title is a comment, and may be blank. A negative scale is the volume of the cell; three
    scales belong to x, y and z. Positions in angstrom are scaled like the cell.

    Args:
        text: the content of the file.

    Raises:
        ValueError: a line is not in VASP's format (it is named), or an element is unknown.
    """
    from pymatgen.core import Lattice, Structure

    lines = _lines(text)
    if len(lines) < FIRST_POSITION:
        raise ValueError(f"it ends after {len(lines)} lines, and is no CHGCAR")
    rows = np.array([_numbers(lines, i, 3) for i in (2, 3, 4)])
    factors = _factors(lines, rows)
    lattice = rows * factors
    symbols = lines[5].split()
    if not symbols or symbols[0].isdecimal():
        raise ValueError("the CHGCAR file does not name its elements (line 6)")
    counts = [int(count) for count in lines[6].split() if count.isdecimal()]
    if len(counts) != len(symbols) or not all(counts):
        raise ValueError(f"line 7 does not say how many atoms of {', '.join(symbols)} there are")
    mode = 8 if lines[7].strip()[:1] in ("S", "s") else 7
    begin, end = mode + 1, mode + 1 + sum(counts)
    positions = np.array([_numbers(lines, i, 3) for i in range(begin, end)])
    if _line(lines, mode).strip()[:1] in ("C", "c", "K", "k"):
        positions = np.linalg.solve(lattice.T, (positions * factors).T).T
    # "Na_pv" names a potential; its checksum follows a slash.
    elements = [re.split(r"[_/.\d]", each)[0] for each in symbols]
    for each in elements:
        atomic_number(each)
    atoms = [each for each, count in zip(elements, counts, strict=True) for _ in range(count)]
    return Head(Structure(Lattice(lattice), atoms, positions), end)


def read_density(text: str) -> Float[np.ndarray, "na nb nc"]:
    """Return the total density of a CHGCAR, e/angstrom^3; the sum over spins.

    Args:
        text: of the file.

    Raises:
        ValueError: the head or a value cannot be read, the number of values is not that of the
            points, the number of electrons is not whole or larger than that of the atoms, or the
            density is far below zero.
    """
    structure, end = read_head(text)
    lines = _lines(text)
    place = next((i for i in range(end, len(lines)) if lines[i].strip()), len(lines))
    shape = tuple(int(n) for n in _line(lines, place).split() if n.isdecimal())
    points = int(np.prod(shape, dtype=float)) if len(shape) == 3 else 0
    if not 0 < points < MOST_POINTS:
        raise ValueError(f"line {place + 1} is not the grid's three numbers of points")
    body, _, _ = "\n".join(lines[place + 1 :]).partition("augmentation")
    fields = body.split()
    if len(fields) < points:
        raise ValueError(f"it is truncated: {points} values are promised, {len(fields)} are there")
    if len(fields) > points and fields[points : points + 3] != _line(lines, place).split():
        raise ValueError(f"it has more values than the {points} of its grid")
    values = _values(fields[:points])
    _check(values, structure.volume, structure.atomic_numbers)
    # VASP writes the density times the volume of the cell; the first index runs fastest.
    return values.reshape(shape[::-1]).T / structure.volume


def _lines(text: str) -> list[str]:
    """Return the lines; a title may hold other signs that Unicode counts as line ends."""
    return re.split(r"\r\n?|\n", text)


def _factors(lines: Sequence[str], rows: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Return the factors of x, y and z of all vectors."""
    written = [field for field in lines[1].split() if re.match(r"[+-]?[\d.]", field)]
    try:
        scales = np.array([to_number(field) for field in written[:3]])
    except ValueError:
        scales = np.zeros(0)
    volume = abs(float(np.linalg.det(rows)))
    if not volume:
        raise ValueError("lines 3 to 5 are vectors that span no cell")
    if len(scales) == 1 and scales[0] < 0:
        return np.full(3, (-scales[0] / volume) ** (1 / 3))
    if len(scales) not in (1, 3) or not (scales > 0).all():
        raise ValueError(f"line 2 is no scale: {lines[1].strip()[:40]!r}")
    return np.broadcast_to(scales, 3)


def _line(lines: Sequence[str], place: int) -> str:
    if place >= len(lines):
        raise ValueError(f"it is truncated: it ends after {len(lines)} lines")
    return lines[place]


def _numbers(lines: Sequence[str], place: int, count: int) -> Float[np.ndarray, " n"]:
    """Return the first numbers of a line, counted from 0."""
    line = _line(lines, place)
    try:
        numbers = np.array([to_number(field) for field in line.split()[:count]])
    except ValueError:
        numbers = np.zeros(0)
    if len(numbers) < count or not np.isfinite(numbers).all():
        raise ValueError(f"line {place + 1} is not {count} numbers: {line.strip()[:40]!r}")
    return numbers


def _values(fields: Sequence[str]) -> Float[np.ndarray, " n"]:
    """Return the numbers of a grid."""
    try:
        values = np.array(fields, float)
    except ValueError:  # FORTRAN omits the E of long exponents
        values = np.array([_value(field, i) for i, field in enumerate(fields, 1)])
    if not np.isfinite(values).all():
        raise ValueError(f"value {np.argmin(np.isfinite(values)) + 1} is not a finite number")
    return values


def _value(field: str, number: int) -> float:
    try:
        return to_number(field)
    except ValueError:
        raise ValueError(f"value {number} of the grid is {field[:30]!r}, no number") from None


def _check(values: Float[np.ndarray, " n"], volume: float, numbers: Sequence[int]) -> None:
    """Refuse values that are not the density of a whole number of the atoms' electrons."""
    most = sum(numbers)
    electrons, least = float(values.mean()), float(values.min())
    if abs(electrons - round(electrons)) > ELECTRONS or electrons < 1 - ELECTRONS:
        raise ValueError(
            f"its values sum to {electrons:.2f} electrons, no whole number: it is damaged, or no "
            "total density"
        )
    if electrons > most + 1:  # a cell may be charged
        raise ValueError(
            f"its values sum to {electrons:.2f} electrons, and its atoms have {most}: it is "
            "damaged, or no total density"
        )
    if electrons < FEWEST * len(numbers):
        raise ValueError(
            f"its values sum to {electrons:.2f} electrons, fewer than its {len(numbers)} atoms: it "
            "is of some bands, or no total density"
        )
    below = -float(np.minimum(values, 0).mean())
    if least < LOWEST * volume or below > NEGATIVE * electrons:
        raise ValueError(
            f"its density falls to {least / volume:.2f} e/angstrom^3: it is damaged, or no total "
            "density"
        )
