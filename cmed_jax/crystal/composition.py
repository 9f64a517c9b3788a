"""Compositions as vectors of atom fractions, and the extent to which one is known."""

import enum
import itertools
import math
import numbers
import re
import string
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from unicodedata import normalize

import gemmi
import numpy as np
from jaxtyping import Bool, Float, Integer

SYMBOLS = tuple(gemmi.Element(number).name for number in range(119))
"""The element symbols by atomic number; "X" is a placeholder at 0."""

LONGEST_FORMULA = 150
"""The largest number of characters of a formula."""
MOST_ATOMS = 1e9
"""The largest amount of an element."""
AS_MANY = 0.05
"""The relative difference of atomic numbers up to which elements scatter X-rays alike."""
FAINT = 0.02
"""The share of the scattering below which the places of an element hardly show."""
_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if number} | {"D": 1}


_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉•⋅∙*", "0123456789····", "\u2009\u00a0 ") | {ord("½"): "1/2"}
"""A table that replaces subscripts by digits, and each dot of an adduct by the middle dot."""
_PART = re.compile(r"(\d+/[1-9]\d*|\d+(?:\.\d+)?)?(?=\D)((?:[A-Z][a-z]?|[\d.()\[\]{}])+)")
"""The pattern of a part of an adduct: its number and its formula."""
_WATER = re.compile(r"\.\d+(?:\.\d+)?(?=\(?(?:H2O|D2O|NH3))")
"""The pattern of a dot before water, either a decimal point or the dot of a hydrate."""
_OXIDE = re.compile(r"(?:O\d*|\)\d+)\.\d+(?=(?:[A-Z][a-z]?\d*){1,2}O(?!H))")
"""The pattern of a dot before an oxide, either a decimal point or the dot of an adduct."""
_NUMBER_FIRST = re.compile(r"(?!\d+[HD]2O$)\d+(?:\.\d+)?[A-Z][a-z]?(?:\d+(?:\.\d+)?[A-Z][a-z]?)+")
"""The pattern of a formula whose numbers may stand before their elements, as in 70Cu30Zn."""
_WHOLE = (1.0, 100.0)
_ROUNDED = 0.005
"""The sums of numbers before elements, which are shares or percent, and the error of a sum."""
_APART = re.compile(r"([·•⋅∙* \u2009\u00a0]\d+(?:[./]\d+)?)[ \u2009\u00a0]+(?=\(?(?:H2O|H₂O|D2O))")
"""The pattern of a number of water with a blank between it and the water."""
_BLANK = re.compile(r"(?<=[\d)\]])[ \u2009\u00a0]+(?=\d*\.?\d*\(?(?:H2O|H₂O|D2O)|\d+[A-Z])")
"""The pattern of a blank in the place of the dot of a hydrate, as in CuSO4 5H2O."""
_POINT = re.compile(r"(?<=\.\d)(\d*)[ \u2009\u00a0]+(?=\(?(?:H2O|H₂O|D2O))")
"""The pattern of a blank before the water of CuSO4.5 H2O, where the point may be a decimal one."""
_SHARE = re.compile(r"(?<=[A-Za-z)\]}])(\d{1,4})/([1-9]\d{0,3})(?=$|[A-Z(\[{)\]}·])")
"""The pattern of an amount that is a fraction, as in La2/3Sr1/3MnO3."""
_NUMERAL = re.compile(
    r"(?<=[A-Za-z\d])\((?:I{2,3}|IV|VI{1,3}|[IV]+(?:[,/][IV]+)+)\)|(?<=[A-Za-z])I{2,3}(?![a-z])"
)
"""The pattern of oxidation numbers.

Formulas do not repeat iodine, nor hold vanadium and iodine alone in brackets.
"""
_AMBIGUOUS = re.compile(r"(?<=[A-Za-z\d])\((?:I|V)\)|(?<=[a-z])(?:IV|VI)(?![a-z])")
"""The pattern of what may be an oxidation number or iodine and vanadium."""


class Knowledge(enum.IntEnum):
    """The extent to which a composition is known; the network receives it as an input."""

    FULL = 0
    NO_RATIOS = 1
    MISSING_ELEMENT = 2
    NONE = 3


UNKNOWN = "?"
"""The place of an element that is not known, in a list of elements."""

