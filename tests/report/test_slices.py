"""Pictures of slices."""

import dataclasses

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from cmed_jax.data.examples import ragged
from cmed_jax.report.slices import (
    draw_plane,
    plain_density,
    planes,
    plot_material,
    shared_colours,
)


@pytest.mark.parametrize("blur", [1, 10])
def test_a_material_is_drawn(tmp_path, test_split, blur):
    prediction = gaussian_filter(test_split.densities([3])[0], blur) - 0.1
    plot_material(tmp_path / "material.png", test_split, 3, prediction)
    picture = matplotlib.image.imread(tmp_path / "material.png")
    assert min(picture.shape[:2]) > 800
    assert picture[..., :3].std() > 0.1


def test_a_material_is_asked_about_without_the_lines_of_others(test_split):
    lengths = [3000, *[5] * (len(test_split) - 1)]
    many = ragged([np.ones((length, 2), np.float32) for length in lengths])
    examples = dataclasses.replace(test_split, lines=many)
    asked = []

    def generate(query):
        asked.append(query)
        return examples.densities([3])[:, None]

    np.testing.assert_array_equal(plain_density(generate, examples, 3), examples.densities([3])[0])
    (query,) = asked
    assert query.lines.shape == (1, 8, 2)
    np.testing.assert_array_equal(query.composition, examples.composition[[3]])


@pytest.mark.parametrize("shape", [(4, 6, 8), (8, 6, 4)])
def test_every_voxel_is_drawn_at_its_coordinates(shape):
    volume = np.random.default_rng(0).random(shape)
    colours, _ = shared_colours(volume, volume)
    for plane in planes(volume, np.array([1, 2, 3])):
        ax = Figure().subplots()
        draw_plane(ax, plane, colours)
        (image,) = ax.images
        left, right, bottom, top = image.get_extent()
        drawn = np.asarray(image.get_array())
        rows, columns = drawn.shape
        x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        y = bottom + (np.arange(rows) + 0.5) * (top - bottom) / rows
        m, n = plane.values.shape
        np.testing.assert_allclose(x, np.arange(m + 1) / m, atol=1e-12)
        np.testing.assert_allclose(y, np.arange(n + 1) / n, atol=1e-12)
        np.testing.assert_array_equal(drawn[:n, :m], plane.values.T)
