"""The approximate volume of a crystal, from its composition alone.

An atom takes up nearly the same volume in most crystals, but less as a cation among anions than in
an intermetallic compound. `embedded/atomic_volumes.csv` holds two volumes of each element, which
`benchmarks/atomic_volumes.py` fits to known crystals. The benchmark also prints the error of their
sums.
"""

import csv
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Bool, Float

from cmed_jax.crystal.composition import SYMBOLS, atomic_number

ANIONS = tuple(atomic_number(symbol) for symbol in ("N", "O", "F", "S", "Cl", "Se", "Br", "I"))
IONIC = 0.24
"""The share of anions among the atoms above which a compound counts as ionic."""
TABLE = "atomic_volumes.csv"


def is_ionic(compositions: Float[np.ndarray, "n 119"]) -> Bool[np.ndarray, " n"]:
    """Return which compounds are ionic: with so many anions that their cations are small."""
    return compositions[:, ANIONS].sum(axis=1) > IONIC * compositions.sum(axis=1)


def volume_of_atom(composition: Float[np.ndarray, "119"]) -> float | None:
    """Return the approximate mean volume of an atom in a compound, angstrom^3.

    Args:
        composition: atom fractions by atomic number.

    Returns:
        The volume; None where an element occurs in no known crystal, or where the composition is
        unknown.
    """
    ionic = bool(is_ionic(composition[None])[0])
    each = _atomic_volumes()[int(ionic)]
    present = composition > 0
    if not present.any() or not (each[present] > 0).all():
        return None
    return float(composition @ each / composition.sum())


def relative_volume(volume: float, composition: Float[np.ndarray, "119"], atoms: int) -> float:
    """Return the volume of a cell relative to the usual volume of its atoms.

    Args:
        volume: volume of the cell, angstrom^3.
        composition: atom fractions by atomic number.
        atoms: number of atoms in the cell.

    Returns:
        The ratio, usually near 1; exactly 1 where the usual volume is unknown.
    """
    usual = volume_of_atom(composition)
    return 1.0 if usual is None else volume / (atoms * usual)


@cache
def _atomic_volumes() -> Float[np.ndarray, "2 119"]:
    """Return the volume of an atom, angstrom^3, in other and in ionic compounds; 0 if unknown."""
    text = (resources.files("cmed_jax.crystal") / "embedded" / TABLE).read_text(encoding="ascii")
    table = np.zeros((2, len(SYMBOLS)))
    for row in csv.DictReader(text.splitlines()):
        table[:, atomic_number(row["element"])] = float(row["elsewhere"]), float(row["ionic"])
    return table
