"""The gallery of the page: materials with slices, isosurfaces in their cell, atoms and patterns.

The isosurfaces of truth and prediction have the same level: nine tenths of the voxels of the true
density are below it. They are found on the periodic grid, closed at the faces of the cell, and
returned in Cartesian coordinates.
"""

import base64
import io
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Integer
from matplotlib import colormaps
from PIL import Image
from skimage.measure import marching_cubes

from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import space_group_name
from cmed_jax.data.examples import Examples
from cmed_jax.data.query import Generator
from cmed_jax.evaluation.consistency import calculated_patterns, compared_bins
from cmed_jax.physics.patterns import BINS
from cmed_jax.report.slices import Colours, Plane, plain_density, planes, shared_colours

EACH = 3
"""The number of materials from the best, from around the median, and from the worst."""

LEVEL = 0.9
"""The share of the true density's voxels outside the surface."""

MOST_FACES = 30_000
"""The number of triangles above which a surface is drawn on every other point of the grid."""

ON_FACE = 1e-3
"""The distance from a face, in fractions, below which an atom is drawn on the opposite face too."""


def chosen_rows(ssim: Float[np.ndarray, " n"], each: int = EACH) -> dict[str, list[int]]:
    """Return the rows of the best materials, of those around the median, and of the worst."""
    ranked = np.argsort(-ssim, kind="stable").tolist()
    each = min(each, len(ranked) // 3) or 1
    middle = (len(ranked) - each) // 2
    groups = {"best": ranked[:each], "median": ranked[middle : middle + each]}
    return groups | {"worst": ranked[-each:]}


def entry(
    examples: Examples,
    row: int,
    crystal: Material,
    generator: Generator,
    b_factor: float | None,
) -> dict[str, Any]:
    """Return the entry of one material for the page, as JSON values.

    Args:
        examples: the split that holds the material.
        row: the row of the material in the split.
        crystal: the structure of the material.
        generator: the model, of which the plain prediction is shown.
        b_factor: the isotropic B of the densities; None where no pattern can be calculated.
    """
    truth = examples.densities([row])[0]
    prediction = plain_density(generator, examples, row)
    level = float(np.quantile(truth, LEVEL))
    return {
        "material_id": crystal.material_id,
        "formula": crystal.formula,
        "space_group": space_group_name(int(examples.space_group[row])),
        "level": level,
        "lattice": crystal.lattice.tolist(),
        "atoms": _atoms(crystal),
        "surfaces": {
            "truth": surface(truth, level, crystal.lattice),
            "prediction": surface(prediction, level, crystal.lattice),
        },
        "slices": slices(truth, prediction, crystal.lattice),
        "sticks": _sticks(examples.pattern[row], prediction, crystal.lattice, b_factor),
    }


def surface(
    density: Float[np.ndarray, "a b c"],
    level: float,
    lattice: Float[np.ndarray, "3 3"],
    doubt: Float[np.ndarray, "a b c"] | None = None,
) -> dict[str, Any]:
    """Return the isosurface at a level as a mesh, in base64; empty where there is no such surface.

    Args:
        density: the density, in the unit of the level.
        level: the density on the surface.
        lattice: rows a, b, c in angstrom.
        doubt: the doubt at each voxel, 0 to 1, which colours the surface.

    Returns:
        origin and size: the box (angstrom) in which positions are given as 16-bit integers.
        positions: x, y, z of each corner, little endian. faces: three corners each, little endian,
        32-bit. values: the doubt at each corner as an 8-bit integer, only where it is given.
    """
    closed = np.pad(np.pad(density, (0, 1), mode="wrap"), 1, constant_values=-1e6)
    if not closed.min() < level < closed.max():
        return {"origin": [0, 0, 0], "size": 1, "positions": "", "faces": ""}
    corners, faces = _triangles(closed, level)
    places = np.clip((corners - 1) / density.shape, 0, 1)
    points = places @ lattice
    origin, size = points.min(axis=0), float(np.ptp(points, axis=0).max())
    mesh = {
        "origin": origin.tolist(),
        "size": size,
        "positions": _base64(np.rint((points - origin) / size * 65535).astype("<u2")),
        "faces": _base64(faces.astype("<u4")),
    }
    if doubt is not None:
        at = (places * density.shape).T
        values = scipy.ndimage.map_coordinates(doubt, at, order=1, mode="grid-wrap")
        mesh["values"] = _base64(np.rint(255 * np.clip(values, 0, 1)).astype("u1"))
    return mesh


def slices(
    truth: Float[np.ndarray, "n n n"],
    prediction: Float[np.ndarray, "n n n"],
    lattice: Float[np.ndarray, "3 3"],
) -> list[dict[str, Any]]:
    """Return two planes through the densest voxel of the truth, each with its true angle.

    Returns:
        The equation of each plane, its edges "across" and "up" in the plane (angstrom), and
        pictures of "truth", "prediction" and "difference" as data URLs.
    """
    density, signed = shared_colours(truth, prediction)
    densest = np.array(np.unravel_index(truth.argmax(), truth.shape))
    volumes = {
        "truth": (truth, density),
        "prediction": (prediction, density),
        "difference": (prediction - truth, signed),
    }
    return cuts(volumes, densest, lattice)


def cuts(
    volumes: Mapping[str, tuple[Float[np.ndarray, "a b c"], Colours]],
    voxel: Integer[np.ndarray, "3"],
    lattice: Float[np.ndarray, "3 3"],
) -> list[dict[str, Any]]:
    """Return two planes of each volume through a voxel, in the form that `slices` describes."""
    found = {name: planes(volume, voxel) for name, (volume, _) in volumes.items()}
    a, b, c = lattice
    return [
        {
            "equation": next(iter(found.values()))[i].equation,
            **_in_plane(across, up),
            **{name: _picture(found[name][i], colours) for name, (_, colours) in volumes.items()},
        }
        for i, (across, up) in enumerate([(a, b), (a + b, c)])
    ]


def _triangles(
    closed: Float[np.ndarray, "a b c"], level: float
) -> tuple[Float[np.ndarray, "v 3"], Integer[np.ndarray, "f 3"]]:
    corners, faces, *_ = marching_cubes(closed, level)
    if len(faces) > MOST_FACES:
        corners, faces, *_ = marching_cubes(closed, level, step_size=2)
    return corners, faces


def _atoms(crystal: Material) -> list[dict[str, Any]]:
    """Return the atoms in and on the cell: their elements and positions, angstrom."""
    atoms = []
    for number, position in zip(crystal.numbers.tolist(), crystal.frac_coords % 1, strict=True):
        position = np.where(position > 1 - ON_FACE, 0, position)
        axes = [(0, 1) if x < ON_FACE else (0,) for x in position]
        for shift in product(*axes):
            place = (position + shift) @ crystal.lattice
            atoms.append({"element": SYMBOLS[number], "at": np.round(place, 4).tolist()})
    return atoms


def _in_plane(across: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]) -> dict[str, list[float]]:
    """Return two edges in the coordinates of their plane, the first along x."""
    length = float(np.linalg.norm(across))
    along = float(up @ across) / length
    height = float(np.sqrt(max(up @ up - along**2, 0)))
    return {"across": [length, 0.0], "up": [along, height]}


def _picture(plane: Plane, colours: Colours) -> str:
    """Return a picture as a data URL; its rows run along `up`, from zero."""
    values = np.pad(plane.values, (0, 1), mode="wrap").T
    pixels = colormaps[colours.map](colours.norm(values), bytes=True)[..., :3]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _sticks(
    pattern: Float[np.ndarray, "1024"],
    prediction: Float[np.ndarray, "a b c"],
    lattice: Float[np.ndarray, "3 3"],
    b_factor: float | None,
) -> dict[str, Any]:
    """Return the given and calculated patterns as two-theta and intensity, up to `stop` degrees."""
    bins = BINS if b_factor is None else compared_bins(lattice, prediction.shape)
    patterns = {"given": pattern[:bins]}
    if b_factor is not None:
        calculated = calculated_patterns(prediction[None], lattice, b_factor)[0, :bins]
        patterns["implied"] = calculated / max(calculated.max(), 1e-30)
    return {"stop": bins * 180 / BINS} | {
        name: [
            [round((i + 0.5) * 180 / BINS, 3), round(float(values[i]), 4)]
            for i in np.flatnonzero(values > 1e-3).tolist()
        ]
        for name, values in patterns.items()
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
