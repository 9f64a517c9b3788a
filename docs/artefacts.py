"""Draw every artefact on one crystal, corundum: `python docs/artefacts.py` writes artefacts.png."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from pymatgen.core import Lattice, Structure

from cmed_jax.data.lines import padded_lines
from cmed_jax.physics.artefact_ranges import LABORATORY, PRESETS, Artefacts
from cmed_jax.physics.artefacts import (
    Conditions,
    central_conditions,
    expected,
    measure,
    poisson_counts,
    sample_conditions,
)
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.grids import PUBLISHED_GRID, Grid
from cmed_jax.physics.instrument import Lines
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.physics.reflections import reflections

OUT = Path(__file__).with_name("artefacts.png")
GRID = Grid(10.0, 90.0, 4000, wavelength=1.54184)
DETAIL = (65.5, 69.5)
KEY = jax.random.key(5)
NOTHING = replace(
    LABORATORY, start=(10.0, 10.0), stop=(90.0, 90.0), background=(0.0, 0.0), hump=(0.0, 0.0)
)


def corundum() -> Lines:
    """Return the lines of corundum, Newnham & de Haan 1962."""
    cell = Lattice.hexagonal(4.7587, 12.9929)
    oxide = Structure.from_spacegroup(
        "R-3c", cell, ["Al", "O"], [[0, 0, 0.3522], [0.3064, 0, 0.25]]
    )
    numbers = np.array([site.specie.Z for site in oxide])
    found = reflections(Crystal.of(cell.matrix, numbers, oxide.frac_coords), s_max=2.8)
    return jax.tree.map(jnp.asarray, padded_lines(cell.matrix, found)[0])


def at_the_ends(**ranges: tuple[float, float]) -> list[Conditions]:
    """Return clean conditions with some ranges set to their lower, and to their upper end."""
    ends = [{name: (pair[i], pair[i]) for name, pair in ranges.items()} for i in (0, 1)]
    return [central_conditions(replace(NOTHING, **end)) for end in ends]


def of_laboratory(*names: str) -> list[Conditions]:
    """Return `at_the_ends` of the laboratory's ranges."""
    return at_the_ends(**{name: getattr(LABORATORY, name) for name in names})


def with_fields(**fields: object) -> list[Conditions]:
    """Return clean conditions with some fields changed."""
    return [central_conditions(NOTHING)._replace(**fields)]


def panels() -> dict[str, tuple[list[Conditions], bool]]:
    """Return the conditions to draw by title, and whether to draw them in detail."""
    axis = jnp.array([0.0, 0.0, 1.0])
    foreign = jnp.array([[22.0, 31.0, 48.0, 72.0], [0.03, 0.02, 0.03, 0.01]])
    one = central_conditions(NOTHING).instrument
    return {
        "K-alpha 1 alone, and with 2": (
            [
                central_conditions(NOTHING)._replace(
                    instrument=one._replace(weights=jnp.array([1.0, 0.0]))
                ),
                central_conditions(NOTHING),
            ],
            True,
        ),
        "Caglioti widths, U and W": (of_laboratory("u", "w"), True),
        "crystallites of 20 and 500 nm": (of_laboratory("size"), True),
        "microstrain": (of_laboratory("strain"), True),
        "zero shift": (of_laboratory("zero"), True),
        "sample displacement": (of_laboratory("displacement"), True),
        "thermal motion": (of_laboratory("b_factor"), False),
        "texture along c, r = 0.7 and 1.4": (
            [
                central_conditions(NOTHING)._replace(axis=axis, march=jnp.array(r))
                for r in LABORATORY.march
            ],
            False,
        ),
        "background and its slope": (
            with_fields(background=0.1 * jnp.array([1.0, -0.5, 0.2, -0.1])),
            False,
        ),
        "amorphous hump": (at_the_ends(hump=(0.01, 0.05)), False),
        "impurity lines": (with_fields(impurity=foreign), False),
        "lost range": (with_fields(start=jnp.array(20.0), stop=jnp.array(60.0)), False),
        "intensity calibration": (of_laboratory("calibration"), False),
    }


