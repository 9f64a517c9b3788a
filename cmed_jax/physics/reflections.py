"""The powder lines of crystals: s = 1/d and intensity, before any wavelength is chosen.

The intensity of a line is the sum of |F|^2 over all reflections (both of each Friedel pair) that
coincide in s, so the multiplicity is in it and the Lorentz-polarization factor is not.

Reflections are listed, sorted and merged on the host, in float64, as sorting is cheap there; what
the atoms scatter is computed on the device, many crystals in a call. Crystals of every size share
the work without the largest deciding its cost: a call treats crystals whose sites and species pad
to the same numbers, the reflections of each in rows of `ROW` that only the last one does not fill,
and as many rows as `WORK` allows.

Of reflections that the symmetry of a crystal relates one is computed for all. Friedel's law halves
them in any case; who knows the Laue class of a cubic crystal computes a twentieth.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Integer

from cmed_jax.physics.cell import reciprocal_lattice
from cmed_jax.physics.crystal import Crystal, padded_size, stack
from cmed_jax.physics.form_factors import Table, dispersion
from cmed_jax.physics.scattering import squared_structure_factors

COINCIDENCE = 1e-7
"""Lines closer than this in s (1/angstrom) are one line, at their centroid.

No diffractometer parts them, and cells given to eight decimals are merged as their symmetry asks.
"""
ABSENT = 1e-10
"""Lines below this share of the strongest are rounding errors of systematic absences."""
ROW = 1024
"""Reflections in a row."""
WORK = 2**19
"""Reflections times sites in a call: this bounds the memory and keeps to the caches."""


FRIEDEL = np.stack([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
"""The Laue class of every crystal: |F(h)| = |F(-h)|."""


class Sphere(NamedTuple):
    """One reflection of each Friedel pair within a sphere, ascending in s (1/angstrom)."""

    s: Float[np.ndarray, " m"]
    hkl: Integer[np.ndarray, "m 3"]


class Orbits(NamedTuple):
    """One of all reflections within a sphere that symmetry relates, ascending in s (1/angstrom).

    It stands for as many as `multiplicity` says.
    """

    s: Float[np.ndarray, " m"]
    hkl: Integer[np.ndarray, "m 3"]
    multiplicity: Float[np.ndarray, " m"]


def reflections(
    crystal: Crystal,
    *,
    s_max: float | None = None,
    wavelength: float | None = None,
    table: Table = "pymatgen",
    b_factor: float = 0.0,
    anomalous: bool = False,
) -> Float[np.ndarray, "m 2"]:
    """Return the powder lines of a crystal, ascending in s.

    Args:
        crystal: a single one.
        s_max: largest s = 1/d in 1/angstrom.
        wavelength: angstrom; without s_max all lines are returned that it reaches, up to s = 2 /
            wavelength at two-theta = 180 degrees.
        table: the form factors.
        b_factor: isotropic B of every atom, angstrom^2.
        anomalous: add the anomalous dispersion f' + i f'' at the wavelength.

    Returns:
        Columns s (1/angstrom) and intensity (electrons^2, multiplicity included), float64.

    Raises:
        ValueError: neither s_max nor a wavelength is given, or one of them is not positive,
            b_factor is negative, or the dispersion is wanted without a wavelength.
    """
    (lines,) = reflections_of(
        [crystal],
        s_max=s_max,
        wavelength=wavelength,
        table=table,
        b_factor=b_factor,
        anomalous=anomalous,
    )
    return lines


def reflections_of(
    crystals: Sequence[Crystal],
    *,
    s_max: float | None = None,
    wavelength: float | None = None,
    table: Table = "pymatgen",
    b_factor: float = 0.0,
    anomalous: bool = False,
    dtype: type[np.floating] = np.float64,
    laue: Sequence[Integer[np.ndarray, "_ 3 3"]] | None = None,
) -> list[Float[np.ndarray, "_ 2"]]:
    """Return the powder lines of many crystals, as `reflections` does of one.

    Args:
        crystals: single ones, of any size.
        s_max: as in `reflections`, like what follows.
        wavelength: angstrom.
        table: the form factors.
        b_factor: angstrom^2.
        anomalous: add the dispersion at the wavelength.
        dtype: of |F|^2; positions and sums are float64 in any case.
        laue: Laue class of each crystal, as `unique_reflections` takes it; of the crystals' own
            symmetry, or a part of it.

    Raises:
        ValueError: as `reflections`.
    """
    s_max = _reach(s_max, wavelength)
    if not 0 <= b_factor < np.inf:
        raise ValueError(f"b_factor is {b_factor}: give a finite B >= 0 in angstrom^2")
    if anomalous and wavelength is None:
        raise ValueError("anomalous dispersion depends on the wavelength: give it in angstrom")
    scatter = partial(
        _scatter,
        b_factor=b_factor,
        wavelength=wavelength if anomalous else None,
        table=table,
        dtype=dtype,
    )
    lines: dict[int, Float[np.ndarray, "_ 2"]] = {}
    under_way: deque[tuple[list[int], list[Orbits], list[Array]]] = deque()

    def finish() -> None:
        members, orbits, squared = under_way.popleft()
        for i, one, values in zip(members, orbits, _parts(orbits, squared), strict=True):
            lines[i] = _merge(one.s, one.multiplicity * values)

    for members, orbits in _loads(crystals, s_max, laue or [FRIEDEL] * len(crystals)):
        # The device works on one load while the host lists the next.
        under_way.append((members, orbits, scatter([crystals[i] for i in members], orbits)))
        if len(under_way) > 1:
            finish()
    while under_way:
        finish()
    return [lines[i] for i in range(len(crystals))]


def half_sphere(lattice: Float[np.ndarray, "3 3"], s_max: float) -> Sphere:
    """Return one reflection of each Friedel pair with 0 < s <= s_max (1/angstrom).

    Raises:
        ValueError: the lattice is flat, or s_max is not a positive number.
    """
    s, hkl, _ = unique_reflections(lattice, s_max)
    return Sphere(s, hkl)


def unique_reflections(
    lattice: Float[np.ndarray, "3 3"],
    s_max: float,
    laue: Integer[np.ndarray, "p 3 3"] = FRIEDEL,
) -> Orbits:
    """Return one of all reflections that symmetry relates, with 0 < s <= s_max (1/angstrom).

    A symmetry operation x -> W x + w relates h to h W. Of all of them the one is taken that comes
    last by l, then k, then h.

    Args:
        lattice: rows a, b, c in angstrom.
        s_max: largest s = 1/d, 1/angstrom.
        laue: W of all operations and of their products with the inversion.

    Raises:
        ValueError: the lattice is flat, or s_max is not a positive number.
    """
    if not 0 < s_max < np.inf:
        raise ValueError(f"s_max is {s_max}: give a positive number in 1/angstrom")
    reciprocal = reciprocal_lattice(lattice)
    radius = s_max * (1 + 1e-9)  # rounding must not part a line that lies at s_max exactly
    # h = a.s, so that |h| <= |a| s_max: the box that holds the sphere.
    h_max, k_max, l_max = np.floor(radius * np.linalg.norm(lattice, axis=1)).astype(int)
    h, k, ell = np.ogrid[-h_max : h_max + 1, -k_max : k_max + 1, 0 : l_max + 1]
    x, y, z = (h * a + k * b + ell * c for a, b, c in reciprocal.T)
    squared = x**2 + y**2 + z**2
    last = squared <= radius**2
    last[:, :k_max, 0] = False  # where l = 0 the half k > 0 comes last, and where k = 0 that h > 0
    last[: h_max + 1, k_max, 0] = False
    others = laue[np.abs(np.trace(laue, axis1=1, axis2=2)) < 3]  # than identity and inversion
    for a, b, c in {tuple(column) for column in others[:, :, 2].tolist()}:
        last &= h * a + k * b <= ell * (1 - c)  # the l of the image is not larger
    index = np.flatnonzero(last)
    index = index[np.argsort(squared.ravel()[index])]
    hkl = np.stack(np.unravel_index(index, last.shape), axis=1) - [h_max, k_max, 0]
    # The place in the order by l, k, h as one number, and how far each image is behind.
    base = 2 * max(h_max, k_max, l_max) + 1
    place = np.array([1.0, base, base**2])
    behind = hkl @ (place - others @ place).T
    unique = (behind >= 0).all(axis=1)
    same = 1 + (behind[unique] == 0).sum(axis=1)
    return Orbits(np.sqrt(squared.ravel()[index[unique]]), hkl[unique], len(laue) / same)


def _reach(s_max: float | None, wavelength: float | None) -> float:
    if wavelength is not None and not 0 < wavelength < np.inf:
        raise ValueError(f"wavelength is {wavelength}: give a positive number in angstrom")
    if s_max is not None:
        return s_max
    if wavelength is None:
        raise ValueError("how far the reflections go is missing: give s_max or a wavelength")
    return 2 / wavelength


def _loads(
    crystals: Sequence[Crystal], s_max: float, laue: Sequence[Integer[np.ndarray, "_ 3 3"]]
) -> Iterator[tuple[list[int], list[Orbits]]]:
    """Yield the places and reflections of crystals that are treated together."""
    sizes = [padded_size(crystal) for crystal in crystals]
    for size in sorted(set(sizes)):
        members: list[int] = []
        orbits: list[Orbits] = []
        for i in (i for i, each in enumerate(sizes) if each == size):
            unique = unique_reflections(np.asarray(crystals[i].lattice), s_max, laue[i])
            if members and _rows([*orbits, unique]).sum() > _rows_of_a_call(size[0]):
                yield members, orbits
                members, orbits = [], []
            members.append(i)
            orbits.append(unique)
        yield members, orbits


def _rows(orbits: Sequence[Orbits]) -> Integer[np.ndarray, " n"]:
    """Return the number of rows that the reflections of each crystal take."""
    return np.array([-(-len(one.s) // ROW) for one in orbits])


def _rows_of_a_call(sites: int) -> int:
    return max(WORK // (ROW * sites), 1)


def _scatter(
    crystals: Sequence[Crystal],
    orbits: Sequence[Orbits],
    *,
    b_factor: float,
    wavelength: float | None,
    table: Table,
    dtype: type[np.floating],
) -> list[Array]:
    """Return |F|^2 of the reflections of crystals of one padded size, row after row."""
    call = _rows_of_a_call(padded_size(crystals[0])[0])
    rows = _rows(orbits)
    hkl = np.zeros((max(-(-rows.sum() // call), 1) * call, ROW, 3), np.int16)
    for one, mine in zip(orbits, np.split(hkl, np.cumsum(rows)), strict=False):
        mine.reshape(-1, 3)[: len(one.hkl)] = one.hkl
    owner = np.resize(np.repeat(np.arange(len(crystals)), rows), len(hkl))  # some rows are empty
    lattice, species, occupancy, frac_coords = stack(crystals)
    floats = [lattice, occupancy, frac_coords]
    if wavelength is not None:
        floats.append(np.stack([dispersion(each, wavelength) for each in species]))
    arguments = (species, *(x.astype(dtype) for x in floats))
    with jax.enable_x64(dtype == np.float64):
        parts = (slice(first, first + call) for first in range(0, len(hkl), call))
        return [
            _squared(table, dtype(b_factor), hkl[part], *(x[owner[part]] for x in arguments))
            for part in parts
        ]


@partial(jax.jit, static_argnums=0)
def _squared(
    table: Table,
    b_factor: Float[Array, ""],
    hkl: Integer[Array, "b m 3"],
    species: Integer[Array, "b k"],
    lattice: Float[Array, "b 3 3"],
    occupancy: Float[Array, "b k n"],
    frac_coords: Float[Array, "b n 3"],
    added: Float[Array, "b 2 k"] | None = None,
) -> Float[Array, "b m"]:
    crystals = Crystal(lattice, species, occupancy, frac_coords)
    scatter = partial(squared_structure_factors, table=table)
    return jax.vmap(scatter, in_axes=(0, 0, None, 0))(crystals, hkl, b_factor, added)[1]


def _parts(orbits: Sequence[Orbits], squared: Sequence[Array]) -> Iterator[Float[np.ndarray, " _"]]:
    """Yield the values of each crystal out of the rows of all."""
    rows = np.split(np.concatenate(squared), np.cumsum(_rows(orbits)))
    for one, mine in zip(orbits, rows, strict=False):
        yield mine.ravel()[: len(one.s)]


def _merge(
    s: Float[np.ndarray, " m"], intensity: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "lines 2"]:
    if not len(s):
        return np.zeros((0, 2))
    first = np.flatnonzero(np.diff(s, prepend=-1.0) > COINCIDENCE)
    total = np.add.reduceat(intensity, first)
    moment = np.add.reduceat(s * intensity, first)
    present = total > ABSENT * total.max()
    return np.stack([moment[present] / total[present], total[present]], axis=1)
