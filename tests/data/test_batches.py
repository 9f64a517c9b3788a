"""Batches and voxels: they depend on the seed and the step, and leave nothing out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from cmed_jax.data import batches
from cmed_jax.data.batches import CELLS, QUERIES, Rows, to_coordinates

draw_voxels = jax.jit(batches.draw_voxels, static_argnums=1)


def epochs(rows, batch, examples, count):
    drawn = np.concatenate([rows[step] for step in range(count * examples // batch)])
    return drawn.reshape(count, examples)


def test_each_epoch_sees_each_row_once_in_another_order():
    drawn = epochs(Rows(21, 6, seed=3), 6, 21, 6)  # batches extend over the ends of epochs
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.arange(21), (6, 1)))
    assert len(np.unique(drawn, axis=0)) == 6


def test_every_row_comes_first_as_often_as_any_other():
    rows = Rows(6, 6, seed=0)
    first = [rows[epoch][0] for epoch in range(600)]
    assert scipy.stats.chisquare(np.bincount(first, minlength=6)).pvalue > 1e-3


def test_a_batch_is_a_function_of_the_seed_and_the_step():
    one = Rows(100, 8, seed=1)
    for step in (70, 3, 70, 0):
        np.testing.assert_array_equal(one[step], Rows(100, 8, seed=1)[step])
        assert (one[step] != Rows(100, 8, seed=2)[step]).any()
        assert (one[step].dtype, one[step].shape) == (np.int32, (8,))


@pytest.mark.parametrize("batch", [0, -1, 11])
def test_a_batch_that_cannot_be_drawn_is_an_error(batch):
    with pytest.raises(ValueError, match=f"a batch of {batch} crystals .* from 10: .* 1 to 10"):
        Rows(10, batch, seed=0)


@pytest.mark.parametrize("examples", [8, 9, 12, 13])
def test_a_batch_reaches_over_the_end_of_an_epoch(examples):
    drawn = epochs(Rows(examples, 8, seed=0), 8, examples, 8)
    np.testing.assert_array_equal(np.sort(drawn), np.tile(np.arange(examples), (8, 1)))


@pytest.mark.parametrize("shape", [(50, 50, 50), (10, 20, 30), (53, 47, 60)])
def test_one_voxel_lies_in_each_box_and_none_outside(shape):
    voxels = np.asarray(draw_voxels(jax.random.key(0), shape))
    assert voxels.shape == (QUERIES, 3)
    assert (voxels >= 0).all()
    assert (voxels < shape).all()
    boxes = voxels // (np.array(shape) // CELLS)
    assert len(np.unique(boxes, axis=0)) == QUERIES
    assert boxes.max() == CELLS - 1


def test_every_voxel_of_a_box_has_the_same_chance():
    keys = jax.random.split(jax.random.key(1), 20)
    voxels = np.asarray(jax.jit(jax.vmap(lambda key: draw_voxels(key, (50, 50, 50))))(keys)) % 5
    counts = np.bincount(np.ravel_multi_index(voxels.reshape(-1, 3).T, (5, 5, 5)), minlength=125)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_voxels_are_a_function_of_the_key():
    one, same, other = (draw_voxels(jax.random.key(k), (50,) * 3) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_coordinates_are_i_over_n():
    voxels = jnp.array([[0, 0, 0], [49, 10, 3], [25, 39, 7]])
    expected = np.array([[0, 0, 0], [49 / 50, 10 / 40, 3 / 8], [0.5, 39 / 40, 7 / 8]])
    np.testing.assert_allclose(to_coordinates(voxels, (50, 40, 8)), expected, rtol=1e-6)
