"""The powder lines of crystals: s = 1/d and intensity, before any wavelength is chosen.

The intensity of a line is the sum of |F|^2 over all reflections (both of each Friedel pair) that
coincide in s. It includes the multiplicity, but not the Lorentz-polarization factor.

Reflections are listed, sorted and merged on the host, in float64, because sorting is cheap there.
The scattering of the atoms is computed on the device, many crystals in a call; without a device,
that of larger crystals in float64 by `cmed_jax.physics.host_factors`. The largest crystal
does not decide the cost of the others: a call treats crystals with the same padded numbers of sites
and species, and the reflections of each fill rows of `ROW`, of which only the last may be partly
empty. The sum over sites proceeds in blocks up to the last site, so one compiled program serves
nearly all sizes. Each of several threads treats a batch of crystals.

Symmetry relates reflections, and only one of each related set is computed. Friedel's law halves
them in any case; in the class m-3m, one reflection represents up to 48.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from cmed_jax.physics.cell import check_b_factor, reciprocal_lattice
from cmed_jax.physics.crystal import Crystal, padded_size, stack
from cmed_jax.physics.form_factors import Table, dispersion
from cmed_jax.physics.host_factors import squared_factors
from cmed_jax.physics.scattering import combined, site_sums

COINCIDENCE = 1e-7
"""The distance in s (1/angstrom) within which lines are merged into one, at their centroid.

No diffractometer separates them. In cells given to eight decimals, it merges the lines that
symmetry makes equal.
"""
ABSENT = 1e-10
"""The share of the strongest line below which lines are rounding errors of systematic absences."""
MOST = 2e7
"""The largest number of indices h, k, l tried for a crystal; embedded ones need up to 1 million."""
LARGEST = 1000.0
"""The largest s_max, 1/angstrom; gamma rays reach it."""
ROW = 256
"""The number of reflections in a row."""
ROWS = {"cpu": 64}
"""The number of rows in a call, by backend: some milliseconds of work from a core's own cache."""
ROWS_OF_ACCELERATORS = 4096
MUCH = {"cpu": 1e4}
"""The number of reflections times sites, by backend, from which a crystal's own arrays pay off."""
BLOCK = 4
"""The number of sites in a block of the sum over sites."""
CAPACITY = 64
"""The least number of sites a program is compiled for; it sums only over sites that exist."""

