"""The powder pattern of a crystal in one call: for interactive use, and for gradients."""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import gemmi
import jax
import numpy as np
from jaxtyping import Array, Float, Num

from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.form_factors import Table
from cmed_jax.physics.grids import Grid
from cmed_jax.physics.instrument import PERFECT, Instrument, Lines, Sample, radiation
from cmed_jax.physics.patterns import powder_lines
from cmed_jax.physics.reflections import reflections
from cmed_jax.physics.rendering import render
from cmed_jax.physics.scattering import squared_structure_factors

if TYPE_CHECKING:
    from pymatgen.core import Structure

PART = 256
"""The number of lines rendered at once; it bounds the memory."""
MOST = 100_000
"""The largest number of bins of a simulated pattern."""
WIDTH = 0.1
"""The FWHM of the lines of a simulated pattern without an instrument, degrees."""


class SimulatedPattern(NamedTuple):
    """A powder pattern, scaled to a maximum of 100.

    Attributes:
        two_theta: middle of each bin, degrees.
        intensity: intensity collected in each bin.
        lines: d (angstrom), two-theta (degrees) and integrated intensity of each line, in columns,
            for the mean wavelength of the radiation.
    """

    two_theta: Float[np.ndarray, " n"]
    intensity: Float[np.ndarray, " n"]
    lines: Float[np.ndarray, "m 3"]


def simulate_pattern(
    structure: "Structure",
    wavelength: str | float = "CuKa",
    *,
    start: float = 10.0,
    stop: float = 80.0,
    step: float = 0.02,
    instrument: Instrument | None = None,
    sample: Sample = PERFECT,
    table: Table = "it92",
    anomalous: bool = False,
) -> SimulatedPattern:
    """Return the powder pattern of a pymatgen structure, with lines and profiles.

    Args:
        structure: crystal structure, ordered, or with partly filled and mixed sites.
        wavelength: radiation such as "CuKa" (a doublet), or a wavelength in angstrom. It is ignored
            where an instrument is given, which has its own.
        start: lower end of the pattern, two-theta in degrees.
        stop: upper end of the pattern, two-theta in degrees.
        step: width of a bin, degrees.
        instrument: the diffractometer; None means lines of the width `WIDTH` everywhere, without
            monochromator.
        sample: the powder; its B factor also weakens the lines.
        table: table of form factors.
        anomalous: add the anomalous dispersion f' + i f'' at the mean wavelength.

    Raises:
        ValueError: the radiation is unknown, its shares do not sum to 1, the range holds no bin, an
            element has no form factor, or the structure has no atoms or no volume.

    Example:
        >>> from pymatgen.core import Lattice, Structure
        >>> salt = Structure.from_spacegroup(
        ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
        ... )
        >>> pattern = simulate_pattern(salt, "CuKa", stop=50.0)
        >>> pattern.lines[:, :2].round(2).tolist()  # d and two-theta of 111, 200 and 220
        [[3.26, 27.39], [2.82, 31.73], [1.99, 45.49]]
    """
    if not 0 < step < np.inf:
        raise ValueError(f"step is {step}: give a positive number of degrees")
    if (stop - start) / step > MOST:
        raise ValueError(f"step is {step}: give one that makes at most {MOST} bins")
    instrument = instrument or Instrument(*radiation(wavelength), w=WIDTH**2)
    wavelengths, weights = np.asarray(instrument.wavelengths), np.asarray(instrument.weights)
    if not np.isclose(weights.sum(), 1):
        raise ValueError(f"the weights of the radiation are {weights}: give shares that sum to 1")
    mean = float(weights @ wavelengths)
    grid = Grid(start, stop, max(round((stop - start) / step), 1), wavelength=mean)
    found = reflections(
        crystal_of(structure),
        s_max=2 / wavelengths.min(),
        wavelength=mean,
        table=table,
        anomalous=anomalous,
    )
    thermal = np.exp(-sample.b_factor * found[:, 0] ** 2 / 2)
    weakened = found * np.stack([np.ones_like(thermal), thermal], axis=1)
    angle, strength = powder_lines(weakened, mean, float(instrument.monochromator))
    inside = (angle >= start) & (angle <= stop)
    d = 1 / found[: len(angle), 0]
    lines = np.stack([d, angle, strength], axis=1)[inside]
    lines[:, 2] *= 100 / (lines[:, 2].max(initial=0) or 1)
    parts = [_profiles(part, grid, instrument, sample) for part in _parts(found)]
    intensity = np.sum(parts, axis=0)
    return SimulatedPattern(grid.centres, 100 * intensity / (intensity.max() or 1), lines)


def _parts(lines: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "k p 2"]:
    """Return the lines in parts of equal length, with the last part padded with zeros."""
    padded = np.zeros((max(-(-len(lines) // PART), 1) * PART, 2))
    padded[: len(lines)] = lines
    return padded.reshape(-1, PART, 2)


def _profiles(
    lines: Float[np.ndarray, "m 2"], grid: Grid, instrument: Instrument, sample: Sample
) -> Float[np.ndarray, " bins"]:
    return np.asarray(_render(Lines(*lines.T), instrument, sample, grid=grid), float)


@partial(jax.jit, static_argnames="grid")
def _render(
    lines: Lines, instrument: Instrument, sample: Sample, *, grid: Grid
) -> Float[Array, " bins"]:
    return render(lines, grid, instrument, sample)[0]


def crystal_of(structure: "Structure") -> Crystal:
    """Return the crystal of a pymatgen structure; its sites may be partly filled or mixed.

    Raises:
        ValueError: the structure is invalid, as in `Crystal.of`.
    """
    atoms = [
        (gemmi.Element(species.symbol).atomic_number, site.frac_coords, occupancy)
        for site in structure
        for species, occupancy in site.species.items()
    ]
    numbers, frac_coords, occupancies = zip(*atoms, strict=True) if atoms else ([], [], [])
    return Crystal.of(
        structure.lattice.matrix,
        np.array(numbers, int),
        np.array(frac_coords, float).reshape(-1, 3),
        np.array(occupancies, float),
    )


def powder_pattern(
    crystal: Crystal,
    hkl: Num[Array | np.ndarray, "m 3"],
    grid: Grid,
    instrument: Instrument,
    sample: Sample = PERFECT,
    *,
    dispersion: Float[Array | np.ndarray, "2 k"] | None = None,
    table: Table = "it92",
) -> Float[Array, " bins"]:
    """Return the pattern of a crystal as a pure function, for `jax.jit`, `vmap` and `grad`.

    The reflections are not merged, so their positions may separate as the lattice changes.

    Args:
        crystal: a single crystal, padded or not.
        hkl: reflections, one of each Friedel pair (`half_sphere`), up to the largest angle of the
            instrument, or farther if the cell may shrink; (0, 0, 0) is padding.
        grid: grid of the pattern.
        instrument: the diffractometer; a gradient needs widths that do not vanish.
        sample: the powder.
        dispersion: f' and f'' of each species, electrons, or None.
        table: table of form factors.
    """
    s, squared = squared_structure_factors(crystal, hkl, 0.0, dispersion, table=table)
    return render(Lines(s, 2 * squared), grid, instrument, sample)[0]
