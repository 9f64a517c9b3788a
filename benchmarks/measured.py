"""Measured patterns beside the `laboratory` preset: `python -m benchmarks.measured FILE.csv ...`.

Each pattern is rendered from a structure of the literature in the measured cell, under the
conditions in the middle of every range of the preset, for Cu K-alpha 1 and 2, on the file's own
grid. Only the zero shift (and, through the cosine, the scale) is fitted. The output is the cosine
between the two patterns with the preset's background, and without it. The latter suits a file
without background.

The files have two columns, two-theta in degrees and intensity. A `manifest.csv` beside them gives
formula, space group and cell (columns file, formula, spacegroup, cell).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro
from jaxtyping import Float
from pymatgen.core import Composition, Lattice, Structure

from benchmarks.patterns import listed_patterns
from cmed_jax.data.lines import padded_lines
from cmed_jax.io.pattern import load_pattern
from cmed_jax.physics.artefact_ranges import LABORATORY, Artefacts
from cmed_jax.physics.artefacts import central_conditions, expected
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.grids import Grid
from cmed_jax.physics.instrument import Lines
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.physics.reflections import reflections

ROCK_SALT = ("Fm-3m", [[0, 0, 0], [0.5, 0.5, 0.5]])
CORUNDUM = ("R-3c", [[0, 0, 0.3522], [0.3064, 0, 0.25]])
STRUCTURES = {
    "NaCl": ROCK_SALT,
    "KCl": ROCK_SALT,
    "MnO": ROCK_SALT,
    "MnS": ROCK_SALT,
    "PbSe": ROCK_SALT,
    "CaF2": ("Fm-3m", [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "Al2O3": CORUNDUM,
    "MnO2": ("P4_2/mnm", [[0, 0, 0], [0.3046, 0.3046, 0]]),
}
"""The space group and the sites of each element, in the order of the formula."""
CLEAN = replace(LABORATORY, background=(0.0, 0.0), hump=(0.0, 0.0))
SHIFTS = np.arange(-0.3, 0.3005, 0.005)
"""The zero shifts that are tried, degrees."""


@dataclass(frozen=True)
class Options:
    """Render measured patterns with the laboratory preset and print the cosines.

    Attributes:
        patterns: the files.
        out: a picture of the patterns to write.
    """

    patterns: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """A measured and a rendered pattern, both with strongest 1, and their cosines."""

    name: str
    angle: Float[np.ndarray, " n"]
    measured: Float[np.ndarray, " n"]
    rendered: Float[np.ndarray, " n"]
    cosine: float
    shift: float
    without_background: float


def compare(path: Path) -> Comparison:
    """Return a file beside its rendering, both with the best zero shift.

    Raises:
        ValueError: the manifest does not name the file, or its formula has no structure here.
    """
    pattern = load_pattern(path, "CuKa")  # all files of the manifest are measured with it
    angle, intensity = pattern.two_theta, pattern.intensity
    lines = crystal_lines(path)
    cosine, shift, rendered = best_shift(lines, angle, intensity, LABORATORY)
    without, _, _ = best_shift(lines, angle, intensity, CLEAN)
    return Comparison(
        path.stem,
        angle,
        intensity / intensity.max(),
        rendered / rendered.max(),
        cosine,
        shift,
        without,
    )


def crystal_lines(path: Path) -> Lines:
    """Return the lines of the material that the manifest gives for a file."""
    listed = {each.path.name: each for each in listed_patterns(path.parent)}
    if path.name not in listed:
        raise ValueError(f"{path.name} is not in the manifest beside it: add its row")
    formula = listed[path.name].formula
    if formula not in STRUCTURES:
        raise ValueError(f"no structure for {formula}: there are {', '.join(STRUCTURES)}")
    group, sites = STRUCTURES[formula]
    cell = Lattice.from_parameters(*listed[path.name].known_cell)
    elements = list(Composition(formula).get_el_amt_dict())
    structure = Structure.from_spacegroup(group, cell, elements, sites)
    numbers = np.array([site.specie.Z for site in structure])
    crystal = Crystal.of(cell.matrix, numbers, structure.frac_coords)
    found = reflections(crystal, s_max=LABORATORY.s_max, table="pymatgen")
    return jax.tree.map(jnp.asarray, padded_lines(cell.matrix, found)[0])


def best_shift(
    lines: Lines,
    angle: Float[np.ndarray, " n"],
    intensity: Float[np.ndarray, " n"],
    artefacts: Artefacts,
) -> tuple[float, float, Float[np.ndarray, " n"]]:
    """Return the cosine, the zero shift and the rendered pattern at the best agreement."""
    half = (angle[-1] - angle[0]) / (len(angle) - 1) / 2
    copper = RADIATIONS["CuKa"]
    grid = Grid(angle[0] - half, angle[-1] + half, len(angle), wavelength=copper)
    conditions = central_conditions(artefacts)._replace(start=jnp.array(0.0), stop=jnp.array(180.0))

    def rendered(shift: jax.Array) -> jax.Array:
        instrument = conditions.instrument._replace(zero=shift)
        return expected(lines, conditions._replace(instrument=instrument), grid)[0]

    patterns = np.asarray(jax.lax.map(rendered, jnp.asarray(SHIFTS)))
    norms = np.linalg.norm(patterns, axis=1) * np.linalg.norm(intensity)
    cosines = patterns @ intensity / norms
    best = int(np.argmax(cosines))
    return float(cosines[best]), float(SHIFTS[best]), patterns[best]


def draw(comparisons: list[Comparison], out: Path) -> None:
    """Draw the measured patterns above their renderings."""
    figure, axes = plt.subplots(
        len(comparisons), figsize=(9, 2.6 * len(comparisons)), squeeze=False, layout="constrained"
    )
    for ax, c in zip(axes[:, 0], comparisons, strict=True):
        ax.plot(c.angle, c.measured, lw=0.8, label="measured")
        ax.plot(c.angle, c.rendered - 1.1, lw=0.8, label="laboratory preset, shifted down")
        ax.set_title(f"{c.name}: cosine {c.cosine:.3f}", loc="left", fontsize=10)
        ax.set_yticks([])
        ax.set_xlim(c.angle[0], c.angle[-1])
    axes[0, 0].legend(frameon=False)
    axes[-1, 0].set_xlabel("two-theta, degrees (Cu K-alpha)")
    figure.savefig(out, dpi=110)


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    comparisons = [compare(path) for path in options.patterns]
    print(f"{'':24} {'cosine':>7} {'shift':>7} {'without background':>19}")
    for c in comparisons:
        print(f"{c.name:24} {c.cosine:7.3f} {c.shift:7.3f} {c.without_background:19.3f}")
    if options.out:
        draw(comparisons, options.out)


if __name__ == "__main__":
    main()
