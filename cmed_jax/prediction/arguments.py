"""The types of the arguments of a prediction, checked before anything is read or computed.

Python does not check annotations. A value of a wrong type would otherwise end somewhere inside, in
an error about something that its user has never seen.
"""

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cmed_jax.powder.preparation import Preparation

PATTERN = (
    "give the path of a file, a pair (two_theta, intensity) of columns of numbers, or 1,024 bins "
    "on the network's grid"
)
"""The forms of a pattern, in a sentence about one that has none of them."""
COMPOSITION = "give a formula such as 'NaCl', amounts by element, the elements, or None"
"""The forms of a composition, in such a sentence."""


class _Type(NamedTuple):
    """The type of an option: a function that tells whether a value is of it, and its words."""

    fits: Callable[[Any], bool]
    words: str


def _is_whole(value: object) -> bool:
    """Return whether a value is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_row(value: object) -> bool:
    """Return whether a value is a row of numbers."""
    return _dimensions(value) == 1


def _are_texts(value: Any) -> bool:
    rows = isinstance(value, Sequence) and not isinstance(value, str)
    return rows and all(isinstance(each, str) for each in value)


def _is_text(value: object) -> bool:
    """Return whether a value is text or None."""
    return value is None or isinstance(value, str)


def _is_cell(value: object) -> bool:
    return value in (None, "auto") if _is_text(value) else _is_row(value)


def _is_grid(value: Any) -> bool:
    row = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    return row and len(value) == 3 and all(map(_is_whole, value))


_WHOLE = _Type(_is_whole, "a whole number")
TYPES: Mapping[str, _Type] = {
    "wavelength": _Type(
        lambda each: _is_text(each) or _is_number(each),
        "a radiation such as CuKa, or angstroms",
    ),
    "composition": _Type(_is_text, "a formula such as NaCl"),
    "elements": _Type(_are_texts, "their symbols, such as ('Na', 'Cl')"),
    "cell": _Type(_is_cell, "six numbers, or auto"),
    "centring": _Type(lambda each: isinstance(each, str), "a letter, such as F"),
    "samples": _WHOLE,
    "seed": _WHOLE,
    "grid": _Type(_is_grid, "three whole numbers of points"),
    "analogues": _WHOLE,
    "structures": _Type(_is_text, "the path of known crystals as text, or None"),
    "search": _Type(
        lambda each: each is None or (_is_number(each) and math.isfinite(each)),
        "a number of seconds, or None",
    ),
    "rietveld": _Type(lambda each: isinstance(each, bool), "True or False"),
    "preparation": _Type(lambda each: isinstance(each, Preparation), "a cmed_jax.Preparation"),
}
"""The type of each field of `PredictionOptions`."""


def check_types(values: Mapping[str, object]) -> None:
    """Check that options have values of their types.

    Args:
        values: the values of fields of `PredictionOptions`, by name.

    Raises:
        ValueError: if one is of another type.
    """
    for name, value in values.items():
        if not TYPES[name].fits(value):
            raise ValueError(f"{name} is {_shown(value)}: give {TYPES[name].words}")


def check_composition_type(composition: object) -> None:
    """Check that a composition has one of its forms.

    Raises:
        ValueError: if it has none.
    """
    if not (_is_text(composition) or isinstance(composition, Mapping) or _are_texts(composition)):
        raise ValueError(f"composition is {_shown(composition)}: {COMPOSITION}")


def check_pattern_type(pattern: Any) -> None:
    """Check that a pattern has one of its forms.

    Raises:
        ValueError: if it has none.
    """
    if isinstance(pattern, str | Path):
        return
    rows = isinstance(pattern, Sequence) or (hasattr(pattern, "__array__") and np.ndim(pattern) > 0)
    if not rows:
        raise ValueError(f"pattern is {_shown(pattern)}: {PATTERN}")
    if len(pattern) != 2:
        if not _dimensions(pattern):
            raise ValueError(f"pattern {_shown(pattern)} is not numbers alone: {PATTERN}")
        return
    for name, column in zip(("two_theta", "intensity"), pattern, strict=True):
        if not _is_row(column):
            raise ValueError(f"{name} is {_shown(column)}, and no column of numbers: {PATTERN}")


def _dimensions(value: object) -> int:
    """Return the number of dimensions of an array of numbers; 0 for anything else."""
    try:
        return np.asarray(value, float).ndim
    except (TypeError, ValueError):
        return 0


def _shown(value: object) -> str:
    """Return a value in a few words of one line."""
    return " ".join(reprlib.repr(value).split())
