"""The step: its gradient, and random numbers that do not depend on the division of the batch."""

import dataclasses
import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from cmed_jax.config import StepConfig
from cmed_jax.data.augmentation import FORGOTTEN, AugmentationConfig
from cmed_jax.data.dataset import load_examples
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import full_query
from cmed_jax.model.base import BaseConfig
from cmed_jax.model.network import Latent, Network
from cmed_jax.model.published import PublishedConfig
from cmed_jax.physics.amplitude_errors import AmplitudeErrors
from cmed_jax.physics.artefact_ranges import LABORATORY
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.instrument import Lines
from cmed_jax.training.loss import loss_terms
from cmed_jax.training.neighbours import kept_neighbours
from cmed_jax.training.step import compute_as, initial_state, make_step
from cmed_jax.training.table import Reflections, Table
from tests.networks import TINY
from tests.synthetic import synthetic_examples

PARTIAL = AugmentationConfig(shift=2, full=0.4, no_ratios=0.2, missing_element=0.2, none=0.2)
EXACT = AugmentationConfig(shift=0, noise=0.0)
GRID = (20, 30, 10)


@pytest.fixture(scope="module")
def table():
    """Sixteen crystals for a network that reads reflections."""
    examples = synthetic_examples(16, seed=2)
    return jax.tree.map(jnp.asarray, Table.of_reflections(examples, TINY.recalled))


RATE = 0.01


def program(graph, config):
    """Compile a step of gradient descent once for all seeds and rates."""
    return jax.jit(
        lambda seed, rate, *given: make_step(graph, optax.sgd(rate), config, seed)(*given)
    )


@cache
def descent(config):
    """A program of gradient descent, and the initial state."""
    graph, state = initial_state(TINY.build(nnx.Rngs(0)), optax.sgd(RATE))
    return program(graph, config), state


def begin(seed=0, rate=RATE, **how):
    """A step that draws everything, and the initial state."""
    step, state = descent(StepConfig(PARTIAL, **how))
    return partial(step, seed, rate), state


def batch(rows, first=0):
    rows = jnp.asarray(rows)
    return rows, first + jnp.arange(len(rows))


def test_a_table_holds_the_examples_as_they_are_stored(dataset):
    examples = load_examples(dataset, "train")
    table = Table.of(examples)
    assert table.density.dtype == np.float16
    densities = table.density[3:5].astype(np.float32) * table.scale[3:5, None, None, None]
    np.testing.assert_allclose(densities, examples.densities([3, 4]), rtol=1e-6)
    np.testing.assert_array_equal(table.pattern, examples.pattern)
    np.testing.assert_array_equal(table.composition, examples.composition)
    assert table.reflections is None


def test_a_table_of_reflections_holds_the_other_crystals_that_each_recalls(table):
    examples = synthetic_examples(16, seed=2)
    assert table.pattern is table.density is None
    for name in ("lattice", "amplitude", "observed", "series"):
        stored = np.float32(getattr(examples, name))
        np.testing.assert_array_equal(getattr(table.reflections, name), stored)
    query, memory = full_query(examples), Memory.of(examples)
    kinds = (query.knowledge, np.full(16, 3, np.int32))  # in full, and not at all
    for kind, knowledge in enumerate(kinds):
        nearest, _ = memory.nearest(query._replace(knowledge=knowledge), 3)
        expected = [[row for row in rows if row != own][:2] for own, rows in enumerate(nearest)]
        np.testing.assert_array_equal(table.reflections.neighbours[:, kind], expected)
    few = Table.of_reflections(examples.rows(np.arange(2)), 2).reflections.neighbours
    np.testing.assert_array_equal(few, [[[1, -1]] * 2, [[0, -1]] * 2])


def test_a_run_keeps_the_neighbours_of_its_own_crystals_alone(tmp_path, monkeypatch):
    examples, kept = synthetic_examples(8, seed=2), tmp_path / "neighbours.npz"
    found = kept_neighbours(examples, 2, kept)
    others = synthetic_examples(6, seed=2)
    np.testing.assert_array_equal(kept_neighbours(others, 2, kept), kept_neighbours(others, 2))
    kept_neighbours(examples, 2, kept)
    monkeypatch.delattr(Memory, "nearest")  # a second start compares nothing
    np.testing.assert_array_equal(kept_neighbours(examples, 2, kept), found)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", "half", "flipped"])
