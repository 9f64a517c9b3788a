"""Accuracy of methods that find the background: `python -m benchmarks.backgrounds`.

Embedded materials are simulated under random conditions of the `laboratory` preset, Cu K-alpha, on
5,000 points, with counting noise. The area between the found and the true background, and their
difference, are printed as shares of the area of all peaks. With `--patterns` (a folder with
`manifest.csv`, columns file, wavelength_A and cell) measured files follow. Their figure is the net
intensity more than a degree away from all lines of the known cell, where there should be none, in
standard deviations of the counting.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Float

from benchmarks.patterns import ListedPattern, listed_patterns
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.lines import padded_lines
from cmed_jax.physics.artefact_ranges import LABORATORY
from cmed_jax.physics.artefacts import expected, sample_conditions
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.grids import Grid
from cmed_jax.physics.instrument import Lines
from cmed_jax.physics.patterns import RADIATIONS, two_theta
from cmed_jax.physics.reflections import half_sphere, reflections
from cmed_jax.powder.background import Method, background
from cmed_jax.powder.noise import counting_noise

POINTS = 5000
"""The number of points of every simulated pattern, fixed so that one program is compiled."""
FAR = 1.0
"""The distance from all lines beyond which only background is expected, degrees."""


@dataclass(frozen=True)
class Options:
    """Compare methods that find the background.

    Attributes:
        materials: number of simulated materials.
        stiffness: periods of the waves that a background follows to a half, degrees.
        patterns: a folder of measured files.
        seed: seed of the conditions.
    """

    materials: int = 20
    stiffness: tuple[float, ...] = (5.0, 10.0, 20.0)
    patterns: Path | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Simulated:
    """A simulated pattern: counts, and the parts that they consist of."""

    angle: Float[np.ndarray, " n"]
    counts: Float[np.ndarray, " n"]
    background: Float[np.ndarray, " n"]
    peaks: Float[np.ndarray, " n"]


def simulate(material: Material, seed: int) -> Simulated:
    """Return a material's pattern under conditions drawn at random."""
    conditions = sample_conditions(jax.random.key(seed), LABORATORY)
    start, stop = float(conditions.start), float(conditions.stop)
    crystal = Crystal.of(material.lattice, material.numbers, material.frac_coords)
    s_max = 2 * np.sin(np.radians(min(stop + 2, 179)) / 2) / RADIATIONS["CuKa1"]
    padded, _ = padded_lines(material.lattice, reflections(crystal, s_max=s_max))
    lines = Lines(jnp.asarray(padded.s), jnp.asarray(padded.intensity))
    grid = Grid(start, stop, POINTS, wavelength=RADIATIONS["CuKa"])
    clean = conditions._replace(
        background=0 * conditions.background, hump=conditions.hump.at[0].set(0.0)
    )
    total, peaks = (np.asarray(expected(lines, c, grid)[0], float) for c in (conditions, clean))
    scale = float(conditions.counts) / total.max()
    counts = np.random.default_rng(seed).poisson(scale * total).astype(float)
    return Simulated(grid.centres, counts, scale * (total - peaks), scale * peaks)


def errors(one: Simulated, method: Method, stiffness: float) -> tuple[float, float]:
    """Return the area between found and true background, and the excess, as shares of the peaks."""
    off = background(one.angle, one.counts, method, stiffness) - one.background
    return np.abs(off).sum() / one.peaks.sum(), off.sum() / one.peaks.sum()


def left_between_lines(listed: ListedPattern, method: Method) -> float:
    """Return the mean net intensity far from the lines of a measured file, over its noise."""
    measured = listed.load()
    lattice = primitive_lattice(listed.known_cell)
    s = half_sphere(lattice, 2 / measured.radiation.mean).s
    lines = np.unique(two_theta(s, measured.radiation.mean).round(2))
    away = np.abs(measured.two_theta[:, None] - lines).min(axis=1) > FAR
    net = measured.intensity - background(measured.two_theta, measured.intensity, method)
    return float(np.mean(net[away] / counting_noise(measured.intensity)[away]))


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    methods = [method for method in get_args(Method) if method != "none"]
    known = (each for each in open_source() if isinstance(each, Material))
    every = islice(known, 0, None, 11_000 // options.materials)
    simulated = [simulate(each, options.seed + k) for k, each in enumerate(every)]
    print(f"{len(simulated)} simulated patterns       |area|   median   excess")
    for stiffness in options.stiffness:
        for method in methods:
            area, excess = np.array([errors(one, method, stiffness) for one in simulated]).T
            figures = f"{area.mean():10.3f} {np.median(area):8.3f} {excess.mean():8.3f}"
            print(f"{method:10} {stiffness:5.0f} degrees {figures}")
    if options.patterns is None:
        return
    print("measured, net between lines  " + " ".join(f"{method:>8}" for method in methods))
    for listed in listed_patterns(options.patterns):
        found = [left_between_lines(listed, method) for method in methods]
        print(f"{listed.path.name:28} " + " ".join(f"{value:8.2f}" for value in found))


if __name__ == "__main__":
    main()
