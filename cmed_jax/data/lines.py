"""The lines of a split for the device: the strongest lines of each material, padded.

Records hold every line up to s = 2.8 / angstrom, thousands for a large cell of low symmetry. A step
that renders new patterns uses the `LINES` strongest lines of each material within the range of its
instruments.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from cmed_jax.data.dataset import read_records
from cmed_jax.physics.cell import reciprocal_lattice
from cmed_jax.physics.instrument import Lines
from cmed_jax.physics.patterns import MO_K_ALPHA, lorentz_polarization_of_sine
from cmed_jax.physics.reflections import half_sphere
from cmed_jax.physics.texture import moments

LINES = 256
"""The number of lines of each material. They take 16 kB, and its density 250 kB."""
SAME = 1e-6
"""The distance in s, 1/angstrom, within which a reflection belongs to a line.

The position of a line is the centroid of its reflections.
"""


def load_lines(
    directory: str | Path, split: str, s_max: float, number: int = LINES
) -> tuple[Lines, Float[np.ndarray, " n"]]:
    """Read the strongest lines of a split, padded with zeros, in the order of its examples.

    Args:
        directory: folder of one configuration and version, such as ``DATA_DIR/cmed/cubic/3.1.0``.
        split: name of the split.
        s_max: largest s of the lines, 1/angstrom.
        number: number of lines of each material.

    Returns:
        s and intensity (strongest 1) as float32, ascending in s, with the moments as float16; and
        for each material the share of the intensity within s_max in these lines.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
        ValueError: the dataset has no such split.
    """
    rows = {}
    for record in read_records(directory, split):
        within = record["reflections"][record["reflections"][:, 0] <= s_max]
        rows[record["material_id"]] = padded_lines(record["lattice"], within, number)
    lines, shares = zip(*(rows[name] for name in sorted(rows)), strict=True)
    return Lines(*map(np.stack, zip(*lines, strict=True))), np.array(shares)


def padded_lines(
    lattice: Float[np.ndarray, "3 3"], reflections: Float[np.ndarray, "m 2"], number: int = LINES
) -> tuple[Lines, float]:
    """Return the strongest lines of a crystal, padded with zeros, and their share of all intensity.

    The reflections of a line follow from the lattice. Coinciding reflections are taken to be
    equally strong, which holds exactly for those related by symmetry.
    """
    strengths = strength(reflections)
    strongest = np.sort(np.argsort(-strengths, kind="stable")[:number])
    kept = reflections[strongest]
    s, intensity = np.zeros((2, number), np.float32)
    directions = np.zeros((number, 28), np.float16)
    share = 1.0
    if len(kept):
        s[: len(kept)] = kept[:, 0]
        intensity[: len(kept)] = kept[:, 1] / kept[:, 1].max()
        directions[: len(kept)] = _mean_moments(lattice, kept[:, 0])
        share = float(strengths[strongest].sum() / strengths.sum())
    return Lines(s, intensity, directions), share


def strength(reflections: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, " m"]:
    """Return the intensity of lines in the published pattern, with 0 at backscattering."""
    s, intensity = reflections.T
    sine = s * MO_K_ALPHA / 2
    reached = sine < 1 - 1e-9
    factor = lorentz_polarization_of_sine(np.where(reached, sine, 0.5))
    return np.where(reached, intensity * factor, 0)


def _mean_moments(
    lattice: Float[np.ndarray, "3 3"], s: Float[np.ndarray, " l"]
) -> Float[np.ndarray, "l 28"]:
    """Return the mean moments of the reflections of each line; lines ascend in s."""
    lengths, hkl = half_sphere(lattice, s[-1] + SAME)
    nearest = np.searchsorted((s[1:] + s[:-1]) / 2, lengths)
    member = np.abs(lengths - s[nearest]) < SAME
    line = nearest[member]
    directions = hkl[member] @ reciprocal_lattice(lattice) / lengths[member, None]
    total = np.zeros((len(s), 28))
    np.add.at(total, line, moments(directions))
    return total / np.bincount(line, minlength=len(s))[:, None]
