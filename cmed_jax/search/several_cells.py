"""The search for a structure where several cells are possible, the most plausible first.

Positions of lines alone do not always decide between cells. Their structures do: the search runs in
one cell after the other, and the agreement with the intensities decides.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from cmed_jax.search.exploration import Progress
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import SearchResult, search_structures

SHARE = 0.5
"""The share of the remaining time that each cell gets, except for the last one."""
FOREIGN = 0.05
"""The share of intensity outside the cell up to which a structure in it ends the search."""

NOTHING = SearchResult((), "not found", 1.0, 0, 0.0, complete=False)
"""The result where no cell can be searched."""


def search_cells(
    lattices: Sequence[Float[np.ndarray, "3 3"]],
    composition: str | Mapping[str, float | int] | Float[np.ndarray, "119"],
    lines: ObservedLines,
    *,
    seconds: float | int = 60.0,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> SearchResult:
    """Return the result in the cell whose structure explains the lines best.

    A structure that is found ends the search, and so does Ctrl-C. Assignments and time of the
    result are those of all cells.

    Args:
        lattices: the rows a, b, c of possible cells, angstrom, the most plausible first.
        composition: a formula, amounts, or atom fractions by atomic number.
        lines: the measured lines.
        seconds: the longest time that all searches together may take.
        progress: a function called with the progress in each cell.
        seed: the seed of everything that is drawn.

    Returns:
        The result; without structures where no cell has one, or none can be searched.
    """
    began = time.monotonic()
    results, refused, interrupted = list[SearchResult](), list[str](), False
    for number, lattice in enumerate(lattices):
        left = began + seconds - time.monotonic()
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
        except ValueError as error:  # the cell is too small for the formula, or no line fits it
            refused.append(str(error))
            continue
        except KeyboardInterrupt:  # before the search in this cell had anything to return
            interrupted = True
            break
        results.append(result)
        if result.interrupted or (result.verdict == "found" and result.outside <= FOREIGN):
            break
    each_one = len(results) + len(refused) == len(lattices)
    return replace(
        min(results, key=disagreement, default=NOTHING),
        tried=sum(each.tried for each in results),
        seconds=time.monotonic() - began,
        complete=bool(results) and each_one and all(each.complete for each in results),
        interrupted=interrupted or any(each.interrupted for each in results),
        refused=tuple(refused),
    )


def disagreement(result: SearchResult) -> float:
    """Return the disagreement of the first structure; infinite without one."""
    return result.structures[0].disagreement if result.structures else np.inf