def test_neighbours_in_a_damaged_file_are_found_again(tmp_path, content):
    examples, kept = synthetic_examples(8, seed=2), tmp_path / "neighbours.npz"
    found = kept_neighbours(examples, 2, kept)
    whole = kept.read_bytes()
    if content == "half":
        content = whole[: len(whole) // 2]
    elif content == "flipped":
        content = bytearray(whole)
        content[len(content) // 2] ^= 0x10
    kept.write_bytes(content)
    np.testing.assert_array_equal(kept_neighbours(examples, 2, kept), found)
    with np.load(kept) as file:
        np.testing.assert_array_equal(file["neighbours"], found)


def test_a_step_lowers_the_loss_on_its_batch(table):
    step, state = begin()
    losses = []
    for _ in range(5):  # the same number: the same voxels and latents
        state, metrics = step(state, table, *batch(range(8)), 0)
        losses.append(float(metrics["loss"]))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_a_batch_in_parts_is_the_same_step(table):
    """Gradient and metrics agree to 1e-6, except for networks with batch statistics."""
    found = []
    for parts in (1, 4):
        step, state = begin(rate=1.0, accumulate=parts)
        found.append(step(state, table, *batch(range(8)), 3))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), *found)


def test_a_batch_has_at_least_one_part():
    with pytest.raises(ValueError, match="accumulate is 0: give at least 1"):
        StepConfig(accumulate=0)


def test_the_loss_is_the_sum_of_its_terms(table):
    step, state = begin()
    _, metrics = step(state, table, *batch(range(8)), 3)
    total = metrics["reconstruction"] + metrics["latent"]
    assert float(metrics["loss"]) == pytest.approx(float(total), rel=1e-6)


def test_the_gradient_norm_is_that_of_the_update(table):
    step, state = begin()
    after, metrics = step(state, table, *batch(range(8)), 3)
    change = jax.tree.map(lambda a, b: np.float64(a) - b, after.parameters, state.parameters)
    length = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(change)))
    assert float(metrics["gradient_norm"]) == pytest.approx(length / RATE, rel=1e-3)


@pytest.mark.parametrize("shared", [True, False])
def test_random_numbers_do_not_depend_on_the_division_of_the_batch(table, shared):
    """The mean over a batch is the mean of the means over its quarters, in any order."""
    step, state = begin(shared_voxels=shared)
    rows = np.array([5, 2, 11, 7, 0, 15, 3, 8])
    _, whole = step(state, table, *batch(rows), 9)
    parts = [step(state, table, *batch(rows[i : i + 2], first=i), 9)[1] for i in (6, 0, 2, 4)]
    for name in ("loss", "reconstruction", "latent"):
        mean = np.mean([part[name] for part in parts])
        np.testing.assert_allclose(whole[name], mean, rtol=1e-5)


def test_random_numbers_depend_on_seed_step_and_place(table):
    def loss(seed=0, number=0, place=0):
        step, state = begin(seed, shared_voxels=False)
        return float(step(state, table, *batch([1, 4], first=place), number)[1]["loss"])

    assert loss() == loss()
    assert len({loss(), loss(seed=1), loss(number=1), loss(place=1)}) == 4


@pytest.mark.parametrize("reads", ["patterns", "reflections"])
def test_errors_of_measurements_depend_on_seed_step_and_place(table, reads):
    rng = np.random.default_rng(1)
    if reads == "patterns":
        s, intensity = jnp.float32(rng.uniform(0.1, 1.0, (2, 16, 9)))
        table, options = of_rows(16)._replace(lines=Lines(s, intensity)), {"artefacts": LABORATORY}
        network = Oracle()
    else:
        options, network = {"errors": AmplitudeErrors()}, TINY.build(nnx.Rngs(0))
    graph, state = initial_state(network, optax.sgd(RATE))
    config = StepConfig(AugmentationConfig(noise=0.0, **options))
    step = program(graph, config)

    def norm(seed=0, number=0, place=0):
        drawn = step(seed, RATE, state, table, *batch([1, 4], first=place), number)
        return float(drawn[1]["loss"] + drawn[1]["gradient_norm"])

    assert norm() == norm()
    assert len({norm(), norm(seed=1), norm(number=1), norm(place=1)}) == 4