def plot(ax: Axes, lines: Lines, conditions: list[Conditions], detail: bool) -> None:
    """Draw patterns under some conditions above the clean one."""
    clean, _ = expected(lines, central_conditions(NOTHING), GRID)
    ax.plot(GRID.centres, clean, color="0.75", lw=1.2)
    for one in conditions:
        pattern, coverage = expected(lines, one, GRID)
        ax.plot(GRID.centres, np.where(coverage, pattern, np.nan), lw=0.8)
    ax.set_xlim(DETAIL if detail else (10, 90))


def plot_lifted(ax: Axes, curves: dict[str, tuple[Grid, np.ndarray]]) -> None:
    """Draw curves one above the other, each over its highest point."""
    for lift, (label, (grid, pattern)) in enumerate(curves.items()):
        ax.plot(grid.centres, 1.1 * lift + pattern / pattern.max(), lw=0.7, label=label)
    ax.legend(frameon=False, fontsize=7, loc="upper right")
    ax.set_xlim(10, 90)


def plot_nanocrystals(ax: Axes, lines: Lines) -> None:
    """Draw crystals of the smallest and the largest size of the preset."""
    sizes = PRESETS["nanocrystal"].size
    ends = zip(sizes, at_the_ends(size=sizes), strict=True)
    plot_lifted(ax, {f"{s / 10:.0f} nm": (GRID, expected(lines, c, GRID)[0]) for s, c in ends})


def plot_noise(ax: Axes, lines: Lines, counts: tuple[float, float]) -> None:
    """Draw counted patterns for several numbers of quanta of the strongest line."""
    hazy, _ = expected(lines, at_the_ends(background=(0.05, 0.05))[0], GRID)
    plot_lifted(ax, {f"{n:,.0f}": (GRID, poisson_counts(KEY, n * hazy)) for n in counts})


def plot_wavelengths(ax: Axes, lines: Lines) -> None:
    """Draw the same crystal under three anodes, each on its own two-theta."""
    curves = {}
    for anode in ("Mo", "Cu", "Co"):
        grid = replace(GRID, wavelength=RADIATIONS[f"{anode}Ka"])
        curves[anode] = (
            grid,
            expected(lines, central_conditions(replace(NOTHING, anodes=(anode,))), grid)[0],
        )
    plot_lifted(ax, curves)


def plot_drawn(ax: Axes, lines: Lines, artefacts: Artefacts) -> None:
    """Draw three random measurements on the network's grid, and mark the unmeasured bins."""
    for lift, key in enumerate(jax.random.split(KEY, 3)):
        pattern, coverage = measure(
            key, lines, sample_conditions(key, artefacts), reach=artefacts.reach
        )
        ax.plot(PUBLISHED_GRID.centres, 1.1 * lift + np.where(coverage, pattern, np.nan), lw=0.8)
    ax.set_xlim(0, 100)


def main() -> None:
    """Draw all panels."""
    lines = corundum()
    single: dict[str, Callable[[Axes], None]] = {
        title: (lambda ax, one=what: plot(ax, lines, *one)) for title, what in panels().items()
    }
    single["nanocrystals"] = lambda ax: plot_nanocrystals(ax, lines)
    single["counts in the strongest line"] = lambda ax: plot_noise(ax, lines, LABORATORY.counts)
    single["wavelength"] = lambda ax: plot_wavelengths(ax, lines)
    for name, artefacts in PRESETS.items():
        single[f"{name}, three draws (Mo K-alpha)"] = lambda ax, a=artefacts: plot_drawn(
            ax, lines, a
        )
    figure, axes = plt.subplots(5, 4, figsize=(13, 11), layout="constrained")
    for ax in axes.flat[len(single) :]:
        ax.axis("off")
    for ax, (title, paint) in zip(axes.flat, single.items(), strict=False):
        paint(ax)
        ax.set_title(title, fontsize=9, loc="left")
        ax.set_yticks([])
        ax.tick_params(labelsize=7)
    figure.supxlabel("two-theta, degrees; Cu K-alpha where nothing else is said", fontsize=9)
    figure.savefig(OUT, dpi=80)


if __name__ == "__main__":
    main()
