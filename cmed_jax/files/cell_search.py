"""`find_cell`: the cell of a predicted density, from the lines of the measured pattern."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class CellCandidate(NamedTuple):
    """A cell that a density may fill.

    Attributes:
        lattice_type: such as "cubic F", "hexagonal P" or "hexagonal R".
        parameters: a, b, c (angstrom), alpha, beta, gamma (degrees) of the conventional cell.
        lattice: rows a, b, c, angstrom, of the primitive cell, which the density fills.
        merit: figure of merit, 0 to 1: how well implied and measured lines agree.
    """

    lattice_type: str
    parameters: Float[np.ndarray, "6"]
    lattice: Float[np.ndarray, "3 3"]
    merit: float
