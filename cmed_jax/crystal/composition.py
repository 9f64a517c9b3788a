"""Compositions as vectors of atom fractions, and how much of one is known."""

import enum
import math
import string
from collections.abc import Mapping, Sequence
from fractions import Fraction

import gemmi
import numpy as np
from jaxtyping import Float, Integer

SYMBOLS = tuple(gemmi.Element(number).name for number in range(119))
"""Element symbols by atomic number; the place of 0 is held by "X"."""

_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if number} | {"D": 1}


class Knowledge(enum.IntEnum):
    """What is known of a composition; the network is told which it is given."""

    FULL = 0
    NO_RATIOS = 1
    MISSING_ELEMENT = 2
    NONE = 3


def atomic_number(symbol: str) -> int:
    """Return the atomic number of an element symbol; deuterium counts as hydrogen.

    Raises:
        ValueError: there is no such element.
    """
    try:
        return _NUMBERS[symbol]
    except KeyError:
        raise ValueError(f"unknown element {symbol!r}: give a symbol such as 'Na'") from None


def composition_vector(numbers: Integer[np.ndarray, " n"]) -> Float[np.ndarray, "119"]:
    """Return the atom fractions (float32, summing to 1) of a list of atomic numbers."""
    return (np.bincount(numbers, minlength=119) / len(numbers)).astype(np.float32)


def anonymous_formula(composition: Float[np.ndarray, "119"]) -> str:
    """Return the formula with letters for the elements, the rarest first: "AB3" for AlNi3.

    Empty where nothing is known. Elements without ratios (ones) count in equal parts.

    Args:
        composition: atom fractions by atomic number, of a cell of at most a thousand atoms.
    """
    amounts = composition[composition > 0].astype(float)
    shares = sorted(Fraction(x).limit_denominator(1000) for x in amounts / amounts.sum())
    cell = math.lcm(*(share.denominator for share in shares))
    counts = (int(share * cell) for share in shares)
    letters = string.ascii_uppercase + string.ascii_lowercase
    return "".join(
        f"{letter}{count if count > 1 else ''}"
        for letter, count in zip(letters, counts, strict=False)
    )


def parse_composition(
    composition: str | Mapping[str, float | int] | Sequence[str] | None,
) -> tuple[Float[np.ndarray, "119"], Knowledge]:
    """Return the vector of a composition as a user writes it, and what it tells.

    Args:
        composition: a formula ("NaCl"), amounts ({"Na": 1, "Cl": 1}), the elements alone
            (["Na", "Cl"]: ratios unknown, ones as in CrystalNet), or None (nothing known, zeros).

    Raises:
        ValueError: an element is unknown, an amount is negative or not finite, or nothing is left.
    """
    if composition is None:
        return np.zeros(119, np.float32), Knowledge.NONE
    if isinstance(composition, str):
        return _fractions(_parse_formula(composition)), Knowledge.FULL
    if isinstance(composition, Mapping):
        return _fractions(composition), Knowledge.FULL
    vector = np.zeros(119, np.float32)
    vector[[atomic_number(symbol) for symbol in composition]] = 1.0
    if not vector.any():
        raise ValueError("the list of elements is empty: name one, or give None for unknown")
    return vector, Knowledge.NO_RATIOS


def _fractions(amounts: Mapping[str, float | int]) -> Float[np.ndarray, "119"]:
    vector = np.zeros(119)
    for symbol, amount in amounts.items():
        if not (math.isfinite(amount) and amount >= 0):
            raise ValueError(f"amount {amount} of {symbol} is not a number of atoms >= 0")
        vector[atomic_number(symbol)] += amount
    if not vector.any():
        raise ValueError(f"composition {dict(amounts)} is empty: give at least one element")
    return (vector / vector.sum()).astype(np.float32)


def _parse_formula(formula: str) -> dict[str, float]:
    from pymatgen.core import Composition

    if not formula.strip():
        return {}
    try:
        return Composition(formula).get_el_amt_dict()
    except ValueError as error:
        raise ValueError(f"formula {formula!r} cannot be read: {error}") from None
