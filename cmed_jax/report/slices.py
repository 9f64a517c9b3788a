"""Pictures of densities: slices through a cell, and one picture of slices for each material."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from cmed_jax.crystal.symmetry import space_group_name
from cmed_jax.data.examples import Examples, evenly_spaced_rows
from cmed_jax.data.query import Generator, full_query
from cmed_jax.evaluation import metrics

LINEAR_PART = 60
"""The ratio of the maximum to the end of the linear colour scale of slices.

The scale is logarithmic beyond that end.
"""


class Colours(NamedTuple):
    """The colours of values: a colour map and a norm."""

    map: str
    norm: AsinhNorm


class Plane(NamedTuple):
    """A slice of a density, with its equation and the names of its axes."""

    equation: str
    across: str
    up: str
    values: Float[np.ndarray, "m n"]


def plot_materials(
    folder: Path,
    generator: Generator,
    examples: Examples,
    ssim: Float[np.ndarray, " n"],
    pictures: int,
) -> int:
    """Draw materials at even distances from the best to the worst.

    The names of the files begin with the rank.

    Args:
        folder: the folder of the pictures, which is created if it is missing.
        generator: the model, of which the plain candidates are drawn.
        examples: the split.
        ssim: the SSIM of each material.
        pictures: the largest number of materials to draw.

    Returns:
        The number of materials drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranked = np.argsort(-ssim, kind="stable")
    ranks = evenly_spaced_rows(len(ranked), pictures).tolist() if pictures else []
    for rank in ranks:
        row = int(ranked[rank])
        name = f"{rank + 1:04d}_{examples.material_id[row]}_{examples.formula[row]}.png"
        plot_material(folder / name, examples, row, plain_density(generator, examples, row))
    return len(ranks)


def plain_density(
    generator: Generator, examples: Examples, row: int
) -> Float[np.ndarray, "na nb nc"]:
    """Return the plain candidate of a generator for one material of a split."""
    # Of this material alone: the lines of another one may be far more.
    return np.asarray(generator(full_query(examples.rows(np.array([row])))))[0, 0]


def plot_material(
    path: str | Path, examples: Examples, row: int, prediction: Float[Array | np.ndarray, "n n n"]
) -> None:
    """Draw truth, prediction and difference of one material, and the pattern, into a picture.

    The slices pass through the densest voxel of the truth: a plane of constant z, and one along
    the diagonal of x and y. All are on one scale, linear near zero and logarithmic beyond, which
    shows the density between the atoms as well as the cores.

    Args:
        path: the path of the PNG to write.
        examples: the split that holds the material.
        row: the row of the material in the split.
        prediction: the predicted density, e/angstrom^3.
    """
    truth = examples.densities(np.array([row]))[0]
    prediction = np.asarray(prediction, np.float32)
    figure = Figure(figsize=(10, 10), layout="constrained")
    grid = figure.add_gridspec(3, 3, height_ratios=[5, 5, 3])
    slices = [[figure.add_subplot(grid[i, j]) for j in range(3)] for i in range(2)]
    _draw_slices(figure, np.array(slices), truth, prediction)
    _draw_pattern(figure.add_subplot(grid[2, :]), examples.pattern[row])
    name = _subscripts(str(examples.formula[row]))
    group = space_group_name(int(examples.space_group[row]))
    ssim = float(metrics.ssim(truth, prediction))
    figure.suptitle(f"{name}   {group}   {examples.material_id[row]}   plain SSIM {ssim:.3f}")
    figure.savefig(path, dpi=110)


def shared_colours(
    truth: Float[np.ndarray, "a b c"], prediction: Float[np.ndarray, "a b c"]
) -> tuple[Colours, Colours]:
    """Return common colours for truth and prediction: those of densities and of differences.

    The scales are linear near zero and logarithmic beyond. They show the density between the atoms
    as well as the cores.
    """
    top, bottom = max(truth.max(), prediction.max()), min(0, truth.min(), prediction.min())
    linear = top / LINEAR_PART
    return (
        Colours("magma", AsinhNorm(linear, vmin=bottom, vmax=top)),
        Colours("RdBu_r", AsinhNorm(linear, vmin=-top, vmax=top)),
    )


