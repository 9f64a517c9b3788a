"""Solid solutions: elements that share a site, and sites that are partly filled.

A formula with fractions, such as La0.7Sr0.3MnO3, has no formula type of a crystal. Its parent
LaMnO3, with one element a site, has one. Crystals are sought for the parent. Their pattern and
density are calculated with the shares of the formula.
"""

import math
from collections.abc import Mapping
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.composition import (
    SYMBOLS,
    amounts_of,
    atomic_number,
    parse_composition,
    plain_formula,
)
from cmed_jax.crystal.material import Material
from cmed_jax.physics.crystal import Crystal

ANIONS = frozenset(("N", "O", "F", "S", "Cl", "Se", "Br", "I", "Te"))
EXACT, WHOLE = 1e-3, 0.011
"""The differences of an amount and of a sum from a whole number; two digits are rounded."""
DOPED = 0.15
"""The amount below which elements that fill no site of another are left out of the parent."""
SMALL_UNIT, SMALL_ALLOY = 8, 4
"""The atoms of a formula unit, and of an alloy's, up to which atom fractions are a compound."""
MOST_UNIT = 1000
"""The largest number of atoms of a hydrate, in which halves of water are not empty sites."""
PERCENT = 100.0
MANY = 5
"""The number of metals from which on equal parts are a high-entropy alloy, as in CoCrFeMnNi."""
LEAST_ALLOY, LEAST_MIXED = 10, 5
"""The atoms of the reduced unit from which on an alloy in atomic percent is not a compound.

The second number is that of transition metals alone, which mix; Ni40Al60 is a compound.
"""
Shares = Mapping[int, Mapping[int, float]]
"""The elements at the sites of each element, and the share that each fills, by atomic number."""
UNSHARED: Shares = MappingProxyType({})


class Shared(NamedTuple):
    """The parent of a solid solution, and the contents of its sites.

    Attributes:
        parent: the atom fractions by atomic number, with one element a site.
        shares: the contents of the sites of each element of the parent; the rest is empty.
        sentence: a sentence for the user.
    """

    parent: Float[np.ndarray, "119"]
    shares: Shares
    sentence: str

    @property
    def electrons(self) -> float:
        """The ratio of the electrons to those of the parent."""
        numbers = np.arange(len(self.parent))
        of_sites = {
            number: sum(each * share for each, share in filled.items())
            for number, filled in self.shares.items()
        }
        own = np.array([of_sites.get(int(number), float(number)) for number in numbers])
        return float(self.parent @ own / (self.parent @ numbers))


def shared_sites(composition: str | Mapping[str, float | int]) -> Shared | None:
    """Return the parent of a composition with fractional amounts; None of other compositions.

    Elements with amounts that add up to a whole number share a site. A remaining amount is rounded,
    and its sites are taken to be partly empty. Metals and anions do not share sites.

    Raises:
        ValueError: the composition cannot be read.
    """
    amounts: dict[str, float] = {}
    for symbol, amount in amounts_of(composition).items():
        if amount:  # isotopes, such as H and D, are one element
            element = SYMBOLS[atomic_number(symbol)]
            amounts[element] = amounts.get(element, 0.0) + amount
    if len(amounts) < 2:
        return None
    hydrate = isinstance(composition, str) and "·" in plain_formula(composition)
    groups = _groups(amounts, hydrate=hydrate)
    if groups is None:
        return None
    sites: dict[str, float] = {}
    shares: dict[int, dict[int, float]] = {}
    for group in groups:
        total = sum(amounts[each] for each in group)
        if len(group) == 1 and total < DOPED:
            continue
        first = max(group, key=lambda each: amounts[each])
        sites[first] = max(float(np.floor(total + 0.5)), 1.0)
        filled = {atomic_number(each): min(amounts[each] / sites[first], 1.0) for each in group}
        shares[atomic_number(first)] = filled
    units = math.gcd(*(int(amount) for amount in sites.values()))
    parent = {each: sites[each] / units for each in amounts if each in sites}
    vector, _ = parse_composition(parent)
    return Shared(vector, shares, _sentence(parent, shares, amounts))


