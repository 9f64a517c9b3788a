"""The search for a structure where several cells are possible, the most plausible first.

Positions of lines alone do not always decide between cells. Their structures do: the search runs in
one cell after the other, and the agreement with the intensities decides.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from cmed_jax.search.exploration import Progress
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import SearchResult, search_structures

SHARE = 0.5
"""The share of the remaining time that each cell gets, except for the last one."""
FOREIGN = 0.05
"""The share of intensity outside the cell up to which a structure in it ends the search."""


def search_cells(
    lattices: Sequence[Float[np.ndarray, "3 3"]],
    composition: str | Mapping[str, float | int] | Float[np.ndarray, "119"],
    lines: ObservedLines,
    *,
    seconds: float | int = 60.0,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> SearchResult | None:
    """Return the result in the cell whose structure explains the lines best.

    A structure that is found ends the search, and so does Ctrl-C.

    Args:
        lattices: the rows a, b, c of possible cells, angstrom, the most plausible first.
        composition: a formula, amounts, or atom fractions by atomic number.
        lines: the measured lines.
        seconds: the longest time that all searches together may take.
        progress: a function called with the progress in each cell.
        seed: the seed of everything that is drawn.

    Returns:
        The result; None where no cell has a structure.
    """
    end = time.monotonic() + seconds
    found: list[SearchResult] = []
    for number, lattice in enumerate(lattices):
        left = end - time.monotonic()
        if left <= 0:
            break
        try:
            result = search_structures(
                lattice,
                composition,
                lines,
                seconds=left if number == len(lattices) - 1 else SHARE * left,
                progress=progress,
                seed=seed,
            )
        except ValueError:  # the cell is too small for the formula, or no line fits it
            continue
        if result.structures:
            found.append(result)
            if result.verdict == "found" and result.outside <= FOREIGN:
                break
        if result.interrupted:
            break
    return min(found, key=disagreement, default=None)


def disagreement(result: SearchResult) -> float:
    """Return the residual of the first structure, with the lines outside its cell counted in.

    The squared cosine with the amplitudes of all lines is smaller by the share of the intensity
    that the cell explains.
    """
    residual = min(result.structures[0].raised_residual, 1.0)
    return float(np.sqrt(1 - (1 - residual**2) * (1 - result.outside)))
