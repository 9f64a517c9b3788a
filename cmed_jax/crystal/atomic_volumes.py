"""The approximate volume of a crystal, from its composition alone.

An atom takes up nearly the same volume in most crystals, but less as a cation among anions than in
an intermetallic compound. `embedded/atomic_volumes.csv` holds two volumes of each element, which
`benchmarks/atomic_volumes.py` fits to known crystals. The benchmark also prints the error of their
sums.
"""

import csv
import warnings
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Bool, Float

from cmed_jax.crystal.composition import SYMBOLS, atomic_number

ANIONS = tuple(atomic_number(symbol) for symbol in ("N", "O", "F", "S", "Cl", "Se", "Br", "I"))
IONIC = 0.24
"""The share of anions among the atoms above which a compound counts as ionic."""
TABLE = "atomic_volumes.csv"
CM3_PER_MOL = 0.602214076
"""Of a cubic angstrom an atom: Avogadro's number times 1e-24."""
MOLECULAR = {
    atomic_number(symbol): volume
    for symbol, volume in {
        "H": 5.08, "C": 13.87, "N": 11.8, "O": 11.39, "F": 11.17, "S": 25.2, "Cl": 25.8,
        "Br": 32.68, "I": 46.2,
    }.items()
}  # fmt: skip
"""What atoms take up in crystals of molecules, angstrom^3 (Hofmann, Acta Cryst. B58, 489, 2002)."""
OXYGEN = atomic_number("O")
CHALCOGENS = tuple(atomic_number(symbol) for symbol in ("S", "Se"))
PAIRED, SHRUNK = 0.6, 0.8
"""Share of chalcogens from which on they may be bonded in pairs, and what they take up then."""
MOST_UNITS = 200
"""Formula units of a cell that are counted one by one."""


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


def usual_relative_volume(
    volume: float, composition: Float[np.ndarray, "119"], atoms: int
) -> float:
    """Return how much larger a cell is than the nearest of the volumes that its atoms may need.

    The table is of intermetallic and ionic compounds. Beside it, atoms of an element may take up
    what they do in the element itself, which holds open structures (silicon), soft metals
    (potassium) and layers (graphite); those of non-metals what they do in crystals of molecules;
    and sulphur and its like what they do where they are bonded to each other, as in pyrite. So
    where kinds of bonding are possible that the table does not know, the range is wider.

    Args:
        volume: of the cell, angstrom^3.
        composition: of its atoms.
        atoms: in the cell.

    Returns:
        1 between the usual volumes, and where none is known.
    """
    usual = usual_volumes(composition)
    if not usual:
        return 1.0
    each = volume / atoms
    return each / min(max(each, min(usual)), max(usual))


def nearest_relative_volume(
    volume: float, composition: Float[np.ndarray, "119"], atoms: int
) -> float:
    """Return `usual_relative_volume` of as many whole formula units as suit a cell best.

    Args:
        volume: of the cell, angstrom^3.
        composition: of its atoms.
        atoms: of a formula unit.
    """
    usual = usual_volumes(composition)
    if not usual:
        return 1.0
    fewest = max(int(volume / (atoms * max(usual))), 1)
    most = max(int(volume / (atoms * min(usual))), 1) + 1
    tried = range(fewest, min(most, fewest + MOST_UNITS) + 1)
    rooms = [usual_relative_volume(volume, composition, units * atoms) for units in tried]
    return min(rooms, key=lambda each: abs(np.log(each)))


def usual_volumes(composition: Float[np.ndarray, "119"]) -> tuple[float, ...]:
    """Return what an atom of a compound may take up on average, angstrom^3, by kind of bonding.

    Args:
        composition: atom fractions by atomic number.

    Returns:
        Nothing where an element is in no known crystal, or nothing is known of the composition.
    """
    table = volume_of_atom(composition)
    if table is None:
        return ()
    numbers = np.flatnonzero(composition).tolist()
    found = [table]
    shares = composition[numbers].astype(float) / float(composition.sum())
    if len(numbers) == 1:
        own = _of_element(SYMBOLS[numbers[0]])
        found += [] if own is None else [own]
    elif all(number in MOLECULAR for number in numbers):
        found.append(float(shares @ np.array([MOLECULAR[number] for number in numbers])))
    bonded = float(shares[np.isin(numbers, CHALCOGENS)].sum())
    if bonded > PAIRED and not composition[OXYGEN]:
        found.append(SHRUNK * table)
    return tuple(found)


@cache
def _of_element(symbol: str) -> float | None:
    """Return what an atom takes up in the element itself, angstrom^3, where that is known."""
    from pymatgen.core import Element

    with warnings.catch_warnings():  # of elements without a molar volume
        warnings.simplefilter("ignore")
        molar = Element(symbol).molar_volume
    return None if molar is None or not molar > 0 else float(molar) / CM3_PER_MOL


@cache
def _atomic_volumes() -> Float[np.ndarray, "2 119"]:
    """Return the volume of an atom, angstrom^3, in other and in ionic compounds; 0 if unknown."""
    text = (resources.files("cmed_jax.crystal") / "embedded" / TABLE).read_text(encoding="ascii")
    table = np.zeros((2, len(SYMBOLS)))
    for row in csv.DictReader(text.splitlines()):
        table[:, atomic_number(row["element"])] = float(row["elsewhere"]), float(row["ionic"])
    return table