def planes(
    volume: Float[np.ndarray, "a b c"], voxel: Integer[np.ndarray, "3"]
) -> tuple[Plane, Plane]:
    """Return the planes of constant z and of constant y - x through a voxel.

    The diagonal plane contains the centre of the cell, the centres of edges, and the body diagonal,
    which are the sites of atoms in simple structures. Between the points of b it takes the nearest
    one.
    """
    shape, x = volume.shape, np.arange(len(volume))
    shift = (voxel[1] / shape[1] - voxel[0] / shape[0]) % 1
    y = np.rint((x / shape[0] + shift) * shape[1]).astype(int) % shape[1]
    line = f"y = x + {shift:.2f}" if shift else "y = x"
    return (
        Plane(f"z = {voxel[2] / shape[2]:.2f}", "x", "y", volume[:, :, voxel[2]]),
        Plane(line, "x", "z", volume[x, y]),
    )


def _draw_slices(
    figure: Figure,
    axes: np.ndarray,
    truth: Float[np.ndarray, "n n n"],
    prediction: Float[np.ndarray, "n n n"],
) -> None:
    density, signed = shared_colours(truth, prediction)
    linear, top = density.norm.linear_width, float(signed.norm.vmax or 0)
    columns = {
        "truth": (truth, density),
        "prediction": (prediction, density),
        "prediction − truth": (prediction - truth, signed),
    }
    densest = np.array(np.unravel_index(truth.argmax(), truth.shape))
    for column, (name, (volume, colours)) in zip(axes.T, columns.items(), strict=True):
        for ax, plane in zip(column, planes(volume, densest), strict=True):
            ax.set_title(f"{name},  {plane.equation}")
            draw_plane(ax, plane, colours)
    decades = 10.0 ** np.arange(np.ceil(np.log10(linear)), np.log10(top))
    label = f"e/Å³, linear up to {linear:.1g} and logarithmic beyond"
    _add_bar(figure, axes[:, :2], density, np.array([0, *decades]), label)
    both_signs = np.array([*-decades[::-1], 0, *decades])
    _add_bar(figure, axes[:, 2:], signed, both_signs, "e/Å³, likewise")


def draw_plane(ax: Axes, plane: Plane, colours: Colours) -> None:
    """Draw the voxels of a plane without smoothing; index n repeats index 0 and closes the cell."""
    across, up = (0.5 / n for n in plane.values.shape)
    ax.imshow(
        np.pad(plane.values, (0, 1), mode="wrap").T,
        origin="lower",
        extent=(-across, 1 + across, -up, 1 + up),
        cmap=colours.map,
        norm=colours.norm,
    )
    ax.set(xlabel=plane.across, ylabel=plane.up, xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))


def _add_bar(
    figure: Figure, axes: np.ndarray, colours: Colours, ticks: Float[np.ndarray, " k"], label: str
) -> None:
    figure.colorbar(
        ScalarMappable(colours.norm, colours.map),
        ax=axes,
        location="bottom",
        aspect=22 * axes.shape[1],
        pad=0.03,
        ticks=ticks,
        format="%g",
        label=label,
    )


def _draw_pattern(ax: Axes, pattern: Float[np.ndarray, "1024"]) -> None:
    peaks = np.flatnonzero(pattern)
    two_theta = (peaks + 0.5) * 180 / len(pattern)
    ax.vlines(two_theta, 0, pattern[peaks], color="black", linewidth=0.8)
    ax.set(xlim=(0, 180), ylim=(0, 1.05), xticks=range(0, 181, 20), yticks=(0, 0.5, 1))
    ax.set(xlabel="2θ / degrees (Mo Kα)", ylabel="intensity")
    ax.spines[["top", "right"]].set_visible(False)


def _subscripts(formula: str) -> str:
    return re.sub(r"([0-9.]+)", r"$_{\1}$", formula)