def test_what_is_recalled_does_not_depend_on_the_errors(table):
    """The cell is so large that the smallest s among its observed harmonics tells the start."""
    count, seen = 4000, []

    class Witness(Oracle):
        def encode(self, query, recalled):
            seen.append((query.observed, recalled.present[:, 0]))
            return Latent(query.lattice[:, 0, :1], jnp.zeros((count, 1)))

    @jax.jit
    def run(key):
        reflections = table.reflections._replace(
            lattice=jnp.broadcast_to(60 * jnp.eye(3), (16, 3, 3)),
            observed=jnp.ones_like(table.reflections.observed),
            neighbours=jnp.ones_like(table.reflections.neighbours),
        )
        given = table._replace(reflections=reflections)
        rows, places = jnp.zeros(count, int), jnp.arange(count)
        errors = AmplitudeErrors(start=(0.0, 0.1))
        config = StepConfig(AugmentationConfig(errors=errors, stored=0.0))
        loss_terms(Witness(), given, rows, places, key, config)
        return seen.pop()

    observed, recalled = jax.tree.map(np.asarray, run(jax.random.key(0)))
    s = np.linalg.norm(harmonics(), axis=1) / 60
    start = np.where(observed > 0, s, np.inf).min(axis=1)
    quarter = np.digitize(start, np.quantile(start, [0.25, 0.5, 0.75]), right=True)
    share = [recalled[quarter == each].mean() for each in range(4)]
    expected = sum(often * (1 - withheld) for withheld, often in FORGOTTEN)
    fewest = np.bincount(quarter).min()
    assert fewest > count / 8
    deviation = np.sqrt(expected * (1 - expected) / fewest)
    np.testing.assert_allclose(share, expected, atol=4 * deviation)


class Oracle(Network):
    """A network that knows the density of every row: row + x + 2 y + 4 z.

    The row is the sum of its pattern.
    """

    def __init__(self):
        self.unused = nnx.Param(jnp.zeros(1))

    def encode(self, query, recalled):
        row = query.pattern.sum(axis=1, keepdims=True)
        return Latent(row, jnp.zeros_like(row))

    def condition(self, latent):
        return latent

    def decode(self, conditioning, coordinate):
        return conditioning[0] + coordinate @ jnp.array([1.0, 2.0, 4.0])

    def reconstruction_loss(self, conditioning, coordinates, density):
        return jnp.max(jnp.abs(self.values(conditioning, coordinates) - density), axis=1)

    def latent_loss(self, latent):
        return jnp.zeros(len(latent.mean))

    def to_density(self, values):
        return values


def of_rows(n):
    """A table of patterns and densities that `Oracle` knows."""
    x, y, z = (np.arange(n) / n for n in GRID)
    cell = x[:, None, None] + 2 * y[:, None] + 4 * z
    density = np.stack([cell + row for row in range(n)]) / 2
    pattern = np.zeros((n, 1024), np.float32)
    pattern[:, 0] = np.arange(n)
    return Table(
        jnp.zeros((n, 119)),
        jnp.asarray(pattern),
        jnp.asarray(np.float16(density)),
        jnp.full(n, 2.0),
    )


@pytest.mark.parametrize("shared", [True, False])
def test_densities_are_asked_for_where_they_were_stored(shared):
    graph, state = initial_state(Oracle(), optax.sgd(RATE))
    step = jax.jit(make_step(graph, optax.sgd(RATE), StepConfig(EXACT, shared_voxels=shared), 0))
    for number in range(3):
        _, metrics = step(state, of_rows(6), *batch([4, 0, 5, 2]), number)
        assert metrics["reconstruction"] < 0.01  # the precision of float16


class Clairvoyant(Oracle):
    """A network that knows the logarithms of densities: edge + cos(2 pi z) / 2."""

    def encode(self, query, recalled):
        return Latent(query.lattice[:, 0, :1], jnp.zeros((len(query.lattice), 1)))

    def decode(self, conditioning, coordinate):
        return 10 * jnp.expm1(conditioning[0] + jnp.cos(2 * jnp.pi * coordinate[2]) / 2)

    def reconstruction_loss(self, conditioning, coordinates, density):
        return jnp.max(jnp.abs(self.values(conditioning, coordinates) / density - 1), axis=1)


@pytest.mark.parametrize("shared", [True, False])
def test_densities_are_those_of_the_series(table, shared):
    edges = np.array([1.0, 1.5, 2.0, 2.5], np.float32)
    series = np.zeros((4, table.reflections.series.shape[1]), np.float16)
    series[:, 0], series[:, 1] = edges, 0.5  # the first harmonic is 001
    columns = (x[:4] for x in table.reflections)
    reflections = Reflections(*columns)._replace(
        lattice=jnp.asarray(edges[:, None, None] * np.eye(3, dtype=np.float32)),
        series=jnp.asarray(series),
        neighbours=jnp.full((4, 2, 2), -1),
    )
    known = Table(jnp.zeros((4, 119)), reflections=reflections)
    graph, state = initial_state(Clairvoyant(), optax.sgd(RATE))
    step = jax.jit(make_step(graph, optax.sgd(RATE), StepConfig(EXACT, shared_voxels=shared), 0))
    _, metrics = step(state, known, *batch([3, 1]), 0)
    assert metrics["reconstruction"] < 1e-4


