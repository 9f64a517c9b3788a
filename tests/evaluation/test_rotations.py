import numpy as np
import pytest

from cmed_jax.evaluation.metrics import ssim
from cmed_jax.evaluation.rotations import ROTATIONS, rotate

N = 10


@pytest.fixture(scope="module")
def volume():
    return np.random.default_rng(0).random((N, N, N), np.float32)


def test_rotations_are_the_24_proper_rotations_of_the_cube():
    assert len({r.tobytes() for r in ROTATIONS}) == 24
    for r in ROTATIONS:
        np.testing.assert_array_equal(r @ r.T, np.eye(3))
        assert round(np.linalg.det(r)) == 1
    np.testing.assert_array_equal(ROTATIONS[0], np.eye(3))


def test_rotations_are_a_group():
    members = {r.tobytes() for r in ROTATIONS}
    assert {(a @ b).tobytes() for a in ROTATIONS for b in ROTATIONS} == members


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_voxel_goes_where_its_fractional_coordinates_go(volume, rotation):
    turned = np.asarray(rotate(volume, rotation))
    for voxel in np.random.default_rng(1).integers(0, N, (50, 3)):
        x = rotation @ (voxel / N) % 1
        assert turned[tuple(np.rint(x * N).astype(int) % N)] == volume[tuple(voxel)]
    assert turned[0, 0, 0] == volume[0, 0, 0]


def test_rotating_twice_is_rotating_by_the_product(volume):
    for a in ROTATIONS[::5]:
        for b in ROTATIONS[::3]:
            np.testing.assert_array_equal(rotate(rotate(volume, b), a), rotate(volume, a @ b))


def test_a_half_turn_maps_index_i_to_minus_i(volume):
    turned = np.asarray(rotate(volume, np.diag([-1, -1, 1])))
    i = -np.arange(N) % N
    np.testing.assert_array_equal(turned, volume[i][:, i])


def test_a_quarter_turn_is_rot90_beside_the_lattice_by_one_voxel(volume):
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    expected = np.roll(np.rot90(volume, axes=(0, 1)), 1, axis=0)
    np.testing.assert_array_equal(rotate(volume, quarter), expected)


def test_periodic_ssim_of_two_volumes_survives_a_rotation_of_both(volume):
    other = volume + np.random.default_rng(2).normal(0, 0.3, volume.shape).astype(np.float32)
    expected = ssim(volume, other, periodic=True)
    for r in ROTATIONS:
        turned = ssim(rotate(volume, r), rotate(other, r), periodic=True)
        np.testing.assert_allclose(turned, expected, atol=1e-6)


def test_batches_are_rotated_volume_by_volume(volume):
    batch = np.stack([volume, 2 * volume])
    turned = rotate(batch, ROTATIONS[7])
    np.testing.assert_array_equal(turned[1], rotate(2 * volume, ROTATIONS[7]))


def test_unequal_axes_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 4, 5\) voxels cannot be rotated"):
        rotate(np.zeros((4, 4, 5)), ROTATIONS[1])


def test_rotations_of_the_array_are_those_of_numpy(volume):
    """Quarter turns about each axis, and all that follow from them."""
    quarters = {
        (0, 1): np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
        (1, 2): np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
        (2, 0): np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
    }
    turned = {np.eye(3, dtype=int).tobytes(): (np.eye(3, dtype=int), volume)}
    for _ in range(4):
        for matrix, array in list(turned.values()):
            for axes, quarter in quarters.items():
                product = quarter @ matrix
                turned.setdefault(product.tobytes(), (product, np.rot90(array, axes=axes)))
    assert len(turned) == 24
    for matrix, array in turned.values():
        np.testing.assert_array_equal(rotate(volume, matrix, as_array=True), array)
