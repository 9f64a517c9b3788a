"""Candidate cells, whatever found them, and their ranking.

A cell has a merit, the cosine between calculated and measured intensities. Cells of indexed lines
are compared by the pattern of the density that is predicted in them (`cmed_jax.prediction.cells`),
cells of known crystals by their lines. In that comparison each line is a Gaussian of the area
sqrt(I). With the square root the few strongest lines do not decide alone. It also reduces the
effect of texture, which changes the intensities of lines but not their positions.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.physics.patterns import lorentz_polarization
from cmed_jax.powder.indexing import FREE, UNSHIFTED, Shift, two_theta_or_far
from cmed_jax.powder.lines import MeasuredLines

THERMAL = 1.0
"""The isotropic B assumed for a measured sample, angstrom^2, as that of its atoms is unknown."""
WIDTH = 0.05
"""The standard deviation of the Gaussians, degrees."""
COMPARED = 500
"""The largest number of calculated lines that are compared, the strongest ones."""
FREEDOM = 0.01
"""The penalty in the ranking, in units of the merit, for each free parameter of a lattice."""
UNUSUAL = 0.1
"""The penalty for a volume that differs from the usual one by a factor e, in the same units."""


class CellCandidate(NamedTuple):
    """A cell that a density may fill.

    Attributes:
        lattice_type: such as "cubic F", "hexagonal R" or "monoclinic C".
        parameters: a, b, c (angstrom), alpha, beta, gamma (degrees) of the conventional cell.
        lattice: rows a, b, c, angstrom, of the primitive cell, which the density fills.
        merit: the agreement of calculated and measured intensities, a cosine from 0 to 1: of the
            pattern of the predicted density at all points, or of the lines of a known crystal
            (`agreement`).
        shift: the zero shift of that agreement.
        origin: the source of the calculated lines: the density, or a known crystal.
        relative_volume: the volume of the cell over the usual volume of the atoms in it
            (`cmed_jax.crystal.atomic_volumes`); the atoms of a density are those of whole formula
            units. 1 where the usual volume is not known.
    """

    lattice_type: str
    parameters: Float[np.ndarray, "6"]
    lattice: Float[np.ndarray, "3 3"]
    merit: float
    shift: Shift
    origin: str = "the predicted density"
    relative_volume: float = 1.0


def best_cells_first(cells: Iterable[CellCandidate]) -> tuple[CellCandidate, ...]:
    """Return cells ranked by merit less the penalty of `ranking_penalty`, the best first.

    Both parts of the penalty prevent wrong choices. Every cubic lattice is also a rhombohedral one,
    and the rhombohedral one fits at least as well with its two parameters. Ions with equal numbers
    of electrons, as in KCl, look like a lattice of half the edge, which is too small for the atoms.
    """
    return tuple(
        sorted(
            cells,
            key=lambda cell: ranking_penalty(cell.lattice_type, cell.relative_volume) - cell.merit,
        )
    )


def ranking_penalty(lattice_type: str, relative_volume: float) -> float:
    """Return the penalty that is subtracted from the merit of a cell in the ranking.

    The penalty grows with the number of free parameters and with the deviation of the volume.

    Args:
        lattice_type: the lattice type of the cell.
        relative_volume: the volume of the cell over the usual volume of its atoms.
    """
    return FREEDOM * FREE[lattice_type.split()[0]] + UNUSUAL * abs(float(np.log(relative_volume)))


def agreement(calculated: Float[np.ndarray, "m 2"], lines: MeasuredLines) -> float:
    """Return the cosine between calculated and measured lines, as Gaussians of area sqrt(I).

    Args:
        calculated: s (1/angstrom) and |F|^2 with its multiplicity of each line, for atoms at rest.
        lines: the measured lines.
    """
    s, squared = calculated.T
    angle = two_theta_or_far(s**2, lines.wavelength)
    moved = angle + (lines.shift or UNSHIFTED).at(angle)
    inside = (angle < 179) & (moved >= lines.start) & (moved <= lines.stop)
    s, squared, angle, moved = s[inside], squared[inside], angle[inside], moved[inside]
    factor = lorentz_polarization(angle, lines.monochromator)
    height = np.sqrt(squared * factor * np.exp(-THERMAL * s**2 / 2))
    strongest = np.argsort(-height, kind="stable")[:COMPARED]
    moved, height, measured = moved[strongest], height[strongest], np.sqrt(lines.area)
    across = height @ _overlap(moved[:, None] - lines.angle) @ measured
    own = height @ _overlap(moved[:, None] - moved) @ height
    their = measured @ _overlap(lines.angle[:, None] - lines.angle) @ measured
    return float(across / np.sqrt(max(own * their, 1e-30)))


def _overlap(gap: Float[np.ndarray, "*k"]) -> Float[np.ndarray, "*k"]:
    """Return the cosine between two Gaussians at a distance."""
    return np.exp(-((gap / WIDTH) ** 2) / 4)
