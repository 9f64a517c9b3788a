"""Operations of a step against a count by hand, its memory, and the peak of devices."""

from functools import partial

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from cmed_jax.cli import PRESETS
from cmed_jax.config import StepConfig
from cmed_jax.data.batches import QUERIES
from cmed_jax.model.base import BaseConfig
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.log_series import TERMS
from cmed_jax.training.cost import (
    compiled_step,
    flops_per_step,
    memory_of_program,
    peak_flops,
    peak_of,
)
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import initial_state, make_step
from cmed_jax.training.table import Reflections, Table

NETWORK = BaseConfig(width=1024, blocks=2, hidden=512, recalled=0)
BATCH, MATERIALS, READ = 32, 100, len(harmonics())


@pytest.fixture(scope="module")
def step():
    """The program of one step, and the shapes of its arguments."""
    parallel, optimizer = DataParallel(devices=jax.devices()[:1]), optax.sgd(0.1)
    build = partial(initial_state, optimizer=optimizer)
    graph, state = nnx.eval_shape(lambda: build(NETWORK.build(nnx.Rngs(0))))
    half, shapes = partial(jax.ShapeDtypeStruct, dtype=np.float16), jax.ShapeDtypeStruct
    reflections = Reflections(
        shapes((MATERIALS, 3, 3), np.float32),
        half((MATERIALS, READ)),
        half((MATERIALS, READ)),
        half((MATERIALS, TERMS)),
        shapes((MATERIALS, 2, 0), np.int32),
    )
    table = Table(shapes((MATERIALS, 119), np.float32), reflections=reflections)
    batches = parallel.abstract_batches(shapes((1, BATCH), np.int32))
    program = parallel.compile(make_step(graph, optimizer, StepConfig(), seed=0))
    return program, parallel.abstract(state), parallel.abstract_table(table), batches


@pytest.fixture(scope="module")
def compiled(step):
    return compiled_step(*step)


def test_a_step_takes_the_products_of_the_network(compiled):
    """Each product takes 2 operations forward, and as many for each factor that has a gradient.

    The first layers and the decoder have constant inputs. Two answers are decoded. Densities of
    series are products, too.
    """
    first = (2 * READ + 10 + READ + 1 + 119 + 4) * 1024
    inner = (2 * 2 + 2 + 1) * 1024**2 + 1024 * 512 + 512 * TERMS + 3 * 1024 * TERMS
    expected = 2 * BATCH * (2 * first + 3 * inner + (2 * 2 + 1) * TERMS * QUERIES)
    assert flops_per_step(compiled, devices=1) == pytest.approx(expected, rel=0.15)


def test_a_step_that_needs_more_memory_than_a_device_has_is_refused(step, compiled):
    table = sum(np.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(step[2]))
    assert memory_of_program(compiled) > table
    with pytest.raises(ValueError, match=f"the training split takes {table / 1e9:.3g} GB, and a"):
        compiled_step(*step, available=int(table))


@pytest.mark.parametrize(
    ("kind", "precision", "peak"),
    [
        ("NVIDIA H200", "float32", 67e12),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("NVIDIA H100 NVL", "tf32", 418e12),
        ("NVIDIA L40", "float32", 90.5e12),
        ("NVIDIA L4", "float32", 30.3e12),
        ("NVIDIA A100-SXM4-40GB", "tf32", 156e12),
        ("TPU v5 lite", "bfloat16", 197e12),
        ("TPU v5p", "bfloat16", 459e12),
        ("another", "float32", None),
    ],
)
def test_the_peak_of_a_device_is_found_by_its_kind(kind, precision, peak):
    assert peak_of(kind, precision) == peak


def test_the_peak_of_a_cpu_is_measured():
    found = peak_flops("float32", jax.devices("cpu")[:1])
    assert np.isfinite(found)
    assert found > 1e8


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_no_type_of_the_state_is_weak(preset):
    """The state of a first step would otherwise differ from all later ones: two compilations."""
    _, config = PRESETS[preset]
    optimizer = make_optimizer(config.optimizer, config.steps)
    _, state = nnx.eval_shape(lambda: initial_state(config.network.build(nnx.Rngs(0)), optimizer))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))
