"""The volume of a crystal, about, from its composition alone.

An atom takes up nearly the same in most crystals, but less as a cation beside anions than in an
intermetallic compound. `embedded/atomic_volumes.csv` holds two volumes of each element, which
`benchmarks/atomic_volumes.py` fits to known crystals; it prints how far sums of them are off.
"""

import csv
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Bool, Float

from cmed_jax.crystal.composition import SYMBOLS, atomic_number

ANIONS = tuple(atomic_number(symbol) for symbol in ("N", "O", "F", "S", "Cl", "Se", "Br", "I"))
IONIC = 0.24
"""Share of anions among the atoms from which on a compound counts as ionic."""
TABLE = "atomic_volumes.csv"


def is_ionic(compositions: Float[np.ndarray, "n 119"]) -> Bool[np.ndarray, " n"]:
    """Return which compounds hold so many anions that their cations are small."""
    return compositions[:, ANIONS].sum(axis=1) > IONIC * compositions.sum(axis=1)


def volume_of_atom(composition: Float[np.ndarray, "119"]) -> float | None:
    """Return about what an atom of a compound takes up on average, angstrom^3.

    Args:
        composition: atom fractions by atomic number.

    Returns:
        None where an element is in no known crystal, or nothing is known of the composition.
    """
    ionic = bool(is_ionic(composition[None])[0])
    each = _atomic_volumes()[int(ionic)]
    present = composition > 0
    if not present.any() or not (each[present] > 0).all():
        return None
    return float(composition @ each / composition.sum())


def relative_volume(volume: float, composition: Float[np.ndarray, "119"], atoms: int) -> float:
    """Return how much larger a cell is than its atoms usually need: 1 is usual.

    Args:
        volume: of the cell, angstrom^3.
        composition: of its atoms.
        atoms: in the cell.

    Returns:
        1 as well where it is not known what the atoms need.
    """
    usual = volume_of_atom(composition)
    return 1.0 if usual is None else volume / (atoms * usual)


@cache
def _atomic_volumes() -> Float[np.ndarray, "2 119"]:
    """Return what an atom takes up, angstrom^3, in other and in ionic compounds; 0 if unknown."""
    text = (resources.files("cmed_jax.crystal") / "embedded" / TABLE).read_text(encoding="ascii")
    table = np.zeros((2, len(SYMBOLS)))
    for row in csv.DictReader(text.splitlines()):
        table[:, atomic_number(row["element"])] = float(row["elsewhere"]), float(row["ionic"])
    return table
