"""X-ray form factors of neutral atoms, in electrons, from two tables for two purposes.

With q = (sin(theta) / wavelength)^2 = s^2 / 4 in 1/angstrom^2:

``it92``
    f = c + sum_i a_i exp(-b_i q) of International Tables for Crystallography C (1992), table
    6.1.1.4, read from gemmi and rescaled (by at most 0.12 %) so that f(0) is Z exactly. It is the
    default for measured patterns and for densities. Densities need reflections far beyond the range
    of a laboratory, where this table stays physical. Its hydrogen is that of a bonded atom.
``pymatgen``
    f = Z - 41.78214 q sum_i a_i exp(-b_i q), the Mott-Bethe form of De Graef & McHenry, *Structure
    of Materials*, chapter 12, with the coefficients of pymatgen's powder calculator. The patterns
    of records are computed with it, so that they can be compared line by line with published ones.
    Tin is wrong by 0.07 Z, and at high angle f returns to Z instead of falling to zero.
"""

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import gemmi
import numpy as np
from jaxtyping import Array, Float, Integer

Table = Literal["pymatgen", "it92"]

MOTT_BETHE = 41.78214
"""The constant of the Mott-Bethe form, 1/angstrom^2."""

LEAST = -80.0
"""The smallest exponent of a Gaussian; float32 becomes imprecise and slow not far below."""


class Coefficients(NamedTuple):
    """The constant and the Gaussians of each element, by atomic number.

    Row 0 is the empty atom that pads a batch. An element that is missing in the table is NaN.
    """

    constant: Float[np.ndarray, "119"]
    amplitude: Float[np.ndarray, "119 4"]
    width: Float[np.ndarray, "119 4"]


def form_factors(
    numbers: Integer[Array | np.ndarray, " n"], q: Float[Array | np.ndarray, " m"], table: Table
) -> Float[Array | np.ndarray, "n m"]:
    """Return f (electrons) of atomic numbers at q = s^2 / 4 (1/angstrom^2), in the type of q."""
    xp = q.__array_namespace__()
    coefficients = _coefficients(table)
    constant, amplitude, width = (xp.asarray(c, dtype=q.dtype)[numbers] for c in coefficients)
    gaussians = sum(
        amplitude[:, i, None]
        * xp.exp(xp.maximum(-width[:, i, None] * q, xp.asarray(LEAST, dtype=q.dtype)))
        for i in range(amplitude.shape[1])
    )
    if table == "it92":
        return constant[:, None] + gaussians
    return constant[:, None] - MOTT_BETHE * q * gaussians


def gaussians() -> tuple[Float[np.ndarray, "119 5"], Float[np.ndarray, "119 5"]]:
    """Return a_i and b_i of ``it92`` by atomic number; the constant comes last, with b = 0."""
    constant, amplitude, width = _coefficients("it92")
    return (
        np.concatenate([amplitude, constant[:, None]], axis=1),
        np.concatenate([width, np.zeros_like(constant)[:, None]], axis=1),
    )


def dispersion(numbers: Integer[np.ndarray, " n"], wavelength: float) -> Float[np.ndarray, "2 n"]:
    """Return f' and f'' (electrons) of atomic numbers at a wavelength (angstrom).

    gemmi computes them after Cromer and Liberman (Acta Cryst. A37, 267, 1981). The empty atom with
    number 0 has none.
    """
    added = np.zeros((2, len(numbers)))
    for i in np.flatnonzero(numbers):
        added[:, i] = gemmi.cromer_liberman(int(numbers[i]), gemmi.hc / wavelength)
    return added


def check_elements(numbers: Integer[np.ndarray, " n"]) -> None:
    """Raise ValueError, naming the element, where a table holds no form factor."""
    for number in np.unique(numbers).tolist():
        if not 0 < number < 119:
            raise ValueError(f"{number} is not an atomic number: give 1 to 118")
        if not all(np.isfinite(_coefficients(t).constant[number]) for t in ("pymatgen", "it92")):
            raise ValueError(f"{gemmi.Element(number).name} has no tabulated X-ray form factor")


@cache
def _coefficients(table: Table) -> Coefficients:
    empty = Coefficients(np.full(119, np.nan), np.zeros((119, 4)), np.zeros((119, 4)))
    empty.constant[0] = 0.0
    return _read_pymatgen(empty) if table == "pymatgen" else _read_it92(empty)


def _read_it92(into: Coefficients) -> Coefficients:
    for number in range(1, 119):
        fit = gemmi.Element(number).it92
        if fit is not None:
            scale = number / (sum(fit.a) + fit.c)
            into.constant[number] = scale * fit.c
            into.amplitude[number] = scale * np.asarray(fit.a)
            into.width[number] = fit.b
    return into


def _read_pymatgen(into: Coefficients) -> Coefficients:
    # Only the file is read: importing pymatgen takes seconds and loads all of its dependencies.
    package = importlib.util.find_spec("pymatgen")
    folders = package.submodule_search_locations if package else None
    name = Path("analysis", "diffraction", "atomic_scattering_params.json")
    paths = [Path(folder) / name for folder in folders or () if (Path(folder) / name).exists()]
    if not paths:
        raise ValueError("pymatgen's table of form factors was not found: pip install pymatgen")
    for symbol, terms in json.loads(paths[0].read_text()).items():
        number = gemmi.Element(symbol).atomic_number
        into.constant[number] = number
        into.amplitude[number], into.width[number] = np.asarray(terms).T
    return into