Composition = str | Mapping[str, float | int] | Sequence[str] | None
"""The input of a composition: a formula, amounts by element, the elements alone, or None."""


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

    Example:
        >>> anonymous_formula(parse_composition("CaF2")[0])
        'AB2'
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
    """Return the vector of a composition, and the extent to which it is known.

    Args:
        composition: a formula ("NaCl", "CuSO4·5H2O"), amounts ({"Na": 1, "Cl": 1}), the elements
            alone (["Na", "Cl"] or ["Na,Cl"]: ratios unknown, ones as in CrystalNet), with "?" for
            one further element that is not known (["Na", "?"]), or None (an unknown composition,
            zeros).

    Raises:
        ValueError: a formula cannot be read or has two meanings, an element is unknown, an amount
            is negative or not finite, more than one element is "?", or no element remains.

    Example:
        >>> fractions, knowledge = parse_composition("NaCl")
        >>> fractions[[11, 17]].tolist(), knowledge.name
        ([0.5, 0.5], 'FULL')
        >>> parse_composition(["Na", "Cl"])[1].name
        'NO_RATIOS'
        >>> parse_composition(["Na", "?"])[1].name
        'MISSING_ELEMENT'
    """
    if composition is None:
        return np.zeros(119, np.float32), Knowledge.NONE
    if isinstance(composition, str):
        return _fractions(_parse_formula(composition)), Knowledge.FULL
    if isinstance(composition, Mapping):
        return _fractions(composition), Knowledge.FULL
    words = " ".join(composition).replace(",", " ").split()
    symbols = [word for word in words if word != UNKNOWN]
    if len(words) > len(symbols) + 1:
        raise ValueError(
            f"the elements {' '.join(words)} hold {UNKNOWN} more than once: one unknown element is "
            "understood; give None where more are"
        )
    vector = np.zeros(119, np.float32)
    vector[[atomic_number(symbol) for symbol in symbols]] = 1
    if not vector.any():
        raise ValueError("the list of elements is empty: name one, or give None for unknown")
    return vector, Knowledge.NO_RATIOS if symbols == words else Knowledge.MISSING_ELEMENT


def _fractions(amounts: Mapping[str, float | int]) -> Float[np.ndarray, "119"]:
    vector = np.zeros(119)
    for symbol, amount in amounts.items():
        if not (isinstance(amount, numbers.Real) and 0 <= amount <= MOST_ATOMS):  # false for NaN
            raise ValueError(
                f"amount {str(amount)[:40]} of {symbol} is not a number of atoms, 0 to 1e9"
            )
        vector[atomic_number(symbol)] += amount
    if not vector.any():
        raise ValueError(f"composition {dict(amounts)} is empty: give at least one element")
    return (vector / vector.sum()).astype(np.float32)


def _parse_formula(formula: str) -> dict[str, float]:
    """Return the amounts of a formula, or the sum over the parts that dots separate."""
    if len(formula) > LONGEST_FORMULA:
        raise ValueError(f"the formula has {len(formula)} characters: give a single compound")
    plain = plain_formula(formula)
    if not plain:
        return {}
    amounts: defaultdict[str, float] = defaultdict(float)
    if _is_number_first(plain):
        raise ValueError(
            f"formula {formula!r} has numbers before its elements: write them behind, such as "
            "Cu70Zn30"
        )
    for part in plain.split("·"):
        for symbol, amount in _parse_part(part, formula).items():
            amounts[symbol] += amount
    return amounts


def _is_number_first(plain: str) -> bool:
    """Return whether numbers certainly stand before their elements.

    The first number of 2Na2O may also be that of formula units, which nobody writes if it is 1.

    Example:
        >>> [_is_number_first(formula) for formula in ("70Cu30Zn", "1La6B", "2Na2O", "1.5H2O")]
        [True, True, False, False]
    """
    if not _NUMBER_FIRST.fullmatch(plain):
        return False
    amounts = [float(amount) for amount in re.findall(r"\d+(?:\.\d+)?", plain)]
    shares = any(abs(sum(amounts) - whole) < _ROUNDED * whole for whole in _WHOLE)
    return amounts[0] == 1 or shares


def plain_formula(formula: str) -> str:
    """Return a formula with plain digits and decimal points, without oxidation numbers.

    Raises:
        ValueError: a part may be an oxidation number or an element.
    """
    # Unicode's Roman numerals are replaced by letters.
    plain = re.sub(
        "[\u2160-\u2188]", lambda match: f"({normalize('NFKC', match.group())})", formula
    )
    plain = _BLANK.sub("·", _APART.sub(r"\1", _POINT.sub(r"\1", plain)))
    if match := re.search(r"\d[ \u2009\u00a0]+[\d.]", plain):
        raise ValueError(
            f"formula {formula!r} has the numbers {match.group()!r} beside each other: write "
            "elements and their numbers, such as CuSO4·5H2O"
        )
    plain = re.sub(r"(?<=\d),(?=\d)", ".", plain.translate(_PLAIN))
    plain = _SHARE.sub(lambda match: f"{int(match[1]) / int(match[2]):.6f}", plain)
    plain = _NUMERAL.sub("", plain)
    if match := _AMBIGUOUS.search(plain):
        raise ValueError(
            f"formula {formula!r} has {match.group()!r}, an oxidation number or elements: write it "
            "without oxidation numbers, such as Cu2O, and elements without brackets, such as CuI"
        )
    return plain


