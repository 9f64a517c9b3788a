"""The drawings of a density on its page: surfaces, coloured by doubt, and slices."""

import base64
import io
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image

from cmed_jax.prediction.result import Prediction
from cmed_jax.report.gallery import cuts, surface
from cmed_jax.report.slices import Colours, shared_colours

OUTSIDE = (0.8, 0.9, 0.97)
"""The shares of the cell outside each of the surfaces that the reader can choose."""

MOST_DOUBT = 0.5
"""The deviation at the end of the surface's colour scale, as a share of the density there."""

UNKNOWN_CELL = 5 * np.eye(3)
"""The cell drawn where the true one is not known: a cube of the fractional coordinates."""


def scene(prediction: Prediction) -> dict[str, Any]:
    """Return the viewer's data as JSON values: the cell, and surfaces by the share outside them."""
    lattice = _drawn_lattice(prediction)
    return {
        "lattice": lattice.tolist(),
        "atoms": [],
        "surfaces": {
            f"{share:.0%}": surface(prediction.density, level, lattice, _doubt(prediction, level))
            for share, level in levels(prediction.density).items()
        },
    }


def levels(density: Float[np.ndarray, "a b c"]) -> dict[float, float]:
    """Return the levels of the surfaces (e/angstrom^3), by the share of the cell outside them."""
    return dict(zip(OUTSIDE, np.quantile(density, OUTSIDE).tolist(), strict=True))


def volumes(
    prediction: Prediction,
) -> dict[str, tuple[Float[np.ndarray, "a b c"], Colours]]:
    """Return the "density" and, where it is known, its "deviation", each with its colours."""
    named = {"density": prediction.density, "deviation": prediction.std}
    return {
        name: (volume, shared_colours(volume, volume)[0])
        for name, volume in named.items()
        if volume is not None
    }


def slices(prediction: Prediction) -> list[dict[str, Any]]:
    """Return two planes of all volumes through the densest voxel (`gallery.cuts`)."""
    density = prediction.density
    densest = np.array(np.unravel_index(density.argmax(), density.shape))
    return cuts(volumes(prediction), densest, _drawn_lattice(prediction))


def colour_bar(colours: Colours) -> str:
    """Return a bar of the colours, from the lowest to the highest value, as a data URL."""
    ramp = colormaps[colours.map](np.linspace(0, 1, 256)[None], bytes=True)[..., :3]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(ramp)).save(file, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def marked_values(colours: Colours) -> list[float]:
    """Return the marks of a colour bar: zero, and the powers of ten in its logarithmic part."""
    low, high = np.log10([colours.norm.linear_width, float(colours.norm.vmax or 1)])
    return [0.0, *(10.0 ** np.arange(np.ceil(low), high)).tolist()]


def _doubt(prediction: Prediction, level: float) -> Float[np.ndarray, "a b c"] | None:
    """Return the deviation as a share of the density on and in a surface, 1 at `MOST_DOUBT`."""
    if prediction.std is None:
        return None
    share = prediction.std / np.maximum(prediction.density, max(level, 1e-30))
    return np.clip(share / MOST_DOUBT, 0, 1)


def _drawn_lattice(prediction: Prediction) -> Float[np.ndarray, "3 3"]:
    return UNKNOWN_CELL if prediction.lattice is None else prediction.lattice
