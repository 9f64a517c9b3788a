"""Points near atoms, against every periodic image one by one."""

from itertools import product

import numpy as np
import pytest

from cmed_jax.crystal.material import Material
from cmed_jax.evaluation.structure_metrics import nmae_where, within

OBLIQUE = np.array([[3.9, 0.4, -0.2], [-2.1, 4.4, 0.3], [2.2, 1.5, 4.1]])
FLAT = np.array([[2.0, 0.0, 0.0], [1.7, 1.2, 0.0], [0.3, 0.2, 9.0]])  # planes 1.2 angstrom apart


def crystal(lattice, positions):
    numbers = np.ones(len(positions), int)
    return Material("made", np.asarray(lattice, float), numbers, np.asarray(positions, float))


@pytest.mark.parametrize(
    "lattice", [4 * np.eye(3), OBLIQUE, FLAT], ids=["cubic", "oblique", "flat"]
)
@pytest.mark.parametrize("radius", [0.75, 1.2, 3.0])
def test_points_within_a_radius_are_those_of_the_nearest_image(lattice, radius):
    positions = np.random.default_rng(3).random((3, 3))
    shape = (9, 10, 11)
    points = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    images = [x + shift for x in positions for shift in product(range(-6, 7), repeat=3)]
    nearest = np.full(shape, np.inf)
    for image in images:
        nearest = np.minimum(nearest, np.linalg.norm((points - image) @ lattice, axis=-1))
    near = within(crystal(lattice, positions), radius, shape)
    np.testing.assert_array_equal(near, nearest <= radius)


def test_coordinates_count_modulo_the_cell():
    inside, outside = (
        crystal(OBLIQUE, [[0.13, 0.87, 0.52]]),
        crystal(OBLIQUE, [[3.13, -1.13, 0.52]]),
    )
    shape = (20, 20, 20)
    np.testing.assert_array_equal(within(inside, 1.0, shape), within(outside, 1.0, shape))


def test_errors_count_where_the_mask_says(test_split):
    truth = test_split.densities([0])[0]
    mask = truth > np.median(truth)
    wrong_inside = truth + np.where(mask, 0.1 * truth, 0)
    inside, outside = (nmae_where(m, truth, np.stack([truth, wrong_inside])) for m in (mask, ~mask))
    np.testing.assert_allclose(inside, [0, 0.1], rtol=1e-5)
    np.testing.assert_array_equal(outside, 0)


def test_no_voxels_have_no_error_and_an_empty_truth_has_magnitude_one(test_split):
    truth = test_split.densities([0])[0]
    nowhere = np.zeros(truth.shape, bool)
    assert nmae_where(nowhere, truth, truth[None] + 1) == 0
    zero = np.zeros_like(truth)
    assert nmae_where(~nowhere, zero, zero[None] + 0.25) == pytest.approx(0.25)