@pytest.mark.parametrize("column", ["pattern", "density", "composition", "amplitude", "series"])
def test_records_that_are_not_finite_are_named(column):
    examples = synthetic_examples(6, seed=2)
    perturbed = getattr(examples, column).copy()
    perturbed[[3, 5]] = np.nan
    examples = dataclasses.replace(examples, **{column: perturbed})
    first, second = examples.material_id[[3, 5]]
    of_reflections = partial(Table.of_reflections, recalled=2)
    make = of_reflections if column in ("amplitude", "series") else Table.of
    with pytest.raises(ValueError, match=f"the records of {first}, {second} hold numbers that are"):
        make(examples)


def gradient_after(table, steps=3, **how):
    """The parameters after some steps of gradient descent, and the losses."""
    step, state = begin(**how)
    losses = []
    for number in range(steps):
        state, metrics = step(state, table, *batch(range(8)), number)
        losses.append(float(metrics["loss"]))
    return nnx.to_pure_dict(state.parameters), losses


@pytest.fixture(scope="module")
def plain(table):
    return gradient_after(table)


def test_remat_changes_nothing_but_rounding(table, plain):
    (plain, losses), (again, same) = plain, gradient_after(table, remat=True)
    np.testing.assert_allclose(losses, same, rtol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), plain, again)


@pytest.mark.parametrize(
    ("network", "share"),
    [(BaseConfig(width=256, blocks=6), 0.75), (PublishedConfig(), 0.5)],
)
def test_remat_keeps_less_for_the_way_back(network, share):
    """The batch has 64 crystals with 50 voxels each. (XLA for CPUs undoes remat again.)"""
    graph, state = nnx.eval_shape(lambda: nnx.split(network.build(nnx.Rngs(0))))
    few = full_query(synthetic_examples(1, seed=2))
    asked = jax.tree.map(lambda column: jnp.zeros((64, *column.shape[1:]), column.dtype), few)

    def way_back(state, remat):
        def values(state):
            built = nnx.merge(graph, state)
            compute_as(StepConfig(remat=remat), built)
            conditioning = built.condition(built.encode(asked, None).mean)
            return built.values(conditioning, jnp.zeros((50, 3)))

        return jax.vjp(values, state)[1]

    def kept(remat):
        arrays = jax.tree.leaves(jax.eval_shape(partial(way_back, remat=remat), state))
        return sum(array.size for array in arrays) - sum(x.size for x in jax.tree.leaves(state))

    assert kept(remat=True) < share * kept(remat=False)


def test_bfloat16_learns_as_float32_does_with_parameters_in_float32(table):
    (_, losses), (parameters, rounded) = (
        gradient_after(table, steps=20, precision=precision)
        for precision in ("float32", "bfloat16")
    )
    np.testing.assert_allclose(rounded, losses, rtol=0.02)
    assert rounded != losses
    assert {leaf.dtype for leaf in jax.tree.leaves(parameters)} == {jnp.dtype("float32")}


def test_tf32_is_asked_for_in_the_products_with_every_kernel(table):
    """JAX calls it HIGH. CPUs have none, so that their numbers would not tell."""
    program, state = descent(StepConfig(PARTIAL, precision="tf32"))
    lowered = program.lower(0, RATE, state, table, *batch(range(8)), 0).as_text()
    product = r"precision = \[(\w+), (\w+)\] : \(tensor<\w+>, tensor<(\w+)xf32>\)"
    products = re.findall(product, lowered)
    kernels = [leaf.shape for leaf in jax.tree.leaves(state.parameters) if leaf.ndim == 2]
    assert kernels
    for shape in kernels:
        asked = {tuple(both) for *both, by in products if by == "x".join(map(str, shape))}
        assert asked == {("HIGH", "HIGH")}, shape


@pytest.mark.parametrize("network", [TINY, PublishedConfig()])
def test_every_layer_computes_in_bfloat16_where_asked(network):
    """This holds for the outputs of the layers, not for their parameters."""
    built = nnx.eval_shape(lambda: network.build(nnx.Rngs(0)))
    compute_as(StepConfig(), built)
    assert not [m for _, m in nnx.iter_modules(built) if getattr(m, "dtype", None)]
    compute_as(StepConfig(precision="bfloat16"), built)
    layers = [m for _, m in nnx.iter_modules(built) if isinstance(m, nnx.Linear | nnx.LayerNorm)]
    assert layers
    assert {m.dtype for m in layers} == {jnp.bfloat16}
    assert {m.param_dtype for m in layers} == {jnp.float32}
