"""The approximate volume of a crystal, from its composition alone.

An atom takes up nearly the same volume in most crystals, but less as a cation among anions than in
an intermetallic compound. `embedded/atomic_volumes.csv` holds two volumes of each element, which
`benchmarks/atomic_volumes.py` fits to known crystals. The benchmark also prints the error of their
sums.
"""

import csv
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cmed_jax.crystal.composition import SYMBOLS, atomic_number

ANIONS = tuple(atomic_number(symbol) for symbol in ("N", "O", "F", "S", "Cl", "Se", "Br", "I"))
IONIC = 0.24
"""The share of anions among the atoms above which a compound counts as ionic."""
TABLE = "atomic_volumes.csv"
CM3_PER_MOL = 0.602214076
"""One cubic angstrom an atom in cm^3/mol: Avogadro's number times 1e-24."""
MOLECULAR = {
    atomic_number(symbol): volume
    for symbol, volume in {
        "H": 5.08, "C": 13.87, "N": 11.8, "O": 11.39, "F": 11.17, "S": 25.2, "Cl": 25.8,
        "Br": 32.68, "I": 46.2,
    }.items()
}  # fmt: skip
"""Volumes of atoms in crystals of molecules, angstrom^3 (Hofmann, Acta Cryst. B58, 489, 2002)."""
OXYGEN = atomic_number("O")
CHALCOGENS = tuple(atomic_number(symbol) for symbol in ("S", "Se"))
PAIRED, SHRUNK = 0.6, 0.8
"""The share of chalcogens from which on pairs may be bonded, and the factor of volume then."""
NEAR = 1.25
"""The largest ratio between the volumes in a plausible known crystal and of the estimate."""
MOST_UNITS = 200
"""The number of formula units of a cell up to which every whole number is tried."""


class KnownVolumes(NamedTuple):
    """Mean volumes of an atom in the known crystals of a compound, angstrom^3.

    Attributes:
        of_compound: the volumes in all of them.
        of_type: the volume in the one whose structure type is considered; None for other types.
    """

    of_compound: tuple[float, ...] = ()
    of_type: float | None = None

    def relative(self, volume: float, composition: Float[np.ndarray, "119"], atoms: int) -> float:
        """Return the volume of a cell relative to `of_type`, or to the nearest usual volume.

        Args:
            volume: the volume of the cell, angstrom^3.
            composition: the atom fractions by atomic number.
            atoms: the number of atoms in the cell.

        Returns:
            The ratio; 1 where no usual volume is known.
        """
        own = self.of_type
        if own is None or not (is_element(composition) or plausible_volumes(composition, [own])):
            return usual_relative_volume(volume, composition, atoms, self.of_compound)
        return volume / atoms / own

    def are_usual(self, composition: Float[np.ndarray, "119"]) -> bool:
        """Return whether they, and no estimate, are the usual volumes of a composition."""
        if is_element(composition):
            return self.of_type is not None
        return bool(plausible_volumes(composition, self.of_compound))


def is_element(composition: Float[np.ndarray, "119"]) -> bool:
    """Return whether a composition holds one element alone."""
    return int(np.count_nonzero(composition)) == 1


def is_ionic(compositions: Float[np.ndarray, "n 119"]) -> Bool[np.ndarray, " n"]:
    """Return which compounds are ionic: their many anions make their cations small."""
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
    volume: float,
    composition: Float[np.ndarray, "119"],
    atoms: int,
    known: Sequence[float] = (),
) -> float:
    """Return the ratio of the volume of a cell to the nearest usual volume of its atoms.

    Args:
        volume: the volume of the cell, angstrom^3.
        composition: the atom fractions by atomic number.
        atoms: the number of atoms in the cell.
        known: the mean volumes of an atom in known crystals of the composition, angstrom^3.

    Returns:
        The ratio; 1 between the usual volumes (`usual_volumes`), and where none is known.
    """
    usual = usual_volumes(composition, known)
    if not usual:
        return 1.0
    each = volume / atoms
    return each / min(max(each, min(usual)), max(usual))


def nearest_relative_volume(
    volume: float,
    composition: Float[np.ndarray, "119"],
    atoms: int,
    known: Sequence[float] = (),
) -> float:
    """Return `usual_relative_volume` for the whole number of formula units that fits best.

    Args:
        volume: the volume of the cell, angstrom^3.
        composition: the atom fractions by atomic number.
        atoms: the number of atoms of a formula unit.
        known: the mean volumes of an atom in known crystals of the composition, angstrom^3.
    """
    usual = usual_volumes(composition, known)
    if not usual:
        return 1.0
    fewest = max(int(volume / (atoms * max(usual))), 1)
    most = max(int(volume / (atoms * min(usual))), 1) + 1
    tried = range(fewest, min(most, fewest + MOST_UNITS) + 1)
    ratios = [usual_relative_volume(volume, composition, units * atoms, known) for units in tried]
    return min(ratios, key=lambda each: abs(np.log(each)))


def usual_volumes(
    composition: Float[np.ndarray, "119"], known: Sequence[float] = ()
) -> tuple[float, ...]:
    """Return the usual mean volumes of an atom in a compound, angstrom^3.

    The volumes in known crystals of the compound itself are the usual ones where they are plausible
    (`plausible_volumes`). Otherwise there are estimates. The table covers intermetallic and ionic
    compounds. Three other volumes are usual as well. Atoms of an element may have their volume in
    the element itself, which covers open structures (silicon), soft metals (potassium) and layers
    (graphite). Atoms of non-metals may have their volume in crystals of molecules. Chalcogens may
    have the volume of atoms bonded to each other, as in pyrite. The range of usual volumes is
    therefore wider where such bonding is possible.

    Args:
        composition: atom fractions by atomic number.
        known: the mean volumes of an atom in known crystals of the composition, angstrom^3.

    Returns:
        The volumes; none where no crystal of the composition is known and an element is in no known
        crystal, or where the composition is unknown.
    """
    table = volume_of_atom(composition)
    if table is None:
        return tuple(known)
    if plausible := plausible_volumes(composition, known):
        return plausible
    numbers = np.flatnonzero(composition).tolist()
    found = [table, *known]
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


def plausible_volumes(
    composition: Float[np.ndarray, "119"], known: Sequence[float]
) -> tuple[float, ...]:
    """Return the volumes in known crystals of a compound that are near the estimate for it.

    Some calculated crystals are too small by a third, such as those of manganese without its
    magnetic moment, and some are too large, of layers or chains that hardly touch. The forms of an
    element differ more in volume than those of a compound do: there is none for an element.

    Args:
        composition: atom fractions by atomic number.
        known: the mean volumes of an atom in known crystals of the composition, angstrom^3.
    """
    table = volume_of_atom(composition)
    if table is None or is_element(composition):
        return ()
    return tuple(each for each in known if each / NEAR < table < each * NEAR)


@cache
def _of_element(symbol: str) -> float | None:
    """Return the volume of an atom in the element itself, angstrom^3; None where unknown."""
    from pymatgen.core import Element

    with warnings.catch_warnings():  # for elements without a molar volume
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
