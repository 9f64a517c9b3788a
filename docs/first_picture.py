"""Draw `docs/first.png`: a pattern, and the density that is predicted from it in its cell.

    python docs/first_picture.py

The pattern is `examples/halite.xy`, which is simulated; the prediction is that of the released
network `all` with the formula NaCl, known crystals included, as README.md asks for it.
"""

from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LightSource
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from PIL import Image
from scipy.ndimage import map_coordinates
from skimage.measure import marching_cubes

import cmed_jax
from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.crystal.lattice import primitive_lattice

PATTERN = Path(__file__).parents[1] / "examples" / "halite.xy"
PICTURE = Path(__file__).with_name("first.png")
LEVEL = 2.0
"""Density of the surfaces, e/angstrom^3."""
POINTS = 64
"""Points along each edge of the conventional cell."""
COLOURS = {"Na": "#e0a030", "Cl": "#3b8f6e"}
INK = "#1f2933"


def in_conventional_cell(prediction: cmed_jax.Prediction) -> Float[np.ndarray, "n n n"]:
    """Return the density on a grid of the conventional cell, both ends of each edge included."""
    edges = primitive_lattice(prediction.conventional.parameters)
    steps = np.linspace(0, 1, POINTS)
    places = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1) @ edges
    primitive = places @ np.linalg.inv(prediction.lattice)
    index = np.moveaxis(primitive * prediction.density.shape, -1, 0)
    return map_coordinates(prediction.density, index, order=1, mode="grid-wrap")


def atoms(prediction: cmed_jax.Prediction) -> list[tuple[str, Float[np.ndarray, "3"]]]:
    """Return symbol and place (fractions of the conventional cell) of each atom in or on it."""
    crystal = prediction.experts[0].refined.crystal
    edges = np.linalg.inv(primitive_lattice(prediction.conventional.parameters))
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
    found = []
    for number, coordinates in zip(crystal.numbers, crystal.frac_coords, strict=True):
        places = (coordinates + shifts) @ crystal.lattice @ edges
        inside = ((places > -1e-3) & (places < 1 + 1e-3)).all(axis=1)
        found += [(SYMBOLS[number], place) for place in places[inside]]
    return found


def draw_pattern(ax: Axes, prediction: cmed_jax.Prediction) -> None:
    """Draw the pattern as it is in the file, and where lines were found."""
    measured = prediction.prepared.measured
    ax.plot(measured.two_theta, measured.intensity, INK, linewidth=1)
    low = -0.035 * measured.intensity.max()
    peaks = prediction.prepared.peaks.two_theta
    ax.vlines(peaks, 1.6 * low, 0.5 * low, "#b5493a", linewidth=1.5)
    ax.set(xlabel="2θ / degrees (Cu Kα)", ylabel="counts", xlim=(15, 100))
    ax.set_title("powder pattern, NaCl (simulated)", color=INK)
    ax.spines[["top", "right"]].set_visible(False)


def draw_density(ax: Axes3D, prediction: cmed_jax.Prediction) -> None:
    """Draw surfaces of one density, coloured by the nearest atom, with atoms and cell."""
    density, placed = in_conventional_cell(prediction), atoms(prediction)
    # A rim of zeros closes the surfaces at the faces of the cell.
    vertices, faces, *_ = marching_cubes(np.pad(density, 1), LEVEL)
    triangles = ((vertices - 1) / (POINTS - 1))[faces]
    places = np.array([place for _, place in placed])
    centres = triangles.mean(axis=1)
    nearest = ((centres[:, None] - places) ** 2).sum(axis=-1).argmin(axis=1)
    colours = [COLOURS[placed[k][0]] for k in nearest]
    surfaces = Poly3DCollection(
        triangles, facecolors=colours, alpha=0.42, shade=True, lightsource=LightSource(300, 50)
    )
    ax.add_collection3d(surfaces)
    for symbol, colour in COLOURS.items():
        at = np.array([place for each, place in placed if each == symbol])
        ax.scatter(*at.T, s=46, color=colour, edgecolor=INK, depthshade=False, label=symbol)
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    for a in corners:
        for b in corners[np.abs(corners - a).sum(axis=1) == 1]:
            ax.plot(*np.transpose([a, b]), color=INK, linewidth=1)
    edge = prediction.conventional.parameters[0]
    ax.set_title(f"predicted density, a = {edge:.3f} Å", color=INK)
    ax.legend(loc="upper right", frameon=False, handletextpad=0.1, bbox_to_anchor=(1.06, 1.0))
    ax.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1))
    ax.view_init(elev=18, azim=28)
    ax.set_box_aspect((1, 1, 1), zoom=1.02)
    ax.set_axis_off()


def draw(prediction: cmed_jax.Prediction, path: Path = PICTURE) -> None:
    """Draw both into one file."""
    plt.rcParams.update({"font.size": 15, "axes.titlesize": 16})
    figure = plt.figure(figsize=(11, 5))
    draw_pattern(figure.add_axes((0.09, 0.15, 0.45, 0.74)), prediction)
    draw_density(figure.add_axes((0.56, 0.0, 0.43, 0.92), projection="3d"), prediction)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100, facecolor="white")
    Image.open(drawn).convert("RGB").quantize(96).save(path, optimize=True)


if __name__ == "__main__":
    draw(cmed_jax.restore_and_predict("all", PATTERN, "NaCl", wavelength="CuKa", cell="auto"))