def shared_crystal(material: Material, shares: Shares = UNSHARED) -> Crystal:
    """Return a crystal in which elements share the sites of a material.

    Args:
        material: the crystal of the parent.
        shares: the shares of `Shared`; elements without an entry fill their sites alone.
    """
    numbers, places, filled = [], [], []
    for place, number in enumerate(material.numbers.tolist()):
        for each, share in shares.get(number, {number: 1.0}).items():
            numbers.append(each)
            places.append(place)
            filled.append(share)
    coordinates = material.frac_coords[places]
    return Crystal.of(material.lattice, np.array(numbers), coordinates, np.array(filled))


def _groups(amounts: Mapping[str, float], *, hydrate: bool) -> list[tuple[str, ...]] | None:
    """Return the elements of each site; None where all amounts are whole numbers."""
    fractional = [each for each, amount in amounts.items() if not _is_whole(amount)]
    if not fractional:
        return _of_alloy(amounts)
    if _is_compound(amounts, len(fractional) == len(amounts), hydrate=hydrate):
        return None
    rest = list(fractional)
    groups: list[tuple[str, ...]] = [(each,) for each in amounts if each not in fractional]
    for size in range(2, len(fractional) + 1):
        for group in combinations(fractional, size):
            together = set(group) <= set(rest) and len({each in ANIONS for each in group}) == 1
            if together and _is_whole(sum(amounts[each] for each in group), WHOLE):
                groups.append(group)
                rest = [each for each in rest if each not in group]
    few = tuple(each for each in rest if DOPED <= amounts[each] < 0.5 and each not in ANIONS)
    groups += [few] if len(few) > 1 else []
    return groups + [(each,) for each in rest if len(few) < 2 or each not in few]


def _of_alloy(amounts: Mapping[str, float]) -> list[tuple[str, ...]] | None:
    """Return the one site of an alloy: in atomic percent (Cu70Zn30), or of many equal parts."""
    from pymatgen.core import Element

    if len(amounts) >= MANY and set(amounts.values()) == {1.0} and not set(amounts) & ANIONS:
        return [tuple(amounts)]
    if len(amounts) < 2 or sum(amounts.values()) != PERCENT or set(amounts) & ANIONS:
        return None
    numbers = [round(amount) for amount in amounts.values()]
    atoms = PERCENT / np.gcd.reduce(numbers)
    mixed = all(Element(each).is_transition_metal for each in amounts)
    return [tuple(amounts)] if atoms >= (LEAST_MIXED if mixed else LEAST_ALLOY) else None


def _is_compound(amounts: Mapping[str, float], pure: bool, *, hydrate: bool) -> bool:
    """Return whether a multiple of the amounts is whole and small.

    Cu0.75Au0.25, FeO1.5 and CaSO4·0.5H2O are compounds.
    """
    most = MOST_UNIT if hydrate else 0
    fractional = {each: amount for each, amount in amounts.items() if not _is_whole(amount)}
    if len(fractional) == 1 and fractional.keys() <= ANIONS:
        most = max(most, SMALL_UNIT if _is_whole(2 * sum(fractional.values())) else 0)
    if pure and _is_whole(sum(amounts.values()), WHOLE):
        most = SMALL_UNIT if {each in ANIONS for each in amounts} == {True, False} else SMALL_ALLOY
    for times in range(2, SMALL_UNIT + 1):
        scaled = [times * amount for amount in amounts.values()]
        if sum(scaled) < most + 0.5 and all(_is_whole(each) for each in scaled):
            return True
    return False


def _is_whole(amount: float, within: float = EXACT) -> bool:
    return abs(amount - round(amount)) < within and round(amount) > 0


def _sentence(
    parent: Mapping[str, float],
    shares: Shares,
    amounts: Mapping[str, float],
) -> str:
    """Return a sentence on the parent that is sought, and the shares that are calculated."""
    sought, asked = (
        "".join(f"{each}{amount:.4g}" if amount != 1 else each for each, amount in formula.items())
        for formula in (parent, amounts)
    )
    said = [
        f"{' and '.join(f'{share:.3g} {SYMBOLS[each]}' for each, share in filled.items())} at the "
        f"sites of {SYMBOLS[number]}"
        for number, filled in shares.items()
        if filled != {number: 1.0}
    ]
    drawn = f", drawn with {', '.join(said)}" if said else ", and what exceeds it is left out"
    return f"{asked} is a solid solution or lacks atoms: crystals of {sought} are sought{drawn}"