FRIEDEL = np.stack([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
"""The smallest Laue class, which holds for every crystal: |F(h)| = |F(-h)|."""


class Sphere(NamedTuple):
    """One reflection of each Friedel pair within a sphere, ascending in s (1/angstrom)."""

    s: Float[np.ndarray, " m"]
    hkl: Integer[np.ndarray, "m 3"]


class Orbits(NamedTuple):
    """One reflection of each orbit within a sphere, ascending in s (1/angstrom).

    An orbit is a set of reflections related by symmetry, and `multiplicity` is its size.
    """

    s: Float[np.ndarray, " m"]
    hkl: Integer[np.ndarray, "m 3"]
    multiplicity: Float[np.ndarray, " m"]


def reflections(
    crystal: Crystal,
    *,
    s_max: float | None = None,
    wavelength: float | None = None,
    table: Table = "it92",
    b_factor: float = 0.0,
    anomalous: bool = False,
) -> Float[np.ndarray, "m 2"]:
    """Return the powder lines of a crystal, ascending in s.

    Args:
        crystal: a single crystal.
        s_max: largest s = 1/d in 1/angstrom.
        wavelength: wavelength, angstrom. Without s_max, the lines extend to s = 2 / wavelength, at
            two-theta = 180 degrees.
        table: table of form factors.
        b_factor: isotropic B of every atom, angstrom^2.
        anomalous: add the anomalous dispersion f' + i f'' at the wavelength.

    Returns:
        Columns s (1/angstrom) and intensity (electrons^2, multiplicity included), float64.

    Raises:
        ValueError: neither s_max nor a wavelength is given, or one of them is not positive,
            b_factor is negative, or anomalous dispersion is requested without a wavelength.

    Example:
        >>> atoms = np.array([26, 26]), np.array([[0.0] * 3, [0.5] * 3])
        >>> lines = reflections(Crystal.of(2.87 * np.eye(3), *atoms), s_max=0.8)
        >>> (1 / lines[:, 0]).round(3).tolist()  # d of 110 and 200, angstrom
        [2.029, 1.435]
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
    table: Table = "it92",
    b_factor: float = 0.0,
    anomalous: bool = False,
    dtype: type[np.floating] = np.float64,
    laue: Sequence[Integer[np.ndarray, "_ 3 3"]] | None = None,
    threads: int | None = None,
) -> list[Float[np.ndarray, "_ 2"]]:
    """Return the powder lines of many crystals, like `reflections` for one.

    Args:
        crystals: single crystals of any size.
        s_max: largest s = 1/d in 1/angstrom, as in `reflections`.
        wavelength: wavelength, angstrom, as in `reflections`.
        table: table of form factors.
        b_factor: isotropic B of every atom, angstrom^2.
        anomalous: add the anomalous dispersion at the wavelength.
        dtype: type of |F|^2; positions and sums are float64 in any case.
        laue: Laue class of each crystal, in the form of `unique_reflections`. It must be the
            crystal's own, or a subgroup of it.
        threads: number of concurrent threads; None means one for each core.

    Raises:
        ValueError: as `reflections`.
    """
    s_max = _reach(s_max, wavelength)
    check_b_factor(b_factor)
    if anomalous and wavelength is None:
        raise ValueError("anomalous dispersion depends on the wavelength: give it in angstrom")
    added = wavelength if anomalous else None
    laue = laue or [FRIEDEL] * len(crystals)
    counts = _reflection_counts(crystals, s_max, laue)
    sites = np.array([crystal.frac_coords.shape[0] for crystal in crystals])
    # Each crystal decides for itself: its lines do not depend on the others.
    on_host = counts * sites >= (_much() if dtype == np.float64 else np.inf)

    def treat(load: list[int]) -> list[Float[np.ndarray, "_ 2"]]:
        members = [crystals[i] for i in load]
        orbits = [unique_reflections(np.asarray(crystals[i].lattice), s_max, laue[i]) for i in load]
        if on_host[load[0]]:
            squared = [
                squared_factors(each, hkl, s, table=table, b_factor=b_factor, wavelength=added)
                for each, (s, hkl, _) in zip(members, orbits, strict=True)
            ]
        else:
            squared = _scatter(members, orbits, b_factor, added, table, dtype)
        return [
            _merge(one.s, one.multiplicity * values)
            for one, values in zip(orbits, squared, strict=True)
        ]

    loads = list(_loads(crystals, counts, on_host))
    with ThreadPoolExecutor(threads) as pool:
        found = chain.from_iterable(pool.map(treat, loads))
        lines = dict(zip(chain.from_iterable(loads), found, strict=True))
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
    """Return one reflection of each orbit with 0 < s <= s_max (1/angstrom).

    A symmetry operation x -> W x + w relates h to h W. The representative of an orbit is the
    reflection that comes last by l, then k, then h.

    Args:
        lattice: rows a, b, c in angstrom.
        s_max: largest s = 1/d, 1/angstrom.
        laue: W of all operations and of their products with the inversion.

    Raises:
        ValueError: the lattice is flat, or s_max is not a positive number.
    """
    _check_reach(s_max)
    reciprocal = reciprocal_lattice(lattice)
    radius = s_max * (1 + 1e-9)  # rounding must not split a line that lies exactly at s_max
    # h = a.s, so that |h| <= |a| s_max: the box that holds the sphere.
    h_max, k_max, l_max = _box(radius * np.linalg.norm(lattice, axis=1)).tolist()
    h, k, ell = np.ogrid[-h_max : h_max + 1, -k_max : k_max + 1, 0 : l_max + 1]
    metric = reciprocal @ reciprocal.T
    # s^2 as a quadratic form in l, so that few operations touch the whole box.
    squared = 2 * (h * metric[0, 2] + k * metric[1, 2]) + ell * metric[2, 2]
    squared *= ell
    squared += h * h * metric[0, 0] + 2 * h * k * metric[0, 1] + k * k * metric[1, 1]
    last = squared <= radius**2
    last[:, :k_max, 0] = False  # for l = 0 the half k > 0 comes last, and for k = 0 the half h > 0
    last[: h_max + 1, k_max, 0] = False
    others = laue[np.abs(np.trace(laue, axis1=1, axis2=2)) < 3]  # without identity and inversion
    for a, b, c in {tuple(column) for column in others[:, :, 2].tolist()}:
        last &= h * a + k * b <= ell * (1 - c)  # the image has no larger l
    index = np.flatnonzero(last).astype(np.int32)
    s = np.sqrt(squared.ravel()[index])
    order = _ascending(s / radius)
    plane, ell = np.divmod(index[order], np.int32(l_max + 1))
    h, k = np.divmod(plane, np.int32(2 * k_max + 1))
    hkl = np.stack(
        [h - np.int32(h_max), k - np.int32(k_max), ell], axis=1, dtype=np.int16, casting="unsafe"
    )
    one_of_pairs = Orbits(s[order], hkl, np.full(len(s), 2.0))
    return _one_of_each_orbit(one_of_pairs, others) if len(others) else one_of_pairs


def _one_of_each_orbit(pairs: Orbits, others: Integer[np.ndarray, "p 3 3"]) -> Orbits:
    """Return the reflections that come last among their images."""
    # The place in the order by l, k, h as one number, and the distance of each image behind it.
    base = 2.0 * np.abs(pairs.hkl).max(initial=0) + 1
    place = np.array([1.0, base, base**2])
    behind = pairs.hkl @ (place - others @ place).T
    last = (behind >= 0).all(axis=1)
    same = 1 + (behind[last] == 0).sum(axis=1)
    return Orbits(pairs.s[last], pairs.hkl[last], (len(others) + 2) / same)


def _box(sizes: Float[np.ndarray, "3"]) -> Integer[np.ndarray, "3"]:
    points = np.prod(2 * np.floor(sizes) + 1)
    if not points <= MOST:
        raise ValueError(
            f"about {points:.2g} reflections would be tried, more than {MOST:.0g}: "
            "give a smaller s_max (a longer wavelength), or a reduced cell"
        )
    return np.floor(sizes).astype(int)


def _ascending(shares: Float[np.ndarray, " m"]) -> Integer[np.ndarray, " m"]:
    """Return the sorting order of numbers from 0 to 1, to within 2^-32, far under `COINCIDENCE`.

    NumPy sorts 16-bit numbers by radix. Two passes take a third of the time of any other sort.
    """
    digits = (shares * (2**32 - 1)).astype(np.uint32)
    low = np.argsort(digits.astype(np.uint16), kind="stable")
    return low[np.argsort((digits >> 16).astype(np.uint16)[low], kind="stable")]


def _reach(s_max: float | None, wavelength: float | None) -> float:
    if wavelength is not None and not 0 < wavelength < np.inf:
        raise ValueError(f"wavelength is {wavelength}: give a positive number in angstrom")
    if s_max is not None:
        _check_reach(s_max)
        return s_max
    if wavelength is None:
        raise ValueError("how far the reflections go is missing: give s_max or a wavelength")
    _check_reach(2 / wavelength)
    return 2 / wavelength


def _check_reach(s_max: float) -> None:
    if not 0 < s_max <= LARGEST:  # also for NaN
        raise ValueError(f"s_max is {s_max}: give 1/angstrom, above 0 and at most {LARGEST:.0f}")


def _reflection_counts(
    crystals: Sequence[Crystal], s_max: float, laue: Sequence[Integer[np.ndarray, "_ 3 3"]]
) -> Float[np.ndarray, " n"]:
    """Return about the number of orbits of each crystal within a sphere."""
    lattices = np.reshape([crystal.lattice for crystal in crystals], (-1, 3, 3))
    sphere = 4 / 3 * np.pi * s_max**3
    return sphere * np.abs(np.linalg.det(lattices)) / [len(group) for group in laue]


def _loads(
    crystals: Sequence[Crystal], counts: Float[np.ndarray, " n"], on_host: Bool[np.ndarray, " n"]
) -> Iterator[list[int]]:
    """Yield the indices of crystals that are treated together, about one call's work each."""
    kinds = [(*padded_size(each), host) for each, host in zip(crystals, on_host, strict=True)]
    rows = np.ceil(counts / ROW + 0.5)
    for kind in sorted(set(kinds)):
        members = np.flatnonzero([each == kind for each in kinds])
        load = np.cumsum(rows[members]) // _rows_of_a_call()
        yield from (part.tolist() for part in np.split(members, np.flatnonzero(np.diff(load)) + 1))


def _much() -> float:
    """Return the number of reflections times sites from which a crystal is treated on the host."""
    return MUCH.get(jax.default_backend(), np.inf)


def _rows_of_a_call() -> int:
    return ROWS.get(jax.default_backend(), ROWS_OF_ACCELERATORS)


def _scatter(
    crystals: Sequence[Crystal],
    orbits: Sequence[Orbits],
    b_factor: float,
    wavelength: float | None,
    table: Table,
    dtype: type[np.floating],
) -> list[Float[np.ndarray, " _"]]:
    """Return |F|^2 of the reflections of each crystal; all have one padded size."""
    call = _rows_of_a_call()
    blocks = -(-max(crystal.frac_coords.shape[0] for crystal in crystals) // BLOCK)
    rows = [-(-len(one.s) // ROW) for one in orbits]
    hkl = np.zeros((max(-(-sum(rows) // call), 1) * call, ROW, 3), np.int16)
    for one, mine in zip(orbits, np.split(hkl, np.cumsum(rows)), strict=False):
        mine.reshape(-1, 3)[: len(one.hkl)] = one.hkl
    owner = np.resize(np.repeat(np.arange(len(crystals)), rows), len(hkl))  # some rows are empty
    lattice, species, occupancy, frac_coords = stack(crystals, CAPACITY)
    floats = [lattice, occupancy, frac_coords]
    if wavelength is not None:
        floats.append(np.stack([dispersion(each, wavelength) for each in species]))
    arguments = (species, *(x.astype(dtype) for x in floats))
    with jax.enable_x64(dtype == np.float64):
        parts = (slice(first, first + call) for first in range(0, len(hkl), call))
        squared = [
            _squared(
                table, blocks, dtype(b_factor), hkl[part], *(x[owner[part]] for x in arguments)
            )
            for part in parts
        ]
    found = np.split(np.concatenate(squared), np.cumsum(rows))
    return [mine.ravel()[: len(one.s)] for one, mine in zip(orbits, found, strict=False)]


@partial(jax.jit, static_argnums=0)
def _squared(
    table: Table,
    blocks: Integer[Array, ""] | int,
    b_factor: Float[Array, ""],
    hkl: Integer[Array, "b m 3"],
    species: Integer[Array, "b k"],
    lattice: Float[Array, "b 3 3"],
    occupancy: Float[Array, "b k n"],
    frac_coords: Float[Array, "b n 3"],
    added: Float[Array, "b 2 k"] | None = None,
) -> Float[Array, "b m"]:
    """Return |F|^2, summed over blocks of sites: one compiled program for any number of sites."""
    h = jnp.moveaxis(hkl, -1, 1).astype(lattice.dtype)

    def add(block: Array, sums: Array) -> Array:
        part = partial(jax.lax.dynamic_slice_in_dim, start_index=block * BLOCK, slice_size=BLOCK)
        return sums + jax.vmap(site_sums)(part(occupancy, axis=2), part(frac_coords, axis=1), h)

    nothing = jnp.zeros((len(h), 2, species.shape[1], h.shape[2]), h.dtype)
    sums = jax.lax.fori_loop(0, blocks, add, nothing)
    crystals = Crystal(lattice, species, occupancy, frac_coords)
    combine = partial(combined, table=table)
    return jax.vmap(lambda c, h, s, d: combine(c, h, s, b_factor, d))(crystals, h, sums, added)[1]


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