def amounts_of(composition: str | Mapping[str, float | int]) -> dict[str, float]:
    """Return the amounts of a formula or a mapping by element, in the order of writing."""
    if isinstance(composition, Mapping):
        return {symbol: float(amount) for symbol, amount in composition.items()}
    amounts = _parse_formula(composition)
    written = [each for each in re.findall("[A-Z][a-z]?", composition) if each in amounts]
    return {symbol: amounts[symbol] for symbol in [*written, *amounts]}


def _parse_part(part: str, formula: str) -> dict[str, float]:
    from pymatgen.core import Composition

    unreadable = ValueError(
        f"formula {formula!r} cannot be read at {part!r}: write elements and their numbers, "
        "without charges, such as Ca(OH)2 or CuSO4·5H2O"
    )
    if not (match := _PART.fullmatch(part)):
        raise unreadable
    number, unit = match.groups()
    if _WATER.search(unit):
        raise ValueError(
            f"formula {formula!r} has a dot on the line before water, which may be a decimal one: "
            "write a hydrate as CuSO4·5H2O or CuSO4(H2O)5"
        )
    if _OXIDE.search(unit):
        raise ValueError(
            f"formula {formula!r} has a dot on the line before an oxide, which may be a decimal "
            "one: write an adduct as 3Al2O3·2SiO2, or in one compound oxygen last"
        )
    for symbol in re.findall("[A-Z][a-z]?", unit):
        atomic_number(symbol)
    try:
        amounts = Composition(unit).get_el_amt_dict()
    except ValueError:
        raise unreadable from None
    units = float(Fraction(number or 1))
    return {symbol: units * amount for symbol, amount in amounts.items()}


SAME_FRACTION = 1e-4
"""The difference below which atom fractions are equal; those of different cells differ more."""


def one_differs(
    others: Float[np.ndarray, "m 119"], composition: Float[np.ndarray, "119"]
) -> Bool[np.ndarray, " m"]:
    """Return which compositions have exactly one element exchanged, in the same amount."""
    changed = np.abs(others - composition) > SAME_FRACTION
    exchanged = (others > 0) != (composition > 0)
    return (changed.sum(axis=1) == 2) & (exchanged.sum(axis=1) == 2)


def alike_elements(composition: Float[np.ndarray, "119"]) -> list[tuple[str, str]]:
    """Return the pairs of elements that X-rays hardly tell apart, as their electrons are as many.

    Example:
        >>> alike_elements(parse_composition("FeCo2O4")[0])
        [('Fe', 'Co')]
    """
    numbers = np.flatnonzero(composition).tolist()
    return [
        (SYMBOLS[few], SYMBOLS[many])
        for few, many in itertools.pairwise(numbers)
        if many - few <= AS_MANY * many
    ]


def faint_elements(composition: Float[np.ndarray, "119"]) -> list[str]:
    """Return the elements whose places a pattern hardly shows, since the others scatter far more.

    The scattering of an element is the number of its atoms times the square of its electrons.

    Example:
        >>> faint_elements(parse_composition("LiVF6")[0])
        ['Li']
    """
    scattering = composition * np.arange(len(composition)) ** 2
    faint = (composition > 0) & (scattering < FAINT * scattering.sum())
    return [SYMBOLS[number] for number in np.flatnonzero(faint).tolist()]


def format_composition(composition: Float[np.ndarray, "119"]) -> str | None:
    """Return the known part of a composition in the form that a user writes; None if unknown.

    Args:
        composition: the atom fractions by atomic number; ones where the ratios are unknown.
    """
    from pymatgen.core import Composition

    amounts = {SYMBOLS[z]: float(composition[z]) for z in np.flatnonzero(composition).tolist()}
    if not amounts:
        return None
    if sum(amounts.values()) > 1.5:
        return ", ".join(amounts)
    with noble_gases_last():
        return Composition(amounts).get_integer_formula_and_factor(max_denominator=200)[0]


@contextmanager
def noble_gases_last() -> Iterator[None]:
    """Let pymatgen order the elements of formulas without a warning.

    Noble gases have no electronegativity, by which it orders them, and come last.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity")
        yield
